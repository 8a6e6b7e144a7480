"""How does a server answer who comes back?"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from wsext import Agreement, Codec, Journal, NegotiationContext, NegotiationError, Params, Session
from wsext_resume.store import Kept, Store, worker_in
from wsext_resume.waiting import Waiting

__all__ = ["Desk", "KeptCodec"]

logger = logging.getLogger("wsext.resume")


class KeptCodec(Codec):
    """Changes nothing; it carries the journal of a session that the server keeps."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.journal = kept.journal
        self.kept = kept


class _Refused(Exception):
    """The session is not resumed; the reason is what the client is told."""


class Desk:
    """Gives sessions their ids, and takes them back from who may have them.

    Args:
        make_journal: Makes the journal of a new session, for a window.
        window: Seconds that a session is kept without a connection.
        rate: Resumptions of a session in a minute, at most.
        waiting: The sessions without a connection.
        counters: What is counted, by name.
    """

    def __init__(
        self,
        make_journal: Callable[[int], Journal],
        window: int,
        rate: int,
        waiting: Waiting,
        counters: Counter[str],
    ) -> None:
        self._make_journal = make_journal
        self._window = window
        self._rate = float(rate)
        self._waiting = waiting
        self._counters = counters
        self._store = Store()

    # --- the handshake ------------------------------------------------------------------------

    def answer(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        """Resume the session of an offer, or begin a new one and say why.

        Raises:
            NegotiationError: If the offer is malformed.
        """
        offer.only("id", "received")
        text = offer.text("id")
        received = offer.integer("received", 0, (1 << 63) - 1)
        if (text is None) is not (received is None):
            raise NegotiationError("id and received belong together")
        if text is None or received is None:
            return self._begin(ctx)
        try:
            kept = self._take(text, received, ctx)
        except _Refused as refusal:
            reason = str(refusal)
            self._counters[f"refused {reason}"] += 1
            return self._begin(ctx, reason)
        journal = kept.journal
        journal.peer_received = received
        codec = KeptCodec(kept)
        journal.claim = codec
        params = Params(
            id=self._store.renew(kept, ctx.worker, text),
            window=self._window,
            received=journal.received,
        )
        return Agreement(codec, params)

    def _begin(self, ctx: NegotiationContext, fresh: str | None = None) -> Agreement:
        kept = Kept(self._make_journal(self._window), self._rate)
        params = Params(id=kept.give_id(ctx.worker), window=self._window, fresh=fresh or False)
        return Agreement(KeptCodec(kept), params)

    def _take(self, text: str, received: int, ctx: NegotiationContext) -> Kept:
        """The session of an id; its old connection is cut off.

        Raises:
            _Refused: If it is not resumed.
        """
        try:
            kept = self._store.find(text)
        except LookupError:
            self._counters["old id"] += 1
            raise _Refused("unknown") from None
        if kept is None or kept.session is None:
            raise _Refused("elsewhere" if worker_in(text) not in ("", ctx.worker) else "unknown")
        session, journal = kept.session, kept.journal
        if not _is_same(session, ctx.request):
            raise _Refused("identity")
        if not kept.take_turn(self._rate):
            logger.warning("session %s is resumed too often, and ends", session.id)
            self._counters["max_rate"] += 1
            session.abort()
            raise _Refused("unknown")
        if not journal.can_rewind(received):
            session.abort()  # its client does not come back to it
            raise _Refused("counts")
        if session.connected:
            logger.info("session %s: another connection takes the place of its own", session.id)
            self._counters["takeovers"] += 1
            journal.cut_off()
        if kept.session is None:  # it could not be kept
            raise _Refused("unknown")
        return kept

    # --- what becomes of the sessions ---------------------------------------------------------

    def opened(self, kept: Kept) -> None:
        """Its handshake is done: its id can be used."""
        self._store.add(kept)

    def detached(self, session: Session, kept: Kept) -> None:
        """It has lost its connection."""
        self._waiting.add(kept, session)

    def resumed(self, kept: Kept) -> None:
        """It has a connection again."""
        self._waiting.remove(kept)

    def closed(self, kept: Kept) -> None:
        """It has ended."""
        self._waiting.remove(kept)
        self._store.remove(kept)


def _is_same(session: Session, request: Any) -> bool:
    """Whether a request asks for what a session's own one did, for the same identity."""
    before = session.request
    try:
        return bool(
            before.identity == request.identity
            and before.path == request.path
            and before.origin == request.origin
            and (session.subprotocol is None or session.subprotocol in request.subprotocols)
        )
    except Exception:  # identities that cannot be compared are not the same
        return False
