"""What the kit sends: messages that find faults, and what may happen to one on the wire.

Everything here is the same in every run.
"""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from wsext.protocol.frames import Frame

__all__ = [
    "FAR",
    "KINDS",
    "ODD",
    "SIMILAR",
    "SIZED",
    "VICTIMS",
    "Victim",
    "WireChange",
    "changes",
    "cuts",
    "data_of",
    "frames_of",
    "garbage",
    "is_text",
    "noise",
    "random_messages",
    "samples",
    "tokens",
]

#: Text and binary messages by themselves, and both in turn: a codec may take only one of them, or
#: keep a history for each.
KINDS = ("text", "binary", "text and binary")

_LETTERS = (string.ascii_letters + string.digits + "+/").encode()


def noise(size: int, seed: int = 0) -> bytes:
    """Letters without any pattern: valid as text, and no compressor makes a short one shorter."""
    return bytes(random.Random(seed).choices(_LETTERS, k=size))


def _far() -> bytes:
    """A message that repeats itself after 384, 768 … 24,576 bytes: a decoder whose window is
    smaller than the encoder's cannot read it, whatever powers of two they are."""
    marks = [(noise(40, 100 + power), 3 << power >> 1) for power in range(8, 15)]
    data = bytearray(noise(27_000))
    for number, (mark, distance) in enumerate(marks):
        for at in (number * 64, number * 64 + distance):
            data[at : at + len(mark)] = mark
    return bytes(data)


#: One message for the whole range of windows.
FAR = _far()

_QUOTE = b'{"symbol": "WSX", "bid": 101.25, "ask": 101.50, "venue": "XNAS", "seq": 1000001}'

#: Messages like those before them, for codecs with a history: changed at each end and in the
#: middle, shorter, longer, equal. Between them is noise, which does not get shorter; it comes twice
#: in a row, because an encoder may remember what the decoder never saw.
SIMILAR: Sequence[bytes] = (
    _QUOTE,
    _QUOTE,
    _QUOTE.replace(b"1000001", b"1000002"),
    _QUOTE.replace(b"101.25", b"101.3"),
    _QUOTE.replace(b"{", b"[").replace(b"}", b"]"),
    _QUOTE[:40],
    _QUOTE + b" " + _QUOTE,
    b"",
    _QUOTE + b" " + _QUOTE,
    _QUOTE[::-1],
    _QUOTE,
    noise(7, 1),
    noise(7, 1),
    noise(30, 2),
    noise(30, 2),
    noise(30, 2) + b"!",
    _QUOTE,
    noise(300, 3),
    noise(300, 3),
    noise(300, 3)[10:],
    b"a",
    b"a",
    _QUOTE * 40,
    _QUOTE * 39,
    noise(3000, 4),
    noise(3000, 4),
    _QUOTE,
)

#: Messages that a codec may take for something else, or put in order: blanks and zeros at the ends,
#: line ends, a byte order mark, characters of several bytes, JSON that another writer would write
#: otherwise, the first bytes of known formats, and bytes that are no text.
ODD: Sequence[bytes] = (
    b"\x00",
    b"\x00\x00between zeros\x00\x00",
    b" \t padded \r\n",
    b"\n",
    b"MiXeD cAsE",
    "\ufeffé e\u0301 ß \u2028 \U0001f600 \U0010ffff".encode(),
    b'{"b": 1.0, "a":  [1e3, null, 0.10], "b": "\\u00e9"}',
    b"null",
    b"a=1&b=%20+",
    b"H4sIAAAAAAAA/w==",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    b"x\x9c\x03\x00\x00\x00\x00\x01",
    b"\x28\xb5\x2f\xfd",
    b"no text: \xff\xfe\x80\xc3",
    bytes(range(256)),
    bytes(range(255, -1, -1)),
)

