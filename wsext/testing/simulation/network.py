"""What happens on the simulated network, and when? A seed decides, and everything is noted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from wsext.testing.memory import MemoryTransport, Tap, Wire
from wsext.testing.simulation.conditions import Conditions, Weather

__all__ = ["Network", "NetworkEvent", "SimulatedWire"]

#: Events that are kept for a report.
_KEPT = 10_000


class NetworkEvent(NamedTuple):
    """One thing that happened on the network.

    Attributes:
        time: Seconds since the world began.
        connection: The connection's number.
        side: ``"client"``, ``"server"`` or ``"both"``.
        what: A short text.
        size: Bytes, where it is about some.
    """

    time: float
    connection: int
    side: str
    what: str
    size: int

    def __str__(self) -> str:
        size = f" {self.size}" if self.size else ""
        return f"{self.time:12.6f}  connection {self.connection}  {self.side:6}  {self.what}{size}"


class SimulatedWire(Wire):
    """A connection under some conditions.

    Attributes:
        number: 1 for the first connection of the world, and so on.
        conditions: What the network does to it.
    """

    def __init__(
        self, network: Network, number: int, conditions: Conditions, rng: Random, tap: Tap | None
    ) -> None:
        super().__init__(tap)
        self.number = number
        self.conditions = conditions
        self.capacity = conditions.capacity
        self.buffered = conditions.buffered
        self.is_reset = False
        self._network = network
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._read = {"client": 0, "server": 0}
        self._stalled_until = {"client": 0.0, "server": 0.0}
        # (whose reading, after how many bytes, what happens): a read has to end there.
        self._faults: list[tuple[str, int, Callable[[], None]]] = []
        if conditions.stall is not None:
            side, after, seconds = conditions.stall
            self._faults.append((side, after, partial(self.stop_reading, side, seconds)))
        if conditions.half_close_after is not None:
            side, after = conditions.half_close_after
            self._faults.append((side, after, partial(self.cut_off, side)))

    # --- what the transports ask --------------------------------------------------------------

    def latency(self) -> float:
        low, high = self.conditions.latency
        return self._rng.uniform(low, high) if high else 0.0

    def stall(self, side: str) -> float:
        return self._stalled_until[side] - self._loop.time()

    def piece(self, side: str, waiting: int) -> int:
        size = waiting
        done = self._read[side]
        pieces = self.conditions.pieces
        if pieces is not None and done < self.conditions.cut:
            size = min(size, self._rng.randint(*pieces))
        for who, after, _ in self._faults:
            if who == side and done < after:
                size = min(size, after - done)
        reset_after = self.conditions.reset_after
        if reset_after is not None:
            left = reset_after - sum(self._read.values())
            size = min(size, left) if left > 0 else size
        return size

    def has_read(self, side: str, size: int) -> None:
        self._read[side] += size
        done = self._read[side]
        for who, after, happen in self._faults:
            if who == side and done - size < after <= done:
                happen()
        reset_after = self.conditions.reset_after
        if reset_after is not None and sum(self._read.values()) >= reset_after:
            self.reset()

    def note(self, side: str, what: str, size: int = 0) -> None:
        self._network.note(self.number, side, what, size)

    def extra_info(self, side: str, name: str) -> Any:
        # Every connection is another client's, so that no limit per address is in the way.
        high, low = divmod(self.number, 250)
        client = (f"10.0.{high % 250}.{low + 1}", 40000 + self.number % 20000)
        found = {"client": client, "server": ("10.255.0.1", 80)}
        if name == "peername":
            return found["client" if side == "server" else "server"]
        return found[side] if name == "sockname" else None

    # --- faults -------------------------------------------------------------------------------

    def end(self, side: str) -> MemoryTransport:
        """The transport of a side."""
        return self.client if side == "client" else self.server

    def reset(self) -> None:
        if not self.is_reset:
            self.is_reset = True
            super().reset()

    def stop_reading(self, side: str, seconds: float) -> None:
        """Let a side read nothing for some time."""
        self.note(side, f"stalls for {seconds:.3f} s")
        self._stalled_until[side] = self._loop.time() + seconds

    def cut_off(self, side: str) -> None:
        """Let a side find the end of the connection; what else was written to it is lost."""
        self.note(side, "is cut off")
        self.end(side).cut_off()


class Network:
    """All connections of a world.

    Args:
        seed: Decides everything that is left to chance here.
        weather: Draws the conditions of each connection.

    Attributes:
        connections: Every connection so far, in the order of connecting.
        events: The last things that happened.
        digest: A number that stands for everything that happened; the same for the same course.
    """

    def __init__(self, seed: int, weather: Weather) -> None:
        self.connections: list[SimulatedWire] = []
        self.events: deque[NetworkEvent] = deque(maxlen=_KEPT)
        self.digest = 0
        self._seed = seed
        self._weather = weather
        self._count = 0
        self._loop = asyncio.get_running_loop()

    async def connect(
        self, conditions: Conditions | None = None, tap: Tap | None = None
    ) -> SimulatedWire:
        """A new connection.

        Args:
            conditions: Instead of those that the weather gives.
            tap: Told of what is written.

        Raises:
            ConnectionRefusedError: If the conditions say so.
        """
        # Chance of its own for each connection: what happens on one does not change the others.
        self._count += 1
        number = self._count
        rng = Random(f"{self._seed}/{number}")
        conditions = conditions or self._weather(rng)
        wire = SimulatedWire(self, number, conditions, rng, tap)
        wire.note("client", "connects")
        await asyncio.sleep(wire.latency())
        if conditions.refuse:
            self.note(number, "client", "is refused", 0)
            raise ConnectionRefusedError("the simulated network refused the connection")
        self.connections.append(wire)
        return wire

    def note(self, connection: int, side: str, what: str, size: int) -> None:
        """Remember what happens."""
        event = NetworkEvent(self._loop.time(), connection, side, what, size)
        self.digest = crc32(repr(tuple(event)).encode(), self.digest)
        self.events.append(event)
