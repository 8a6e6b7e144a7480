"""XOR with a masking key (RFC 6455 §5.3), in Python; ``_mask_c.pyx`` is the same in C."""

from __future__ import annotations

import sys

__all__ = ["mask", "unmask"]

# From about this size on, four strided table look-ups beat one long-integer XOR (measured on
# CPython 3.11: 0.9 µs against 1.0 µs at 512 bytes, and the gap grows).
_STRIDED_FROM = 512

_XOR_TABLES: list[bytes] = []


def unmask(data: bytes, at: int, size: int, key_at: int) -> bytes:
    """``size`` bytes from ``at`` on, with the four bytes from ``key_at`` on as the key."""
    return mask(data[at : at + size], data[key_at : key_at + 4])


def mask(data: bytes, key: bytes) -> bytes:
    """All of ``data``, with the four bytes of ``key``, over and over."""
    size = len(data)
    if size < _STRIDED_FROM:
        repeated = key * (size // 4 + 1)
        number = int.from_bytes(repeated[:size], sys.byteorder)
        return (int.from_bytes(data, sys.byteorder) ^ number).to_bytes(size, sys.byteorder)
    if not _XOR_TABLES:
        _XOR_TABLES.extend(bytes(a ^ b for a in range(256)) for b in range(256))
    result = bytearray(data)
    for at in range(4):
        result[at::4] = result[at::4].translate(_XOR_TABLES[key[at]])
    return bytes(result)
