"""Runs the agreed codecs over the frames of one connection.

With a response ``foo, bar`` the stages are [foo, bar], and frames travel like this::

    application ── hooks ──> foo.encode ──> bar.encode ──> wire      outgoing: bar(foo(frame))
    application <── hooks ── foo.decode <── bar.decode <── wire      incoming: the exact inverse

Every stage gives 0..n frames for a frame. Control frames pass by a codec unless it opts in. The
limit of the whole message is kept at every stage: a stage may make a message as large as the limit
allows, counted over all its fragments, and not a byte more.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from wsext.errors import LocalProtocolError, RemoteProtocolError
from wsext.protocol.boundary import FAULTS, Boundary
from wsext.protocol.codes import RSV
from wsext.protocol.contract import FrameHook, MessageHook, Trace
from wsext.protocol.frames import Frame
from wsext.protocol.journal import Journal
from wsext.protocol.stage import Stage

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Pipeline", "run_hooks"]

_NO_OPCODES: frozenset[int] = frozenset()
_NO_OPCODE = -1

#: Yields what codecs return, is sent what that stands for, and returns the frames.
_Steps: TypeAlias = Generator[Any, Any, list[Frame]]

#: Awaits what a method of a codec has returned, in place of ``await``.
Wait: TypeAlias = "Callable[[Awaitable[Any], Boundary | None, str], Awaitable[Any]]"


@cython.final
@cython.cclass
class Pipeline:
    """The stages of one connection, and the local hooks on their application side.

    Args:
        stages: In the order of the response.
        max_message_size: The limit of a whole message as the application sees it, in bytes.
        journal: What counts and keeps messages where the codecs begin.
        keeper: The boundary of the codec that has the journal, if it is no stage: it does nothing
            else then.

    Attributes:
        entered: Where there is a journal: the frames that the interceptors gave to the codecs last.
        left: As ``entered``: the frames that the codecs gave to the interceptors last.
    """

    def __init__(
        self,
        stages: Sequence[Stage] = (),
        *,
        max_message_size: int = 1 << 20,
        journal: Journal | None = None,
        keeper: Boundary | None = None,
    ) -> None:
        self.journal = journal
        self._keeper = keeper
        self.entered: list[Frame] | None = None
        self.left: list[Frame] | None = None
        # Acknowledgements are no interceptor's business.
        self._own = _NO_OPCODE if journal is None else journal.opcode
        self.stages = tuple(stages)
        # Of these, who has something to do with what goes out, and who is the first each way.
        self._encoders: tuple[Stage, ...] = ()
        self._first_encoder: Stage | None = None
        self._first_decoder: Stage | None = None
        self._hints: Mapping[str, Any] | None = None
        self._receiving: tuple[FrameHook, ...] = ()
        self._sending: tuple[FrameHook, ...] = ()
        self._message_received: MessageHook | None = None
        self._message_sending: MessageHook | None = None
        self._trace: Trace | None = None
        #: Awaits what is asynchronous; by default without any limit.
        self.wait: Wait | None = None
        self._asked: Boundary | None = None  # whom `_through` has asked last
        #: Whether an interceptor let nothing pass of the frame that was encoded last: it has
        #: dropped it, or keeps it until its message is whole.
        self.has_dropped = False
        # Whether somebody else has to see what goes out, and what comes in.
        self._seen_out = self._seen_in = False
        self._closed = False
        self.max_message_size = max_message_size
        self.is_async = any(stage.is_async for stage in stages)
        self.rsv_first = self.rsv_rest = self.rsv_control = 0
        #: Bits that may stay on what is encoded and decoded, because somebody else handles them.
        self.rsv_foreign = 0
        opcodes = _NO_OPCODES if journal is None else _union(_NO_OPCODES, journal.opcode)
        size = max_message_size
        for stage in self.stages:
            self.rsv_first |= stage.rsv
            if not stage.codec.first_frame_rsv:
                self.rsv_rest |= stage.rsv
            if stage.control:
                self.rsv_control |= stage.rsv
            opcodes = _union(opcodes, *stage.opcodes)
            stage.limit = stage.whole = size
            if stage.encodes or stage.decodes:
                size = max(size, stage.boundary.encoded_bound(size))
        self.opcodes = opcodes
        self.wire_limit = size
        #: Nothing to do for any frame: the connection skips the pipeline.
        self.passive = True
        #: The share key while nothing on this connection has to see its own frames, else ``None``.
        self.shared_key: Hashable | None = None
        self._update()

    def set_hooks(
        self, receiving: Sequence[FrameHook] = (), sending: Sequence[FrameHook] = ()
    ) -> None:
        """Put local interceptors on the application side, in the order in which they run."""
        self._receiving, self._sending = tuple(receiving), tuple(sending)
        self._update()

    def set_message_hooks(
        self, received: MessageHook | None = None, sending: MessageHook | None = None
    ) -> None:
        """Put message interceptors on the application side of the others; before any frame."""
        self._message_received, self._message_sending = received, sending
        for hook in (received, sending):
            if hook is not None and hook.is_async:
                self.is_async = True
        self._update()

    def set_trace(self, trace: Trace | None) -> None:
        """Be told of every frame at every stage, or no more. Costs nothing while unset."""
        self._trace = trace
        self._update()

    def _update(self) -> None:
        if self._closed:
            return
        traced = self._trace is not None  # a trace shows every stage
        self._encoders = tuple(stage for stage in self.stages if stage.encodes or traced)
        self._first_encoder = self._first_decoder = None
        for stage in reversed(self._encoders):
            stage.below, self._first_encoder = self._first_encoder, stage
        for stage in self.stages:
            if stage.decodes or traced:
                stage.above, self._first_decoder = self._first_decoder, stage
        self._seen_out = traced or bool(self._sending) or self._message_sending is not None
        self.has_dropped = False
        self._seen_in = traced or bool(self._receiving) or self._message_received is not None
        self.passive = not (
            self._seen_out
            or self._seen_in
            or self._encoders
            or self._first_decoder is not None
            or self.rsv_first
            or any(opcode != self._own for opcode in self.opcodes)
        )
        self.shared_key = self._shared_key()

    def _shared_key(self) -> Hashable | None:
        private = self.is_async or self._seen_out
        return None if private else self.share_key

    @property
    def share_key(self) -> Hashable | None:
        """Equal keys mean that equal messages become equal bytes; ``None`` means never."""
        keys = []
        for stage in self._encoders:
            key = stage.boundary.share_key
            if key is None:
                return None
            keys.append((stage.name, key))
        return tuple(keys)

    @property
    def held_bytes(self) -> int:
        """Bytes that the codecs hold, as far as they tell; closed ones hold nothing."""
        return 0 if self._closed else sum([stage.boundary.held_bytes for stage in self.stages])

    @property
    def joined_bytes(self) -> int:
        """Bytes of the incoming message that message interceptors join, or work on."""
        hook = self._message_received
        return 0 if hook is None else hook.held_bytes

    # --- outgoing -----------------------------------------------------------------------------

    def encode(self, frame: Frame) -> list[Frame]:
        """An application's frame as the frames that travel.

        Raises:
            ProtocolError: If a codec fails; the frame must not be sent.
        """
        result = self.encode_one(frame)
        return [result] if type(result) is Frame else result

    def encode_one(self, frame: Frame) -> Any:
        """`encode`, without a list around the only frame: codecs that make one of one are many."""
        if self._seen_out:
            return _finish(self._outgoing(frame))
        if frame.hints is not self._hints and 0 < frame.opcode < 8:
            self._hints = frame.hints
        many: list[Frame] | None = None
        stage = self._first_encoder
        try:
            while stage is not None and many is None:
                if (stage.always and frame.opcode < 8) or not stage.skips(frame, self._hints):
                    result = stage.encode(frame)
                    if type(result) is Frame:
                        frame = result
                    else:
                        many = stage.encoded(result)
                stage = stage.below
        except BaseException as error:
            assert stage is not None
            stage.fail(error, "encode")
        if many is not None:
            return self._end_encode(_finish(self._through(many, stage, False)))
        if frame.rsv:
            self._check_rsv(frame)
        return frame

    def encode_shared(self, frame: Frame) -> tuple[list[Frame], tuple[int, ...]]:
        """A whole message as the frames that travel on every connection with this `shared_key`.

        Also the numbers of the stages that it passed, for `skip_shared`.

        Raises:
            ProtocolError: As `encode`.
        """
        hints = frame.hints
        frames, passed = [frame], []
        for number, stage in enumerate(self._encoders):
            out: list[Frame] = []
            try:
                for item in frames:
                    if stage.skips(item, hints):
                        out.append(item)
                        continue
                    passed.append(number)
                    out += stage.encoded(stage.codec.encode_shared(item))
            except BaseException as error:
                stage.fail(error, "encode_shared")
            frames = out
        return self._end_encode(frames), tuple(dict.fromkeys(passed))

    def skip_shared(self, stages: tuple[int, ...]) -> None:
        """Tell these stages' codecs that shared frames are sent in place of their own.

        Raises:
            ProtocolError: If a codec fails; the frames must not be sent.
        """
        for number in stages:
            stage = self._encoders[number]
            try:
                stage.codec.skip_shared()
            except BaseException as error:
                stage.fail(error, "skip_shared")

    def encode_again(self, frame: Frame) -> list[Frame]:
        """`encode` for a frame that is no business of the interceptors any more."""
        return _finish(self._outgoing(frame, True))

    async def aencode(self, frame: Frame, again: bool = False) -> list[Frame]:
        """`encode` for a pipeline with an asynchronous codec; one call at a time.

        Args:
            frame: The frame.
            again: As `encode_again`.
        """
        return await self._afinish(self._outgoing(frame, again), "encode")

    def _outgoing(self, frame: Frame, again: bool = False) -> _Steps:
        """All the way of a frame from the application to the wire."""
        if 0 < frame.opcode < 8:
            self._hints = frame.hints
        if self._trace is not None:
            self._trace("out", "app", frame)
        frames = [frame]
        if self._message_sending is not None and not again:
            self._asked = None
            frames = yield from self._message_sending(frame)
        if self._sending and not again:
            frames = [item for each in frames for item in run_hooks(self._sending, each)]
        self.has_dropped = not frames
        if self.journal is not None and frame.opcode < 8 and not again:
            self.entered = frames
        if self._first_encoder is not None:
            frames = yield from self._through(frames, self._first_encoder, False)
        return self._end_encode(frames)

    def _end_encode(self, frames: list[Frame]) -> list[Frame]:
        for frame in frames:
            if frame.rsv:
                self._check_rsv(frame)
            if self._trace is not None:
                self._trace("out", "wire", frame)
        return frames

    def _check_rsv(self, frame: Frame) -> None:
        if frame.opcode >= 8:
            allowed = self.rsv_control
        else:
            allowed = self.rsv_first if frame.opcode else self.rsv_rest
        wrong = frame.rsv & ~(allowed | self.rsv_foreign)
        if wrong:
            bits = RSV(wrong).names()
            names = ", ".join(stage.name for stage in self.stages)
            raise LocalProtocolError(f"{bits} is claimed by none", extension=names or None)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: Frame) -> list[Frame]:
        """A frame from the wire as the frames that the application's side sees.

        Raises:
            ProtocolError: If a codec refuses the frame or fails; nothing of it is passed on.
        """
        result = self.decode_one(frame)
        return [result] if type(result) is Frame else result

    def decode_one(self, frame: Frame) -> Any:
        """`decode`, without a list around the only frame: codecs that make one of one are many."""
        if self._seen_in:
            return _finish(self._incoming(frame))
        many: list[Frame] | None = None
        stage = self._first_decoder
        try:
            while stage is not None and many is None:
                if not stage.ignores(frame.opcode):
                    result = stage.decode(frame, stage.budget(frame))
                    if type(result) is Frame:
                        frame = stage.check_decoded(frame, result)
                    else:
                        many = stage.decoded(frame, result)
                stage = stage.above
        except BaseException as error:
            assert stage is not None
            stage.fail(error, "decode")
        if many is not None:
            return self._cleared(_finish(self._through(many, stage, True)))
        if frame.rsv:
            self._check_cleared(frame)
        return frame

    async def adecode(self, frame: Frame) -> list[Frame]:
        """`decode` for a pipeline with an asynchronous codec; one call at a time."""
        return await self._afinish(self._incoming(frame), "decode")

    def _incoming(self, frame: Frame) -> _Steps:
        """All the way of a frame from the wire to the application."""
        if self._trace is not None:
            self._trace("in", "wire", frame)
        frames = [frame]
        if self._first_decoder is not None:
            frames = yield from self._through(frames, self._first_decoder, True)
        frames = self._cleared(frames)
        if self.journal is not None:
            self.left = frames
        if self._receiving:
            own = self._own
            frames = [
                item
                for each in frames
                for item in (run_hooks(self._receiving, each) if each.opcode != own else (each,))
            ]
        if self._message_received is not None:
            self._asked = None
            fragments, frames = frames, []
            for each in fragments:
                frames += yield from self._message_received(each)
        if self._trace is not None:
            for each in frames:
                self._trace("in", "app", each)
        return frames

    def _cleared(self, frames: list[Frame]) -> list[Frame]:
        """The frames, none of which has a reserved bit that no extension has handled."""
        for frame in frames:
            if frame.rsv:
                self._check_cleared(frame)
        return frames

    def _check_cleared(self, frame: Frame) -> None:
        wrong = frame.rsv & ~self.rsv_foreign
        if wrong:
            bits = RSV(wrong).names()
            raise RemoteProtocolError(1002, f"{bits} set where no extension handles it")

    # --- both ways ----------------------------------------------------------------------------

    def _through(self, frames: list[Frame], stage: Stage | None, decoding: bool) -> _Steps:
        """Run the stages from ``stage`` on over any number of frames.

        What a codec returns is yielded, and what it stands for is sent back: `_finish` sends it as
        it is, `_afinish` awaits it before if it is an awaitable.
        """
        while stage is not None:
            out: list[Frame] = []
            try:
                for item in frames:
                    self._asked = stage.boundary
                    if decoding:
                        if stage.ignores(item.opcode):
                            out.append(item)
                        else:
                            result = yield stage.decode(item, stage.budget(item))
                            out += stage.decoded(item, result)
                    elif stage.skips(item, self._hints):
                        out.append(item)
                    else:
                        out += stage.encoded((yield stage.encode(item)))
            except BaseException as error:
                stage.fail(error, "decode" if decoding else "encode")
            if self._trace is not None:
                for frame in out:
                    self._trace("in" if decoding else "out", stage.name, frame)
            frames = out
            stage = stage.above if decoding else stage.below
        return frames

    async def _afinish(self, steps: _Steps, doing: str) -> list[Frame]:
        """What `_through` returns where codecs may be asynchronous."""
        wait = self.wait
        result = None
        try:
            while True:
                result = steps.send(result)
                while inspect.isawaitable(result):
                    try:
                        result = await (
                            result if wait is None else wait(result, self._asked, doing)
                        )
                    except FAULTS as error:
                        result = steps.throw(error)
        except StopIteration as done:
            frames: list[Frame] = done.value
            return frames

    def close(self) -> list[Boundary]:
        """Close every codec, exactly once; a codec that fails to close does not stop the others.

        Returns:
            Whose `close` is asynchronous: to be closed with `Boundary.aclose`.
        """
        self._closed = True
        self._receiving = self._sending = ()  # they refer to the session
        self._message_received = self._message_sending = None
        self.wait = None
        for stage in self.stages:
            stage.above = stage.below = None
        boundaries = [stage.boundary for stage in self.stages]
        if self._keeper is not None:
            boundaries.append(self._keeper)
        return [boundary for boundary in boundaries if not boundary.close()]


@lru_cache(maxsize=256)
def _union(opcodes: frozenset[int], *more: int) -> frozenset[int]:
    """A set and some more, shared by all connections: each new one would take 200 bytes."""
    return opcodes.union(more)


def _finish(steps: _Steps) -> list[Frame]:
    """What `Pipeline._through` returns where no codec is asynchronous."""
    result = None
    try:
        while True:
            result = steps.send(result)
    except StopIteration as done:
        frames: list[Frame] = done.value
        return frames


def run_hooks(hooks: Sequence[FrameHook], frame: Frame) -> list[Frame]:
    """Run local interceptors over a frame, each over what the one before it made of it."""
    frames = [frame]
    for hook in hooks:
        out: list[Frame] = []
        for item in frames:
            result = hook(item)
            if result is None:
                out.append(item)
            elif type(result) is Frame:
                out.append(result)
            else:
                out.extend(result)  # type: ignore[arg-type]
        frames = out
    return frames
