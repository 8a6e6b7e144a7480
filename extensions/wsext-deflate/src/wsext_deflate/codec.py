"""The state of one connection: a compressor and a decompressor, made when they are first needed.

The codec works on frames, not on whole messages, so that a streamed message is compressed and
decompressed as its fragments come.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from wsext import RSV, CloseCode, Codec, Frame, RemoteProtocolError, SharedHistory
from wsext_deflate.backends import (
    EMPTY,
    Buffer,
    Compressor,
    Decompressor,
    Deflater,
    deflater,
    inflater,
    squeeze,
)

__all__ = ["DeflateCodec", "DeflateHistory", "LiveCompressors", "Settings"]

# What a flush ends with, and what is left out of every message (RFC 7692 §7.2.1).
_TAIL = b"\x00\x00\xff\xff"
# Each block with the BFINAL bit needs a new decompressor and a copy of what follows it. Encoders
# that set the bit do so once per message; a frame full of such blocks is an attack.
_MAX_FINAL_BLOCKS = 16

_RSV1 = int(RSV.RSV1)  # arithmetic with a number is ten times as fast as with a flag
_SYNC = zlib.Z_SYNC_FLUSH

_CODEC_BYTES = 480  # the codec itself and its settings
# What a used decompressor takes whatever its window is; zlib's depends on it.
_DECOMPRESSOR_BYTES = {"zlib-ng": 42_000, "isal": 88_000}


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
        backend: ``auto`` or the name of a library.
        history: Bytes of what was sent last that are kept, so that a compressor can be dropped
            between messages and made again.
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
    backend: str = "auto"
    history: int = 4096

    def decompressor_bytes(self) -> int:
        """Bytes of a decompressor."""
        backend = inflater(self.backend, self.peer_bits).backend
        return _DECOMPRESSOR_BYTES.get(backend, (1 << self.peer_bits) + 7168)

    def compressor_bytes(self) -> int:
        """Bytes of a compressor: zlib's formula; the others take about as much."""
        return (4 << max(self.own_bits, 9)) + (1 << self.mem_level + 9)

    def memory_estimate(self) -> int:
        """Bytes that a connection takes at most: both directions were used, and the peer has sent
        half of a message. Between messages the decompressor is not there.

        Beside them there are the compressors and decompressors that `LiveCompressors` allows.
        """
        kept = _CODEC_BYTES + self.decompressor_bytes()
        if not self.peer_reset:
            kept += self.window
        if not self.own_reset:
            kept += self.history
        return kept

    @property
    def window(self) -> int:
        """Bytes of what the peer has sent that its next messages may refer to."""
        return 1 << max(self.peer_bits, 9)


class LiveCompressors:
    """The compressors and decompressors that connections keep between messages; at most ``limit``
    of each.

    A compressor that was not used lately makes room. Its connection goes on from the last bytes
    that it has sent, which costs time, not size. One that is at work in a thread is not in here.

    Decompressors belong to the first connections that need one, until these are closed: what a peer
    refers to cannot be read out of a decompressor, so nobody can make room later. The connections
    that come when there is no place keep what their peer may refer to, and make a decompressor of
    that for every message.

    Attributes:
        limit: How many are kept.
        crowded: Whether there were as many as that. Before, no connection remembers what it sent.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.crowded = False
        self._inflating: WeakSet[DeflateCodec] = WeakSet()  # who keeps a decompressor
        self._kept: OrderedDict[DeflateCodec, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def may_inflate(self, codec: DeflateCodec) -> bool:
        """Whether a codec may keep its decompressor; it has a place for that from now on."""
        if len(self._inflating) < self.limit:
            self._inflating.add(codec)
        return codec in self._inflating

    def leave(self, codec: DeflateCodec) -> None:
        """A codec needs no decompressor any more."""
        self._inflating.discard(codec)

    def take(self, codec: DeflateCodec) -> Compressor | None:
        """The codec's compressor, if it still has one: it is not in here any more."""
        self._kept.pop(codec, None)
        compressor, codec.compressor = codec.compressor, None
        return compressor

    def keep(self, codec: DeflateCodec, compressor: Compressor) -> None:
        """Leave a compressor to the codec for its next message."""
        kept = self._kept
        codec.compressor = compressor
        kept[codec] = None
        if len(kept) >= self.limit:
            self.crowded = True
        while len(kept) > self.limit:
            owner, _ = kept.popitem(last=False)
            if owner.used:  # a second chance: true order would cost something for every message
                owner.used = False
                kept[owner] = None
            elif owner.compressor is not None:
                owner.deflater.put_back(owner.compressor)
                owner.compressor = None


