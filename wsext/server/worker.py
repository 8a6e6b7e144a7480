"""One of a supervisor's workers: serves the connections that it is handed.

See `wsext.server.supervisor` for what the two say to each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl as ssl_module
from collections.abc import Coroutine
from typing import Any

import msgspec

from wsext.app.application import Application
from wsext.escape import get_logger
from wsext.protocol.http import Request
from wsext.runtime.net import receive_descriptors
from wsext.runtime.rates import Rarely
from wsext.runtime.session import Session
from wsext.server.accepting import raise_descriptor_limit
from wsext.server.board import BEAT, Board
from wsext.server.exchange import Exchange
from wsext.server.handing import Note
from wsext.server.nodes import name_of, number_of
from wsext.server.process import Ready
from wsext.server.relaying import hand_over
from wsext.server.server import Server

__all__ = ["Ready", "run_worker"]

#: Words with which a connection comes.
_CONNECTIONS = (b"c", b"m", b"h")

_complain = Rarely(get_logger("wsext.workers").warning)


class _CountedServer(Server):
    """A server that writes down on a board whom it serves."""

    def __init__(
        self,
        app: Application,
        ssl: ssl_module.SSLContext | None,
        board: Board,
        channel: socket.socket,
    ) -> None:
        super().__init__(app, ssl)
        self.worker = name_of(board.number, board.node)
        self._board = board
        self._channel = channel
        self._session_count = 0

    async def hand_over(self, connection: Exchange, request: Request, worker: str) -> bool:
        number = number_of(worker, self._board.node) if worker else 0
        if number is None:
            return False
        word = number.to_bytes(8, "big")

        def send(sock: Any, note: Note) -> bool:
            with contextlib.suppress(OSError), note.write() as file:
                socket.send_fds(self._channel, [word], [sock.fileno(), file.fileno()])
                return True
            return False

        return await hand_over(connection, request, send)

    def _write(self) -> None:
        self._board.write(self.connection_count, self._session_count)

    def admit(self, connection: Exchange) -> str | None:
        limit = super().admit(connection)
        self._write()
        return limit

    def start_session(self, connection: Exchange, session: Session) -> None:
        super().start_session(connection, session)
        self._session_count += 1
        self._write()

    def end_session(self, connection: Exchange, session: Session) -> None:
        self._session_count -= 1
        super().end_session(connection, session)  # releases the connection, too

    def release(self, connection: Exchange) -> None:
        super().release(connection)
        self._write()


class _Channel:
    """Where a worker's connections come from, and what it is told.

    Args:
        server: Who gets the connections.
        sock: This end of the socket pair.
        board: Where signs of life are given.
    """

    def __init__(self, server: Server, sock: socket.socket, board: Board) -> None:
        self._server = server
        self._sock = sock
        self._board = board
        self._sock.setblocking(False)
        self._sock.set_inheritable(False)  # or a child of the app would seem to be the worker
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Task[None] | None = None
        self._loop.add_reader(self._sock, self._listen)
        self._loop.add_signal_handler(signal.SIGTERM, self.retire)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all processes
            self._loop.add_signal_handler(number, lambda: None)

    async def say(self, ready: Ready) -> None:
        """Tell the supervisor that connections may come, and from now on that all is well."""
        await self._loop.sock_sendall(self._sock, msgspec.json.encode(ready) + b"\n")
        self._beat()

    def _beat(self) -> None:
        self._board.beat()
        self._loop.call_later(BEAT, self._beat)

    def _listen(self) -> None:
        try:
            word, numbers = receive_descriptors(self._sock)
        except BlockingIOError:
            return  # this one was late: the supervisor has taken the connection back
        if word in _CONNECTIONS:
            self._take(word, numbers)
        elif word == b"r":
            self._end(self._server.retire())
        elif word == b"a":
            self._server.abort()
        else:
            self._end(self._server.close())
        if not word:  # the supervisor is gone
            self._loop.remove_reader(self._sock)

    def _take(self, word: bytes, numbers: list[int]) -> None:
        if len(numbers) != (2 if word == b"h" else 1):  # the system has closed it
            for number in numbers:
                os.close(number)
            _complain("a connection is lost, for there are no file descriptors left")
        elif word == b"m":
            assert self._server.admin is not None
            self._server.admin.take(socket.socket(fileno=numbers[0]))
        elif word == b"c":
            self._server.take(socket.socket(fileno=numbers[0]))
        else:
            self._server.take(socket.socket(fileno=numbers[0]), Note.take(numbers[1]))

    def retire(self) -> None:
        """End, while the supervisor turns to other workers."""
        self.close()
        self._end(self._server.retire())

    def _end(self, work: Coroutine[Any, Any, None]) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(work)
        else:
            work.close()

    def close(self) -> None:
        """Take what has been handed over, and no more: the supervisor turns to other workers."""
        self._loop.remove_reader(self._sock)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)
            while (received := receive_descriptors(self._sock))[0]:
                if received[0] in _CONNECTIONS:
                    self._take(*received)

    def hang_up(self) -> None:
        """The server has ended."""
        self._loop.remove_reader(self._sock)
        self._sock.close()


async def run_worker(app: Application, channel: int, ssl: ssl_module.SSLContext | None) -> None:
    """Serve what a supervisor hands over until it says that it is enough.

    Args:
        app: The application.
        channel: The descriptor of this end of the socket pair.
        ssl: A TLS context.

    Raises:
        LifespanError: If a lifespan or a task of the app has failed.
    """
    raise_descriptor_limit()
    sock = socket.socket(fileno=channel)
    board = Board.receive(sock)
    board.keep_last_words()
    server = _CountedServer(app, ssl, board, sock)
    connections = _Channel(server, sock, board)
    server.add_listener(connections)
    server.on_failure = connections.retire
    await server.start()
    if app.admin is not app:
        await server.start_admin()
    names = [item.name for item in app.installed.items]
    await connections.say(Ready(names, app.server_options.drain_timeout))
    try:
        await server.wait_closed()
    finally:
        connections.hang_up()
