"""One codec of a connection, and what has to be remembered about it.

`Pipeline` runs a frame through the stages, one after the other. A stage says which frames pass by
its codec, checks what the codec returns, keeps the limit of the message, and says what becomes of
what the codec raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from wsext.errors import RemoteProtocolError
from wsext.protocol.boundary import Boundary, is_async
from wsext.protocol.codes import RSV
from wsext.protocol.contract import CodecLike
from wsext.protocol.epochs import Follower
from wsext.protocol.frames import Frame, check_frame
from wsext.protocol.leaf import size_of
from wsext.protocol.states import FRAGMENTS, kind_of

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Stage", "work_of"]

_NO_HINTS: Mapping[str, Any] = {}
_NOT_COMPRESSED: Mapping[str, Any] = {"compress": False}


@cython.final
@cython.cclass
class Stage:
    """One codec in a pipeline, with what the pipeline has to remember about it.

    Args:
        name: The extension's token.
        codec: The codec of this connection.
        rsv: The reserved bits that the extension claims.
        opcodes: The reserved opcodes that it claims.
        boundary: Where the codec's faults go.
    """

    __slots__ = (
        "above",
        "active",
        "always",
        "asks",
        "below",
        "boundary",
        "codec",
        "control",
        "decode",
        "decodes",
        "encode",
        "encodes",
        "follower",
        "is_async",
        "limit",
        "name",
        "opcodes",
        "produced",
        "receiving",
        "remembers",
        "rsv",
        "sending",
        "takes_all",
        "tells",
        "wants",
        "whole",
    )

    def __init__(
        self,
        name: str,
        codec: CodecLike,
        rsv: RSV,
        opcodes: frozenset[int] = frozenset(),
        boundary: Boundary | None = None,
    ) -> None:
        codec.rsv = rsv
        self.name = name
        self.boundary: Any = boundary or Boundary(name, codec)
        self.codec = codec
        self.rsv = int(rsv)
        self.opcodes = opcodes
        self.control = codec.control_frames
        self.encode: Callable[[Frame], Any] = codec.encode
        self.decode: Callable[[Frame, int], Any] = codec.decode
        self.wants = codec.wants
        self.is_async = is_async(codec)
        #: Whether the codec takes every message.
        self.takes_all = codec.mandatory or _is_default(codec, "wants")
        #: Whether it can follow a `SharedHistory`, and how far the connection follows one.
        self.remembers: bool = self.boundary.has_history
        self.follower: Follower | None = None
        #: Whether a message may be given to it without any question.
        self.always = self.takes_all and not self.remembers
        #: Whether it wants to know of frames that are sent in place of its own, or to be asked.
        self.asks = hasattr(codec, "can_share") and not _is_default(codec, "can_share")
        self.tells = not _is_default(codec, "skip_shared")
        #: Whether it does anything with what goes out, and with what comes in.
        self.encodes, self.decodes = work_of(codec)
        #: Who has to encode after this stage, and who has to decode after it.
        self.below: Stage | None = None
        self.above: Stage | None = None
        self.sending = self.receiving = 0  # which message of the codec's is half way: a `Partial`
        self.active = True  # whether the outgoing message that is half way passes this codec
        self.produced = 0  # bytes that the incoming message that is half way has grown to here
        self.limit = 0  # what `produced` may become
        self.whole: Any = 0  # the same, compiled: as an object that is made once

    def ignores(self, opcode: int) -> bool:
        """Whether frames with this opcode pass by this codec, in both directions."""
        return opcode >= 8 and not self.control and opcode not in self.opcodes

    def skips(self, frame: Frame, hints: Mapping[str, Any] | None) -> bool:
        """Whether an outgoing frame passes by this codec; asked before the codec sees it."""
        opcode = frame.opcode
        if opcode >= 8:
            return self.ignores(opcode)
        if opcode:  # a message starts: one decision for all its frames
            self.active = self.takes_all or self.wants(frame, _NO_HINTS if hints is None else hints)
        return not self.active

    def skips_own(self, frame: Frame, hints: Mapping[str, Any] | None) -> bool:
        """`skips`, of a frame that is encoded for this connection alone.

        What the codec encodes takes the connection out of a shared history: the peer's decoder
        remembers it, and the others' do not. A small message is rather sent as it is, if the codec
        can be left out and nobody has asked for it.
        """
        if self.skips(frame, hints):
            return True
        follower = self.follower
        if follower is None or follower.epoch is None:
            return False
        if (
            0 < frame.opcode < 8
            and frame.fin
            and not self.takes_all
            and (hints is None or "compress" not in hints)
            and not self.wants(frame, _NOT_COMPRESSED)
            and follower.spend(size_of(frame.payload))
        ):
            self.active = False
            return True
        follower.epoch = None
        return False

    def budget(self, frame: Frame) -> Any:
        """How many bytes this stage may still make of the incoming frame's message."""
        opcode = frame.opcode
        if opcode >= 8:
            return 125
        if opcode:
            self.produced = 0
            return self.whole
        return self.limit - self.produced

    def encoded(self, opcode: int, fin: bool, result: Any) -> list[Frame]:
        """What `encode` made of a frame with this opcode and FIN bit, as frames."""
        out: list[Frame] = []
        for frame in _frames_of(result):
            # Only the first one can have what is wrong with it from the frame it was made of.
            self.check_encoded(opcode, not frame.fin if out else fin, frame)
            out.append(frame)
        return out

    def check_encoded(self, opcode: int, fin: bool, frame: Frame) -> None:
        """Check a frame that was made of one with this opcode and FIN bit."""
        if self.sending or not _is_plain(frame):
            self.sending = self._followed_by(frame, self.sending, opcode, fin)

    def decoded(self, opcode: int, fin: bool, source: Frame, result: Any) -> list[Frame]:
        """What `decode` made of ``source``, which had this opcode and FIN bit, as frames."""
        out: list[Frame] = []
        for frame in _frames_of(result):
            out.append(self.check_decoded(opcode, not frame.fin if out else fin, source, frame))
        return out

    def check_decoded(self, opcode: int, fin: bool, source: Frame, frame: Frame) -> Frame:
        """Check and count a frame that was made of ``source``, which hands its metadata on."""
        if self.receiving or not _is_plain(frame):
            self.receiving = self._followed_by(frame, self.receiving, opcode, fin)
        if frame.opcode < 8:
            self.produced += size_of(frame.payload)
            if self.produced > self.limit:
                raise RemoteProtocolError(
                    1009, f"message grows beyond {self.limit} bytes", self.name
                )
        if source.meta is not None and frame.meta is None:
            return frame.replace(meta=source.meta)
        return frame

    def _followed_by(self, frame: Frame, partial: int, opcode: int, fin: bool) -> int:
        """Which message is half way after a frame that was made of one with this opcode and FIN
        bit. What the frame has from that one is not the codec's fault.

        Raises:
            TypeError: If it is no frame that may be sent here (RFC 6455 §5.4, §5.5).
        """
        made = frame.opcode
        check_frame(made, frame.payload, frame.rsv)
        if made > 2 and made not in (opcode, 9, 10) and made not in self.opcodes:
            raise TypeError(f"returned a frame with opcode {made}, which it does not claim")
        if made >= 8:
            if not frame.fin or size_of(frame.payload) > 125:
                raise TypeError("returned a control frame that is fragmented or has over 125 bytes")
            return partial
        following = FRAGMENTS.get((partial, kind_of(made), frame.fin))
        if following is not None:
            return following
        if made == opcode and frame.fin == fin:
            return partial
        raise TypeError(
            "returned a new message inside of one that is not finished"
            if partial
            else "returned a continuation of a message that was not begun"
        )

    def fail(self, error: BaseException, doing: str) -> NoReturn:
        """Raise what fails the connection, for an exception of the codec."""
        failure = self.boundary.failure(error, doing)
        try:
            if failure is error:
                raise failure  # its own cause would make it a cycle, which keeps what it is about
            raise failure from error
        finally:
            del error, failure  # the traceback has this frame


