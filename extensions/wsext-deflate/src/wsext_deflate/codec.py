"""The state of one connection: a compressor and a decompressor, made when they are first needed.

The codec works on frames, not on whole messages, so that a streamed message is compressed and
decompressed as its fragments come.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wsext import RSV, CloseCode, Codec, Frame, RemoteProtocolError

__all__ = ["DeflateCodec", "Settings"]

# What a flush ends with, and what is left out of every message (RFC 7692 §7.2.1).
_TAIL = b"\x00\x00\xff\xff"
# An empty block without compression, less the tail: a message or fragment without data
# (RFC 7692 §7.2.3.6).
_EMPTY = b"\x00"
# Each block with the BFINAL bit needs a new decompressor and a copy of what follows it. Encoders
# that set the bit do so once per message; a frame full of such blocks is an attack.
_MAX_FINAL_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """What was agreed for one connection, and how this side compresses.

    Attributes:
        level, mem_level, strategy: As for zlib.
        own_bits: Base-2 logarithm of the window of what this side sends.
        peer_bits: The same for what the peer sends.
        own_reset: This side compresses every message on its own (no context takeover).
        peer_reset: The peer does.
        threshold: Messages with fewer bytes are sent as they are.
        compress_if: Asked with the first frame of every message.
    """

    level: int = 6
    mem_level: int = 5
    strategy: int = zlib.Z_DEFAULT_STRATEGY
    own_bits: int = 12
    peer_bits: int = 15
    own_reset: bool = False
    peer_reset: bool = False
    threshold: int = 0
    compress_if: Callable[[Frame], bool] | None = None

    def memory_estimate(self) -> int:
        """Bytes that the two windows and their tables take once both directions were used."""
        compressor = (1 << (self.own_bits + 2)) + (1 << (self.mem_level + 9)) + 6144
        decompressor = (1 << self.peer_bits) + 7168
        return compressor + decompressor


class DeflateCodec(Codec):
    """Compresses and decompresses the messages of one connection."""

    first_frame_rsv = True  # RFC 7692 §6: RSV1 stands on a message's first frame only

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._compressor: zlib._Compress | None = None
        self._decompressor: zlib._Decompress | None = None
        self._compressed = False  # whether the incoming message that is half way is compressed

    @property
    def share_key(self) -> Hashable | None:
        """Without context takeover, equal settings make equal bytes of equal messages."""
        return self.settings if self.settings.own_reset else None

    def encoded_bound(self, size: int) -> int:
        # zlib's own bound for the worst settings, and room for the flushes between fragments.
        return size + (size >> 3) + (size >> 6) + 1024

    # --- outgoing -----------------------------------------------------------------------------

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        """Decide once per message, before anything is fed to the compressor (RFC 7692 §7.2)."""
        hint = hints.get("compress")
        if hint is not None:
            return bool(hint)
        settings = self.settings
        if frame.fin and len(frame.payload) < settings.threshold:
            return False
        return settings.compress_if is None or bool(settings.compress_if(frame))

    def encode(self, frame: Frame) -> Frame:
        settings = self.settings
        compressor = self._compressor
        if compressor is None:
            # zlib cannot make a raw stream with a window of 256 bytes (8 bits). With 9 bits it
            # looks back 512 - 262 = 250 bytes at most, which a window of 256 bytes can follow.
            compressor = zlib.compressobj(
                settings.level,
                zlib.DEFLATED,
                -max(settings.own_bits, 9),
                settings.mem_level,
                settings.strategy,
            )
            self._compressor = compressor
        data = compressor.compress(frame.payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        fin = frame.fin
        if fin:
            # Nothing to flush, since nothing came after the last flush: only an empty block.
            data = data[:-4] if data else _EMPTY
            if settings.own_reset:
                self._compressor = None
        rsv = frame.rsv | RSV.RSV1 if frame.opcode else frame.rsv
        return Frame(frame.opcode, data, fin, rsv, frame.hints, frame.meta)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: Frame, budget: int) -> Frame | Iterable[Frame]:
        if frame.opcode:
            self._compressed = frame.rsv & RSV.RSV1 != 0
        if not self._compressed:
            return frame
        fin = frame.fin
        try:
            data = self._inflate(frame.payload, budget)
            # The tail is an empty block: whatever it makes appear shows that the data before it
            # ended in the middle of a block.
            if fin and self._inflate(_TAIL, 1):
                raise _corrupt()
        except zlib.error:
            raise _corrupt() from None
        if fin and self.settings.peer_reset:
            self._decompressor = None
        rsv = frame.rsv & ~RSV.RSV1 if frame.opcode else frame.rsv
        return Frame(frame.opcode, data, fin, rsv, frame.hints, frame.meta)

    def _inflate(self, payload: bytes | bytearray | memoryview, budget: int) -> bytes:
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = self._new_decompressor()
        data = decompressor.decompress(payload, budget + 1)  # 0 would mean no limit
        if decompressor.eof:
            data = self._inflate_rest(decompressor, data, budget)
        if len(data) > budget:
            raise RemoteProtocolError(
                CloseCode.MESSAGE_TOO_BIG, "message grows beyond the limit when decompressed"
            )
        return data

    def _inflate_rest(self, decompressor: zlib._Decompress, data: bytes, budget: int) -> bytes:
        """Go on after a block with the BFINAL bit (RFC 7692 §7.2.3.4)."""
        for _ in range(_MAX_FINAL_BLOCKS):
            rest = decompressor.unused_data
            # What follows may refer to what this frame has held so far; encoders that set the
            # bit start anew after it, so nobody refers to more.
            decompressor = self._decompressor = self._new_decompressor(data[-32768:])
            data += decompressor.decompress(rest, budget + 1 - len(data)) if rest else b""
            if len(data) > budget or not decompressor.eof:
                return data
        raise _corrupt()

    def _new_decompressor(self, history: bytes = b"") -> zlib._Decompress:
        return zlib.decompressobj(-max(self.settings.peer_bits, 9), history)

    def close(self) -> None:
        self._compressor = self._decompressor = None


def _corrupt() -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.INVALID_DATA, "compressed data is corrupt")
