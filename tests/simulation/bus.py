"""A broker in the simulated world: one log for many servers, and everything that can go wrong."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from wsext import Broker, LogHead, Position, Record
from wsext.rooms.backplanes.broker import Deliver, Lost

__all__ = ["Bus", "BusBroker"]

T = TypeVar("T")

#: The least and the most seconds until the bus has got something, and until its answer is back.
_LATENCY = (0.0, 0.02)


class _Log:
    """What the bus has of one room."""

    def __init__(self, name: str) -> None:
        self.head = LogHead(name, 0)
        self.records: list[tuple[str, bytes]] = []  # ids and data; the first has number 1
        self.members: dict[str, bytes] = {}
        self.may_lack_its_end = False  # the next message begins another epoch, as in Redis


class Bus:
    """The broker itself.

    Args:
        rng: Draws latencies and what a fault destroys.

    Attributes:
        is_up: Whether it accepts connections.
        lost: How many messages it has lost.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.is_up = True
        self.lost = 0
        self.awake = asyncio.Event()
        self.awake.set()
        self.connections: dict[BusBroker, None] = {}  # in an order that a seed gives again
        self.alive: dict[str, float] = {}
        self._epochs = 0
        self._logs: defaultdict[str, _Log] = defaultdict(lambda: _Log(self._new_epoch()))

    def _new_epoch(self) -> str:
        self._epochs += 1
        return f"e{self._epochs}"

    def log(self, room: str) -> _Log:
        """A room's log; it begins when it is first asked for."""
        return self._logs[room]

    def head(self, room: str) -> LogHead:
        """Where a room's log ends."""
        return self.log(room).head

    def ids(self, room: str) -> list[str]:
        """The ids of a room's messages, in their order, as the app gave them."""
        return [id.partition("|")[2] for id, _ in self.log(room).records]

    def add(self, record: Record) -> tuple[Position, bool]:
        """Store a message, and deliver it to all who follow its room."""
        log = self.log(record.room)
        known = [id for id, _ in log.records]
        if record.id in known:
            return Position(log.head.epoch, known.index(record.id) + 1), True
        if log.may_lack_its_end:
            log.head, log.may_lack_its_end = log.head.renewed(), False
        log.records.append((record.id, record.data))
        log.head = LogHead(log.head.epoch, len(log.records), log.head.earlier)
        for connection in self.connections:
            connection.hear(record.room, log.head.position, record.data)
        return log.head.position, False

    # --- faults -------------------------------------------------------------------------------

    def cut(self, most: int) -> None:
        """Lose some of the connections."""
        for connection in self.rng.sample([*self.connections], min(most, len(self.connections))):
            connection.break_off()

    async def stop(self, seconds: float) -> None:
        """Answer nobody for a while, as a process does that is stopped."""
        self.awake.clear()
        await asyncio.sleep(seconds)
        self.awake.set()

    async def restart(self, seconds: float, keep: float) -> None:
        """Be away for a while, and come back with a part of the data.

        Args:
            seconds: How long it is away.
            keep: Which part of each log it still has: 1 for everything, 0 for nothing at all.
        """
        self.is_up = False
        self.cut(len(self.connections))
        self.alive.clear()
        for log in self._logs.values():
            log.members.clear()
            left = round(len(log.records) * keep)
            self.lost += len(log.records) - left
            del log.records[left:]
            earlier = tuple(Position(p.epoch, min(p.number, left)) for p in log.head.earlier)
            log.head = LogHead(log.head.epoch, left, earlier)
            log.may_lack_its_end = True
            if not keep:
                log.head = LogHead(self._new_epoch(), 0)
        await asyncio.sleep(seconds)
        self.is_up = True


