"""The state of one connection.

Without context takeover every message is a zstd frame of its own, so nothing is kept between
messages, and equal messages become equal bytes on all connections. With context takeover a
direction is one endless zstd frame, flushed after every message (RFC 8878). What was encoded for
many connections ends that frame first, and is or begins another endless one. All are without the
magic number, which would say what the negotiation has said already.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import zstandard

from wsext import RSV, CloseCode, Codec, Frame, RemoteProtocolError, SharedHistory
from wsext_zstd.dictionary import Dictionary

__all__ = ["Settings", "ZstdCodec", "ZstdHistory"]

Buffer: TypeAlias = "bytes | bytearray | memoryview"

_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS
_UNKNOWN = zstandard.CONTENTSIZE_UNKNOWN
#: An empty block that ends an endless frame (RFC 8878 §3.1.1.2).
_END = b"\x01\x00\x00"
#: Bytes that are decompressed before a look at the budget: 4 of them may become 128 KiB.
_PIECE = 1024
#: Blocks of a message on its own. Encoders need one for 128 KiB, and for each flush.
_MAX_BLOCKS = 1 << 14


@dataclass(frozen=True, slots=True)
class Settings:
    """What was agreed for one connection, and how this side compresses.

    Attributes:
        level: As for zstd.
        window_bits: Base-2 logarithm of the largest window in either direction.
        own_reset: This side compresses every message on its own (no context takeover).
        peer_reset: The peer does.
        threshold: Messages with fewer bytes are sent as they are.
        dictionary: What both sides know beforehand.
    """

    level: int = 3
    window_bits: int = 17
    own_reset: bool = False
    peer_reset: bool = False
    threshold: int = 0
    dictionary: Dictionary | None = None

    def parameters(self) -> zstandard.ZstdCompressionParameters:
        """For the library."""
        return zstandard.ZstdCompressionParameters.from_level(
            self.level,
            format=_FORMAT,
            window_log=self.window_bits,
            write_content_size=0,
            write_checksum=0,
            write_dict_id=0,
        )

    def compressor_bytes(self) -> int:
        """Bytes of a stream that compresses."""
        return int(self.parameters().estimated_compression_context_size())

    def decompressor_bytes(self) -> int:
        """Bytes of a stream that decompresses."""
        window = (1 << self.window_bits) + (1 << 17)
        return int(zstandard.estimate_decompression_context_size()) + window


class Coders:
    """What connections with the same settings share: the prepared dictionary, and where nothing is
    kept between messages the compressor itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parameters = settings.parameters()
        self._dictionary = settings.dictionary.for_zstd() if settings.dictionary else None
        if self._dictionary is not None:
            self._dictionary.precompute_compress(compression_params=self._parameters)
        self.shared_compressor = self.new_compressor()
        self.shared_decompressor = self.new_decompressor()

    def new_compressor(self) -> zstandard.ZstdCompressor:
        """One that may keep a stream."""
        return zstandard.ZstdCompressor(
            compression_params=self._parameters, dict_data=self._dictionary
        )

    def new_decompressor(self) -> zstandard.ZstdDecompressor:
        """One that may keep a stream; it refuses larger windows than were agreed."""
        return zstandard.ZstdDecompressor(
            dict_data=self._dictionary,
            max_window_size=1 << self._settings.window_bits,
            format=_FORMAT,
        )


class _TooMuch(Exception):
    """The budget is spent."""


class _Sink:
    """Takes what a stream decompresses, and keeps what is within a budget.

    It never raises: zstandard 0.25 would then lose the 128 KiB into which it decompresses.
    """

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.budget = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size <= self.budget:
            self.parts.append(bytes(data))
        return len(data)


class _Endless:
    """An endless frame.

    Args:
        coders: Makes the compressor.
        end: What ends the endless frame that is open at the peer, if one is.
    """

    def __init__(self, coders: Coders, end: bytes) -> None:
        self._stream: Any = coders.new_compressor().compressobj()
        self._end = end
        self.has_begun = False

    def encode(self, data: Buffer) -> bytes:
        """The next piece; of nothing it is nothing."""
        made: bytes = self._stream.compress(data) + self._stream.flush(_FLUSH)
        if not made or self.has_begun:
            return made
        self.has_begun = True
        return self._end + made


class ZstdHistory(SharedHistory):
    """Compresses the messages to a group, each with those before it as context, for peers at which
    an endless frame is open."""

    def __init__(self, settings: Settings, coders: Coders) -> None:
        self._size = settings.compressor_bytes()
        self._frame = _Endless(coders, _END)

    def encode(self, frame: Frame) -> Frame:
        return _marked(frame, self._frame.encode(frame.payload))

    @property
    def held_bytes(self) -> int:
        return self._size


