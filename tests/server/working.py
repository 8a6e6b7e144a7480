"""Several workers in this process, and a supervisor's part for them: it passes on what one hands to
another."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import wsext
from tests.raw import RawPeer
from wsext import App, Session
from wsext.runtime.net import receive_descriptors
from wsext.server.board import Board
from wsext.server.worker import run_worker

__all__ = ["Team", "team"]

#: Of the supervisor.
NODE = 0xABC


class Team:
    """Workers by their numbers, from 1."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._channels: list[socket.socket] = []
        self.boards: list[Board] = []
        #: Who handed over to whom; 0 is whoever serves.
        self.passed: list[tuple[int, int]] = []
        #: Who is not there, although it was.
        self.gone: set[int] = set()
        #: The connections through `open_door`, for `cut`: they do not end as long as they are here.
        self.accepted: list[socket.socket] = []
        self._dealt = 0

    async def add(self, app: App, context: ssl.SSLContext | None, stack: AsyncExitStack) -> None:
        """Start one more."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number = len(self._channels) + 1
        self.boards.append(Board.send(ours, number, NODE))
        work = asyncio.create_task(run_worker(app, theirs.detach(), context))
        loop = asyncio.get_running_loop()
        await loop.sock_recv(ours, 4096)  # it serves
        self._channels.append(ours)
        loop.add_reader(ours, self._pass_on, number)

        async def end() -> None:
            loop.remove_reader(ours)
            ours.close()
            async with asyncio.timeout(5):
                await work

        stack.push_async_callback(end)

    def _pass_on(self, giver: int) -> None:
        word, descriptors = receive_descriptors(self._channels[giver - 1], 8)
        taker = int.from_bytes(word, "big")
        if descriptors:
            self.passed.append((giver, taker))
            if not 0 < taker <= len(self._channels) or taker in self.gone:
                taker = giver if taker else giver % len(self._channels) + 1
            self.tell(taker, b"h", descriptors)

    def tell(self, number: int, word: bytes, descriptors: Sequence[int] = ()) -> None:
        """Tell a worker something; descriptors are closed here."""
        socket.send_fds(self._channels[number - 1], [word], descriptors)
        for descriptor in descriptors:
            socket.close(descriptor)

    async def _dial(self, number: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, self._listener.getsockname())
        self.tell(number, b"c", [self._listener.accept()[0].detach()])
        return sock

    def open_door(self) -> str:
        """Deal connections out to one worker after the other; where they are accepted."""

        def accept() -> None:
            sock = self._listener.accept()[0]
            self.accepted.append(sock)
            self._dealt += 1
            number = self._dealt % len(self._channels) or len(self._channels)
            self.tell(number, b"c", [sock.dup().detach()])

        asyncio.get_running_loop().add_reader(self._listener, accept)
        return f"localhost:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Cut the last connection that came through the door."""
        self.accepted[-1].shutdown(socket.SHUT_RDWR)
        self.let_go()

    def let_go(self) -> None:
        """Cut none of the connections so far."""
        while self.accepted:
            self.accepted.pop().close()

    def close(self) -> None:
        """Let nobody in any more."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self.let_go()

    async def peer(self, number: int) -> RawPeer:
        """A connection with a worker."""
        return RawPeer(*await asyncio.open_connection(sock=await self._dial(number)))

    async def connect(self, number: int, url: str = "ws://localhost/", **how: Any) -> Session:
        """A session with whom a worker takes for the right one."""
        return await wsext.connect(url, sock=await self._dial(number), **how)


@asynccontextmanager
async def team(*apps: App, context: ssl.SSLContext | None = None) -> AsyncIterator[Team]:
    """One worker for each of the apps."""
    async with AsyncExitStack() as stack:
        made = Team(socket.create_server(("127.0.0.1", 0)))
        stack.callback(made.close)
        for app in apps:
            await made.add(app, context, stack)
        yield made