#: Messages around the sizes where a length takes another byte, and larger ones.
SIZED: Sequence[bytes] = tuple(
    (_QUOTE * (size // len(_QUOTE) + 1))[:size]
    for size in (
        0, 1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 125, 126, 127, 128, 129, 255, 256, 257, 1024, 4096,
        32_768, 65_535, 65_536,
    )
)  # fmt: skip


def is_text(data: bytes) -> bool:
    """Whether it may be sent as a text message."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def samples(kind: str, payloads: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Payloads with the opcode that each is sent with, for one of `KINDS`.

    What is no text is left out of ``"text"``. ``"text and binary"`` has each payload as both, in
    turn, and not one after the other: a history of one type shows when the other comes between.
    """
    for at, payload in enumerate(payloads):
        if kind != "binary" and is_text(payload):
            yield 1, payload
        if kind != "text":
            yield 2, payload if kind == "binary" else payloads[(at + 3) % len(payloads)]


def data_of(opcode: int, payload: bytes) -> str | bytes:
    """A payload as an application gets it."""
    return payload.decode() if opcode == 1 else payload


def frames_of(opcode: int, payload: bytes, places: Sequence[int] = ()) -> list[Frame]:
    """A message cut at some places; a place beyond its end counts from its start again."""
    edges = [0, *sorted(place % (len(payload) + 1) for place in places), len(payload)]
    parts = [payload[start:end] for start, end in itertools.pairwise(edges)]
    last = len(parts) - 1
    return [Frame(0 if at else opcode, part, at == last) for at, part in enumerate(parts)]


def random_messages(number: int) -> list[tuple[str, int, bytes, list[int]]]:
    """The conversation of this number: who sends, the opcode, the payload, and where it is cut."""
    rng = random.Random(number)
    found = []
    for _ in range(rng.randrange(1, 7)):
        payload = rng.randbytes(rng.randrange(300))
        if rng.random() < 0.4:
            payload = payload[:8] * 500
        opcode = rng.choice((1, 2))
        if opcode == 1:
            payload = payload.decode("latin-1").encode()
        places = [rng.randrange(5000) for _ in range(rng.randrange(5))]
        found.append((rng.choice(("client", "server")), opcode, payload, places))
    return found


# --- damage -----------------------------------------------------------------------------------


class Victim(NamedTuple):
    """A message that is damaged, and the one that was sent before it."""

    opcode: int
    payload: bytes
    before: bytes = b""

    @property
    def data(self) -> str | bytes:
        """As an application gets it."""
        return data_of(self.opcode, self.payload)


#: Short ones of which every byte counts, one that follows another like it, one that compresses well
#: and is long enough for any threshold, and one that does not compress.
VICTIMS = tuple(
    Victim(opcode, *data)
    for data in (
        (b"hello, hello, hello",),
        (SIMILAR[2], SIMILAR[0]),
        (SIMILAR[0] * 40,),
        (noise(300),),
        (b"",),
    )
    for opcode in (1, 2)
)


class WireChange(NamedTuple):
    """One thing that happens to a message on the wire.

    Attributes:
        what: The words for it: "a message whose … was refused".
        apply: Makes another message of a message; the same one where it does not apply.
    """

    what: str
    apply: Callable[[bytes], bytes]


def cuts(size: int) -> Iterator[WireChange]:
    """A message of some bytes is cut off: at every byte, in a long one in some 100 places."""
    near = {*range(min(size, 48)), *range(max(0, size - 32), size), *range(0, size, size // 20 + 1)}
    for end in sorted(near):
        yield WireChange(f"was cut off after {end} of {size} bytes", partial(_cut, end))


def changes(size: int, near: int) -> Iterator[WireChange]:
    """A message of some bytes is changed: bits are turned over, bytes are left out, doubled and
    exchanged, and things are added at the ends.

    Args:
        size: How long it is.
        near: How many bytes at the beginning and at the end are changed, each by itself.
    """
    places = {*range(min(size, near)), *range(max(0, size - near), size), size // 2, size // 3}
    for at in sorted(places & {*range(size)}):
        for mask in (0x01, 0x20, 0x80):
            yield WireChange(f"was changed at byte {at}", partial(_flip, at, mask))
        yield WireChange(f"has lost byte {at}", partial(_replace, at, 1, 0))
        yield WireChange(f"has byte {at} twice", partial(_replace, at, 1, 2))
        yield WireChange(f"has bytes {at} and {at + 1} exchanged", partial(_exchange, at))
        yield WireChange(f"has changed bytes {at} and {at + 1}, not their sum", partial(_shift, at))
    for more in (b"\x00", b"\xff", noise(9)):
        yield WireChange(f"is followed by {more!r}", partial(_join, b"", more))
        yield WireChange(f"is preceded by {more!r}", partial(_join, more, b""))
    yield WireChange("comes twice in one", lambda body: body + body)
    yield WireChange("ends in zeros", lambda body: body[:-4] + bytes(len(body[-4:])))
    yield WireChange("is turned round", lambda body: body[::-1])


def garbage() -> Iterator[WireChange]:
    """The message is not one that an encoder has made: noise of many sizes."""
    rng = random.Random(0)
    for size in (*range(1, 41), 64, 100, 1000, 5000):
        yield WireChange(f"was made up of {size} bytes", partial(_instead, rng.randbytes(size)))


def tokens() -> Iterator[WireChange]:
    """The message is a single byte, or one byte again and again: lengths and types of a format."""
    for byte in (*range(12), 31, 32, 63, 64, 127, 128, 129, 191, 192, 224, 254, 255):
        for size in (1, 2, 9):
            what = f"was made up of the byte {byte}, {size} times"
            yield WireChange(what, partial(_instead, bytes([byte]) * size))


def _cut(end: int, body: bytes) -> bytes:
    return body[:end]


def _flip(at: int, mask: int, body: bytes) -> bytes:
    return body[:at] + bytes(byte ^ mask for byte in body[at : at + 1]) + body[at + 1 :]


def _replace(at: int, size: int, times: int, body: bytes) -> bytes:
    return body[:at] + body[at : at + size] * times + body[at + size :]


def _exchange(at: int, body: bytes) -> bytes:
    return body[:at] + body[at : at + 2][::-1] + body[at + 2 :]


def _shift(at: int, body: bytes) -> bytes:
    two = body[at : at + 2]
    if len(two) < 2 or two[0] == 255 or two[1] == 0:
        return body
    return body[:at] + bytes([two[0] + 1, two[1] - 1]) + body[at + 2 :]


def _join(before: bytes, after: bytes, body: bytes) -> bytes:
    return before + body + after


def _instead(data: bytes, body: bytes) -> bytes:
    return data
