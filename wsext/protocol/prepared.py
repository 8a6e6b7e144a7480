"""A message that is encoded once for many connections.

Codecs with equal share keys make equal bytes of equal messages, so the finished frames are kept by
the connection's chain of keys. The hot part is `Sender.share_message`: a look-up, the codecs that
have to know, counters, an append.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from wsext.protocol.contexts import SharedContext
from wsext.protocol.epochs import Encoding
from wsext.protocol.frames import Data, Frame
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.wire import to_payload

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

    __slots__ = (
        "_context",
        "_frame",
        "_number",
        "_told",
        "data",
        "hints",
        "meta",
        "shared",
        "size",
    )

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
        #: By chain of keys: the message encoded on its own.
        self.shared: dict[Hashable, Encoding] = {}
        self._frame = Frame(opcode, payload, True, 0, hints, meta)
        self._context: SharedContext | None = None
        self._number = 0  # among those that were said in it
        # By `Pipeline.history_key`: the message in its context; `None` if that is not possible.
        self._told: dict[Hashable, Encoding | None] = {}

    def within(self, context: SharedContext) -> PreparedMessage:
        """The message as it is said once more, in a context; it has the same `shared`."""
        message = PreparedMessage.__new__(PreparedMessage)
        message.data = self.data
        message.hints = self.hints
        message.meta = self.meta
        message.size = self.size
        message.shared = self.shared
        message._frame = self._frame
        message._told = {}
        message._context = context
        message._number = context.said = context.said + 1
        return message

    def encoding_for(self, pipeline: Pipeline) -> Encoding | None:
        """The bytes that are to be sent next on a connection; ``None`` if a codec does not allow
        that they were made for many.

        What a message refers to, the connection's peer has to have got, and nothing else between
        that its decoder remembers. This is the only place that decides about that.

        Args:
            pipeline: The connection's, which has a shared key.

        Raises:
            ProtocolError: If a codec fails.
        """
        key = pipeline.shared_key
        follower = pipeline.follower
        encoding: Encoding | None = None
        if self._context is not None and pipeline.history_key is not None:
            encoding = self._told.get(pipeline.history_key)
            if encoding is None and pipeline.history_key not in self._told:
                encoding = self._context.encode(self._frame, self._number, pipeline)
                self._told[pipeline.history_key] = encoding
        if encoding is not None and encoding.epoch is not None:
            follows = follower is not None and follower.follows(encoding)
            if follows or encoding.number == 1:
                told = encoding.told_inside if follows else encoding.told
                if told and not pipeline.skip_shared(told):
                    return None
                if follower is None:
                    follower = pipeline.make_follower()
                follower.take(encoding, self.size)
                return encoding
            encoding.outside += 1
            encoding = None
        if encoding is None:
            encoding = self.shared.get(key)
            if encoding is None:
                encoding = pipeline.encode_shared(self._frame)
                if len(self.shared) < _KEPT:
                    self.shared[key] = encoding
        if encoding.told and not pipeline.skip_shared(encoding.told):
            return None
        if follower is not None and pipeline.is_remembered(encoding.passed):
            follower.epoch = None
        return encoding

    @property
    def held_bytes(self) -> int:
        """Bytes of the message and of its encodings that are kept."""
        kept = [*self.shared.values(), *self._told.values()]
        return self.size + sum([len(each.wire) for each in kept if each is not None])

    def __repr__(self) -> str:
        kind = "text" if isinstance(self.data, str) else "binary"
        return f"<PreparedMessage {kind} {self.size} bytes>"