class ZstdCodec(Codec):
    """Compresses and decompresses the messages of one connection."""

    first_frame_rsv = True

    def __init__(self, settings: Settings, coders: Coders | None = None) -> None:
        self.settings = settings
        self._coders = coders or Coders(settings)
        self._out: Any = None  # the stream of an outgoing message, or of the whole direction
        self._is_open = False  # whether an endless frame is open at the peer
        self.has_history = not settings.own_reset
        self._in: Any = None
        self._sink = _Sink()
        self._compressed = False  # whether the incoming message that is half way is compressed
        self._parts = bytearray()  # of that message, as it came, where it is a frame of its own

    @property
    def share_key(self) -> Hashable | None:
        """Equal settings make equal bytes of equal messages that stand on their own."""
        return self.settings

    def encoded_bound(self, size: int) -> int:
        return size + (size >> 7) + 1024

    @property
    def held_bytes(self) -> int:
        settings = self.settings
        held = len(self._parts)
        if self._out is not None:
            held += settings.compressor_bytes()
        if self._in is not None:
            held += settings.decompressor_bytes()
        return held

    # --- outgoing -----------------------------------------------------------------------------

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        hint = hints.get("compress")
        if hint is not None:
            return bool(hint)
        return not frame.fin or len(frame.payload) >= self.settings.threshold

    def encode(self, frame: Frame) -> Frame:
        reset, fin = self.settings.own_reset, frame.fin
        if reset and fin and frame.opcode:
            data = self._coders.shared_compressor.compress(frame.payload)
        else:
            data = self._encode_part(frame.payload, ends=reset and fin)
        return _marked(frame, data)

    def _encode_part(self, data: Buffer, *, ends: bool) -> bytes:
        if self.settings.own_reset:
            if self._out is None:
                self._out = self._coders.new_compressor().compressobj()
            stream = self._out
            if ends:
                self._out = None
            flush = zstandard.COMPRESSOBJ_FLUSH_FINISH if ends else _FLUSH
            return bytes(stream.compress(data) + stream.flush(flush))
        if self._out is None:
            self._out = _Endless(self._coders, _END if self._is_open else b"")
        made: bytes = self._out.encode(data)
        self._is_open = self._is_open or self._out.has_begun
        return made

    def encode_shared(self, frame: Frame) -> Frame:
        if self.settings.own_reset:
            return self.encode(frame)
        return self.make_history().encode(frame)

    def can_share(self) -> bool:
        return self._is_open or self.settings.own_reset

    def skip_shared(self) -> None:
        self._out = None

    def make_history(self) -> ZstdHistory:
        return ZstdHistory(self.settings, self._coders)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: Frame, budget: int) -> Frame:
        if frame.opcode:
            self._compressed = frame.rsv & RSV.RSV1 != 0
        if not self._compressed:
            return frame
        try:
            if self.settings.peer_reset and frame.fin and frame.opcode:
                data = self._decode_whole(bytes(frame.payload), budget)
            else:
                data = self._decode_part(frame.payload, budget)
                if self.settings.peer_reset:
                    self._parts += frame.payload
                    if frame.fin:
                        self._in = None
                        _check_end(self._parts)
                        self._parts = bytearray()
        except _TooMuch:
            raise RemoteProtocolError(
                CloseCode.MESSAGE_TOO_BIG, "message grows beyond the limit when decompressed"
            ) from None
        except zstandard.ZstdError:
            raise RemoteProtocolError(
                CloseCode.INVALID_DATA, "compressed data is corrupt"
            ) from None
        rsv = frame.rsv & ~RSV.RSV1 if frame.opcode else frame.rsv
        return frame.replace(payload=data, rsv=rsv)

    def _decode_whole(self, data: bytes, budget: int) -> bytes:
        about = zstandard.get_frame_parameters(data, _FORMAT)
        if about.content_size != _UNKNOWN and about.content_size > budget:
            raise _TooMuch
        try:
            decoded = self._coders.shared_decompressor.decompress(
                data, max_output_size=max(budget, 1), allow_extra_data=False
            )
        except zstandard.ZstdError:
            # It may be corrupt or only too large: the stream can tell.
            self._decode_part(data, budget)
            raise
        finally:
            self._in = None
        _check_end(data)
        return decoded

    def _decode_part(self, data: Any, budget: int) -> bytes:
        sink = self._sink
        if self._in is None:
            decompressor = self._coders.new_decompressor()
            self._in = decompressor.stream_writer(sink, closefd=False)  # type: ignore[arg-type]
        sink.parts, sink.size, sink.budget = [], 0, budget
        view = memoryview(data)
        for at in range(0, len(view), _PIECE):
            self._in.write(view[at : at + _PIECE])
            if sink.size > budget:
                raise _TooMuch
        return b"".join(sink.parts)

    def close(self) -> None:
        self._out = self._in = None


def _marked(frame: Frame, data: bytes) -> Frame:
    """A frame with its compressed payload; RSV1 marks a message's first."""
    rsv = frame.rsv | RSV.RSV1 if frame.opcode else frame.rsv
    return frame.replace(payload=data, rsv=rsv)


def _check_end(data: Buffer) -> None:
    """Refuse a frame that does not end where the message does (RFC 8878 §3.1.1): the library passes
    over what follows it in silence.

    Raises:
        ZstdError: If it ends earlier, is not complete or empty, or has very many blocks.
    """
    size = len(data)
    flags = data[0] if size else 0
    is_single = flags >> 5 & 1
    at = 2 - is_single + (0, 1, 2, 4)[flags & 3] + (is_single, 2, 4, 8)[flags >> 6]
    is_last = 0
    for _ in range(_MAX_BLOCKS):
        if is_last or at >= size:
            break
        head = int.from_bytes(data[at : at + 3], "little")
        is_last, is_repeated = head & 1, head >> 1 & 3 == 1
        at += 3 + (1 if is_repeated else head >> 3)
    if not is_last or at + (4 if flags & 4 else 0) != size:
        raise zstandard.ZstdError("the frame does not end with the message")


_FLUSH = zstandard.COMPRESSOBJ_FLUSH_BLOCK
