"""How a session that has lost its connection gets another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from wsext.client.reconnection import RETRIED, Waits, is_worth_retrying
from wsext.client.targets import Target
from wsext.errors import (
    CloseInfo,
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
    NotResumed,
)
from wsext.escape import get_logger
from wsext.protocol.agreement import Negotiation
from wsext.protocol.headers import Headers
from wsext.protocol.http import Request
from wsext.protocol.negotiation import find_missing
from wsext.runtime.life import life_of
from wsext.runtime.session import Session

__all__ = ["MISSING", "Accepted", "Dial", "Return", "check_return"]

logger = get_logger("wsext.client")

#: What is wrong when a required extension was not agreed.
MISSING = "is required, and the server did not agree to it"

#: The status by which a server says that another one has the session (RFC 9110 §15.4.8).
_ELSEWHERE = 307


class Accepted(NamedTuple):
    """A connection whose handshake the server has accepted.

    Attributes:
        transport: Its transport.
        rest: The bytes that came with the answer.
        request: The handshake.
        headers: Those of the answer.
        subprotocol: What was agreed, or ``None``.
        negotiation: What was agreed of the extensions.
    """

    transport: asyncio.Transport
    rest: bytes
    request: Request
    headers: Headers
    subprotocol: str | None
    negotiation: Negotiation


class Dial(Protocol):
    """Connects and does the handshake."""

    async def __call__(
        self, session: Session | None, elsewhere: Target | None, use: Callable[[Accepted], None], /
    ) -> None:
        """Have a connection used.

        Args:
            session: The session that comes back; ``None`` for a new one.
            elsewhere: Where to, if not to the program's address. There, a new session is refused.
            use: Called as soon as the server has accepted; if it raises, the connection is dropped.
        """


def check_return(session: Session, accepted: Accepted, required: Iterable[str]) -> bool:
    """Whether a server resumes a session, as it was.

    Raises:
        NegotiationError: If a required extension is missing.
        InvalidHandshake: If the subprotocol is another one.
    """
    agreed = accepted.negotiation
    if agreed.journal is not life_of(session).journal:
        return False
    missing = find_missing(required, agreed)
    if missing is not None:
        raise NegotiationError(MISSING, missing)
    if accepted.subprotocol != session.subprotocol:
        raise InvalidHandshake("the server resumed the session with another subprotocol")
    return True


class Return:
    """Dials whenever a session has lost its connection, until it has another one or has ended.

    Args:
        session: The session.
        waits: The waits before the attempts.
        dial: Opens a connection.
        follow: Where the ``Location`` of a redirect leads; ``None`` if it may not be followed.
        begin: Begins the new session that the server has accepted where it cannot resume the old.
    """

    __slots__ = ("_begin", "_dial", "_follow", "_refused", "_session", "_task", "_waits")

    def __init__(
        self,
        session: Session,
        waits: Waits,
        dial: Dial,
        follow: Callable[[str], Target | None],
        begin: Callable[[Accepted], None],
    ) -> None:
        self._session = session
        self._waits = waits
        self._dial = dial
        self._follow = follow
        self._begin = begin
        self._refused = ""  # why the session cannot be resumed, once that is known
        self._task: asyncio.Task[None] | None = None
        life = life_of(session)
        life.on_detached = self._lost
        life.add_callback(self._ended)

    def _lost(self, session: Session) -> None:
        life = life_of(session)
        self._task = life.create_task(self._return(), f"return of {life.id}")

    def _ended(self, info: CloseInfo) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _return(self) -> None:
        life = life_of(self._session)
        assert life.journal is not None
        # However long the waits have become, there are some attempts before the window ends.
        longest = life.journal.window / 4
        now = asyncio.get_running_loop().time()
        delay = min(self._waits.after_loss(life.close_info, now), longest)
        while True:
            logger.info("session %s: no connection; next attempt in %.1f s", life.id, delay)
            await asyncio.sleep(delay)
            try:
                await self._attempt()
            except ConnectionClosed:  # the session has ended meanwhile
                return
            except Exception as error:  # also of the program's function for headers
                if not isinstance(error, RETRIED) or not is_worth_retrying(error):
                    life.give_up(error)
                    return
                logger.info("session %s: connecting failed (%s)", life.id, error)
                delay = self._waits.after_failure(error, longest)
            else:
                return

    async def _attempt(self) -> None:
        """Have one connection, for the session or for a new one if it cannot be resumed."""
        if self._refused:
            await self._dial(None, None, self._use)
            return
        try:
            await self._dial(self._session, None, self._use)
            return
        except InvalidStatus as error:
            if error.status != _ELSEWHERE:
                raise
            named = (value for name, value in error.headers.items() if name.lower() == "location")
            target = self._follow(next(named, ""))
        self._refused = "elsewhere"
        if target is not None:
            try:
                await self._dial(self._session, target, self._use)
                return
            except RETRIED as error:
                logger.info("session %s: connecting failed (%s)", self._session.id, error)
        await self._dial(None, None, self._use)

    def _use(self, accepted: Accepted) -> None:
        life = life_of(self._session)
        transport, rest, request, headers, _, agreed = accepted
        journal = agreed.journal
        if journal is not None and journal is life.journal:
            request.transport = transport
            self._session.response_headers = headers
            life.resume(request, agreed, transport, rest, journal.peer_received or 0)
            self._waits.note_open()
            self._refused = ""
            logger.info("session %s: resumed", life.id)
            return
        if not self._refused:
            self._refused = "unsupported" if journal is None else journal.fresh or "unknown"
        self._begin(accepted)
        error = NotResumed(self._refused)
        logger.info("session %s: %s", life.id, error)
        life.give_up(error)
