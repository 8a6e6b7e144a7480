"""What a session has sent and received over all of its connections, without I/O.

A `Journal` owns every counter and every kept message of a session that outlives its connection. It
is the only thing that moves from one connection to the next. An extension gives it to a session by
`Codec.journal`; the engine writes into it. ``docs/resuming.md`` has the rules. Runs as it is, and
compiled.

Messages are numbered from 1, in each direction. Of those that this side sends, these are kept::

    1 … acknowledged │ acknowledged+1 … sent │ sent+1 …
     the peer's      │   written, and not    │ to be written again: the connection was lost,
     program has it  │   acknowledged        │ and the peer has not received them
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Protocol

from wsext.errors import RemoteProtocolError
from wsext.protocol.frames import Frame

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Journal", "data_of", "frame_of"]

#: An acknowledgement is due after so many messages, if so many may be kept.
_EVERY = 64

#: What a journal has until it keeps a message: one list for all of them, which stays empty.
_NOTHING: list[Any] = []

#: No acknowledgement has been sent on this connection yet, and one has to be.
_NEVER = -1


class CanCutOff(Protocol):
    """What has the session's connection."""

    def cut_off(self) -> None:
        """Freeze it and drop it."""


@cython.final
@cython.cclass
class Journal:
    """The counters and the kept messages of one session.

    Args:
        opcode: The reserved control opcode that carries acknowledgements.
        window: Seconds that the session is kept without a connection.
        max_bytes: Bytes of sent messages that are kept before more is sent. One message may be
            larger.
        max_messages: How many of them.

    Attributes:
        sent: Messages that this side has sent and the peer has, or will have read when it reads on.
        acknowledged: How many of them the peer's program has taken.
        received: Messages that have come, whole.
        kept_bytes: Bytes of the messages that are kept.
        is_full: Whether so much is kept that nothing new may be sent.
        acks: Acknowledgements that have come, over all connections.
        is_ack_near: Whether so much has come since the last acknowledgement on this connection that
            another one may be due.
        session: The session whose journal it is, once it has started; ``None`` before, and after it
            has ended.
        is_started: Whether there is, or was, such a session.
        peer_received: What the peer has said in the handshake that it has received; for the front,
            set by the extension.
        fresh: Client: why the server did not resume the session before this one; for the front, set
            by the extension.
        claim: For the extension: whose resumption of the session it is, where two come at once.
        owner: What has the session's connection, and cuts it off; see `cut_off`.
        queue: What of the received messages nobody has taken yet.
    """

    __slots__ = (
        "_begun",
        "_begun_bytes",
        "_begun_sent",
        "_bytes",
        "_bytes_told",
        "_every",
        "_is_over",
        "_kept",
        "_lost",
        "_parts",
        "_parts_bytes",
        "_taken",
        "_told",
        "acknowledged",
        "acks",
        "claim",
        "fresh",
        "is_ack_near",
        "is_full",
        "is_started",
        "kept_bytes",
        "max_bytes",
        "max_messages",
        "opcode",
        "owner",
        "peer_received",
        "queue",
        "received",
        "replayed",
        "replayed_bytes",
        "sent",
        "session",
        "skip",
        "window",
    )

    def __init__(
        self,
        opcode: int = 0xB,
        *,
        window: float = 60.0,
        max_bytes: int = 1 << 20,
        max_messages: int = 1024,
    ) -> None:
        self.opcode = opcode
        self.window = window
        self.max_bytes = max_bytes
        self.max_messages = max_messages
        self.sent = self.acknowledged = self.received = 0
        self.kept_bytes = 0
        self.is_full = self.is_ack_near = False
        self.acks = self.replayed = self.replayed_bytes = 0
        self.session: Any = None
        self.is_started = False
        self.peer_received: int | None = None
        self.fresh = ""
        self.claim: Any = None
        self.owner: CanCutOff | None = None
        self.queue: Sized = ()
        # Those after `acknowledged`: text, bytes, Frame, PreparedMessage.
        self._kept: list[Any] = _NOTHING
        self._lost = 0  # the number of the last message that was too large to keep
        # Outgoing fragments of the message that is half way: as the program gave them, and as they
        # entered the codecs.
        self._begun: list[Frame] | None = None
        self._begun_bytes = 0
        self._begun_sent = 0  # how many of them were written on this connection
        self._parts: list[Frame] | None = None
        self._parts_bytes = 0
        # Incoming.
        self.skip = 0  # bytes of the incoming message that is half way that the program has
        self._taken = 0
        self._is_over = False
        self._told = 0  # the last acknowledgement sent on this connection
        self._bytes = self._bytes_told = 0  # of received messages
        self._every = max(1, min(_EVERY, max_messages // 4))

    # --- for extensions -----------------------------------------------------------------------

    def cut_off(self) -> None:
        """Freeze the session's connection and drop it: from now on nothing that it reads or writes
        counts, and `received` is final. Nothing happens where there is none."""
        if self.owner is not None:
            self.owner.cut_off()

    def can_rewind(self, received: int) -> bool:
        """Whether the peer may have received so many messages, and the rest can be sent again."""
        return self.acknowledged <= received <= self.sent and self.is_resumable

    @property
    def is_resumable(self) -> bool:
        """Whether everything is kept that the peer may lack. It is not while a message has not been
        acknowledged that came in fragments and was larger than ``max_bytes``."""
        too_large = self._begun_bytes > self.max_bytes or self._parts_bytes > self.max_bytes
        return self.acknowledged >= self._lost and not too_large

    def unconfirmed(self) -> list[str | bytes]:
        """The messages that were sent and that the peer's program has not taken, as far as is
        known."""
        return [data_of(kept) for kept in self._kept if kept is not None]

    # --- outgoing -----------------------------------------------------------------------------

    def record(self, data: Any, size: int) -> None:
        """Number and keep a whole message that is written now.

        Args:
            data: The text or the bytes as they are, a frame, or a `PreparedMessage`.
            size: Bytes of its payload.
        """
        kept = self._kept
        if kept is _NOTHING:
            kept = self._kept = []
        kept.append(data)
        self.sent += 1
        self.kept_bytes += size
        if type(data) is str:
            text = data
            if len(text) != size:
                self._encode_last(text)
        if self.kept_bytes >= self.max_bytes or len(kept) >= self.max_messages:
            self.is_full = True

    def _encode_last(self, text: str) -> None:
        """Keep a text as bytes, so that its size is known without encoding it."""
        self._kept[len(self._kept) - 1] = Frame(1, text.encode())

    def record_frame(self, frame: Frame, hints: Mapping[str, Any] | None) -> None:
        """As `record`, of a frame that has entered the codecs; a fragment waits for the others.

        Args:
            frame: The frame; a control frame does not count.
            hints: The hints of its message.
        """
        if frame.opcode >= 8:
            return
        size = len(frame.payload)
        if frame.fin and frame.opcode:
            self.record(_copy(frame, hints), size)
            return
        if frame.opcode or self._parts is None:
            self._parts, self._parts_bytes = [], 0
        parts = self._parts
        self._parts_bytes += size
        if self._parts_bytes > self.max_bytes:
            parts.clear()
        else:
            parts.append(_copy(frame, hints))
        if not frame.fin:
            return
        if self._parts_bytes > self.max_bytes:
            self._lost = self.sent + 1
            self.record(None, 0)
        else:
            first = parts[0]
            payload = b"".join([part.payload for part in parts])
            whole = Frame(first.opcode, payload, True, 0, first.hints, first.meta)
            self.record(whole, len(payload))
        self._parts, self._parts_bytes = None, 0

    def begin(self, frame: Frame) -> None:
        """Keep a fragment as the program gave it, until the last one has been written."""
        if frame.fin:
            self._begun, self._begun_bytes, self._begun_sent = None, 0, 0
            return
        if self._begun is None:
            self._begun = []
        self._begun_bytes += len(frame.payload)
        if self._begun_bytes > self.max_bytes:
            self._begun.clear()
        else:
            self._begun.append(_copy(frame, frame.hints))
        self._begun_sent = len(self._begun)

    def take_ack(self, payload: bytes | bytearray | memoryview) -> None:
        """An acknowledgement has come: forget what the peer's program has taken.

        Raises:
            RemoteProtocolError: With 1002, if the number cannot be.
        """
        number = int.from_bytes(payload, "big")
        if not 1 <= len(payload) <= 8 or not self.acknowledged <= number <= self.sent:
            raise RemoteProtocolError(1002, "an acknowledgement of what was not sent")
        count = number - self.acknowledged
        kept = self._kept
        if count == len(kept):  # as when each message is answered
            self.kept_bytes = 0
            kept.clear()
        else:
            for at in range(count):
                self.kept_bytes -= _size_of(kept[at])
            del kept[:count]
        self.acknowledged = number
        self.acks += 1
        self.is_full = self.kept_bytes >= self.max_bytes or len(kept) >= self.max_messages

    # --- incoming -----------------------------------------------------------------------------

    def count(self, size: int) -> None:
        """A whole message has come."""
        self.received += 1
        self._bytes += size
        self._look()

    def count_frame(self, frame: Frame) -> None:
        """A frame has come out of the codecs."""
        if frame.opcode < 8:
            self._bytes += len(frame.payload)
            if frame.fin:
                self.received += 1
            self._look()

    def _look(self) -> None:
        self.is_ack_near = self.received - self._told >= self._every or self._has_quarter()

    def _has_quarter(self) -> bool:
        """Whether a quarter of ``max_bytes`` has come since the last acknowledgement."""
        return self._bytes - self._bytes_told >= max(1, self.max_bytes // 4)

    def taken(self) -> int:
        """How many of the received messages the program has taken."""
        if not self._is_over:
            # An interceptor may make two messages of one; then fewer seem taken for a while.
            self._taken = max(self._taken, self.received - len(self.queue))
        return self._taken

    def take_no_more(self) -> None:
        """The program takes no messages any more: what comes is thrown away, and what waits."""
        self._taken = self.taken()
        self._is_over = True

    def is_ack_due(self) -> bool:
        """Whether the peer is to be told now how many messages were taken."""
        if not self.is_ack_near:
            return False
        news = self.taken() - self._told
        return news >= self._every or (news > 0 and self._has_quarter())

    def has_news(self) -> bool:
        """Whether messages were taken of which the peer has not been told."""
        return self.taken() != self._told

    def is_untold(self) -> bool:
        """Whether messages have come that are not acknowledged, taken or not."""
        return self.received != self._told

    def ack_payload(self) -> bytes:
        """The payload of an acknowledgement that is sent now."""
        self._told = taken = self.taken()
        self._bytes_told = self._bytes
        self._look()
        return taken.to_bytes(max(1, (taken.bit_length() + 7) // 8), "big")

    # --- from one connection to the next ------------------------------------------------------

    @property
    def is_halfway(self) -> bool:
        """Whether fragments were written of a message whose last one was not."""
        return self._begun is not None

    @property
    def is_behind(self) -> bool:
        """Whether something has to be written again before anything new."""
        begun = 0 if self._begun is None else len(self._begun)
        return self.sent < self.acknowledged + len(self._kept) or self._begun_sent < begun

    @property
    def is_holding(self) -> bool:
        """Whether nothing new may be sent for now: so much is kept, or has to be written again."""
        return self.is_full or self.is_behind

    def rewind(self, received: int) -> int:
        """The peer has received so many messages: have the others written again.

        Returns:
            How many these are.

        Raises:
            ValueError: If that cannot be (`can_rewind`); nothing has changed then.
        """
        if not self.can_rewind(received):
            raise ValueError(f"the peer cannot have received {received} messages")
        self.sent = received
        self._begun_sent = 0
        self._told = _NEVER
        return self.acknowledged + len(self._kept) - received

    def next_kept(self) -> Any:
        """The kept message that is written again next, now; ``None`` if none is left."""
        at = self.sent - self.acknowledged
        if at >= len(self._kept):
            return None
        kept = self._kept[at]
        self.sent += 1
        self.replayed += 1
        self.replayed_bytes += _size_of(kept)
        return kept

    def next_begun(self) -> Frame:
        """After the kept messages: the fragment that is written again next, now."""
        assert self._begun is not None
        frame = self._begun[self._begun_sent]
        self._begun_sent += 1
        return frame


def _size_of(kept: Any) -> int:
    """Bytes of a kept message's payload."""
    if type(kept) is str:
        text = kept
        return len(text)
    if type(kept) is bytes:
        return len(kept)
    if type(kept) is Frame:
        return len(kept.payload)
    return 0 if kept is None else int(kept.size)


def frame_of(kept: Any) -> Frame:
    """A kept message as one frame."""
    if type(kept) is Frame:
        return kept
    hints = meta = None
    if type(kept) is not str and type(kept) is not bytes:
        hints, meta, kept = kept.hints, kept.meta, kept.data
    opcode, payload = (1, kept.encode()) if type(kept) is str else (2, kept)
    return Frame(opcode, payload, True, 0, hints, meta)


def data_of(kept: Any) -> str | bytes:
    """A kept message as it was sent."""
    if type(kept) is str or type(kept) is bytes:
        return kept
    if type(kept) is not Frame:
        return kept.data  # type: ignore[no-any-return]
    return str(kept.payload, "utf-8") if kept.opcode == 1 else bytes(kept.payload)


def _copy(frame: Frame, hints: Mapping[str, Any] | None) -> Frame:
    """A frame that nobody else can change."""
    payload = frame.payload if type(frame.payload) is bytes else bytes(frame.payload)
    return Frame(frame.opcode, payload, frame.fin, 0, frame.hints or hints, frame.meta)
