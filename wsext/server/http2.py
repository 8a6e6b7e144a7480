"""HTTP/2 at the server: every request of a connection becomes a handshake on its stream."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from h2.errors import ErrorCodes
from h2.events import Event, RequestReceived
from h2.settings import SettingCodes

from wsext.errors import HandshakeRejected
from wsext.http2 import fields
from wsext.http2.connection import HTTP2Connection
from wsext.http2.frames import Limits
from wsext.http2.stream import StreamTransport
from wsext.protocol.handshake import accept_headers
from wsext.protocol.http import Request, Response, ResponseReader, rejection
from wsext.server.answering import Handshake
from wsext.server.decision import Acceptance
from wsext.server.exchange import Exchange, Host

__all__ = ["ServerConnection", "StreamHandshake"]


class ServerConnection(HTTP2Connection):
    """A client's connection.

    Args:
        host: The server.
        owner: What the server knows of the connection; told when it has ended.
    """

    handlers: ClassVar[dict[type[Event], str]] = {
        **HTTP2Connection.handlers,
        RequestReceived: "_request_received",
    }

    def __init__(self, host: Host, owner: Exchange) -> None:
        options = host.app.server_options
        limits = Limits(
            streams=options.http2_streams,
            window=options.http2_window,
            header_size=options.max_header_size,
            frame_rate=options.http2_frame_rate,
            control_rate=options.http2_control_rate,
            reset_rate=options.http2_reset_rate,
        )
        super().__init__(limits, host.timers, client_side=False)
        self._host = host
        self._owner = owner
        self._leaving = False
        self._idle: Any = None

    def _settings(self) -> dict[SettingCodes, int]:
        return {**super()._settings(), SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}

    def _request_received(self, event: RequestReceived) -> None:
        number = event.stream_id or 0
        if self._leaving or len(self.streams) >= self._limits.streams:
            self.reset(number, ErrorCodes.REFUSED_STREAM)  # not begun: safe to try elsewhere
            self._guard.count_reset()
            return
        self._stop_idle()
        self._owner.stop_timeout()  # from here, each stream has its own
        self._host.heard(self._owner)
        handshake = StreamHandshake(self._host, self)
        stream = self.open_stream(number, handshake)
        handshake.connection_made(stream)
        options = self._host.app.server_options
        try:
            request = fields.read_request(event.headers or [])
            fields.check_request(request, options.max_header_size, options.max_header_count)
        except HandshakeRejected as error:
            handshake.respond(None, rejection(error))
        else:
            stream.is_tunnel = request.method == "CONNECT"
            handshake.begin(request)

    # --- the end ------------------------------------------------------------------------------

    def forget(self, stream: StreamTransport) -> None:
        super().forget(stream)
        if self.streams or self._over:
            return
        if self._leaving:
            self._idle = self._loop.call_soon(self.close)  # after what is still to be sent
        elif self._idle is None:
            timeout = self._host.app.server_options.http2_idle_timeout
            self._idle = self._timers.call_later(timeout, self.drain)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def drain(self) -> None:
        """Take no more streams, and end with the last of those there are."""
        if self._leaving:
            return
        self._leaving = True
        self._stop_idle()
        if self.streams:
            self.send_goaway()
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_idle()
        self._owner.connection_lost(exc)


class StreamHandshake(Handshake, asyncio.Protocol):
    """The handshake of one stream (RFC 8441 §5).

    Args:
        host: The server.
        connection: What carries the stream.
    """

    __slots__ = ("_connection", "_foreign")

    accepted: ClassVar[int] = 200

    def __init__(self, host: Host, connection: HTTP2Connection) -> None:
        super().__init__(host)
        self._connection = connection
        self._foreign: ResponseReader | None = None  # reads another worker's answer

    def read_so_far(self, request: Request) -> bytes:
        self._foreign = ResponseReader()
        return super().read_so_far(fields.as_upgrade(request))

    def write_foreign(self, data: bytes) -> None:
        if self._foreign is None:
            super().write_foreign(data)
            return
        answer = self._foreign.feed(data)
        if answer is not None:
            status = 200 if answer.status_code == 101 else answer.status_code
            answered = fields.response_fields(status, answer.headers.raw_items())
            self._connection.send_headers(self._stream, answered)
            self._stream.write(bytes(answer.body) + self._foreign.take_rest())
            self._foreign = None

    def data_received(self, data: bytes) -> None:
        self._feed(data)

    def eof_received(self) -> bool:
        self._feed(b"", end=True)
        return True  # it still gets its answer

    def _write_continue(self) -> None:
        self._connection.send_headers(self._stream, fields.response_fields(100, ()))

    def _write_acceptance(self, request: Request, acceptance: Acceptance) -> None:
        agreed = accept_headers(
            request,
            subprotocol=acceptance.subprotocol,
            extensions=acceptance.negotiation.header,
        )
        self._connection.send_headers(self._stream, fields.response_fields(200, agreed.items()))

    def _write_response(self, response: Response, head_only: bool) -> None:
        headers = response.all_headers().raw_items()
        self._connection.send_headers(
            self._stream, fields.response_fields(response.status, headers)
        )
        if not head_only:
            self._stream.write(response.content)

    @property
    def _stream(self) -> StreamTransport:
        assert isinstance(self.transport, StreamTransport)
        return self.transport
