"""HTTP/2 at the client: a connection for one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Protocol

from h2.errors import ErrorCodes
from h2.events import (
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
)
from h2.settings import SettingCodes

from wsext.client.settings import ClientLimits
from wsext.errors import InvalidHandshake
from wsext.http2 import NoWebSockets, fields
from wsext.http2.connection import HTTP2Connection
from wsext.http2.frames import Limits
from wsext.http2.stream import StreamTransport
from wsext.protocol.http import HTTPResponse, Request

__all__ = ["Asker", "ClientConnection"]


class Asker(Protocol):
    """Who waits for the answer to a handshake."""

    def answer(self, response: HTTPResponse, transport: asyncio.Transport) -> None:
        """The server has answered."""

    def refuse(self, error: InvalidHandshake) -> None:
        """There will be no answer; nothing happens when there has been one."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection or its stream is gone: no session may start on it."""


class ClientConnection(HTTP2Connection):
    """A connection to a server; asks for a session as soon as the server's settings allow it.

    Args:
        request: The handshake, as for HTTP/1.1.
        asker: Who waits for the answer.
        limits: How large the answer may be.
    """

    handlers: ClassVar[dict[type[Event], str]] = {
        **HTTP2Connection.handlers,
        ResponseReceived: "_response_received",
        InformationalResponseReceived: "_informed",
    }

    def __init__(self, request: Request, asker: Asker, limits: ClientLimits) -> None:
        wanted = Limits(header_size=limits.max_header_size)
        super().__init__(wanted, asyncio.get_running_loop(), client_side=True)
        self._request = request
        self._asker = asker
        self._answer_limits = limits
        self._header_size = self._header_count = 0  # of all that was answered so far
        self._asked = False

    def _settings(self) -> dict[SettingCodes, int]:
        return {**super()._settings(), SettingCodes.ENABLE_PUSH: 0}

    def settings_changed(self, event: RemoteSettingsChanged) -> None:
        super().settings_changed(event)
        settings = self.h2.remote_settings
        if self._asked or settings.max_concurrent_streams == 0:  # later, maybe (RFC 9113 §5.1.2)
            return
        self._asked = True
        if not settings.enable_connect_protocol:
            self._asker.refuse(NoWebSockets("the server has no WebSocket over HTTP/2"))
            return
        fields.as_connect(self._request)
        number = self.h2.get_next_available_stream_id()
        stream = self.open_stream(number, _Waiting(self._asker))
        self.send_headers(stream, fields.request_fields(self._request))

    def _informed(self, event: InformationalResponseReceived) -> None:
        self._count(event)
        if not self._over and (b":status", b"101") in (event.headers or []):
            problem = "the server answered 101, which HTTP/2 does not have (RFC 9113 §8.6)"
            self._asker.refuse(InvalidHandshake(problem))

    def _count(self, event: ResponseReceived | InformationalResponseReceived) -> None:
        """Refuse an answer whose headers are too large or too many, in all its parts."""
        headers = event.headers or []
        self._header_count += len(headers)
        self._header_size += sum(len(name) + len(value) for name, value in headers)
        limits = self._answer_limits
        if (
            self._header_size > limits.max_header_size
            or self._header_count > limits.max_header_count + 1  # :status is no header
        ):
            self._asker.refuse(InvalidHandshake("the server's response has too large headers"))
            self.fail(ErrorCodes.ENHANCE_YOUR_CALM, "too large headers")

    def _response_received(self, event: ResponseReceived) -> None:
        stream = self.streams.get(event.stream_id or 0)
        if stream is None:
            return
        self._count(event)
        if self._over:
            return
        try:
            response = fields.read_response(event.headers or [])
        except InvalidHandshake as error:
            self._asker.refuse(error)
            return
        if 200 <= response.status_code < 300:
            stream.is_tunnel = True
            self._asker.answer(response, stream)
            return
        size = self._answer_limits.max_body_size
        stream.set_protocol(_Body(response, size, lambda: self._asker.answer(response, stream)))
        stream.resume_reading()

    def forget(self, stream: StreamTransport) -> None:
        super().forget(stream)
        if not self._over:
            self._loop.call_soon(self.close)  # after what is still to be sent

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self._asked:  # else its stream is lost as well
            self._asker.connection_lost(exc)


class _Waiting(asyncio.Protocol):
    """The stream until its answer has come."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def connection_lost(self, exc: Exception | None) -> None:
        self._asker.connection_lost(exc)


class _Body(asyncio.Protocol):
    """Reads what a refusal says, as much of it as is welcome."""

    def __init__(self, response: HTTPResponse, size: int, done: Callable[[], None]) -> None:
        self._body = response.body = bytearray()
        self._size = size
        self._done = done

    def data_received(self, data: bytes) -> None:
        self._body += data[: self._size - len(self._body)]
        if len(self._body) == self._size:
            self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()
