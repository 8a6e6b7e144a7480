"""How a connection asks for a session: the opening handshake of RFC 6455 §4.1, client side."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, TypeAlias, cast

from wsext import http2
from wsext.client.settings import ClientLimits
from wsext.errors import InvalidHandshake
from wsext.protocol.connection import Connection
from wsext.protocol.http import HTTPResponse, Request, ResponseReader, serialize_request

__all__ = ["ALPN", "HTTP2Choice", "OpeningProtocol", "check_http2", "with_hint"]

#: Whether a client speaks HTTP/2; see `connect`.
HTTP2Choice: TypeAlias = Literal["auto"] | bool

#: What a client offers by ALPN (RFC 7301).
ALPN: dict[HTTP2Choice, list[str]] = {
    False: ["http/1.1"],
    True: ["h2"],
    "auto": ["h2", "http/1.1"],
}


def check_http2(choice: HTTP2Choice) -> HTTP2Choice:
    """The choice as it can be followed: ``"auto"`` without h2 means HTTP/1.1.

    Raises:
        ValueError: For another value, or for ``True`` without h2.
    """
    if not (isinstance(choice, bool) or choice == "auto"):
        raise ValueError(f"http2 is False, True or 'auto', not {choice!r}")
    if choice and not http2.is_available():
        if choice is True:
            raise ValueError("http2=True needs the package h2: pip install 'wsext[http2]'")
        return False
    return choice


def with_hint(error: InvalidHandshake) -> InvalidHandshake:
    """The error of a connection that ended without an answer: so ends who asks a port for TLS
    without it."""
    hint = "; if the server speaks TLS, write wss:// in place of ws://"
    hinted = InvalidHandshake(f"{error}{hint}", cut_off=True)
    hinted.__cause__ = error.__cause__
    return hinted


class OpeningProtocol(asyncio.Protocol):
    """One connection until the server has answered its handshake.

    Args:
        request: The handshake.
        http2: Whether HTTP/2 is spoken.
        limits: How large the answer may be.
    """

    def __init__(self, request: Request, http2: HTTP2Choice, limits: ClientLimits) -> None:
        self._request = request
        self._http2 = http2
        self._limits = limits
        self._reader = ResponseReader(
            max_size=limits.max_header_size,
            max_count=limits.max_header_count,
            max_body=limits.max_body_size,
        )
        self.answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        over_http2 = self._speaks_http2(transport)
        if self.answered.done():
            return
        if over_http2:
            self._hand_over(self.transport)
        else:
            self.transport.write(serialize_request(self._request))

    def _speaks_http2(self, transport: asyncio.BaseTransport) -> bool:
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return self._http2 is True  # with prior knowledge (RFC 9113 §3.3)
        chosen: bool = tls.selected_alpn_protocol() == "h2"
        if chosen and not self._http2:
            self.refuse(InvalidHandshake("the TLS context offers h2, but http2 is False"))
        elif not chosen and self._http2 is True:
            self.refuse(InvalidHandshake("the server does not speak HTTP/2"))
        return chosen

    def _hand_over(self, transport: asyncio.Transport) -> None:
        from wsext.client.http2 import ClientConnection

        ClientConnection(self._request, self, self._limits).start(transport)

    def answer(self, response: HTTPResponse, transport: asyncio.Transport) -> None:
        """HTTP/2: the server has answered; the session's transport is its stream."""
        self.transport = transport
        if not self.answered.done():
            self.answered.set_result(response)

    def refuse(self, error: InvalidHandshake) -> None:
        """There will be no answer."""
        if error.cut_off and not self._request.secure:
            error = with_hint(error)
        if not self.answered.done():
            self.answered.set_exception(error)
            self.answered.exception()  # whoever waited for it may be gone, and asyncio would log it

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self._step(lambda: self._reader.feed(data))
        else:  # the first frames came before the task that opens the session ran
            self._reader.keep(data)

    def eof_received(self) -> bool:
        if not self.answered.done():
            self._step(self._reader.feed_eof)
        return False

    def _step(self, feed: Any) -> None:
        try:
            response = feed()
        except InvalidHandshake as error:
            self.refuse(error)
            return
        if response is not None:
            self.answered.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None  # nobody will be told again, so no session may start on it
        problem = "the connection ended before the server answered"
        error = InvalidHandshake(problem, cut_off=True)
        error.__cause__ = exc
        self.refuse(error)

    def need_transport(self) -> asyncio.Transport:
        """The transport of a session that begins or goes on now.

        Raises:
            InvalidHandshake: If it is gone; another attempt may succeed.
        """
        if self.transport is None:
            raise InvalidHandshake("the connection ended during the handshake", cut_off=True)
        return self.transport

    def close(self, code: int) -> None:
        """Close after the server has accepted: for it the connection is open already."""
        if self.transport is not None:
            connection = Connection("client")
            connection.send_close(code)
            self.transport.writelines(connection.data_to_send())
            self.transport.close()

    async def drop(self, error: BaseException) -> None:
        """Do without the connection: opening a session has failed or was cancelled."""
        if self.transport is None:
            return
        carrier = self.transport.get_extra_info("carrier")
        self.transport.abort()
        if carrier is not None:
            carrier.abort()
            if isinstance(error, Exception):
                await carrier.gone

    def take_rest(self) -> bytes:
        """The frames that came with the answer."""
        return self._reader.take_rest()
