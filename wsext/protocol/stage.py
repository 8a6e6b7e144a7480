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
from wsext.protocol.boundary import Boundary
from wsext.protocol.codes import RSV
from wsext.protocol.contract import CodecLike
from wsext.protocol.frames import Frame
from wsext.protocol.leaf import size_of

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Stage", "work_of"]

_NO_HINTS: Mapping[str, Any] = {}


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
        "below",
        "boundary",
        "codec",
        "control",
        "decode",
        "decodes",
        "encode",
        "encodes",
        "is_async",
        "limit",
        "name",
        "opcodes",
        "produced",
        "rsv",
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
        self.is_async = any(
            inspect.iscoroutinefunction(getattr(codec, method, None))
            for method in ("encode", "decode", "encode_message", "decode_message", "seal", "unseal")
        )
        #: Whether the codec takes every message, so that it need not be asked.
        self.always = codec.mandatory or _is_default(codec, "wants")
        #: Whether it does anything with what goes out, and with what comes in.
        self.encodes, self.decodes = work_of(codec)
        #: Who has to encode after this stage, and who has to decode after it.
        self.below: Stage | None = None
        self.above: Stage | None = None
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
            self.active = self.always or self.wants(frame, _NO_HINTS if hints is None else hints)
        return not self.active

    def budget(self, frame: Frame) -> Any:
        """How many bytes this stage may still make of the incoming frame's message."""
        opcode = frame.opcode
        if opcode >= 8:
            return 125
        if opcode:
            self.produced = 0
            return self.whole
        return self.limit - self.produced

    def encoded(self, result: Any) -> list[Frame]:
        """What `encode` returned, where it is not just a frame."""
        return list(_frames_of(result))

    def decoded(self, source: Frame, result: Any) -> list[Frame]:
        """What `decode` made of ``source``, where it is not just a frame."""
        return [self.check_decoded(source, frame) for frame in _frames_of(result)]

    def check_decoded(self, source: Frame, frame: Frame) -> Frame:
        """Count a frame that was made of ``source``, which hands its metadata on."""
        if frame.opcode < 8:
            self.produced += size_of(frame.payload)
            if self.produced > self.limit:
                raise RemoteProtocolError(
                    1009, f"message grows beyond {self.limit} bytes", self.name
                )
        if source.meta is not None and frame.meta is None:
            return frame.replace(meta=source.meta)
        return frame

    def fail(self, error: BaseException, doing: str) -> NoReturn:
        """Raise what fails the connection, for an exception of the codec."""
        failure = self.boundary.failure(error, doing)
        try:
            if failure is error:
                raise failure  # its own cause would make it a cycle, which keeps what it is about
            raise failure from error
        finally:
            del error, failure  # the traceback has this frame


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
