"""What can a network do to a connection?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeAlias

__all__ = ["Conditions", "Weather", "calm", "mild", "rough"]

Side: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the network treats one connection. The default is a fast and faultless network.

    Attributes:
        latency: The least and the most seconds that something written needs to the other end.
        pieces: The least and the most bytes of a read, for the first ``cut`` bytes of each
            direction; ``None`` reads all that has come.
        cut: How many bytes of each direction come in such pieces; what follows is read whole.
        capacity: Bytes of each direction that the network holds, so that they count as written
            although nobody has read them.
        buffered: Whether an `asyncio.BufferedProtocol` is asked for its buffer; otherwise it gets
            its bytes by ``data_received``, if it has that method.
        stall: ``(side, after, seconds)``: when a side has read so many bytes, it reads nothing for
            so long.
        reset_after: The connection is reset when both sides together have read so many bytes.
        half_close_after: ``(side, after)``: when a side has read so many bytes, it finds the end,
            and what else was written to it is lost.
        refuse: Connecting fails with `ConnectionRefusedError`.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    pieces: tuple[int, int] | None = None
    cut: int = 2000
    capacity: int = 65536
    buffered: bool = True
    stall: tuple[Side, int, float] | None = None
    reset_after: int | None = None
    half_close_after: tuple[Side, int] | None = None
    refuse: bool = False


#: Draws the conditions of one connection.
Weather: TypeAlias = Callable[[Random], Conditions]

_LATENCIES = ((0.0, 0.0), (0.0001, 0.002), (0.005, 0.05), (0.02, 0.4))
_PIECES = (None, None, (1, 1), (1, 9), (100, 1500))
_CAPACITIES = (0, 4096, 65536, 1 << 20)
_SIDES: tuple[Side, Side] = ("client", "server")


def calm(rng: Random) -> Conditions:
    """A fast network without any fault."""
    return Conditions()


def mild(rng: Random) -> Conditions:
    """A network that is slow, cuts reads into pieces and stops for a moment, but loses nothing."""
    stall = None
    if rng.random() < 0.2:
        stall = (rng.choice(_SIDES), _some_bytes(rng), rng.uniform(0.0, 2.0))
    return Conditions(
        latency=rng.choice(_LATENCIES),
        pieces=rng.choice(_PIECES),
        cut=rng.choice((100, 400, 2000)),
        capacity=rng.choice(_CAPACITIES),
        buffered=rng.random() < 0.7,
        stall=stall,
    )


def rough(rng: Random) -> Conditions:
    """As `mild`; besides, connections are refused, reset, half-closed, or stop for a minute."""
    found = mild(rng)
    fault = rng.random()
    if fault < 0.05:
        return replace(found, refuse=True)
    if fault < 0.35:
        return replace(found, reset_after=_some_bytes(rng))
    if fault < 0.5:
        return replace(found, half_close_after=(rng.choice(_SIDES), _some_bytes(rng)))
    if fault < 0.65:
        stall = (rng.choice(_SIDES), _some_bytes(rng), rng.uniform(2.0, 60.0))
        return replace(found, stall=stall)
    return found


def _some_bytes(rng: Random) -> int:
    """A number of bytes: as often in the handshake as in what follows it."""
    return int(10 ** rng.uniform(0.0, 5.0))
