"""The messages that are sent: the same in every run."""

from __future__ import annotations

import json
import random
import zlib

__all__ = ["ORDER", "documents", "messages", "reference_size"]

_COMMON = """
the of and to in is it you that he was for on are with as his they be at one have this from or had
by hot but some what there we can out other were all your when up use word how said an each she
which do their time if will way about many then them would write like so these her long
"""
_WORDS = _COMMON.split()


def _text(draw: random.Random, size: int) -> str:
    return " ".join(draw.choices(_WORDS, k=size // 2 + 1))[:size]


def _chat(draw: random.Random) -> dict[str, object]:
    return {
        "id": f"{draw.getrandbits(128):032x}",
        "author": {"id": draw.randrange(10**8), "name": draw.choice(_WORDS).title()},
        "text": _text(draw, draw.randrange(20, 150)),
        "created_at": f"2026-11-{draw.randrange(1, 31):02}T12:{draw.randrange(60):02}:07.113Z",
        "reactions": [{"emoji": ":+1:", "count": draw.randrange(9)}],
    }


def _book(draw: random.Random) -> dict[str, object]:
    price = draw.uniform(1, 1000)
    levels = [[f"{price - n / 100:.2f}", f"{draw.uniform(0, 3):.3f}"] for n in range(10)]
    return {"e": "depth", "s": "EURUSD", "u": draw.randrange(10**9), "b": levels}


def _telemetry(draw: random.Random) -> dict[str, object]:
    return {
        "device": f"sensor-{draw.randrange(500):04}",
        "timestamp": 1700000000000 + draw.randrange(10**9),
        "temperature": round(draw.uniform(20, 25), 2),
        "humidity": round(draw.uniform(40, 50), 1),
        "location": {"lat": round(draw.uniform(52, 53), 6), "lon": round(draw.uniform(13, 14), 6)},
        "status": draw.choice(["ok", "ok", "ok", "warning"]),
    }


def _item(draw: random.Random) -> dict[str, object]:
    number = draw.randrange(10_000)
    return {"id": number, "name": f"item {number}", "price": number * 1.25, "tags": ["a", "b"]}


_KINDS = (_chat, _book, _telemetry, _item)


def messages(count: int, seed: int = 7692) -> tuple[bytes, ...]:
    """Different messages of four kinds in turn, 100 to 300 bytes of JSON each."""
    draw = random.Random(seed)
    made = []
    while len(made) < count:
        data = json.dumps(_KINDS[len(made) % 4](draw)).encode()
        if len(data) < 100:
            data = json.dumps({"item": json.loads(data), "note": _text(draw, 60)}).encode()
        if 100 <= len(data) <= 300:
            made.append(data)
    return tuple(made)


def documents(size: int, count: int) -> tuple[bytes, ...]:
    """Different documents of four kinds in turn, ``size`` bytes each."""
    draw = random.Random(7692)
    documents = []
    for number in range(count):
        kind = _KINDS[number % 4]
        records: list[dict[str, object]] = []
        room = size - len(json.dumps({"records": [], "note": ""}))
        while True:
            record = kind(draw)
            taken = len(json.dumps(record)) + (2 if records else 0)
            if taken > room:
                break
            records.append(record)
            room -= taken
        documents.append(json.dumps({"records": records, "note": _text(draw, room)}).encode())
    return tuple(documents)


#: A typed message, as msgspec writes it.
ORDER = (
    b'{"type":"place","id":4711,"side":"buy","symbol":"WSX","amount":5.0,"price":99.5,'
    b'"tags":["day","limit"],"customer":{"id":17,"name":"Ada","country":"DE"}}'
)


def reference_size(messages: tuple[bytes, ...], fresh: bool) -> float:
    """Bytes per message of zlib at level 6 with its defaults, once its window is full.

    Args:
        messages: What is sent.
        fresh: Whether each message is compressed on its own.
    """
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    size = 0
    for turn in range(2):
        for message in messages:
            if fresh:
                packer = zlib.compressobj(6, zlib.DEFLATED, -15)
            out = len(packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)) - 4
            size += out * turn
    return size / len(messages)