class DeflateHistory(SharedHistory):
    """Compresses the messages to a group, each with those before it as context.

    Args:
        deflater: Makes the compressor.
        size: Bytes that one takes.
    """

    def __init__(self, deflater: Deflater, size: int) -> None:
        self._deflater = deflater
        self._compressor = deflater.take()
        self._size = size

    def encode(self, frame: Frame) -> Frame:
        return compressed_frame(frame, squeeze(self._compressor, frame.payload, True))

    @property
    def held_bytes(self) -> int:
        return self._size

    def close(self) -> None:
        self._deflater.put_back(self._compressor)


class DeflateCodec(Codec):
    """Compresses and decompresses the messages of one connection.

    Args:
        settings: What was agreed.
        live: Where the number of compressors is bounded; without it, this codec keeps its own.
    """

    first_frame_rsv = True  # RFC 7692 §6: RSV1 stands on a message's first frame only

    def __init__(self, settings: Settings, live: LiveCompressors | None = None) -> None:
        self.settings = settings
        self._live = LiveCompressors(1) if live is None else live
        self.deflater = deflater(
            settings.backend,
            settings.level,
            settings.mem_level,
            settings.strategy,
            settings.own_bits,
        )
        self._inflater = inflater(settings.backend, settings.peer_bits)
        self.compressor: Compressor | None = None  # `LiveCompressors` may take it away
        self.used = False  # lately
        self._own_reset = settings.own_reset
        self.has_history = not settings.own_reset
        if settings.own_reset:  # it keeps nothing that it had to forget
            self.skip_shared = super().skip_shared  # type: ignore[method-assign]
        self._peer_reset = settings.peer_reset
        self._takes_all = not settings.threshold and settings.compress_if is None
        self._decompressor: Decompressor | None = None
        # The end of what has come compressed, where the decompressor is dropped after a message.
        self._heard: bytes | None = None
        self._history = b""  # the end of what was sent compressed, as far as it may be referred to
        self._compressed = False  # whether the incoming message that is half way is compressed

    @property
    def share_key(self) -> Hashable | None:
        """Whatever was agreed: what is compressed on its own is right for every peer with the
        same window, also for one that keeps its context."""
        settings = self.settings
        return self.deflater.key, settings.threshold, settings.compress_if

    def encoded_bound(self, size: int) -> int:
        # zlib's own bound for the worst settings, and room for the flushes between fragments.
        return size + (size >> 3) + (size >> 6) + 1024

    @property
    def held_bytes(self) -> int:
        settings = self.settings
        held = _CODEC_BYTES + len(self._history) + len(self._heard or b"")
        if self._decompressor is not None:
            held += settings.decompressor_bytes()
        if self.compressor is not None:
            held += settings.compressor_bytes()
        return held

    # --- outgoing -----------------------------------------------------------------------------

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        """Decide once per message, before anything is fed to the compressor (RFC 7692 §7.2)."""
        if hints:
            hint = hints.get("compress")
            if hint is not None:
                return bool(hint)
        if self._takes_all:
            return True
        settings = self.settings
        if len(frame.payload) < settings.threshold and frame.fin:
            return False
        return settings.compress_if is None or bool(settings.compress_if(frame))

    def encode(self, frame: Frame) -> Frame:
        payload = frame.payload
        compressor = self.compressor
        if compressor is None or self._own_reset:
            return compressed_frame(frame, self._encode_rarer(frame))
        # `squeeze` and `compressed_frame` once more: calls count where every message comes by.
        data = compressor.compress(payload) + compressor.flush(_SYNC)
        if frame.fin:
            data = data[:-4] if data else EMPTY
        self.used = True
        if self._live.crowded:
            self._remember(payload)
        return frame.replace(payload=data, rsv=frame.rsv | _RSV1 if frame.opcode else frame.rsv)

    def _encode_rarer(self, frame: Frame) -> bytes:
        """Compress without a context, or without a compressor that has been kept."""
        payload, fin = frame.payload, frame.fin
        if self._own_reset and fin and frame.opcode:
            return self.deflater.whole(payload)
        compressor = self._take()
        data = squeeze(compressor, payload, fin)
        self._sent(frame, compressor)
        return data

    def _take(self) -> Compressor:
        """The compressor that was kept, or one that goes on from the history."""
        return self._live.take(self) or self.deflater.take(self._history)

    def encode_shared(self, frame: Frame) -> Frame:
        return compressed_frame(frame, self.deflater.whole(frame.payload))

    def skip_shared(self) -> None:
        # A compressor that starts anew refers to nothing that the peer does not have.
        if self.compressor is not None or self._history:
            self._forget()

    def make_history(self) -> DeflateHistory:
        settings, chosen = self.settings, self.deflater
        if settings.backend == "auto" and settings.level >= 6:
            # What is compressed once for many may take twice the time to become smaller.
            chosen = deflater(
                "zlib-ng",
                max(settings.level, 7),
                settings.mem_level,
                settings.strategy,
                settings.own_bits,
            )
        return DeflateHistory(chosen, settings.compressor_bytes())

    def _sent(self, frame: Frame, compressor: Compressor) -> None:
        """A frame was compressed: keep the compressor, and what the next frames may refer to."""
        self.used = True
        self._live.keep(self, compressor)
        if self._live.crowded:
            self._remember(frame.payload)
        if self._own_reset and frame.fin:
            self._forget()

    def _remember(self, payload: Buffer) -> None:
        size = self.settings.history
        if len(payload) >= size:
            self._history = bytes(payload[-size:])
        else:
            self._history = (self._history + payload)[-size:]

    def _forget(self) -> None:
        self._history = b""
        compressor = self._live.take(self)
        if compressor is not None:
            self.deflater.put_back(compressor)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: Frame, budget: int) -> Frame | Iterable[Frame]:
        fin, rsv = frame.fin, frame.rsv
        if frame.opcode:
            self._compressed = rsv & _RSV1 != 0
            rsv &= ~_RSV1
        if not self._compressed:
            return frame
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = self._make_decompressor()
        try:
            data = decompressor.decompress(frame.payload, budget + 1)  # 0 would mean no limit
            if decompressor.eof:
                data, decompressor = self._inflate_rest(decompressor, data, budget)
            if len(data) > budget:
                raise RemoteProtocolError(
                    CloseCode.MESSAGE_TOO_BIG, "message grows beyond the limit when decompressed"
                )
            # The tail is an empty block: whatever it makes appear shows that the data before it
            # ended in the middle of a block.
            if fin and decompressor.decompress(_TAIL, 1):
                raise _corrupt()
        except self._inflater.errors:
            raise _corrupt() from None
        heard = self._heard
        if heard is not None:
            self._heard = (heard + data)[-self.settings.window :]
            if fin:
                self._decompressor = None
        elif fin and self._peer_reset:
            self._decompressor = None
        return frame.replace(payload=data, rsv=rsv)

    def _make_decompressor(self) -> Decompressor:
        """A decompressor for a message, which may refer to what has come before."""
        if self._heard is None and not self._peer_reset and not self._live.may_inflate(self):
            self._heard = b""
        return self._inflater.new(self._heard or b"")

    def _inflate_rest(
        self, decompressor: Decompressor, data: bytes, budget: int
    ) -> tuple[bytes, Decompressor]:
        """Go on after a block with the BFINAL bit (RFC 7692 §7.2.3.4)."""
        for _ in range(_MAX_FINAL_BLOCKS):
            rest = decompressor.unused_data
            # What follows may refer to what this frame has held so far; encoders that set the
            # bit start anew after it, so nobody refers to more.
            decompressor = self._decompressor = self._inflater.new(data[-32768:])
            data += decompressor.decompress(rest, budget + 1 - len(data)) if rest else b""
            if len(data) > budget or not decompressor.eof:
                return data, decompressor
        raise _corrupt()

    def close(self) -> None:
        self._forget()
        self._live.leave(self)
        self._decompressor = self._heard = None


def compressed_frame(frame: Frame, data: bytes) -> Frame:
    """The frame with its compressed payload; RSV1 marks a message's first (RFC 7692 §6)."""
    return frame.replace(payload=data, rsv=frame.rsv | _RSV1 if frame.opcode else frame.rsv)


def _corrupt() -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.INVALID_DATA, "compressed data is corrupt")