class BusBroker(Broker):
    """A server's connection to the bus.

    Args:
        bus: The bus.
        name: Whose it is.

    Attributes:
        is_dead: Whether its server was killed: nothing of it reaches the bus any more.
    """

    numbers = True

    def __init__(self, bus: Bus, name: str) -> None:
        self.bus = bus
        self.name = name
        self.is_dead = False
        self._gone: asyncio.Future[None] | None = None
        self._followed: set[str] = set()
        self._coming: deque[tuple[str, Position | None, bytes]] = deque()
        self._due = 0.0

    def break_off(self) -> None:
        """The connection is lost, with everything that is under way on it."""
        gone, self._gone = self._gone, None
        self._followed.clear()
        self._coming = deque()
        self.bus.connections.pop(self, None)
        if gone is not None and not gone.done():
            gone.set_result(None)
            self._lost(ConnectionResetError("the bus is gone"))

    def kill(self) -> None:
        """Its server dies: nothing more is sent."""
        self.is_dead = True
        self.break_off()

    async def _ask(self, answer: Callable[[], T]) -> T:
        """Have the bus do something; the connection may be lost before that, or before its
        answer is here."""
        await self._travel()
        result = answer()
        await self._travel()
        return result

    async def _travel(self) -> None:
        gone = self._gone
        if gone is None:
            raise ConnectionResetError("the bus is gone")
        await asyncio.wait({gone}, timeout=self.bus.rng.uniform(*_LATENCY))
        waking = asyncio.ensure_future(self.bus.awake.wait())
        try:
            await asyncio.wait({gone, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        if gone.done():
            raise ConnectionResetError("the bus is gone")

    def hear(self, room: str, position: Position | None, data: bytes) -> None:
        """Deliver something that was said, later, unless the connection is lost before that."""
        if room not in self._followed:
            return
        self._coming.append((room, position, data))
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time() + self.bus.rng.uniform(*_LATENCY))
        loop.call_at(self._due, self._arrive, self._coming)

    def _arrive(self, coming: deque[tuple[str, Position | None, bytes]]) -> None:
        room, position, data = coming.popleft()
        if coming is self._coming and room in self._followed:
            self._deliver(room, position, data)

    # --- what a `RemoteBackplane` calls ---------------------------------------------------------

    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        self._deliver, self._lost = deliver, lost
        await asyncio.sleep(self.bus.rng.uniform(*_LATENCY))
        if self.is_dead or not self.bus.is_up:
            raise ConnectionRefusedError("the bus is away")
        self._gone = asyncio.get_running_loop().create_future()
        self.bus.connections[self] = None

    async def disconnect(self) -> None:
        self.bus.connections.pop(self, None)
        self._gone = None
        self._followed.clear()
        self._coming = deque()

    async def append(self, records: Sequence[Record]) -> None:
        await self.add(records)

    async def add(self, records: Sequence[Record]) -> list[tuple[Position, bool] | None]:
        return await self._ask(lambda: [self.bus.add(record) for record in records])

    async def head(self, room: str) -> LogHead:
        return await self._ask(lambda: self.bus.head(room))

    async def read(
        self, room: str, after: int, until: int, most_bytes: int
    ) -> list[tuple[int, bytes]]:
        def answer() -> list[tuple[int, bytes]]:
            records = self.bus.log(room).records[after:until]
            return [(after + at, data) for at, (_, data) in enumerate(records, 1)]

        return await self._ask(answer)

    async def note(self, room: str, data: bytes) -> None:
        def answer() -> None:
            for connection in self.bus.connections:
                connection.hear(room, None, data)

        await self._ask(answer)

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        def answer() -> list[tuple[Any, bytes]]:
            log = self.bus.log(room)
            first = max(0, len(log.records) - count)
            epoch = log.head.epoch
            records = enumerate(log.records[first:], first + 1)
            return [(Position(epoch, number), data) for number, (_, data) in records]

        return await self._ask(answer)

    async def follow(self, room: str, after: Any) -> None:
        await self._travel()
        self._followed.discard(room)
        await self._travel()
        log = self.bus.log(room)
        for number, (_, data) in enumerate(log.records, 1):
            if number > after.number:
                self._deliver(room, Position(log.head.epoch, number), data)
        self._followed.add(room)

    async def unfollow(self, room: str) -> None:
        self._followed.discard(room)
        await self._travel()

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        def answer() -> None:
            for room, member, info in changes:
                members = self.bus.log(room).members
                if info is None:
                    members.pop(member, None)
                else:
                    members[member] = info

        await self._ask(answer)

    async def members(self, room: str) -> dict[str, bytes]:
        def answer() -> dict[str, bytes]:
            now = asyncio.get_running_loop().time()
            members = self.bus.log(room).members.items()
            alive = self.bus.alive
            return {m: info for m, info in members if alive.get(m.partition(".")[0], 0) > now}

        return await self._ask(answer)

    async def rooms(self, most: int) -> list[str] | None:
        return None

    async def beat(self, origin: str, seconds: float) -> None:
        def answer() -> None:
            self.bus.alive[origin] = asyncio.get_running_loop().time() + seconds

        await self._ask(answer)
