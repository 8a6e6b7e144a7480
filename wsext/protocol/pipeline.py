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
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeAlias

from wsext.errors import LocalProtocolError, RemoteProtocolError
from wsext.protocol.boundary import FAULTS
from wsext.protocol.codes import RSV
from wsext.protocol.contract import FrameHook, HistoryLike
from wsext.protocol.epochs import Encoding
from wsext.protocol.frames import Frame
from wsext.protocol.stack import Stack
from wsext.protocol.stage import Stage
from wsext.protocol.wire import frame_header

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Pipeline", "run_hooks"]

#: Yields what codecs return, is sent what that stands for, and returns the frames.
_Steps: TypeAlias = Generator[Any, Any, list[Frame]]


@cython.final
@cython.cclass
class Pipeline(Stack):
    """Runs frames through the stages and hooks of one connection; it is made as a `Stack`."""

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
                opcode, fin = frame.opcode, frame.fin
                if (stage.always and opcode < 8) or not stage.skips_own(frame, self._hints):
                    result = stage.encode(frame)
                    if type(result) is Frame:
                        frame = result
                        stage.check_encoded(opcode, fin, frame)
                    else:
                        many = stage.encoded(opcode, fin, result)
                stage = stage.below
        except BaseException as error:
            assert stage is not None
            stage.fail(error, "encode")
        if many is not None:
            return self._end_encode(_finish(self._through(many, stage, False)))
        if frame.rsv:
            self._check_rsv(frame)
        return frame

    def encode_shared(
        self, frame: Frame, histories: Mapping[int, HistoryLike] | None = None
    ) -> Encoding:
        """A whole message as the bytes that travel on every connection with this `shared_key`.

        Args:
            frame: The message.
            histories: By the number of the stage: what encodes in place of its codec. If one of
                them fails, the connection has not failed.

        Raises:
            ProtocolError: As `encode`.
        """
        hints = frame.hints
        frames, passed, told, told_inside = [frame], [], [], []
        for number, stage in enumerate(self._encoders):
            history = None if histories is None else histories.get(number)
            encode = stage.codec.encode_shared if history is None else history.encode
            passes = False
            out: list[Frame] = []
            try:
                for item in frames:
                    if stage.skips(item, hints):
                        out.append(item)
                        continue
                    passes = True
                    opcode, fin = item.opcode, item.fin
                    out += stage.encoded(opcode, fin, encode(item))
                if stage.sending:
                    raise TypeError("returned a message without its last frame")
            except BaseException as error:
                doing = "encode_shared" if history is None else "SharedHistory.encode"
                if histories is None:
                    stage.fail(error, doing)
                stage.sending = 0
                stage.boundary.report(error, doing)
                raise LocalProtocolError("a history failed", extension=stage.name) from None
            frames = out
            if passes:
                passed.append(number)
                if stage.tells:
                    told.append(number)
                    if history is None:
                        told_inside.append(number)
        wire, size = _joined(self._end_encode(frames))
        return Encoding(wire, size, tuple(passed), tuple(told), tuple(told_inside))

    def skip_shared(self, stages: tuple[int, ...]) -> bool:
        """Tell these stages' codecs that shared frames are sent in place of their own.

        Returns:
            ``False`` if one of them does not allow it; none is told then.

        Raises:
            ProtocolError: If a codec fails; the frames must not be sent.
        """
        for number in stages:
            stage = self._encoders[number]
            if stage.asks:
                try:
                    if not stage.codec.can_share():
                        return False
                except BaseException as error:
                    stage.fail(error, "can_share")
        for number in stages:
            stage = self._encoders[number]
            try:
                stage.codec.skip_shared()
            except BaseException as error:
                stage.fail(error, "skip_shared")
        return True

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
                opcode, fin = frame.opcode, frame.fin
                if opcode < 8 or not stage.ignores(opcode):
                    result = stage.decode(frame, stage.budget(frame))
                    if type(result) is Frame:
                        frame = stage.check_decoded(opcode, fin, frame, result)
                    else:
                        many = stage.decoded(opcode, fin, frame, result)
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
            waits = False
            try:
                for item in frames:
                    self._asked = stage.boundary
                    opcode, fin = item.opcode, item.fin
                    if decoding:
                        if stage.ignores(opcode):
                            out.append(item)
                            continue
                        result = stage.decode(item, stage.budget(item))
                    elif stage.skips_own(item, self._hints):
                        out.append(item)
                        continue
                    else:
                        result = stage.encode(item)
                    waits = True
                    result = yield result
                    waits = False
                    if decoding:
                        out += stage.decoded(opcode, fin, item, result)
                    else:
                        out += stage.encoded(opcode, fin, result)
            except BaseException as error:
                if waits and isinstance(error, GeneratorExit):
                    raise  # nobody waits for the codec any more
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


def _finish(steps: _Steps) -> list[Frame]:
    """What `Pipeline._through` returns where no codec is asynchronous."""
    result = None
    try:
        while True:
            result = steps.send(result)
    except StopIteration as done:
        frames: list[Frame] = done.value
        return frames


def _joined(frames: list[Frame]) -> tuple[bytes, int]:
    """Frames as the bytes on the wire of a server, and how many of them are payload."""
    parts: list[bytes | bytearray | memoryview] = []
    size = 0
    for frame in frames:
        length = len(frame.payload)
        size += length
        parts.append(frame_header(frame.opcode, length, frame.fin, frame.rsv, False))
        parts.append(frame.payload)
    return b"".join(parts), size


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
