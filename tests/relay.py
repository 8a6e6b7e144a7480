"""A relay between a client and a server, which cuts and answers as a test says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar

__all__ = ["Between", "Relay", "listening", "relaying"]


class Between:
    """Stands between clients and a server of this machine.

    Attributes:
        port: Where it listens.
        target: The port of the server.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self._running: set[asyncio.Task[None]] = set()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client has connected."""
        task = asyncio.ensure_future(self.serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Deal with one connection."""
        raise NotImplementedError

    def cut(self) -> None:
        """Drop every connection, as a network does that is gone."""
        raise NotImplementedError

    async def close(self) -> None:
        """Drop everything, and wait until it is gone."""
        self.cut()
        if self._running:
            await asyncio.wait(self._running)


B = TypeVar("B", bound=Between)


class Relay(Between):
    """Passes bytes on.

    Attributes:
        plan: What is done with the connections that come, one after the other. A number lets so
            many bytes of the server through and then drops the connection; bytes are an answer
            instead of the server's. All others are passed on.
        asked: What each client has said first: its request, if that is not encrypted.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.plan: deque[int | bytes | None] = deque()
        self.asked: list[str] = []
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where a client connects to."""
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def is_idle(self) -> bool:
        """Whether there is no connection."""
        return all(task.done() for task in self._running)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        planned = self.plan.popleft() if self.plan else None
        self._writers.add(writer)
        with suppress(OSError):
            head = await reader.read(1 << 16)
            self.asked.append(head.decode("latin-1"))
            if isinstance(planned, bytes):
                writer.write(planned)
                writer.close()
                return
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(forth)
            forth.write(head)
            await asyncio.gather(_pass(reader, forth, None), _pass(back, writer, planned))
        writer.transport.abort()


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None
) -> None:
    left = 1 << 62 if most is None else most
    while left and (data := await reader.read(min(left, 1 << 16))):
        left -= len(data)
        writer.write(data)
        await writer.drain()
    if left:
        writer.close()
    else:
        raise ConnectionResetError


@asynccontextmanager
async def listening(between: B) -> AsyncIterator[B]:
    """Something before a server's port, until the block ends."""
    async with await asyncio.start_server(between.take, "127.0.0.1", 0) as server:
        between.port = server.sockets[0].getsockname()[1]
        yield between
        server.close()
        await between.close()


def relaying(target: int) -> AbstractAsyncContextManager[Relay]:
    """A relay to a server's port, until the block ends."""
    return listening(Relay(target))
