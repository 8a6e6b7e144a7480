"""What the backends cost and how small they make JSON: the tables of the README.

python measure.py [ROUNDS]

Through `DeflateCodec`, as a connection uses it. Times are the best of all rounds, in microseconds
per message; sizes are in percent of zlib's at level 6 with a window of 4 KiB, over all kinds of
data, and between brackets for the kind that does best and the one that does worst.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from wsext_deflate import DeflateCodec
from wsext_deflate.backends import BACKENDS, installed
from wsext_deflate.codec import LiveCompressors, Settings

from wsext import Frame

RANDOM = random.Random(7)
WORDS = sorted({word.strip(".,:`") for word in (__doc__ or "").lower().split()})


def chat() -> Any:
    """Mostly text."""
    return {
        "id": f"{RANDOM.getrandbits(128):032x}",
        "author": {"id": RANDOM.randrange(10**8), "name": RANDOM.choice(WORDS).title()},
        "text": " ".join(RANDOM.choice(WORDS) for _ in range(RANDOM.randrange(5, 30))),
        "created_at": f"2026-11-{RANDOM.randrange(10, 29)}T12:{RANDOM.randrange(10, 59)}:07.113Z",
        "reactions": [{"emoji": ":+1:", "count": RANDOM.randrange(9)}],
    }


def book() -> Any:
    """Mostly numbers."""
    price = RANDOM.random() * 1000
    levels = [[f"{price - n / 100:.2f}", f"{RANDOM.random() * 3:.3f}"] for n in range(20)]
    return {"e": "depth", "s": "EURUSD", "u": RANDOM.randrange(10**9), "b": levels}


def telemetry() -> Any:
    """Short records of names and numbers."""
    return {
        "device": f"sensor-{RANDOM.randrange(500):04d}",
        "timestamp": 1700000000000 + RANDOM.randrange(10**9),
        "temperature": round(20 + RANDOM.random() * 5, 2),
        "humidity": round(40 + RANDOM.random() * 10, 1),
        "location": {"lat": round(52 + RANDOM.random(), 6), "lon": round(13 + RANDOM.random(), 6)},
        "status": RANDOM.choice(["ok", "ok", "ok", "warning"]),
    }


def item() -> Any:
    """Much that repeats."""
    number = RANDOM.randrange(10_000)
    return {"id": number, "name": f"item {number}", "price": number * 1.25, "tags": ["a", "b"]}


KINDS: tuple[Callable[[], Any], ...] = (chat, book, telemetry, item)


def message(kind: Callable[[], Any], size: int) -> bytes:
    """A message of about ``size`` bytes."""
    records = [kind()]
    while len(json.dumps(records)) < size - 100:
        records += [kind() for _ in range(max(size // 5000, 1))]
    return json.dumps(records if size > 100 else telemetry()["location"]).encode()


SETS = {
    "64 B": [[message(kind, 64) for _ in range(100)] for kind in KINDS],
    "1 KiB": [[message(kind, 1024) for _ in range(60)] for kind in KINDS],
    "64 KiB": [[message(kind, 65536) for _ in range(2)] for kind in KINDS],
}


def encoder(backend: str, level: int, reset: bool, live: LiveCompressors) -> DeflateCodec:
    bits = 15 if backend == "isal" else 12
    return DeflateCodec(
        Settings(backend=backend, level=level, own_bits=bits, own_reset=reset), live
    )


def compress(backend: str, level: int, reset: bool, kept: int, kind: list[bytes]) -> Any:
    """Microseconds and bytes per message."""
    codec = encoder(backend, level, reset, LiveCompressors(kept))
    frames = [Frame(1, data) for data in kind]
    start = time.perf_counter()
    sizes = [len(codec.encode(frame).payload) for frame in frames]
    took = time.perf_counter() - start
    codec.close()
    return took / len(kind) * 1e6, sum(sizes) / len(kind)


def decompress(backend: str, level: int, reset: bool, kept: int, kind: list[bytes]) -> Any:
    """Microseconds per message that zlib has compressed at level 6."""
    sender = DeflateCodec(Settings(backend="zlib", own_reset=reset))
    frames = [sender.encode(Frame(1, data)) for data in kind]
    codec = DeflateCodec(Settings(backend=backend, peer_reset=reset))
    start = time.perf_counter()
    for frame in frames:
        codec.decode(frame, 1 << 20)
    return (time.perf_counter() - start) / len(kind) * 1e6, 1.0


def measured(work: Any, rows: list[tuple[Any, ...]], rounds: int) -> dict[Any, list[Any]]:
    """For every row and set: the times and sizes of every kind, rows interleaved."""
    best: dict[Any, list[Any]] = {}
    for _ in range(rounds):
        for row in rows:
            for name, kinds in SETS.items():
                found = [work(*row, kind) for kind in kinds]
                old = best.setdefault((row, name), found)
                best[row, name] = [(min(a[0], b[0]), a[1]) for a, b in zip(old, found, strict=True)]
    return best


def show(title: str, work: Any, rows: list[tuple[Any, ...]], rounds: int) -> None:
    """One table."""
    best = measured(work, rows, rounds)
    print(f"\n### {title}\n\n| backend | level | {' | '.join(SETS)} |")
    print("|---|---|" + "---|" * len(SETS))
    for row in rows:
        cells = []
        for name in SETS:
            found, zlibs = best[row, name], best[rows[0], name]
            spent = sum(time for time, _ in found) / len(found)
            cell = f"{spent:.1f} µs" if spent < 100 else f"{spent:.0f} µs"
            if work is compress:
                each = [100 * a[1] / b[1] for a, b in zip(found, zlibs, strict=True)]
                total = 100 * sum(a[1] for a in found) / sum(b[1] for b in zlibs)
                cell += f", {total:.0f}% ({min(each):.0f} to {max(each):.0f})"
            cells.append(cell)
        print(f"| {row[0]} | {row[1]} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    levels = {"zlib": (6, 1, 9), "zlib-ng": (1, 3, 6, 9), "isal": (6, 9)}
    names = [name for name in BACKENDS if installed(name) is not None]
    rows = [(name, level) for name in names for level in levels[name]]
    for title, reset, kept in (
        ("Compression, context kept", False, 1),
        ("Compression, context kept, compressor lost before each message", False, 0),
        ("Compression, every message on its own", True, 1),
    ):
        show(title, compress, [(*row, reset, kept) for row in rows], rounds)
    for title, reset in (
        ("Decompression, context kept", False),
        ("Decompression, no context", True),
    ):
        show(title, decompress, [(name, 6, reset, 1) for name in names], rounds)


if __name__ == "__main__":
    main()
