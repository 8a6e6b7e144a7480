"""What do the two sides say about a session that comes back?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from wsext import (
    Agreement,
    CloseInfo,
    Codec,
    Extension,
    Journal,
    NegotiationContext,
    OptionSet,
    Params,
    Phase,
    Session,
    hookimpl,
    local,
    wire,
)
from wsext_resume.client import ask, take
from wsext_resume.server import Desk, KeptCodec
from wsext_resume.store import Kept, worker_in
from wsext_resume.waiting import Waiting

__all__ = ["ResumeOptions", "SessionResume"]

#: Bytes that it takes beside the messages that are kept.
_IDLE = 1024


class ResumeOptions(OptionSet):
    """The options of `SessionResume`."""

    window: Annotated[
        int,
        wire("seconds a session is kept without a connection", direction="answer", ge=1, le=86400),
    ] = 60
    max_bytes: Annotated[
        int, local("bytes of sent messages that a session keeps", ge=1024, le=1 << 30)
    ] = 1 << 20
    max_messages: Annotated[int, local("messages of them", ge=1, le=1 << 20)] = 1024
    max_detached: Annotated[
        int, local("server: sessions without a connection", ge=1, le=1 << 20)
    ] = 1000
    max_per_peer: Annotated[
        int, local("server: of them, of one identity, or else of one address", ge=1, le=1 << 20)
    ] = 20
    max_detached_bytes: Annotated[
        int, local("server: bytes that all of them keep", ge=1024, le=1 << 40)
    ] = 32 << 20
    max_rate: Annotated[
        int, local("server: resumptions of a session in a minute", ge=1, le=6000)
    ] = 30


class SessionResume(Extension):
    """Sessions outlive their connections: who comes back goes on, and nothing is lost.

    Attributes:
        counters: Server: refusals by reason, ids that were used again, connections that took the
            place of others, and sessions that had to go, by the bound.
    """

    name: ClassVar[str] = "session-resume"
    phase: ClassVar[Phase] = Phase.APPLICATION
    opcodes: ClassVar[frozenset[int]] = frozenset({0xB})
    Options: ClassVar[type[OptionSet]] = ResumeOptions
    options: ResumeOptions
    extra_wire_params: ClassVar[Mapping[str, Any]] = {
        "id": Annotated[str, wire("secret that names the session", secret=True)],
        "received": Annotated[int, wire("messages received in the whole session")],
        "fresh": Annotated[str, wire("why the old session is not resumed", direction="answer")],
    }

    def setup(self) -> None:
        options = self.options
        self.counters: Counter[str] = Counter()
        bounds = options.max_detached, options.max_per_peer, options.max_detached_bytes
        waiting = Waiting(*bounds, self._count)
        self._desk = Desk(
            self._make_journal, options.window, options.max_rate, waiting, self.counters
        )

    def _count(self, name: str) -> None:
        self.counters[name] += 1

    def _make_journal(self, window: int) -> Journal:
        options = self.options
        return Journal(
            0xB,
            window=window,
            max_bytes=options.max_bytes,
            max_messages=options.max_messages,
        )

    def memory_estimate(self) -> int:
        return self.options.max_bytes + _IDLE

    # --- client -------------------------------------------------------------------------------

    def resume_offers(self, session: Session) -> Sequence[Params]:
        return ask(session, self.name)

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return take(offers, answer, ctx, self.name, self._make_journal)

    # --- server -------------------------------------------------------------------------------

    def worker_of(self, offer: Params) -> str:
        return worker_in(offer.text("id") or "")

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        return self._desk.answer(offer, ctx)

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        """Its id can be used from now on."""
        if kept := self._kept(session):
            self._desk.opened(kept)

    @hookimpl
    def wsext_session_detached(self, session: Session) -> None:
        """It is kept, within bounds."""
        if kept := self._kept(session):
            self._desk.detached(session, kept)

    @hookimpl
    def wsext_session_resumed(self, session: Session) -> None:
        """It goes on."""
        if kept := self._kept(session):
            self._desk.resumed(kept)

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        """Nobody can resume it any more."""
        if kept := self._kept(session):
            self._desk.closed(kept)

    def _kept(self, session: Session) -> Kept | None:
        agreed = session.extension(self.name, None)
        if agreed is None or agreed.extension is not self:
            return None
        return agreed.codec.kept if isinstance(agreed.codec, KeptCodec) else None
