"""The state of one connection, and what its bytes are.

With context takeover a direction is one brotli stream (RFC 7932) that never ends, flushed after
every frame. Without it every message is a stream of its own. A sender that keeps its context may
still end its stream with a message and begin a new one with the next: that needs no agreement.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import brotli

from wsext import RSV, CloseCode, Codec, Frame, RemoteProtocolError

__all__ = ["BrotliCodec", "Settings"]

Buffer: TypeAlias = "bytes | bytearray | memoryview"

# What the library gives back at once, if there is as much: the first of its buffers, which double.
_PORTION = 32_752
# 24 blocks, each of 16 bytes of metadata (RFC 7932 §9.2). A decoder passes over them where a block
# may begin. Anywhere else a message was cut, and the decoder takes them for the rest of its block:
# the zeros are an error where a block's head was cut, and so many ones become data in its body.
_METADATA = 24 * (bytes([0xD6, 0x03, 0x00, 0x00]) + b"\xff" * 14)
# The smallest window with which the two fast qualities work.
_FAST_WINDOW = 18


@dataclass(frozen=True, slots=True)
class Settings:
    """What was agreed for one connection, and how this side compresses.

    Attributes:
        quality: As for brotli, 0 to 11.
        own_bits: Base-2 logarithm of the window of what this side sends, 10 to 24.
        peer_bits: The same for what the peer sends.
        own_reset: This side compresses every message on its own (no context takeover).
        peer_reset: The peer does.
        threshold: Messages with fewer bytes are sent as they are.
    """

    quality: int = 5
    own_bits: int = 16
    peer_bits: int = 16
    own_reset: bool = False
    peer_reset: bool = False
    threshold: int = 0

    def compressor(self) -> Any:
        """A new compressor. The library's qualities 0 and 1 have no window below 18 bits, whatever
        they are told, so 2 stands in for them where a smaller one was agreed."""
        fast = self.own_bits >= _FAST_WINDOW
        quality = self.quality if fast else max(self.quality, 2)
        return brotli.Compressor(quality=quality, lgwin=self.own_bits)

    def compressor_bytes(self) -> int:
        """Bytes of a used compressor, as measured for qualities up to 8; 11 takes five times as
        much."""
        return (2 << max(self.own_bits, 16)) + (1 << 16)

    def decompressor_bytes(self) -> int:
        """Bytes of a used decompressor."""
        return (1 << self.peer_bits) + (1 << 15)


class BrotliCodec(Codec):
    """Compresses and decompresses the messages of one connection.

    Args:
        settings: What was agreed.
    """

    first_frame_rsv = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._compressor: Any = None
        self._decompressor: Any = None
        self._compressed = False  # whether the incoming message that is half way is compressed

    @property
    def share_key(self) -> Hashable | None:
        """Without context takeover: all that decides about the bytes, and whether there are any."""
        settings = self.settings
        if not settings.own_reset:
            return None
        return settings.quality, settings.own_bits, settings.threshold

    def encoded_bound(self, size: int) -> int:
        return size + (size >> 8) + 1024

    @property
    def held_bytes(self) -> int:
        held = 0
        if self._compressor is not None:
            held += self.settings.compressor_bytes()
        if self._decompressor is not None:
            held += self.settings.decompressor_bytes()
        return held

    # --- outgoing -----------------------------------------------------------------------------

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        hint = hints.get("compress")
        if hint is not None:
            return bool(hint)
        return not frame.fin or len(frame.payload) >= self.settings.threshold

    def encode(self, frame: Frame) -> Frame:
        if self._compressor is None:
            self._compressor = self.settings.compressor()
        compressor = self._compressor
        data = compressor.process(frame.payload)
        if frame.fin and self.settings.own_reset:
            data += compressor.finish()
            self._compressor = None
        else:
            data += compressor.flush()
        rsv = frame.rsv | RSV.RSV1 if frame.opcode else frame.rsv
        return frame.replace(payload=data, rsv=rsv)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: Frame, budget: int) -> Frame:
        if frame.opcode:
            self._compressed = frame.rsv & RSV.RSV1 != 0
        if not self._compressed:
            return frame
        try:
            data = self._decompress(frame.payload, budget)
            if frame.fin:
                self._end_message()
        except brotli.error:
            raise _corrupt() from None
        rsv = frame.rsv & ~RSV.RSV1 if frame.opcode else frame.rsv
        return frame.replace(payload=data, rsv=rsv)

    def _decompress(self, data: Buffer, budget: int) -> bytes:
        """What comes out, in portions, so that never more than one of them is above the budget."""
        if not data:
            return b""
        decompressor = self._decompressor
        if decompressor is None:
            if window_bits(data[0]) > self.settings.peer_bits:
                raise RemoteProtocolError(
                    CloseCode.INVALID_DATA, "the brotli window is larger than agreed"
                )
            decompressor = self._decompressor = brotli.Decompressor()
        part = decompressor.process(data, output_buffer_limit=_PORTION)
        parts, size = [part], len(part)
        while size <= budget and len(part) >= _PORTION:  # there may be more
            part = decompressor.process(b"", output_buffer_limit=_PORTION)
            parts.append(part)
            size += len(part)
        if size > budget:
            raise RemoteProtocolError(
                CloseCode.MESSAGE_TOO_BIG, "message grows beyond the limit when decompressed"
            )
        return b"".join(parts)

    def _end_message(self) -> None:
        """Check that the message ends where a block of the stream, or all of it, does."""
        decompressor = self._decompressor
        if decompressor is None:
            if self.settings.peer_reset:  # not even an empty message has no bytes then
                raise _corrupt()
        elif decompressor.is_finished():
            self._decompressor = None
        elif self.settings.peer_reset or decompressor.process(_METADATA):
            raise _corrupt()

    def close(self) -> None:
        self._compressor = self._decompressor = None


def window_bits(first: int) -> int:
    """The window that a stream's first byte asks for (RFC 7932 §9.1)."""
    if not first & 1:
        return 16
    if high := first >> 1 & 7:
        return 17 + high
    low = first >> 4 & 7
    return 8 + low if low else 17


def _corrupt() -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.INVALID_DATA, "compressed data is corrupt")
