"""After many connections have ended, what they needed is given back to the system."""

from __future__ import annotations

import ctypes
import sys
from itertools import count
from pathlib import Path

import pytest

from wsext.server.trimming import Trimming
from wsext.testing.clock import Clock

is_trimmed = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")
pytestmark = pytest.mark.skipif(not is_trimmed, reason="only the GNU C library has it")

MB = 1 << 20


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def leave_holes() -> bytes:
    """Free 64 MB below a piece that is still in use, which is returned."""
    pieces = [b"x" * 16384 for _ in range(4096)]
    last = b"y" * 16384
    pieces.clear()
    return last


async def test_memory_is_given_back_after_many_ends_and_not_all_the_time() -> None:
    clock, took = Clock(), count(0, 0.03)
    trimming = Trimming(clock, lambda: next(took))  # it takes 30 ms, so that it rests for 30 s
    kept = [leave_holes()]
    for _ in range(31):
        trimming.note_end()
    await clock.advance(60)
    full = resident()
    trimming.note_end()
    await clock.advance(2)
    assert resident() < full - 32 * MB

    kept.append(leave_holes())
    for _ in range(100):
        trimming.note_end()
    full = resident()
    await clock.advance(20)
    assert resident() > full - 32 * MB
    await clock.advance(20)
    assert resident() < full - 32 * MB


async def test_it_waits_until_it_is_calm_and_does_nothing_once_stopped() -> None:
    clock = Clock()
    trimming = Trimming(clock)
    kept = leave_holes()
    full = resident()
    for _ in range(10):
        for _ in range(40):
            trimming.note_end()
        await clock.advance(0.99)
    assert resident() > full - 32 * MB
    trimming.stop()
    await clock.advance(60)
    assert resident() > full - 32 * MB
    assert len(kept) == 16384
