"""A message that is encoded once for many connections.

Codecs with equal share keys make equal bytes of equal messages, so the finished frames are kept by
the connection's chain of keys. The hot part is `Connection.share_message`: a look-up, the codecs
that have to know, counters, an append.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from wsext.protocol.frames import Data, Frame
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.wire import frame_header, to_payload

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["PreparedMessage"]

# Encodings that a message keeps: peers choose what they agree to, and may all choose differently.
_KEPT = 8


@cython.final
@cython.cclass
class PreparedMessage:
    """A message for many sessions: ``session.send(prepared)`` encodes and frames it once for all.

    It is encoded once per chain of share keys (see `Codec.share_key`), of which the first eight are
    kept. A session that cannot share
    sends it as any other message: a client, which masks every frame (RFC 6455 §5.3), and a session
    with a codec that has no share key or is asynchronous, or whose frames a hook or a trace sees.

    Args:
        data: ``str`` becomes a text message, bytes-like a binary one.
        hints: For the extensions, as in `Session.send`.
        meta: Metadata beside the message, as in `Session.send`.

    Raises:
        TypeError: If the data is of another type.

    Attributes:
        data, hints, meta: As they were given.
        size: Bytes of the payload before any codec.
    """

    __slots__ = ("_frame", "data", "hints", "meta", "shared", "size")

    def __init__(
        self,
        data: Data,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        opcode, payload = to_payload(data)
        self.data: str | bytes = data if isinstance(data, str) else payload
        self.hints = hints
        self.meta = meta
        self.size = len(payload)
        #: By chain of keys: the bytes on the wire, how many of them are payload, and the numbers of
        #: the stages that the message passed.
        self.shared: dict[Hashable, tuple[bytes, int, tuple[int, ...]]] = {}
        self._frame = Frame(opcode, payload, True, 0, hints, meta)

    def share(self, pipeline: Pipeline) -> tuple[bytes, int, tuple[int, ...]]:
        """Encode and frame the message for every pipeline with this one's share key.

        Raises:
            ProtocolError: If a codec fails.
        """
        frames, stages = pipeline.encode_shared(self._frame)
        parts: list[bytes | bytearray | memoryview] = []
        size = 0
        for frame in frames:
            length = len(frame.payload)
            size += length
            parts.append(frame_header(frame.opcode, length, frame.fin, frame.rsv, False))
            parts.append(frame.payload)
        shared = (b"".join(parts), size, stages)
        if len(self.shared) < _KEPT:
            self.shared[pipeline.shared_key] = shared
        return shared

    @property
    def held_bytes(self) -> int:
        """Bytes of the message and of its encodings that are kept."""
        return self.size + sum([len(wire) for wire, _, _ in self.shared.values()])

    def __repr__(self) -> str:
        kind = "text" if isinstance(self.data, str) else "binary"
        return f"<PreparedMessage {kind} {self.size} bytes>"
