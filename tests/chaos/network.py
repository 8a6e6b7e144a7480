"""A network that breaks: a relay that does something bad to each connection, from a seed."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass

from tests.relay import Between

__all__ = ["Network"]

#: How a connection ends: with a reset, with an end of both directions, with the end of one, or
#: with nothing more in one direction, and no end at all.
ENDINGS = ("reset", "drop", "half-close", "stall")

#: How often each of them is chosen. A stall costs until a ping has no answer.
WEIGHTS = (8, 6, 4, 1)


@dataclass(frozen=True)
class _Fate:
    """What happens to one connection."""

    ending: str
    direction: int  # 0: what the client sends, 1: what the server sends
    after: int  # bytes of this direction
    delay: float  # seconds, before each piece
    piece: int  # bytes


class Network(Between):
    """Passes bytes on, and ends each connection after a random number of them.

    Args:
        target: The port of the server.
        seed: Connection number n of a seed has always the same fate.
        cuts: How many connections are ended; those that come later are left alone.
        reach: The most bytes of one direction before the end.

    Attributes:
        done: How many connections it has ended, by how.
    """

    def __init__(self, target: int, seed: int, cuts: int, reach: int) -> None:
        super().__init__(target)
        self.done: Counter[str] = Counter()
        self._seed = seed
        self._left = cuts
        self._reach = reach
        self._is_bad = False
        self._drawn = 0
        self._links: dict[_Link, None] = {}  # the oldest first

    @property
    def is_quiet(self) -> bool:
        """Whether all that was to happen has happened."""
        return self._is_bad and not self._left and not any(link.fate for link in self._links)

    def begin(self) -> None:
        """Be a good network no longer, for the connections that are there, too."""
        self._is_bad = True
        for link in self._links:
            link.meet(self._draw())

    def cut_one(self) -> None:
        """Drop the connection that is there for longest."""
        if self._links:
            next(iter(self._links)).abort()

    def _draw(self) -> _Fate | None:
        if not (self._is_bad and self._left):
            return None
        self._left -= 1
        self._drawn += 1
        chance = random.Random(f"{self._seed}:{self._drawn}")
        (ending,) = chance.choices(ENDINGS, WEIGHTS)
        delay, piece = chance.choice([(0.0, 1 << 16)] * 8 + [(0.05, 1 << 16), (0.002, 100)])
        return _Fate(ending, chance.randrange(2), chance.randrange(self._reach), delay, piece)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the server is being renewed
            writer.transport.abort()
            return
        link = _Link((writer, forth))
        link.meet(self._draw())
        self._links[link] = None
        try:
            await asyncio.gather(
                link.passing(0, reader, forth, self.done), link.passing(1, back, writer, self.done)
            )
        except OSError:
            pass
        finally:
            if link.fate:  # a peer has ended it before: for example, it waited for too long
                self.done["by a peer"] += 1
            self._links.pop(link)
            link.abort()

    def cut(self) -> None:
        for link in self._links:
            link.abort()


class _Link:
    """The two connections that make one."""

    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.fate: _Fate | None = None
        self._writers = writers
        self._left = 0

    def meet(self, fate: _Fate | None) -> None:
        self.fate = fate
        self._left = fate.after if fate else 0

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def passing(
        self,
        direction: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        done: Counter[str],
    ) -> None:
        while data := await reader.read(1 << 16):
            fate = self.fate
            is_last = False
            if fate is not None and fate.direction == direction:
                is_last = len(data) >= self._left
                data = data[: self._left]
                self._left -= len(data)
            await _write(writer, data, fate)
            if is_last and fate is not None:
                done[fate.ending] += 1
                self.fate = None
                if fate.ending == "half-close":
                    break
                if fate.ending == "stall":
                    while await reader.read(1 << 16):
                        pass  # nobody hears of it
                    raise ConnectionResetError
                if fate.ending == "reset":
                    self._reset()
                raise ConnectionResetError
        if writer.can_write_eof():
            writer.write_eof()

    def _reset(self) -> None:
        """Let both peers get a reset in place of an end."""
        for writer in self._writers:
            peer: socket.socket = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _write(writer: asyncio.StreamWriter, data: bytes, fate: _Fate | None) -> None:
    """Pass something on, as fast as the network is."""
    if writer.is_closing():
        raise ConnectionResetError
    if fate is None or not fate.delay:
        writer.write(data)
    else:
        for start in range(0, len(data), fate.piece):
            await asyncio.sleep(fate.delay)
            if writer.is_closing():
                raise ConnectionResetError
            writer.write(data[start : start + fate.piece])
    await writer.drain()
