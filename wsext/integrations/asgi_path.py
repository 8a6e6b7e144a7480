"""What happens for every message between a session and an ASGI application: the fast path.

Runs as it is, and compiled. `ConversationPath` is what a `Conversation` does per message;
everything rarer is in `wsext.integrations.asgi`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from enum import Enum
from typing import Any

from wsext.errors import CloseInfo, ConnectionClosed
from wsext.runtime.inbox import Take
from wsext.runtime.session_path import SessionPath, new_send

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["AppState", "ConversationPath", "Receiving"]


class AppState(Enum):
    """What the application has said so far."""

    CONNECTING = "has not answered"
    OPEN = "has accepted"
    DENYING = "is answering with a response"
    CLOSED = "has closed or denied"


_OPEN = AppState.OPEN


@cython.final
@cython.cclass
class Receiving(Take):
    """What `receive` returns once the handshake is accepted: takes the next message as an event."""

    __slots__ = ("_conversation", "_event")

    _conversation: ConversationPath
    _event: dict[str, Any] | None

    def step(self) -> Any:
        """The next event, or what to wait for."""
        if self._event is not None:
            self.ready = True
            return self._event
        try:
            out = Take.step(self)
        except ConnectionClosed as closed:
            self._event = self._conversation.closed_event(closed.info)
            return None  # in the loop's next pass: who never looks must not stop the loop
        if not self.ready:
            return out
        message = out
        data = message.data
        return {"type": "websocket.receive", "text" if type(data) is str else "bytes": data}


class ConversationPath:
    """The per-message part of a conversation.

    Attributes:
        session: The session.
        state: What the application has said so far.
        accepted: Whether the handshake was answered with 101.
        connect_told: Whether the application was told of the handshake.
    """

    __slots__ = ("accepted", "connect_told", "session", "state")

    def __init__(self, session: SessionPath) -> None:
        self.session: Any = session
        self.state = AppState.CONNECTING
        self.accepted = False
        self.connect_told = False

    def receive(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """The next event for the application."""
        if not self.accepted or not self.connect_told:
            return self._receive_first()
        receiving = Receiving.__new__(Receiving)
        receiving._conversation = self
        receiving._event = None
        self.session._inbox.message_for(receiving)
        return receiving

    def send(self, message: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        """Do what the application says; nothing is done until this is awaited.

        Raises:
            ClientDisconnected: If the client is gone.
            RuntimeError: If the message may not be sent now, or is malformed.
            ValueError: For a close code or a header that cannot be sent.
        """
        if self.accepted and self.state is _OPEN and type(message) is dict:
            fields = message
            if fields.get("type") == "websocket.send":
                data = fields.get("bytes")
                if data is None:
                    data = fields.get("text")
                return new_send(self.session, self, data, None, None)
        return self._handle(message)

    # --- what is rarer ------------------------------------------------------------------------

    async def _receive_first(self) -> dict[str, Any]:
        """The next event while the handshake is not answered."""
        raise NotImplementedError

    async def _handle(self, message: Mapping[str, Any]) -> None:
        """Do what any message says."""
        raise NotImplementedError

    async def _send_slowly(self, data: Any, hints: Any, meta: Any) -> None:
        """Send what cannot be sent at once."""
        raise NotImplementedError

    def closed_event(self, info: CloseInfo) -> dict[str, Any]:
        """The event that tells of the end."""
        raise NotImplementedError
