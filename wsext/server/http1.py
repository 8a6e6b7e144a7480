"""One accepted connection: reads the request as HTTP/1.1, or finds out that HTTP/2 is spoken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol, cast

from wsext.errors import HandshakeRejected
from wsext.escape import get_logger
from wsext.http2 import PREFACE
from wsext.protocol.handshake import accept_response
from wsext.protocol.heads import RequestReader
from wsext.protocol.http import Request, Response, rejection
from wsext.server.answering import Handshake
from wsext.server.decision import Acceptance
from wsext.server.exchange import Exchange, Host
from wsext.server.handing import Note
from wsext.server.transports import Transports

__all__ = ["HTTP2Host", "HandshakeProtocol", "Successor"]

logger = get_logger("wsext.server")


class Successor(Protocol):
    """Who goes on with a connection on which HTTP/2 is spoken."""

    def start(self, transport: asyncio.Transport, data: bytes) -> None:
        """Take over the transport, with what has been read from it."""

    def drain(self) -> None:
        """The server shuts down: take no more requests."""


class HTTP2Host(Host, Protocol):
    """A server that knows who speaks HTTP/2, if it is spoken here (``http2``)."""

    http2: bool

    def make_http2(self, owner: Exchange) -> Successor:
        """Who goes on with a connection on which HTTP/2 is spoken."""


class HandshakeProtocol(Handshake, asyncio.BufferedProtocol):
    """The handshake of HTTP/1.1, on a connection of its own; hands HTTP/2 over to its successor."""

    __slots__ = (
        "_buffer",
        "_http2",
        "_is_dropped",
        "_max_early",
        "_preface",
        "_reader",
        "_setting_up",
    )

    def __init__(self, host: HTTP2Host, note: Note | None = None) -> None:
        super().__init__(host, note)
        options = host.app.server_options
        self._max_early = options.max_header_size
        self._buffer = host.buffer or memoryview(bytearray(options.max_header_size))
        self._reader: RequestReader | None = RequestReader(
            max_size=options.max_header_size, max_count=options.max_header_count
        )
        #: What may still become the preface of HTTP/2; ``None`` once it cannot.
        self._preface: bytes | None = b"" if host.http2 else None
        self._http2: Successor | None = None
        self._setting_up: asyncio.Task[object] | None = None
        self._is_dropped = False

    def set_up(self, sock: socket.socket, transports: Transports) -> None:
        """Serve a socket that was accepted."""
        work = transports.connect(self, sock)
        if transports.is_plain:
            self._step(work, sock)
            return
        self._setting_up = task = self._host.loop.create_task(work)

        def done(task: asyncio.Task[object]) -> None:
            self._setting_up = None
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                self._not_set_up(sock, error)

        task.add_done_callback(done)

    def _step(self, work: Coroutine[Any, Any, object], sock: socket.socket, *_: object) -> None:
        """Go on with what waits for the event loop once: to make a task for it would take as long
        as the work."""
        try:
            waiter = work.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._not_set_up(sock, error)
        else:
            waiter.add_done_callback(partial(self._step, work, sock))

    def _not_set_up(self, sock: socket.socket, error: BaseException) -> None:
        logger.debug("connection could not be set up: %r", error)
        sock.close()
        self.connection_lost(None)

    def abort(self) -> None:
        self._is_dropped = True
        if self._setting_up is not None:
            self._setting_up.cancel()
        super().abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._is_dropped:  # before it had a transport
            self.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if self._preface is not None and tls is not None and tls.selected_alpn_protocol() == "h2":
            self._hand_over(b"")
        if self.note is not None:
            self.data_received(self.note.data)

    def _hand_over(self, data: bytes) -> None:
        assert self.transport is not None
        self._http2 = cast("HTTP2Host", self._host).make_http2(self)
        self._http2.start(self.transport, data)

    def drain(self) -> None:
        if self._http2 is not None:
            self._http2.drain()

    @property
    def is_undecided(self) -> bool:
        if self._http2 is None:
            return super().is_undecided
        return self._timeout is not None  # from the first request on, its streams count

    def get_buffer(self, sizehint: int) -> memoryview:
        """As of an asyncio.BufferedProtocol."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """As of an asyncio.BufferedProtocol."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._answered:
            return
        if self._preface is not None:  # with prior knowledge (RFC 9113 §3.3)
            data = self._preface + data
            if data.startswith(PREFACE):
                self._hand_over(data)
                return
            self._preface = data if PREFACE.startswith(data) else None
            if self._preface is not None:
                return
        if self._reader is not None:
            self._read(self._reader, data)
            return
        if self._body is not None:
            self._feed(data)
            return
        self._rest += data
        if len(self._rest) > self._max_early:
            self._pause()

    def _read(self, reader: RequestReader, data: bytes) -> None:
        try:
            request = reader.feed(data)
        except HandshakeRejected as error:
            self._reader = None
            self.respond(None, rejection(error))
            return
        if request is not None:
            self._reader = None
            self._rest += reader.take_rest()
            self.begin(request)

    def _pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _write_continue(self) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _write_acceptance(self, request: Request, acceptance: Acceptance) -> None:
        assert self.transport is not None
        response = accept_response(
            request,
            subprotocol=acceptance.subprotocol,
            extensions=acceptance.negotiation.header,
        )
        self.transport.write(response)

    def _write_response(self, response: Response, head_only: bool) -> None:
        assert self.transport is not None
        self.transport.write(response.serialize(head_only=head_only))
