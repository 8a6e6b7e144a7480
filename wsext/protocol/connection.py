"""The open connection, without I/O: bytes in and events out, calls in and bytes out.

Every front (the asyncio server and client, test peers, integrations) gives it what has come and
asks for one event after the other: `Connection.receive`, then `next_event` while ``has_more``. The
events are `Message` objects and control `Frame` objects, in the order of arrival. A frame is
decoded when its event is asked for, so what nobody has asked for costs no more than its bytes.

In the default mode the connection answers pings, reassembles fragments, checks UTF-8 and takes
part in the closing handshake. In raw mode it does none of that: every frame is an event. Runs as it
is, and compiled.
"""

from __future__ import annotations

from typing import Any

from wsext.errors import ProtocolError, RemoteProtocolError
from wsext.protocol.closing import parse_close
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Event, Frame, Message, make_message
from wsext.protocol.joining import Joiner, not_utf8, too_big
from wsext.protocol.leaf import copy_text, size_of
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.sending import Sender
from wsext.protocol.states import FRAGMENTS, Happening, Partial, State, kind_of
from wsext.protocol.wire import FrameParser

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Connection"]

# Python 3.11 makes a call to find a member of an Enum in its class.
_OPEN = State.OPEN
_NONE = Partial.NONE
_RECEIVE_CLOSE = Happening.RECEIVE_CLOSE
_CLOSE, _PING, _PONG = int(Opcode.CLOSE), int(Opcode.PING), int(Opcode.PONG)

# What is done for one connection before its runtime looks at the clock. A frame costs one unit, one
# that codecs decode costs more, and so do the bytes that come out of them.
_UNITS_PER_TURN = 64
_UNITS_PER_DECODING = 8
_UNIT_BITS = 10  # 1 KiB is a unit; a shift costs less than a division


