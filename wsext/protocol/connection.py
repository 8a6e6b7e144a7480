"""The open connection, without I/O: bytes in and events out, calls in and bytes out.

Every front (the asyncio server and client, test peers, integrations) feeds `receive_data`, reads
the events that it returns, and writes what `data_to_send` gives. The events are `Message` objects
and control `Frame` objects, in the order of arrival.

In the default mode the connection answers pings, reassembles fragments, checks UTF-8 and takes
part in the closing handshake. In raw mode it does none of that: every frame is an event.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from wsext.errors import CloseInfo, LocalProtocolError, ProtocolError, RemoteProtocolError
from wsext.protocol.closing import CloseCode, build_close, parse_close
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Data, Event, Frame, Message, make_frame, make_message
from wsext.protocol.leaf import build_frame, copy_text, size_of
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import CLOSING, FRAGMENTS, Happening, Kind, Partial, State
from wsext.protocol.wire import FrameParser, MaskSource, payload_size, to_payload, write_apart

__all__ = ["Connection"]

_OPEN = State.OPEN
_ENDED = (State.CLOSED, State.FAILED)

# From this size on joining a payload to its header costs more than a second chunk.
_APART_FROM = 16384


class Connection:
    """One WebSocket connection after its opening handshake.

    Args:
        role: ``"server"`` or ``"client"``.
        pipeline: The agreed codecs.
        max_message_size: The most bytes that a received message may have, decoded (1009 beyond).
        max_frame_size: The most bytes that a received frame may have on the wire; ``None`` for no
            other limit than the message's.
        raw: Hand out every frame as it is: no reassembly, no automatic pong, no closing handshake.
    """

    def __init__(
        self,
        role: str,
        pipeline: Pipeline | None = None,
        *,
        max_message_size: int = 1 << 20,
        max_frame_size: int | None = None,
        raw: bool = False,
    ) -> None:
        self.role = role
        self.state = State.OPEN
        self.raw = raw
        self.pipeline = pipeline or Pipeline(max_message_size=max_message_size)
        self.failure: BaseException | None = None
        self.local_close: tuple[int, str] | None = None
        self.remote_close: tuple[int, str] | None = None
        self.local_first = False
        #: Hand out fragments as they come instead of whole messages (streaming receive).
        self.streaming = False
        #: Set when a pong was among the events; who looks for pongs clears it.
        self.saw_pong = False
        self._hold_pongs = False
        self._held_pong: bytes | bytearray | memoryview | None = None
        #: Totals of data payloads: as the application sees them, and on the wire.
        self.messages_in = self.messages_out = 0
        self.app_bytes_in = self.app_bytes_out = 0
        self.wire_bytes_in = self.wire_bytes_out = 0
        #: Pings received.
        self.pings_in = 0
        self._masks = MaskSource() if role == "client" else None
        self._max_message = max_message_size
        self._wire_limit = self.pipeline.wire_limit
        self._parser = FrameParser(
            masked=role == "server",
            max_size=min(max_frame_size or self._wire_limit, self._wire_limit),
            rsv_first=self.pipeline.rsv_first,
            rsv_rest=self.pipeline.rsv_rest,
            rsv_control=self.pipeline.rsv_control,
            opcodes=self.pipeline.opcodes,
        )
        # Mostly there is one chunk to send, and it needs no list.
        self._chunk: bytes | None = None
        self._chunks: list[bytes | memoryview] = []
        #: About how many bytes `data_to_send` has; zero only if it has none.
        self.pending_bytes = 0
        self._wire_partial = Partial.NONE  # fragmentation on the wire
        self._wire_size = 0
        self._wire_known = True
        self._partial = Partial.NONE  # fragmentation as the application sees it
        self._buffer = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._buffered_first = True
        self._meta: Mapping[str, Any] | None = None
        self._size = 0
        self._sending = Partial.NONE  # fragmentation of what we send

    # --- states -------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether data may still be sent."""
        return self.state is _OPEN

    @property
    def ended(self) -> bool:
        """Whether nothing more will be received or sent."""
        return self.state in _ENDED

    @property
    def held_bytes(self) -> int:
        """Bytes of a fragmented message that wait for its end."""
        return len(self._buffer)

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
        self.failure = self.failure or error
        if self.local_close is None and not self.ended:
            code, reason = error.code, error.reason
            self.local_first = self.remote_close is None
            self.local_close = (code, reason)
            self._write(Frame(Opcode.CLOSE, build_close(code, reason)))
        self._go(Happening.FAIL)

    def lose(self, error: BaseException | None = None) -> None:
        """The transport is gone; whatever had not happened by now will not."""
        if not self.ended and error is not None:
            self.failure = self.failure or error
        self._go(Happening.LOSE)
        self.pipeline.close()

    # --- incoming -----------------------------------------------------------------------------

    def room(self) -> memoryview | None:
        """Where to read to, in the middle of a large payload; otherwise ``None``.

        After that read `receive_data` has to be called with ``None`` for its data.
        """
        return self._parser.room()

    def receive_data(self, data: bytes | bytearray | None, size: int = -1) -> list[Event]:
        """Take bytes from the peer; return what they mean. Never raises for what a peer sent.

        Args:
            data: What came; it is not kept. ``None`` if it was read to where `room` said.
            size: How many bytes of it count; by default all.
        """
        result = self.receive(data, size)
        return [result] if type(result) is Message else result

    def receive(self, data: bytes | bytearray | None, size: int = -1) -> Any:
        """`receive_data`, without a list around the only message: most reads have just that."""
        events: list[Event] | None = None
        parser = self._parser
        pipeline = self.pipeline
        if self.state is not _OPEN and (self.ended or self.remote_close is not None):
            return []
        parser.direct = pipeline.passive and not self.raw and not self._partial
        frames_in = parser.frames_in
        try:
            item = None if data is None else parser.only(data, size)
            if type(item) is Message:
                self._count_messages()
                return item
            if item is not None and not pipeline.passive:
                self._check_wire(item)
                item = pipeline.decode_one(item)
                if type(item) is Frame and self._is_whole(item):
                    return self._whole(item)
                events = []
                self._deliver([item] if type(item) is Frame else item, events)
                return events
            events = []
            frames: list[Any] = [] if item is None else [item]
            try:
                if data is None:
                    parser.advance(size, frames)
                elif item is None:
                    parser.feed(data, frames, size)
            finally:
                self._count_messages()
                if parser.frames_in == frames_in:
                    events = frames
                else:
                    self._decode(frames, events)
        except ProtocolError as failure:
            if self.remote_close is None:  # what follows a Close frame is discarded (RFC 6455 §1.4)
                self.fail(failure)
        return [] if events is None else events

    def _count_messages(self) -> None:
        """Count the whole messages that were made by the parser."""
        parser = self._parser
        if parser.messages_in:
            self.messages_in += parser.messages_in
            self.app_bytes_in += parser.bytes_in
            parser.messages_in = 0
            parser.bytes_in = 0

    def _decode(self, frames: list[Any], events: list[Event]) -> None:
        """Decode and deliver frames up to a Close frame.

        The list is used up, so that a large payload is freed once its text is decoded.
        """
        pipeline = self.pipeline
        if pipeline.passive:
            self._wire_known = False
            self._deliver(frames, events)
            return
        frames.reverse()
        while frames:
            if self.state is not _OPEN and (self.ended or self.remote_close is not None):
                break
            frame = frames.pop()
            self._check_wire(frame)
            decoded = pipeline.decode_one(frame)
            if type(decoded) is Frame:
                self._deliver_frame(decoded, events)
            else:
                self._deliver(decoded, events)

    def _deliver(self, frames: list[Any], events: list[Event]) -> None:
        """Deliver decoded frames up to a Close frame."""
        frames.reverse()
        while frames:
            item = frames.pop()
            if type(item) is Message:
                events.append(item)
                continue
            self._deliver_frame(item, events)
            if self.remote_close is not None or self.ended:
                break

    def _deliver_frame(self, frame: Frame, events: list[Event]) -> None:
        """Deliver a decoded frame; a whole message takes no detour."""
        if self._is_whole(frame):
            events.append(self._whole(frame))
        else:
            self._deliver_other(frame, events)

    def _is_whole(self, frame: Frame) -> bool:
        """Whether a decoded frame is a whole message."""
        opcode = frame.opcode
        return frame.fin and (opcode == 1 or opcode == 2) and not self._partial and not self.raw

    def _whole(self, frame: Frame) -> Message:
        """A decoded frame that is a whole message as that message."""
        payload = frame.payload
        whole = payload if type(payload) is bytes else bytes(payload)
        size = len(whole)
        if size > self._max_message:
            raise self._too_big()
        data: str | bytes = whole
        if frame.opcode == 1:
            text = copy_text(whole, 0, size)
            if text is None:
                raise _not_utf8()
            data = text
        self.messages_in += 1
        self.app_bytes_in += size
        return make_message(data, size, frame.meta)

    async def areceive_data(self, data: bytes) -> list[Event]:
        """`receive_data` for a pipeline with an asynchronous codec; one call at a time."""
        events: list[Event] = []
        frames: list[Any] = []
        if self.ended or self.remote_close is not None:
            return events
        self._parser.direct = False
        try:
            try:
                self._parser.feed(data, frames)
            finally:
                for frame in frames:
                    if self.ended or self.remote_close is not None:
                        break
                    self._check_wire(frame)
                    self._deliver(await self.pipeline.adecode(frame), events)
        except ProtocolError as failure:
            if self.remote_close is None:  # what follows a Close frame is discarded (RFC 6455 §1.4)
                self.fail(failure)
        return events

    def _check_wire(self, frame: Frame) -> None:
        """Fragmentation and size as they are on the wire, before any codec sees the frame."""
        if frame.opcode >= 8:
            return
        if not self._wire_known and not self.raw:
            # A trace was set on a connection that needed no pipeline until now.
            self._wire_known = True
            self._wire_partial, self._wire_size = self._partial, self._size
        opcode = frame.opcode
        size = size_of(frame.payload)
        self.wire_bytes_in += size
        if frame.fin and (opcode == 1 or opcode == 2) and not self._wire_partial:
            self._wire_size = size
        else:
            self._wire_size = size if opcode else self._wire_size + size
            self._wire_partial = _next_partial(self._wire_partial, frame)
        if self._wire_size > self._wire_limit:
            raise RemoteProtocolError(1009, f"message of more than {self._wire_limit} bytes")

    def _deliver_other(self, frame: Frame, events: list[Event]) -> None:
        """Deliver what is not a whole message."""
        if frame.opcode >= 8:
            self._deliver_control(frame, events)
        elif self.raw:
            if self.pipeline.passive:
                self._check_wire(frame)
            events.append(frame)
        else:
            self._partial = _next_partial(self._partial, frame)
            self._deliver_fragment(frame, events)

    def _deliver_fragment(self, frame: Frame, events: list[Event]) -> None:
        if frame.opcode:
            if frame.opcode > 2:
                raise RemoteProtocolError(1002, f"opcode {frame.opcode} means nothing here")
            self._size = 0
            self._meta = frame.meta
            self._buffered_first = True
            self._buffer.clear()
            is_text = frame.opcode == Opcode.TEXT
            self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        if frame.meta is not None:
            self._meta = frame.meta
        self._size += len(frame.payload)
        if self._size > self._max_message:
            raise self._too_big()
        text = ""
        if self._decoder is not None:
            try:
                text = self._decoder.decode(bytes(frame.payload), frame.fin)
            except UnicodeDecodeError:
                raise _not_utf8() from None
        if self.streaming:
            self._deliver_streamed(frame, text, events)
            return
        # The bytes are kept, not the text: a thousand one-byte fragments must not cost more.
        self._buffer += frame.payload
        if frame.fin:
            whole = bytes(self._buffer)
            self._buffer.clear()
            data = str(whole, "utf-8") if self._decoder is not None else whole
            self._finish(Message(data, self._size, self._meta), events)

    def _deliver_streamed(self, frame: Frame, text: str, events: list[Event]) -> None:
        data: str | bytes = bytes(frame.payload) if self._decoder is None else text
        if self._buffer:  # what came before streaming was asked for
            # Undecoded ends of characters are in the decoder and in `text`, so cut them here.
            before = bytes(self._buffer)
            self._buffer.clear()
            if isinstance(data, str):
                data = before.decode("utf-8", "ignore") + data
            else:
                data = before + data
        message = Message(data, len(frame.payload), self._meta, frame.fin, self._buffered_first)
        self._buffered_first = False
        if frame.fin:
            self._finish(message, events)
        elif data or message.first:
            events.append(message)

    def _finish(self, message: Message, events: list[Event]) -> None:
        self.messages_in += 1
        self.app_bytes_in += self._size
        self._meta = None
        self._decoder = None
        events.append(message)

    def _deliver_control(self, frame: Frame, events: list[Event]) -> None:
        opcode = frame.opcode
        if opcode == Opcode.CLOSE:
            self.remote_close = parse_close(frame.payload)
            self._go(Happening.RECEIVE_CLOSE)
            events.append(frame)
            if not self.raw and self.local_close is None:
                self._send_close(*self.remote_close)
            return
        if opcode == Opcode.PING and not self.raw:
            self.pings_in += 1
            if self._hold_pongs:
                self._held_pong = frame.payload
            else:
                self.send_control(Opcode.PONG, frame.payload)
        elif opcode == Opcode.PONG:
            self.saw_pong = True
        elif opcode > Opcode.PONG and not self.raw:
            raise RemoteProtocolError(1002, f"opcode {opcode} means nothing here")
        events.append(frame)

    def _too_big(self) -> RemoteProtocolError:
        return RemoteProtocolError(1009, f"message of more than {self._max_message} bytes")

    # --- outgoing -----------------------------------------------------------------------------

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
            if type(data) is str:
                size = self._append(0x81, data)
            else:
                size = self._append(0x82, data if type(data) is bytes else to_payload(data)[1])
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
        self.messages_out += 1
        self.app_bytes_out += size_of(frame.payload)
        self._encode(frame)

    def share_message(self, message: PreparedMessage) -> bytes | None:
        """The bytes of a message that is encoded once for many connections, counted as sent.

        They have to be sent next, with `send_shared` or directly. ``None`` if this connection has
        to encode the message for itself, or may not send now.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        pipeline = self.pipeline
        key = pipeline.shared_key
        if key is None or self._sending or self._masks is not None or self.state is not _OPEN:
            return None
        try:
            shared = message.shared.get(key)
            if shared is None:
                shared = message.share(pipeline)
            wire, size, stages = shared
            if stages:
                pipeline.skip_shared(stages)
        except ProtocolError as error:
            self.fail(error)
            raise
        self.messages_out += 1
        self.app_bytes_out += message.size
        self.wire_bytes_out += size
        return wire

    def send_shared(self, wire: bytes) -> None:
        """Queue what `share_message` gave."""
        self._push(wire)

    def _encode(self, frame: Frame) -> None:
        try:
            encoded = self.pipeline.encode_one(frame)
        except ProtocolError as error:
            self.fail(error)
            raise
        if type(encoded) is Frame:
            self._write(encoded)
        else:
            for item in encoded:
                self._write(item)

    def send_frame(self, frame: Frame) -> None:
        """Queue one frame: a fragment of a message, or in raw mode whatever it is.

        Raises:
            LocalProtocolError: If the frame may not be sent now, or a codec fails. A codec's
                failure fails the connection, for its state no longer matches the peer's.
        """
        if frame.opcode == Opcode.CLOSE:
            self.send_close(*parse_close(frame.payload))
            return
        self._check_send(frame)
        if self.pipeline.passive:
            self._write(frame)
        else:
            self._encode(frame)

    async def asend_frame(self, frame: Frame) -> None:
        """`send_frame` for a pipeline with an asynchronous codec; one call at a time."""
        if frame.opcode >= 8:
            self.send_frame(frame)
            return
        self._check_send(frame)
        try:
            frames = await self.pipeline.aencode(frame)
        except ProtocolError as error:
            self.fail(error)
            raise
        for item in frames:
            self._write(item)

    def _check_send(self, frame: Frame) -> None:
        if frame.opcode >= 8:
            if len(frame.payload) > 125 or not frame.fin:
                raise LocalProtocolError("control frames are final and have at most 125 bytes")
            return
        if self.state is not State.OPEN:
            raise LocalProtocolError("the closing handshake has begun; no more data can be sent")
        partial = FRAGMENTS.get((self._sending, _kind(frame.opcode), frame.fin))
        if partial is None:
            raise LocalProtocolError(
                "a streamed message is half way: finish it before another one is sent"
                if self._sending
                else "a continuation frame without a message that it continues"
            )
        self._sending = partial
        self.app_bytes_out += len(frame.payload)
        if frame.fin:
            self.messages_out += 1

    def send_control(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        """Queue a ping or a pong."""
        if self.local_close is None and not self.ended:
            self._send_through(Frame(opcode, payload))

    def hold_pongs(self, hold: bool) -> None:
        """Answer no pings while the peer does not read, and only the last one of them afterwards
        (RFC 6455 §5.5.3): pings must not pile up answers."""
        self._hold_pongs = hold
        if not hold and self._held_pong is not None:
            payload, self._held_pong = self._held_pong, None
            self.send_control(Opcode.PONG, payload)

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
        payload = build_close(code, reason)
        self.local_close = parse_close(payload)
        self._go(Happening.SEND_CLOSE)
        self._send_through(Frame(Opcode.CLOSE, payload))

    def _send_through(self, frame: Frame) -> None:
        # Control frames are never asynchronous: a codec that wants them has to be synchronous.
        if self.pipeline.passive:
            self._write(frame)
        else:
            for item in self.pipeline.encode(frame):
                self._write(item)

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


def _kind(opcode: int) -> int:
    return opcode if opcode < 3 else Kind.OTHER


def _next_partial(partial: Partial, frame: Frame) -> Partial:
    following = FRAGMENTS.get((partial, _kind(frame.opcode), frame.fin))
    if following is None:
        raise RemoteProtocolError(
            1002,
            "a new message inside a fragmented one"
            if partial
            else "a continuation frame without a message that it continues",
        )
    return following


def _not_utf8() -> RemoteProtocolError:
    return RemoteProtocolError(1007, "text is not valid UTF-8")
