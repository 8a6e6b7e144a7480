"""The envelope: names and values as type, length, value.

envelope = length, entries          length: of the entries, in bytes
entry    = length, name, type, length, value
length   = 1 to 5 bytes, 7 bits each, the lowest first; the highest bit says that more follow
type     = one byte: s text, b bytes, i integer, f float, t true, n false
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["Value", "pack", "read_length", "unpack"]

Value: TypeAlias = "str | bytes | int | float | bool"


def pack(meta: Mapping[str, Value]) -> bytes:
    """An envelope with some metadata.

    Raises:
        TypeError: For a name that is not text, or a value that has no type here.
        ValueError: For an integer of more than 64 bits.
    """
    entries = bytearray()
    for name, value in meta.items():
        if not isinstance(name, str):
            raise TypeError(f"a name of metadata is text, not {type(name).__name__}")
        kind, data = _pack_value(value)
        encoded = name.encode()
        entries += _length(len(encoded)) + encoded + kind + _length(len(data)) + data
    return _length(len(entries)) + entries


def unpack(entries: bytes) -> dict[str, Value]:
    """The metadata of an envelope, without its leading length.

    Raises:
        ValueError: If it is malformed.
    """
    meta: dict[str, Value] = {}
    at = 0
    while at < len(entries):
        size, at = _need_length(entries, at)
        name = str(_slice(entries, at, size), "utf-8")
        at += size
        kind = _slice(entries, at, 1)
        size, at = _need_length(entries, at + 1)
        meta[name] = _unpack_value(kind, _slice(entries, at, size))
        at += size
    return meta


def read_length(data: bytes | bytearray, at: int = 0) -> tuple[int, int] | None:
    """A length and the place behind it; ``None`` when it is not whole yet.

    Raises:
        ValueError: If it has more than five bytes.
    """
    value = 0
    for number in range(5):
        if at + number >= len(data):
            return None
        byte = data[at + number]
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise ValueError("a length of more than five bytes")


def _length(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _need_length(data: bytes, at: int) -> tuple[int, int]:
    found = read_length(data, at)
    if found is None:
        raise ValueError("the envelope ends in a length")
    return found


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError("the envelope ends in an entry")
    return data[at : at + size]


def _pack_value(value: Value) -> tuple[bytes, bytes]:
    if value is True:
        return b"t", b""
    if value is False:
        return b"n", b""
    if isinstance(value, str):
        return b"s", value.encode()
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"an integer of metadata has at most 64 bits: {value}")
        bits = (value if value >= 0 else value + 1).bit_length() + 1
        return b"i", value.to_bytes((bits + 7) // 8, "big", signed=True)
    if isinstance(value, float):
        return b"f", struct.pack(">d", value)
    raise TypeError(f"metadata is text, bytes, a number or a bool, not {type(value).__name__}")


def _unpack_value(kind: bytes, data: bytes) -> Value:
    if kind == b"s":
        return str(data, "utf-8")
    if kind == b"b":
        return data
    if kind == b"i" and len(data) <= 8:
        return int.from_bytes(data, "big", signed=True)
    if kind == b"f" and len(data) == 8:
        number: float = struct.unpack(">d", data)[0]
        return number
    if kind in b"tn" and not data:
        return kind == b"t"
    raise ValueError(f"an entry of unknown type {kind!r}")
