"""How tests run on trio, and a peer that sends and reads bytes there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import Any, ParamSpec

import trio
import trio.testing

from tests.raw import REQUEST, FramePeer
from wsext import Frame
from wsext.protocol.wire import FrameParser
from wsext.testing.on_trio import serving

__all__ = ["RawPeer", "on_trio", "raw_peer", "run", "shaken"]

P = ParamSpec("P")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario; its clock jumps where nothing else happens, so that no wait takes time."""
    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


def on_trio(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """A test that `run` runs."""

    @wraps(test)
    def run_test(*args: P.args, **kwargs: P.kwargs) -> None:
        run(partial(test, *args, **kwargs))

    return run_test


class RawPeer(FramePeer):
    """One end of a connection that a server has the other end of."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.rest = b""  # what came with the head
        self._parser = FrameParser(masked=False, max_size=1 << 26, rsv_first=0x70, rsv_rest=0x70)
        self._frames: list[Frame] = []

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def read_head(self) -> str:
        """The head of the server's HTTP response."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = bytes(await self.stream.receive_some(1 << 16))
            if not data:
                break
            head += data
        head, _, self.rest = head.partition(b"\r\n\r\n")
        if b" 101 " in head[:13]:
            self._parser.feed(self.rest, self._frames)
        return head.decode()

    async def shake(self, path: str = "/", more: str = "") -> str:
        """Do the opening handshake; the response's head."""
        await self.send(REQUEST.format(path=path, more=more).encode())
        return await self.read_head()

    async def frame(self) -> Frame | None:
        while not self._frames:
            try:
                data = await self.stream.receive_some(1 << 16)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return None
            self._parser.feed(bytes(data), self._frames)
        return self._frames.pop(0)


@asynccontextmanager
async def raw_peer(
    app: Any, *, make: Any = trio.testing.memory_stream_pair, **how: Any
) -> AsyncIterator[RawPeer]:
    """A peer of a server in memory, before the opening handshake."""
    async with serving(app, **how) as (_, listener):
        peer = RawPeer(listener.open(make))
        try:
            yield peer
        finally:
            await trio.aclose_forcefully(peer.stream)


@asynccontextmanager
async def shaken(app: Any, **how: Any) -> AsyncIterator[RawPeer]:
    """`raw_peer`, after the opening handshake."""
    async with raw_peer(app, **how) as peer:
        assert (await peer.shake()).startswith("HTTP/1.1 101")
        yield peer
