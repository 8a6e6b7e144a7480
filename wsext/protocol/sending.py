"""The sending half of an open connection, and its closing handshake, without I/O.

Calls go in, bytes come out of `Sender.data_to_send`. `wsext.protocol.connection` adds the receiving
half. Runs as it is, and compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsext.errors import CloseInfo, LocalProtocolError, ProtocolError
from wsext.protocol.closing import CloseCode, build_close, build_failure, parse_close
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Data, Frame, make_frame
from wsext.protocol.journal import frame_of
from wsext.protocol.leaf import build_frame, size_of
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import CLOSING, FRAGMENTS, Happening, Partial, State, kind_of
from wsext.protocol.wire import MaskSource, payload_size, to_payload, write_apart

__all__ = ["Sender"]

# Python 3.11 makes a call to find a member of an Enum in its class.
_OPEN = State.OPEN
_NONE = Partial.NONE
_SEND_CLOSE, _FAIL, _LOSE = Happening.SEND_CLOSE, Happening.FAIL, Happening.LOSE
_CLOSE, _PONG = int(Opcode.CLOSE), int(Opcode.PONG)
_ENDED = (State.CLOSED, State.FAILED)

# From this size on joining a payload to its header costs more than a second chunk.
_APART_FROM = 16384


class Sender:
    """What a connection sends, and which Close frames have travelled.

    Args:
        role: ``"server"`` or ``"client"``.
        pipeline: The agreed codecs.
        raw: Take frames as they are: no closing handshake of its own.
    """

    def __init__(self, role: str, pipeline: Pipeline, raw: bool) -> None:
        self.role = role
        self.state = _OPEN
        self.raw = raw
        self.pipeline = pipeline
        self.journal = pipeline.journal
        self.failure: BaseException | None = None
        self.local_close: tuple[int, str] | None = None
        self.remote_close: tuple[int, str] | None = None
        self.local_first = False
        #: Totals of data payloads: as the application sees them, and on the wire. What an
        #: interceptor has dropped is in `dropped_bytes_out` alone, 64 more for each frame.
        self.messages_out = self.app_bytes_out = self.wire_bytes_out = self.dropped_bytes_out = 0
        self._masks = MaskSource() if role == "client" else None
        # Mostly there is one chunk to send, and it needs no list.
        self._chunk: bytes | None = None
        self._chunks: list[bytes | memoryview] = []
        #: About how many bytes `data_to_send` has; zero only if it has none.
        self.pending_bytes = 0
        self._sending = _NONE  # fragmentation of what we send
        self._uncounted = 0  # bytes of fragments that an interceptor has, or has dropped
        self._hold_pongs = False
        self._held_pong: bytes | bytearray | memoryview | None = None

    # --- states -------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether data may still be sent."""
        return self.state is _OPEN

    @property
    def is_halfway(self) -> bool:
        """Whether a streamed message is half way: it has begun, and its last frame is missing."""
        return bool(self._sending)

    @property
    def ended(self) -> bool:
        """Whether nothing more will be received or sent."""
        return self.state in _ENDED

    def _go(self, happening: Happening) -> bool:
        """Make a transition; ``False`` when the table has none."""
        state = CLOSING.get((self.state, happening))
        if state is None:
            return False
        self.state = state
        return True

    def close_info(self) -> CloseInfo:
        """How the connection stands or ended, as data."""
        return CloseInfo(
            local=self.local_close,
            remote=self.remote_close,
            clean=self.local_close is not None and self.remote_close is not None,
            exception=self.failure,
            local_first=self.local_first,
        )

    def fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 §7.1.7): send Close with the error's code, if possible."""
        if self.failure is None:
            # Without its traceback, whose frames would hold this connection in a cycle.
            self.failure = error.bare_copy()
        if self.local_close is None and not self.ended:
            reason = error.reason
            if error.extension and isinstance(error, LocalProtocolError):
                reason = "extension failed"  # what it says is for this side
            payload = build_failure(error.code, reason)
            self.local_first = self.remote_close is None
            self.local_close = parse_close(payload)
            self._write(Frame(_CLOSE, payload))
        self._go(_FAIL)

    def lose(self, error: BaseException | None = None, *, unsent: bool = False) -> None:
        """The transport is gone; whatever had not happened by now will not.

        Args:
            error: Why, if it is known.
            unsent: Whether bytes were still waiting for the transport. The Close frame, which is
                always the last frame, has then not left.
        """
        self.journal = None  # whatever a codec still gives does not count
        if not self.ended and error is not None:
            self.failure = self.failure or error
        if self.pending_bytes or unsent:
            self.local_close = None
        self.data_to_send()  # nobody will write it any more
        self._go(_LOSE)
        self.pipeline.close()

    # --- data ---------------------------------------------------------------------------------

    def send_message(
        self,
        data: Data,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Queue one whole message.

        Raises:
            LocalProtocolError: If a streamed message is half way, or a codec fails.
        """
        if self._sending or self.state is not _OPEN:
            opcode, payload = to_payload(data)
            self.send_frame(
                Frame(opcode, payload, True, 0, hints, meta)
            )  # which says what is wrong
            return
        if self.pipeline.passive:
            if type(data) is not str and type(data) is not bytes:
                data = to_payload(data)[1]
            size = self._append(0x81 if type(data) is str else 0x82, data)
            if self.journal is not None:
                if hints is None and meta is None:
                    self.journal.record(data, size)
                else:
                    opcode, payload = to_payload(data)
                    self.journal.record(Frame(opcode, payload, True, 0, hints, meta), size)
            self.messages_out += 1
            self.app_bytes_out += size
            self.wire_bytes_out += size
            return
        if type(data) is str:
            text = data
            frame = make_frame(1, text.encode("utf-8"), True, 0)
        else:
            frame = make_frame(2, data if type(data) is bytes else to_payload(data)[1], True, 0)
        if hints is not None:
            frame.hints = hints
        if meta is not None:
            frame.meta = meta
        self._encode(frame)

    def share_message(self, message: PreparedMessage) -> bytes | None:
        """The bytes of a message that is encoded once for many connections, counted as sent.

        They have to be sent next, with `send_shared` or directly. ``None`` if this connection has
        to encode the message for itself, or may not send now.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        pipeline = self.pipeline
        if (
            pipeline.shared_key is None
            or self._sending
            or self._masks is not None
            or self.state is not _OPEN
        ):
            return None
        try:
            encoding = message.encoding_for(pipeline)
            if encoding is None:
                return None
        except ProtocolError as error:
            self.fail(error)
            raise
        if self.journal is not None:
            self.journal.record(message, message.size)
        self.messages_out += 1
        self.app_bytes_out += message.size
        self.wire_bytes_out += encoding.size
        return encoding.wire

    def send_shared(self, wire: bytes) -> None:
        """Queue what `share_message` gave."""
        self._push(wire)

    def _encode(self, frame: Frame) -> None:
        try:
            encoded = self.pipeline.encode_one(frame)
        except ProtocolError as error:
            self.fail(error)
            raise
        if self.journal is not None:
            self._record(frame)
        if type(encoded) is Frame:
            self._write(encoded)
        else:
            for item in encoded:
                self._write(item)
        if frame.opcode < 8:
            self._count(frame)

    def _count(self, frame: Frame) -> None:
        """Count a data frame of the application that was encoded."""
        size = size_of(frame.payload)
        if self.pipeline.has_dropped:
            self.dropped_bytes_out += size + 64
            self._uncounted = 0 if frame.fin else self._uncounted + size
            return
        self.app_bytes_out += self._uncounted + size
        self._uncounted = 0
        if frame.fin:
            self.messages_out += 1

    def send_frame(self, frame: Frame) -> None:
        """Queue one frame: a fragment of a message, or in raw mode whatever it is.

        Raises:
            LocalProtocolError: If the frame may not be sent now, or a codec fails. A codec's
                failure fails the connection, for its state no longer matches the peer's.
        """
        if frame.opcode == _CLOSE:
            self.send_close(*parse_close(frame.payload))
            return
        self._check_send(frame)
        if self.pipeline.passive:
            if self.journal is not None:
                self._record(frame)
            self._write(frame)
            if frame.opcode < 8:
                self._count(frame)
        else:
            self._encode(frame)

    async def asend_frame(self, frame: Frame) -> bool:
        """`send_frame` for a pipeline with an asynchronous codec; one call at a time.

        Returns:
            ``False`` if the connection has begun to close in the meantime, so that the frame may
            not be sent any more (RFC 6455 §5.5.1).
        """
        if frame.opcode >= 8:
            self.send_frame(frame)
            return True
        self._check_send(frame)
        try:
            frames = await self.pipeline.aencode(frame)
        except ProtocolError as error:
            self.fail(error)
            raise
        if self.state is not _OPEN:
            return False
        if self.journal is not None:
            self._record(frame)
        for item in frames:
            self._write(item)
        self._count(frame)
        return True

    def _check_send(self, frame: Frame) -> None:
        if frame.opcode >= 8:
            if len(frame.payload) > 125 or not frame.fin:
                raise LocalProtocolError("control frames are final and have at most 125 bytes")
            return
        if self.state is not _OPEN:
            raise LocalProtocolError("the closing handshake has begun; no more data can be sent")
        partial = FRAGMENTS.get((self._sending, kind_of(frame.opcode), frame.fin))
        if partial is None:
            raise LocalProtocolError(
                "a streamed message is half way: finish it before another one is sent"
                if self._sending
                else "a continuation frame without a message that it continues"
            )
        self._sending = partial

    # --- the journal --------------------------------------------------------------------------

    def _record(self, frame: Frame) -> None:
        """Keep what has entered the codecs of a frame that was sent."""
        journal, pipeline = self.journal, self.pipeline
        assert journal is not None
        entered, pipeline.entered = pipeline.entered, None
        if entered is None:
            journal.record_frame(frame, frame.hints)
        else:
            for each in entered:
                journal.record_frame(each, frame.hints)
        if frame.opcode < 8 and not (frame.fin and frame.opcode):
            journal.begin(frame)

    def send_again(self) -> None:
        """Queue the next of what an earlier connection has written and the peer has not received.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        frame, is_whole = self._next_again()
        try:
            if self.pipeline.passive:
                frames = [frame]
            elif is_whole:
                frames = self.pipeline.encode_again(frame)
            else:
                frames = self.pipeline.encode(frame)
        except ProtocolError as error:
            self.fail(error)
            raise
        self._write_again(frame, is_whole, frames)

    async def asend_again(self) -> None:
        """`send_again` for a pipeline with an asynchronous codec; one call at a time."""
        frame, is_whole = self._next_again()
        try:
            frames = await self.pipeline.aencode(frame, is_whole)
        except ProtocolError as error:
            self.fail(error)
            raise
        self._write_again(frame, is_whole, frames)

    def _next_again(self) -> tuple[Frame, bool]:
        """What is written again next, and whether it is a whole message, which the interceptors
        have seen. A fragment passes them again: they may have held back the ones before."""
        assert self.journal is not None
        kept = self.journal.next_kept()
        if kept is None:
            return self.journal.next_begun(), False
        return frame_of(kept), True

    def _write_again(self, frame: Frame, is_whole: bool, frames: list[Frame]) -> None:
        if self.journal is None or self.state is not _OPEN:
            return
        entered, self.pipeline.entered = self.pipeline.entered, None
        if not is_whole:
            self._sending = FRAGMENTS[self._sending, kind_of(frame.opcode), False]
            for each in (frame,) if entered is None else entered:
                self.journal.record_frame(each, frame.hints)
        for item in frames:
            self._write(item)

    def send_ack(self) -> None:
        """Tell the peer how many messages the program has taken; nothing once a Close frame was
        sent, or without a journal."""
        if self.journal is None or self.local_close is not None or self.ended:
            return
        frame = make_frame(self.journal.opcode, self.journal.ack_payload(), True, 0)
        try:
            if self.pipeline.passive:
                self._write(frame)
                return
            for item in self.pipeline.encode_again(frame):
                self._write(item)
        except ProtocolError as error:
            self.fail(error)

    # --- control frames -----------------------------------------------------------------------

    def send_control(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        """Queue a ping or a pong. A codec that fails on it fails the connection."""
        if self.local_close is None and not self.ended:
            for frame in self._encoded_control(Frame(opcode, payload)):
                self._write(frame)

    def answer_ping(self, payload: bytes | bytearray | memoryview) -> None:
        """Queue the pong for a ping, or remember it while the peer does not read."""
        if self._hold_pongs:
            self._held_pong = payload
        else:
            self.send_control(_PONG, payload)

    def hold_pongs(self, hold: bool) -> None:
        """Answer no pings while the peer does not read, and only the last one of them afterwards
        (RFC 6455 §5.5.3): pings must not pile up answers."""
        self._hold_pongs = hold
        if not hold and self._held_pong is not None:
            payload, self._held_pong = self._held_pong, None
            self.send_control(_PONG, payload)

    def send_close(self, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        """Begin or finish the closing handshake; ``False`` if a Close frame was sent before.

        Raises:
            ValueError: If the code may not be sent.
        """
        build_close(code, reason)
        if self.local_close is not None or self.ended:
            return False
        self.local_first = self.remote_close is None
        self._send_close(code, reason)
        return True

    def _send_close(self, code: int, reason: str) -> None:
        if self.journal is not None and self.journal.has_news():
            self.send_ack()
        close = Frame(_CLOSE, build_close(code, reason))
        frames = self._encoded_control(close)
        if self.ended:
            return  # a codec has failed, and another Close frame says so
        self.local_close = parse_close(close.payload)
        self._go(_SEND_CLOSE)
        if not any(frame.opcode == _CLOSE for frame in frames):
            frames = [*frames, close]  # nothing may keep it from leaving
        for frame in frames:
            self._write(frame)

    def _encoded_control(self, frame: Frame) -> list[Frame]:
        """A control frame as it travels; nothing if a codec has failed the connection.

        Control frames are never asynchronous: a codec that wants them has to be synchronous.
        """
        if self.pipeline.passive:
            return [frame]
        try:
            return self.pipeline.encode(frame)
        except ProtocolError as error:
            self.fail(error)
            return []

    # --- bytes --------------------------------------------------------------------------------

    def _write(self, frame: Frame) -> None:
        first = (0x80 if frame.fin else 0) | frame.rsv | frame.opcode
        size = self._append(first, frame.payload)
        if frame.opcode < 8:
            self.wire_bytes_out += size

    def _append(self, first: int, data: Data) -> int:
        """Append a frame to what is to be sent; returns the payload's size."""
        masks = self._masks
        if masks is None and len(data) >= _APART_FROM:
            self._make_list()
            size = write_apart(self._chunks, first, data)
            self.pending_bytes += size + 2
            return size
        chunk = build_frame(first, data, None if masks is None else masks.next())
        self._push(chunk)
        return payload_size(len(chunk), masks is not None)

    def _push(self, chunk: bytes) -> None:
        if self.pending_bytes:
            self._make_list()
            self._chunks.append(chunk)
        else:
            self._chunk = chunk
        self.pending_bytes += len(chunk)

    def _make_list(self) -> None:
        """Make room for more than one chunk."""
        if self._chunk is not None:
            self._chunks.append(self._chunk)
            self._chunk = None

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` has something."""
        return self.pending_bytes > 0

    def data_to_send(self) -> list[bytes | memoryview]:
        """The bytes to write to the transport, in order; they are handed out once."""
        self._make_list()
        chunks = self._chunks
        self._chunks = []
        self.pending_bytes = 0
        return chunks

    def take_output(self) -> Any:
        """`data_to_send`, without a list around the only chunk."""
        chunk = self._chunk
        if chunk is None:
            return self.data_to_send()
        self._chunk = None
        self.pending_bytes = 0
        return chunk
