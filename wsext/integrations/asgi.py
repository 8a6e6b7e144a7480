"""The application's side of a WebSocket in ASGI: its `receive` and `send`, over a session.

ASGI's HTTP & WebSocket specification 2.4, with the extension ``websocket.http.response``. Nothing
here knows which server runs the application: that is the `Front`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import unquote

from wsext.errors import CloseInfo, ConnectionClosed
from wsext.integrations.asgi_path import AppState, ConversationPath
from wsext.integrations.denial import Denial, RawHeaders, check_line, read_headers
from wsext.protocol.http import Request
from wsext.runtime.life import life_of
from wsext.runtime.session import Session

__all__ = [
    "AppState",
    "ClientDisconnected",
    "Conversation",
    "Front",
    "build_scope",
    "describe",
    "session",
]


class ClientDisconnected(OSError):
    """The application sends, but the client is gone; ASGI asks for an ``OSError``."""


class Front(Protocol):
    """What a server does for a conversation, on the connection before the session has it."""

    def accept(self, subprotocol: str | None, headers: RawHeaders) -> None:
        """Answer the handshake with 101 and start the session."""

    def answering(self, status: int) -> None:
        """The handshake is denied with this status: the place for a log line."""

    async def write(self, data: bytes) -> None:
        """Write a part of the answer; wait while the client reads too slowly."""

    def finish(self) -> None:
        """Close the connection: the answer is complete."""


#: What the application may send in each state; anything else is its mistake.
_MAY_SEND: dict[AppState, tuple[str, ...]] = {
    AppState.CONNECTING: (
        "websocket.accept",
        "websocket.close",
        "websocket.http.response.start",
    ),
    AppState.OPEN: ("websocket.send", "websocket.close"),
    AppState.DENYING: ("websocket.http.response.body",),
    AppState.CLOSED: (),
}

#: Headers of the answer that the handshake itself sets.
_OWN_HEADERS = frozenset(
    {b"sec-websocket-accept", b"sec-websocket-extensions", b"upgrade", b"connection"}
)


class Conversation(ConversationPath):
    """One WebSocket's `receive` and `send`.

    Args:
        session: The session; the front starts it when the application accepts.
        front: The server's side.
    """

    def __init__(self, session: Session, front: Front) -> None:
        super().__init__(session)
        #: Whether the client went away before the handshake was answered.
        self.lost = False
        #: Whether the server has closed the session because it shuts down.
        self.shut_down = False
        self._front = front
        self._answered = asyncio.Event()  # accepted, denied, or nobody there to be answered
        self._denial: Denial | None = None

    # --- the application's calls --------------------------------------------------------------

    async def _receive_first(self) -> dict[str, Any]:
        if not self.connect_told:
            self.connect_told = True
            return {"type": "websocket.connect"}
        await self._answered.wait()
        if self.accepted:
            return await self.receive()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _handle(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        self._check(kind)
        if kind == "websocket.send":
            data = message.get("bytes")
            await self._send_slowly(message.get("text") if data is None else data, None, None)
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            await self._close(message)
        elif kind == "websocket.http.response.start":
            self._start_denial(message)
        else:
            await self._continue_denial(message)

    def _check(self, kind: str) -> None:
        """Refuse what the application may not send now."""
        if self.lost:
            raise ClientDisconnected("the client is gone")
        if kind not in _MAY_SEND[self.state]:
            raise RuntimeError(_unexpected(kind, self.state))

    async def _send_slowly(self, data: Any, hints: Any, meta: Any) -> None:
        self._check("websocket.send")
        if data is None:
            raise RuntimeError("websocket.send needs 'bytes' or 'text'")
        try:
            await self.session.send(data)
        except ConnectionClosed as closed:
            raise ClientDisconnected(str(closed)) from None

    def _accept(self, message: Mapping[str, Any]) -> None:
        headers, subprotocol = read_headers(message), message.get("subprotocol")
        for name, _ in headers:
            if name.lower() in _OWN_HEADERS:
                raise RuntimeError(f"the handshake sets the header {name!r} itself")
        if subprotocol is not None:
            check_line(b"sec-websocket-protocol", subprotocol.encode())
        self._front.accept(subprotocol, headers)
        self.accepted = not self.lost
        self.state = AppState.OPEN
        self._answered.set()

    async def _close(self, message: Mapping[str, Any]) -> None:
        if self.state is AppState.CONNECTING:
            self._start_denial({"status": 403})
            await self._continue_denial({})
            return
        code, reason = message.get("code"), message.get("reason")
        self.session.close_nowait(1000 if code is None else code, reason or "")
        # The application need not wait for the client's Close frame.
        life_of(self.session).end_receiving()
        self.state = AppState.CLOSED

    # --- denial responses ---------------------------------------------------------------------

    def _start_denial(self, message: Mapping[str, Any]) -> None:
        status = message["status"]
        if not 200 <= status < 600:
            raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
        self._denial = Denial(status, read_headers(message))
        self.state = AppState.DENYING
        self._front.answering(status)

    async def _continue_denial(self, message: Mapping[str, Any]) -> None:
        assert self._denial is not None
        more = bool(message.get("more_body", False))
        data = self._denial.encode(message.get("body", b""), more)
        if not more:
            self.state = AppState.CLOSED
        await self._front.write(data)
        if not more:
            self._front.finish()
            self._answered.set()

    # --- the server's calls -------------------------------------------------------------------

    def lose(self) -> None:
        """The client went away before the handshake was answered."""
        self.lost = True
        self._answered.set()

    def shut_down_now(self) -> None:
        """Close the session with 1012: the server shuts down (and may come back)."""
        life = life_of(self.session)
        if life.journal is not None and not life.is_connected:  # and nobody could come back to it
            self.session.abort()
        if self.state is AppState.CLOSED:  # nobody waits any longer for the client's Close frame
            life_of(self.session).link.close_transport()
            return
        self.shut_down = True
        self.session.close_nowait(1012)
        life_of(self.session).end_receiving()

    async def end(self, failed: bool = False) -> None:
        """The application has returned: finish what it has left open, as far as possible.

        Args:
            failed: Whether it has raised.
        """
        if self.lost or self.state is AppState.CLOSED:
            return
        life = life_of(self.session)
        if self.state is AppState.OPEN and life.journal is not None:
            self.session.close_nowait(1011 if failed else 1000)  # or its client would come back
        elif self.state is AppState.OPEN:
            life.link.close_transport()
        elif self._denial is not None and not self._denial.started:
            with suppress(ClientDisconnected):
                await self._continue_denial({})
        else:
            self._front.finish()

    def closed_event(self, info: CloseInfo) -> dict[str, Any]:
        if self.shut_down:
            return {"type": "websocket.disconnect", "code": 1012}
        event: dict[str, Any] = {"type": "websocket.disconnect", "code": info.code}
        if info.local or info.remote:
            event["reason"] = info.reason
        return event


def _unexpected(kind: str, state: AppState) -> str:
    allowed = [f"'{name}'" for name in _MAY_SEND[state]]
    if not allowed:
        return f"Unexpected ASGI message '{kind}', after sending 'websocket.close'."
    *most, last = allowed
    expected = f"{', '.join(most)} or {last}" if most else last
    return f"Expected ASGI message {expected} but got '{kind}'."


def build_scope(request: Request, root_path: str) -> dict[str, Any]:
    """What can be said of a request in ASGI's terms, whatever the server."""
    raw_path, _, query = request.target.partition("?")
    return {
        "type": "websocket",
        "http_version": "1.1",
        "root_path": root_path,
        "path": root_path + unquote(raw_path),
        "raw_path": (root_path + raw_path).encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in request.headers.raw_items()
        ],
        "subprotocols": [
            name.strip()
            for value in request.headers.get_all("Sec-WebSocket-Protocol")
            for name in value.split(",")
        ],
        "extensions": {"websocket.http.response": {}},
    }


def describe(session: Session) -> dict[str, Any]:
    """``scope["extensions"]["wsext"]``: the agreed extensions, and the session for what ASGI cannot
    express."""
    agreed = [{"name": item.name, "params": dict(item.params)} for item in session.extensions]
    return {"extensions": agreed, "session": session}


class HasScope(Protocol):
    """A framework's WebSocket, for example Starlette's and FastAPI's."""

    @property
    def scope(self) -> Any:
        """ASGI's scope."""


def session(websocket: HasScope | Mapping[str, Any]) -> Session:
    """The session of an ASGI application's WebSocket, for rooms, pings and what else ASGI has not.

    It is there before the application accepts, and can send and be in rooms once it has.

    Args:
        websocket: The framework's WebSocket, or ASGI's scope.

    Raises:
        RuntimeError: If another server runs the application, or another protocol class of uvicorn.
    """
    scope = websocket if isinstance(websocket, Mapping) else websocket.scope
    found = scope.get("extensions", {}).get("wsext")
    if found is None:
        raise RuntimeError(
            "this WebSocket has no session of wsext: run the application with uvicorn --ws"
            " wsext.integrations.uvicorn:Protocol, and test it with wsext.testing.connect"
        )
    made: Session = found["session"]
    return made