@cython.final
@cython.cclass
class Connection(Sender):
    """One WebSocket connection after its opening handshake.

    Args:
        role: ``"server"`` or ``"client"``.
        pipeline: The agreed codecs.
        max_message_size: The most bytes that a received message may have, decoded (1009 beyond).
        max_frame_size: The most bytes that a received frame may have on the wire; ``None`` for no
            other limit than the message's.
        raw: Hand out every frame as it is: no reassembly, no automatic pong, no closing handshake.

    Attributes:
        has_more: Whether `next_event` may have an event without more bytes.
        streaming: Whether fragments are handed out as they come (streaming receive).
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
        Sender.__init__(self, role, pipeline or Pipeline(max_message_size=max_message_size), raw)
        self.streaming = False
        self.has_more = False
        #: Totals of data payloads: as the application sees them, and on the wire.
        self.messages_in = self.app_bytes_in = self.wire_bytes_in = 0
        #: Frames of every kind received, and pings among them.
        self.frames_in = self.pings_in = 0
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
        self._turn = 0  # units that are left of this turn
        # Whether events were handed out with which nobody may have dealt yet, and what waits for
        # that.
        self._handed_out = False
        self._due: ProtocolError | None = None
        # More frames that a codec made of one, the next one last.
        self._decoded: list[Frame] | None = None
        self._wire_partial = _NONE  # fragmentation on the wire
        self._wire_size = 0
        self._wire_known = True
        self._partial = _NONE  # fragmentation as the application sees it
        self._joiner: Joiner | None = None  # while a message is half way
        # Bytes of the next message that the program has from an earlier connection already.
        self._skip = 0 if self.journal is None else self.journal.skip

    @property
    def held_bytes(self) -> int:
        """Bytes that have come and are not handed out: undecoded, or of an unfinished message."""
        return self.undecoded_bytes + self.partial_bytes

    @property
    def undecoded_bytes(self) -> int:
        """Bytes that were kept to be decoded later."""
        return self._parser.undecoded_bytes

    @property
    def partial_bytes(self) -> int:
        """Bytes of the frame and of the message that are not complete, or not handed out yet."""
        ready = sum([len(frame.payload) for frame in self._decoded or ()])
        joined = self.pipeline.joined_bytes
        joining = 0 if self._joiner is None else self._joiner.held_bytes
        return self._parser.partial_bytes + joined + joining + ready

    def lose(self, error: BaseException | None = None, *, unsent: bool = False) -> None:
        """The transport is gone; whatever had not happened by now will not. See `Sender.lose`."""
        self._discard()
        Sender.lose(self, error, unsent=unsent)

    # --- incoming -----------------------------------------------------------------------------

    def room(self) -> memoryview | None:
        """Where to read to, in the middle of a large payload; otherwise ``None``.

        After that read `receive` has to be called with ``None`` for its data.
        """
        return self._parser.room()

    def receive(self, data: bytes | bytearray | None, size: int = -1) -> Any:
        """Take bytes from the peer; the first event, or ``None``. Never raises for what they are.

        Take the other events with `next_event` while ``has_more``. The turn begins anew.

        Args:
            data: What came. Its buffer may be used again once `next_event` has given ``None``, or
                after `keep`. ``None`` if it was read to where `room` said.
            size: How many bytes of it count; by default all.
        """
        parser = self._parser
        self._turn = _UNITS_PER_TURN
        self._handed_out = False
        if data is None:
            parser.advance(size)
        else:
            pipeline = self.pipeline
            if not self.has_more and self.state is _OPEN and not pipeline.is_async:
                try:
                    parser.direct = self._is_direct()
                    item = parser.only(data, size)
                    if item is not None:
                        return self._take(item)
                except ProtocolError as failure:
                    self._fail_receiving(failure)
                    return None
            parser.put(data, size)
        self.has_more = True
        return None if self.pipeline.is_async else self.next_event()

    def next_event(self) -> Any:
        """The next event of what has come; ``None`` if there is none for now.

        If ``has_more`` is still true, there are two reasons for ``None``. Either the turn is over
        (`is_turn_over`): let others have theirs, call `new_turn`, and go on. Or a Close frame or a
        fault comes next: let the application deal with what came before it, and go on.
        """
        parser = self._parser
        try:
            while self.has_more and self._turn > 0 and self._is_receiving():
                if self._decoded:
                    if self._is_barrier(self._decoded):
                        return None
                    event = self._deliver(self._decoded.pop())
                else:
                    parser.direct = self._is_direct()
                    item = parser.next()
                    if item is None:
                        self.has_more = False
                        return None
                    event = self._take(item)
                if event is not None:
                    self._handed_out = True
                    return event
        except ProtocolError as failure:
            self._fail_receiving(failure)
        return None

    async def anext_event(self) -> Any:
        """`next_event` for a pipeline with an asynchronous codec; one call at a time."""
        parser = self._parser
        parser.direct = False
        try:
            while self.has_more and self._turn > 0 and self._is_receiving():
                if not self._decoded:
                    frame: Any = parser.next()
                    if frame is None:
                        self.has_more = False
                        return None
                    self.frames_in += 1
                    self._turn -= _UNITS_PER_DECODING
                    self._check_wire(frame)
                    self._decoded = await self.pipeline.adecode(frame)
                    self._count_in(self._decoded)
                    self._decoded.reverse()
                    continue
                if self._is_barrier(self._decoded):
                    return None
                event = self._deliver(self._decoded.pop())
                if event is not None:
                    self._handed_out = True
                    return event
        except ProtocolError as failure:
            self._fail_receiving(failure)
        return None

    def store(self, data: bytes | bytearray | None, size: int = -1) -> None:
        """Take bytes from the peer, for whoever asks for events later. As `receive`."""
        if data is None:
            self._parser.advance(size)
        else:
            self._parser.put(data, size)
            self._parser.keep()
        self.has_more = True

    def new_turn(self) -> None:
        """Others have had their turn; `next_event` may work on."""
        self._turn = _UNITS_PER_TURN
        self._handed_out = False

    @property
    def is_turn_over(self) -> bool:
        """Whether enough was done for now, so that other connections have to have their turn."""
        return self._turn <= 0

    def keep(self) -> None:
        """Copy what has come and was not asked for, since its buffer is used again."""
        self._parser.keep()

    def receive_data(self, data: bytes | bytearray | None, size: int = -1) -> list[Event]:
        """`receive`, and every event at once, whatever it costs; for tests and small tools."""
        events: list[Event] = []
        event = self.receive(data, size)
        while event is not None or self.has_more:
            if event is not None:
                events.append(event)
            else:
                self.new_turn()
            event = self.next_event()
        return events

    async def areceive_data(self, data: bytes) -> list[Event]:
        """`receive_data` for a pipeline with an asynchronous codec; one call at a time."""
        events: list[Event] = []
        event = self.receive(data)
        while event is not None or self.has_more:
            if event is not None:
                events.append(event)
            self.new_turn()
            event = await self.anext_event()
        return events

    def _is_receiving(self) -> bool:
        """Whether what has come still counts; what follows a Close frame does not (§1.4)."""
        if self._due is not None:
            failure, self._due = self._due, None
            self._discard()
            self.fail(failure)
            return False
        if self.state is _OPEN or not (self.ended or self.remote_close is not None):
            return True
        self._discard()
        return False

    def _is_barrier(self, frames: list[Frame]) -> bool:
        """Whether a Close frame comes next, and there are events before it to be dealt with."""
        frame = frames[len(frames) - 1]  # compiled, there is no counting from the end
        if frame.opcode != 8 or not self._handed_out:
            return False
        self._handed_out = False
        return True

    def _discard(self) -> None:
        """Throw away what has come."""
        self.has_more = False
        self._decoded = None
        self._parser.clear()

    def _fail_receiving(self, failure: ProtocolError) -> None:
        """Fail, now or once the application has dealt with what came before the fault."""
        self._discard()
        if self.remote_close is not None:
            return  # what follows a Close frame is discarded (RFC 6455 §1.4)
        if self._handed_out and self.state is _OPEN:
            self._handed_out = False
            self._due = failure
            self.has_more = True
        else:
            self.fail(failure)

    def _is_direct(self) -> bool:
        """Whether the parser may make messages of frames."""
        return self.pipeline.passive and not self.raw and not self._partial and not self._skip

    def _count_in(self, result: Any) -> None:
        """Count what has come out of the codecs."""
        journal, pipeline = self.journal, self.pipeline
        if journal is None:
            return
        left, pipeline.left = pipeline.left, None
        if left is not None:
            result = left
        elif type(result) is Frame:
            journal.count_frame(result)
            return
        for each in result:
            journal.count_frame(each)

    def ready_event(self) -> Any:
        """An event of what was decoded already; ``None`` if there is none left. For a connection
        that is about to be lost: what has passed the interceptors does not pass them again."""
        try:
            while self._decoded:
                event = self._deliver(self._decoded.pop())
                if event is not None:
                    return event
        except ProtocolError as failure:
            self.fail(failure)
        return None

    def _take(self, item: Any) -> Any:
        """The event of what the parser gave, if it makes one."""
        self.frames_in += 1
        if type(item) is Message:
            message = item
            if self.journal is not None:
                self.journal.count(message.size)
            self.messages_in += 1
            self.app_bytes_in += message.size
            self._turn -= 1 + (message.size >> _UNIT_BITS)
            return message
        self._turn -= 1
        pipeline = self.pipeline
        frame = item
        if pipeline.passive:
            self._wire_known = False
            if frame.opcode == 8 and self._handed_out:
                self._decoded = [frame]
                return None
            if self.journal is not None:
                self.journal.count_frame(frame)
            return self._deliver(frame)
        self._turn -= _UNITS_PER_DECODING
        opcode = frame.opcode
        if (
            frame.fin
            and (opcode == 1 or opcode == 2)
            and self._wire_known
            and not self._wire_partial
        ):
            self.wire_bytes_in += size_of(frame.payload)  # the parser has kept the limit
        else:
            self._check_wire(frame)
        result = pipeline.decode_one(frame)
        if self.journal is not None:
            self._count_in(result)
        if type(result) is Frame:
            if frame.opcode != 8 or not self._handed_out:
                return self._deliver(result)
            result = (result,)
        decoded = list(result)
        decoded.reverse()
        self._decoded = decoded
        self.has_more = True
        return None

    def _deliver(self, frame: Frame) -> Any:
        """The event of a decoded frame, if it makes one; a whole message takes no detour."""
        opcode = frame.opcode
        is_whole = frame.fin and (opcode == 1 or opcode == 2) and not self._partial
        if is_whole and not self.raw and not self._skip:
            return self._whole(frame)
        return self._deliver_other(frame)

    def _whole(self, frame: Frame) -> Message:
        """A decoded frame that is a whole message as that message."""
        payload = frame.payload
        whole = payload if type(payload) is bytes else bytes(payload)
        size = len(whole)
        if size > self._max_message:
            raise too_big(self._max_message)
        data: str | bytes = whole
        if frame.opcode == 1:
            text = copy_text(whole, 0, size)
            if text is None:
                raise not_utf8()
            data = text
        self.messages_in += 1
        self.app_bytes_in += size
        self._turn -= size >> _UNIT_BITS
        return make_message(data, size, frame.meta)

    def _check_wire(self, frame: Frame) -> None:
        """Fragmentation and size as they are on the wire, before any codec sees the frame."""
        if frame.opcode >= 8:
            return
        if not self._wire_known and not self.raw:
            # A trace was set on a connection that needed no pipeline until now.
            self._wire_known = True
            self._wire_partial = self._partial
            self._wire_size = 0 if self._joiner is None else self._joiner.size
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

    def _deliver_other(self, frame: Frame) -> Any:
        """The event of what is not a whole message."""
        if frame.opcode >= 8:
            return self._deliver_control(frame)
        if self.raw:
            if self.pipeline.passive:
                self._check_wire(frame)
            return frame
        self._partial = _next_partial(self._partial, frame)
        return self._deliver_fragment(frame)

    def _deliver_fragment(self, frame: Frame) -> Message | None:
        """The message that a fragment completes, or a piece of it if it is streamed."""
        joiner = self._joiner
        if joiner is None:
            self._joiner = joiner = Joiner(self._max_message, self._skip)
            self._skip = 0
        message: Message | None = joiner.take(frame, self.streaming, self.journal)
        if frame.fin:
            self._joiner = None
            self.messages_in += 1
            self.app_bytes_in += joiner.size
            self._turn -= joiner.size >> _UNIT_BITS
        return message

    def _deliver_control(self, frame: Frame) -> Frame:
        opcode = frame.opcode
        if opcode == _CLOSE:
            self.remote_close = parse_close(frame.payload)
            self._go(_RECEIVE_CLOSE)
            if not self.raw and self.local_close is None:
                self._send_close(*self.remote_close)
            return frame
        if opcode == _PING and not self.raw:
            self.pings_in += 1
            self.answer_ping(frame.payload)
        elif self.journal is not None and opcode == self.journal.opcode:
            self.journal.take_ack(frame.payload)
        elif opcode > _PONG and not self.raw:
            raise RemoteProtocolError(1002, f"opcode {opcode} means nothing here")
        return frame


def _next_partial(partial: Partial, frame: Frame) -> Partial:
    following = FRAGMENTS.get((partial, kind_of(frame.opcode), frame.fin))
    if following is None:
        raise RemoteProtocolError(
            1002,
            "a new message inside a fragmented one"
            if partial
            else "a continuation frame without a message that it continues",
        )
    return following
