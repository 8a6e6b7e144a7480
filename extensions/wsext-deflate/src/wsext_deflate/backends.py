"""The libraries that compress: which ones are installed, and which one does what.

zlib is always there. zlib-ng and ISA-L are faster and optional. What one of them cannot do exactly
as agreed is left to the next: see `pick_deflater` and `pick_inflater`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "BACKENDS",
    "EMPTY",
    "Backend",
    "BackendName",
    "Deflater",
    "Inflater",
    "deflater",
    "inflater",
    "installed",
]

Buffer: TypeAlias = "bytes | bytearray | memoryview"
BackendName: TypeAlias = Literal["auto", "zlib", "zlib-ng", "isal"]

_SYNC = zlib.Z_SYNC_FLUSH
_FULL = zlib.Z_FULL_FLUSH
#: An empty block without compression, less the tail that RFC 7692 §7.2.1 cuts off: a message or
#: fragment without data (§7.2.3.6).
EMPTY = b"\x00"
#: Compressors that wait for the next message that is compressed on its own, per set of parameters.
_MAX_BLANK = 2


class Compressor(Protocol):
    """What all three libraries call a compressor."""

    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


class Decompressor(Protocol):
    """What all three libraries call a decompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """One library.

    Attributes:
        name: As in the option ``backend``.
        compressobj, decompressobj: As in `zlib`.
        error: What it raises for corrupt data.
        levels: Which of its levels stands for each of zlib's ten.
    """

    name: str
    compressobj: Callable[..., Compressor]
    decompressobj: Callable[..., Decompressor]
    error: type[Exception]
    levels: tuple[int, ...]


#: The libraries by name, and the module of each.
BACKENDS = {"zlib": "zlib", "zlib-ng": "zlib_ng.zlib_ng", "isal": "isal.isal_zlib"}
# By measurement (measure.py): the fastest level whose output is about as small as zlib's. zlib's
# level 0 stores, which the others are not asked for.
_LEVELS = {
    "zlib": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    "zlib-ng": (0, 1, 2, 2, 3, 3, 3, 7, 8, 9),
    "isal": (0, 1, 1, 1, 1, 1, 1, 3, 3, 3),
}


@cache
def installed(name: str) -> Backend | None:
    """A backend by name, or ``None`` when its library is not installed."""
    try:
        module: Any = import_module(BACKENDS[name])
    except ImportError:
        return None
    return Backend(name, module.compressobj, module.decompressobj, module.error, _LEVELS[name])


def _first(*names: str) -> Backend:
    found = next(filter(None, map(installed, names)), None)
    assert found is not None  # zlib is always among the names
    return found


def pick_deflater(wanted: str, level: int, strategy: int, bits: int) -> Backend:
    """The backend that compresses.

    ``auto`` prefers ISA-L up to level 6; above it, who wants small output gets zlib-ng. ISA-L has
    no other strategies, and no window as small as 8 bits.
    """
    if level == 0 or wanted == "zlib":
        return _first("zlib")
    isal = strategy == zlib.Z_DEFAULT_STRATEGY and bits > 8
    if wanted == "isal":
        return _first("isal", "zlib") if isal else _first("zlib")
    if wanted == "auto" and isal and level <= 6:
        return _first("isal", "zlib-ng", "zlib")
    return _first("zlib-ng", "zlib")


def pick_inflater(wanted: str, bits: int) -> Backend:
    """The backend that decompresses.

    ``auto`` prefers zlib-ng: it is as fast as zlib for small messages, where ISA-L is slower, and
    nearly as fast as ISA-L for large ones at half its memory. Both always take the memory of a
    window of 32 KiB, and ISA-L does not refuse to look further back than was agreed.
    """
    if wanted == "zlib" or (wanted == "auto" and bits < 15):
        return _first("zlib")
    if wanted == "isal":
        return _first("isal", "zlib") if bits == 15 else _first("zlib")
    return _first("zlib-ng", "zlib")


class Deflater:
    """Makes compressors with one set of parameters, for all connections that agreed on them.

    A full flush makes a compressor forget what it has seen, so that it serves the next message of
    any connection: two are kept blank. Who works with one has taken it out, in threads, too.

    Attributes:
        key: Equal keys mean equal output of `whole`.
    """

    __slots__ = ("_arguments", "_blank", "_new", "key")

    def __init__(
        self, backend: Backend, level: int, mem_level: int, strategy: int, bits: int
    ) -> None:
        level = backend.levels[level]
        self.key = (backend.name, level, mem_level, strategy, bits)
        self._new = backend.compressobj
        # zlib cannot make a raw stream with a window of 256 bytes (8 bits). With 9 bits it looks
        # back 512 - 262 = 250 bytes at most, which a window of 256 bytes can follow.
        self._arguments = (level, zlib.DEFLATED, -max(bits, 9), mem_level, strategy)
        self._blank: list[Compressor] = []

    def take(self, history: bytes = b"") -> Compressor:
        """A compressor that may refer to ``history``: what was sent last."""
        if history:
            return self._new(*self._arguments, history)
        try:
            return self._blank.pop()
        except IndexError:
            compressor = self._new(*self._arguments)
            compressor.flush(_FULL)  # output after the first flush differs from what is before it
            return compressor

    def put_back(self, compressor: Compressor) -> None:
        """The compressor is not needed any more: make it blank, or drop it."""
        if len(self._blank) < _MAX_BLANK:
            compressor.flush(_FULL)
            self._blank.append(compressor)

    def whole(self, data: Buffer) -> bytes:
        """A message on its own, which depends on nothing that was compressed before."""
        compressor = self.take()
        packed = compressor.compress(data) + compressor.flush(_FULL)
        if len(self._blank) < _MAX_BLANK:
            self._blank.append(compressor)
        return packed[:-4] if packed else EMPTY


def squeeze(compressor: Compressor, data: Buffer, fin: bool) -> bytes:
    """The next piece of a stream; without the tail at a message's end (RFC 7692 §7.2.1)."""
    packed = compressor.compress(data) + compressor.flush(_SYNC)
    if not fin:
        return packed
    # Nothing to flush, since nothing came after the last flush: only an empty block.
    return packed[:-4] if packed else EMPTY


class Inflater:
    """Makes decompressors for one window size."""

    __slots__ = ("_bits", "_new", "backend", "errors")

    def __init__(self, backend: Backend, bits: int) -> None:
        self.backend = backend.name
        self.errors = backend.error
        self._new = backend.decompressobj
        self._bits = -max(bits, 9)

    def new(self, history: bytes = b"") -> Decompressor:
        """A decompressor whose window holds ``history``."""
        return self._new(self._bits, history) if history else self._new(self._bits)


@lru_cache(maxsize=64)
def deflater(wanted: str, level: int, mem_level: int, strategy: int, bits: int) -> Deflater:
    """One `Deflater` per process and set of parameters."""
    backend = pick_deflater(wanted, level, strategy, bits)
    return Deflater(backend, level, mem_level, strategy, bits)


@lru_cache(maxsize=64)
def inflater(wanted: str, bits: int) -> Inflater:
    """One `Inflater` per process and window size."""
    return Inflater(pick_inflater(wanted, bits), bits)