def _is_plain(frame: Frame) -> bool:
    """Whether it is a whole message in one frame, as most are."""
    opcode = frame.opcode
    return (
        frame.fin
        and (opcode == 1 or opcode == 2)
        and type(frame.payload) is bytes
        and not frame.rsv & ~0x70
    )


def _frames_of(result: Any) -> Iterator[Frame]:
    """What a codec returned, as frames, one after the other: it may be a generator without end."""
    if type(result) is Frame:
        yield result
        return
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("returned a coroutine; a method that is awaited has to be `async def`")
    if isinstance(result, (bytes, str)):
        raise TypeError(f"returned {type(result).__name__}, not a Frame or frames")
    for item in result:
        if type(item) is not Frame:
            raise TypeError(f"returned {type(item).__name__} among its frames")
        yield item


def work_of(codec: CodecLike) -> tuple[bool, bool]:
    """Whether a codec does anything with what goes out, and with what comes in."""
    outgoing = ("wants", "encode", "encode_shared", "skip_shared")
    encodes = not all(_is_default(codec, method) for method in outgoing)
    return encodes, not _is_default(codec, "decode")


def _is_default(codec: CodecLike, method: str) -> bool:
    """Whether a codec's method is the one that does nothing, which need not be called.

    Its mark is the function itself, so that a wrapper that takes over attributes is none.
    """
    function = getattr(getattr(codec, method), "__func__", None)
    return function is not None and getattr(function, "default", None) is function
