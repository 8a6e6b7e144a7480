"""What transforms the frames of one connection: a codec.

    class Upper(MessageCodec):
        def encode_message(self, data: bytes) -> bytes:
            return data.upper()

`MessageCodec` is the easy path, for whole messages; `Codec` sees every frame. For integrity and
encryption there is `wsext.SealedCodec`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wsext.errors import RemoteProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import RSV, Opcode
from wsext.protocol.frames import Frame
from wsext.protocol.journal import Journal

__all__ = ["Codec", "MessageCodec", "MessageInfo", "SharedHistory"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _default(method: _F) -> _F:
    """Mark a method that does nothing: where a codec has it, the core need not call it."""
    method.default = method  # type: ignore[attr-defined]
    return method


class SharedHistory:
    """What encodes the messages to a group, for all connections that can follow; see
    `Codec.make_history`.

    It belongs to no connection: it outlives the one whose codec has made it, and must not refer to
    that codec.
    """

    def encode(self, frame: Frame) -> Frame | Iterable[Frame]:
        """The next message of the group, whole, as frames.

        The first message refers to nothing before, so that every peer can decode it, whatever its
        decoder remembers. Each later one may refer to all since then.

        The core sends it to those connections that were sent all messages of the history so far,
        and nothing else between that their codec has encoded. It may be sent later than others, or
        to none. If this raises an exception, that is logged; the history is closed, and messages
        are encoded without one.
        """
        raise NotImplementedError

    @property
    def held_bytes(self) -> int:
        """Bytes that it holds now; 0, the default, where it does not tell."""
        return 0

    def close(self) -> None:
        """Free what it holds; called exactly once."""


class Codec:
    """The state of one connection; the default passes every frame through.

    Override `encode`, `decode` or both. They may be ``async def``: the core then keeps the order
    of messages per direction. To fail the connection, raise `RemoteProtocolError` with a close
    code; a `ValueError` while decoding becomes 1007 and anything else 1011. Data that a codec
    failed on is never passed on.

    Attributes:
        rsv: The reserved bits that the extension claims. The core sets it before the first frame.
        control_frames: Whether control frames pass this codec, too. Such a codec has to be
            synchronous. The default is ``False``.
        first_frame_rsv: Whether the claimed bits may stand on a message's first frame only, as RFC
            7692 §6 has it. The core then refuses them on continuations before the codec is asked.
            The default is ``False``.
        mandatory: Whether every message has to pass this codec: `wants` is not asked then, and a
            `MessageCodec` refuses a message without the extension's bits with 1002. Without it,
            whoever clears a bit on the way has the message passed on as it is. The default is
            ``False``.
        has_history: Whether the peer of this connection can follow a `SharedHistory` of a codec
            with the same `share_key`: its decoder keeps what it has decoded. It does not change
            while the connection lasts. The default is ``False``.
        journal: What the session has sent and received, if it is to outlive its connection. At most
            one codec of a connection has one. The extension's `opcodes` have the journal's.
    """

    rsv: RSV = RSV.NONE
    control_frames: bool = False
    first_frame_rsv: bool = False
    mandatory: bool = False
    has_history: bool = False
    journal: Journal | None = None

    @property
    def share_key(self) -> Hashable | None:
        """Equal keys on two connections: `encode_shared` makes equal frames of equal messages.

        ``None``, the default, means that they may differ. A broadcast is encoded once per key, so
        equal keys mean equal `wants`, too, and a key does not change while the connection lasts.
        """
        return None

    @_default
    def encode(self, frame: Frame) -> Frame | Iterable[Frame] | Awaitable[Frame | Iterable[Frame]]:
        """An outgoing frame as 0..n frames."""
        return frame

    @_default
    def encode_shared(
        self, frame: Frame
    ) -> Frame | Iterable[Frame] | Awaitable[Frame | Iterable[Frame]]:
        """A whole message as frames for every connection whose codec has the same `share_key`.

        The frames must not depend on what this connection has sent, and making them must not change
        what the codec remembers. The default is `encode`, which is right for a codec that keeps
        nothing from one message to the next. It is not called while a streamed message is half way,
        nor without a `share_key`.
        """
        return self.encode(frame)

    @_default
    def can_share(self) -> bool:
        """Whether frames from `encode_shared` can be sent on this connection now.

        If not, the core calls `encode` for this message, as without a `share_key`. The default is
        ``True``. A codec says ``False`` as long as the peer's decoder could not follow: for
        example, because it first has to see the beginning of a stream.
        """
        return True

    @_default
    def skip_shared(self) -> None:
        """Frames from `encode_shared` are sent on this connection; called instead of `encode`.

        It is called for the codec of every receiver, also for the one that encoded. A codec that
        keeps a history has to bring it to where the peer's decoder will be after these frames. If
        the peer's decoder keeps its own history, it is enough to forget this one.

        Of a `SharedHistory` it is called with the first message that is sent here, and not with
        those that follow.
        """

    def make_history(self) -> SharedHistory:
        """A new history, for messages to many connections whose codecs have the same `share_key`
        and say `has_history`. Called now and then, on any of them.

        While a connection follows a history, what this codec encodes for it alone ends that: it
        begins with `encode` as after `skip_shared`, and follows a later history. The core rather
        sends a small message as it is, if the codec can be left out: if `wants` says so with
        ``{"compress": False}``.
        """
        raise NotImplementedError

    @_default
    def decode(
        self, frame: Frame, budget: int
    ) -> Frame | Iterable[Frame] | Awaitable[Frame | Iterable[Frame]]:
        """An incoming frame as 0..n frames.

        Clear the reserved bits that you handled. ``budget`` is how many bytes the frame's message
        may still grow to, over all its fragments: stop before you make more, and raise
        `RemoteProtocolError` with 1009.
        """
        return frame

    @_default
    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        """Whether an outgoing message is to pass this codec; asked once, before `encode`.

        A `mandatory` codec is not asked.

        Args:
            frame: The message's first frame; ``frame.fin`` tells whether it is the whole message.
            hints: What the sender said: ``send(data, hints={"compress": False})``.
        """
        return True

    def encoded_bound(self, size: int) -> int:
        """The most bytes that a message of ``size`` bytes may have after `encode`.

        The core derives from it how large a message may be on the wire.
        """
        return size + 1024

    @property
    def held_bytes(self) -> int:
        """Bytes that the codec holds now for this connection, for who looks after memory (`Held`);
        0, the default, where it does not tell."""
        return 0

    def close(self) -> Awaitable[None] | None:
        """Free what the codec holds. Called exactly once, whatever happened before.

        It may be ``async def`` where it can be awaited: on servers, clients and under uvicorn. It
        then gets ``codec_timeout`` or ``close_timeout``, whichever is shorter. A plain
        ``websockets`` server or client cannot use such a codec; who runs a `Connection` without
        I/O awaits `Boundary.aclose` of what `Pipeline.close` returns.
        """
        return None


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """What a `MessageCodec` may know of the message that it works on, besides the data.

    Attributes:
        opcode: 1 for a text message, 2 for a binary one, or an opcode that an extension claims.
        rsv: The reserved bits that are set on it, as a number; compare with `RSV`. Outgoing, these
            are the bits of the extensions above; the codec's own are added afterwards. Incoming,
            its own are among them.
        hints: What the sender said: ``send(data, hints={"compress": False})``. Empty on an incoming
            message: hints are never sent.
        meta: The metadata beside it: ``send(data, meta={...})``. Empty on an incoming message,
            unless an extension below has found some.
    """

    opcode: int
    rsv: int = 0
    hints: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """``"text"`` or ``"binary"``."""
        return "text" if self.opcode == Opcode.TEXT else "binary"


def _info(first: Frame | None, method: str) -> MessageInfo:
    if first is None:
        raise RuntimeError(f"there is a message to ask about only while {method} runs")
    return MessageInfo(first.opcode, first.rsv, first.hints or {}, first.meta or {})


class _Parts:
    """The fragments of the message that is half way, in one direction."""

    __slots__ = ("_data", "_first")

    def __init__(self) -> None:
        self._first: Frame | None = None
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def add(self, frame: Frame) -> tuple[Frame, bytes] | None:
        """Add a fragment; the message's first frame and all of its data, once it is complete."""
        if frame.opcode:
            self._first, self._data = frame, bytearray()
        self._data += frame.payload
        if not frame.fin or self._first is None:
            return None
        whole = self._first, bytes(self._data)
        self._first, self._data = None, bytearray()
        return whole


class MessageCodec(Codec):
    """The easy path: transform whole messages.

    The base class joins fragments, sets and clears the reserved bits, passes control frames on as
    they are and enforces the limit. A message without the extension's bits is passed on untouched,
    or refused with 1002 if the codec is `mandatory`. An extension that claims no bit transforms
    every message.

    `outgoing_info` and `incoming_info` tell more of the message: its type, reserved bits, hints and
    metadata.

    Attributes:
        rsv: The reserved bits that the extension claims, and that mark a message which
            `encode_message` has made. The core sets it before the first frame.
        control_frames: Leave it ``False``: this class passes control frames on as they are.
        first_frame_rsv: ``True``: a mark on a continuation is refused with 1002.
        mandatory: Whether an unmarked message is refused with 1002. The default is ``False``.
        has_history: Whether the peer can follow a `SharedHistory` (see `Codec`).
        journal: Leave it ``None``: a codec that has one does nothing else (see `Codec`).
    """

    first_frame_rsv = True

    def __init__(self) -> None:
        self._outgoing = _Parts()
        self._incoming = _Parts()
        self._marked = False
        # The first frames of the messages that are being encoded and decoded just now.
        self._outgoing_first: Frame | None = None
        self._incoming_first: Frame | None = None

    @property
    def outgoing_info(self) -> MessageInfo:
        """The message that `encode_message` works on.

        Raises:
            RuntimeError: If it is read while `encode_message` does not run.
        """
        return _info(self._outgoing_first, "encode_message")

    @property
    def incoming_info(self) -> MessageInfo:
        """The message that `decode_message` works on.

        Raises:
            RuntimeError: If it is read while `decode_message` does not run.
        """
        return _info(self._incoming_first, "decode_message")

    @property
    def held_bytes(self) -> int:
        return len(self._outgoing) + len(self._incoming)

    def encode_message(self, data: bytes) -> bytes | Awaitable[bytes | None] | None:
        """A whole outgoing message, encoded; ``None`` sends it as it is, unmarked.

        Return ``None`` only if no state was changed, and only with a reserved bit: without one
        the peer cannot tell. A `mandatory` codec never does. To decide by size or hints, override
        `wants`.
        """
        return data

    def decode_message(self, data: bytes, budget: int) -> bytes | Awaitable[bytes]:
        """A whole incoming message, decoded, of at most ``budget`` bytes.

        Raise `RemoteProtocolError` with 1009 if it would be larger.
        """
        return data

    def encode(self, frame: Frame) -> Frame | Iterable[Frame] | Awaitable[Frame | Iterable[Frame]]:
        if frame.is_control:
            return frame
        if frame.opcode and frame.fin:
            first, data = frame, bytes(frame.payload)
        else:
            whole = self._outgoing.add(frame)
            if whole is None:
                return ()
            first, data = whole
        self._outgoing_first = first
        encoded = self.encode_message(data)
        if isinstance(encoded, Awaitable):
            return self._finish_encode(first, data, encoded)
        return self._marked_frame(first, data, encoded)

    async def _finish_encode(
        self, first: Frame, data: bytes, encoded: Awaitable[bytes | None]
    ) -> Frame:
        return self._marked_frame(first, data, await encoded)

    def _marked_frame(self, first: Frame, data: bytes, encoded: bytes | None) -> Frame:
        self._outgoing_first = None
        if encoded is None:
            if self.mandatory:
                raise TypeError("encode_message() of a mandatory codec returned None")
            return first.replace(payload=data, fin=True)
        return first.replace(payload=encoded, fin=True, rsv=first.rsv | int(self.rsv))

    def decode(
        self, frame: Frame, budget: int
    ) -> Frame | Iterable[Frame] | Awaitable[Frame | Iterable[Frame]]:
        if frame.is_control:
            return frame
        if frame.opcode:
            self._marked = not self.rsv or bool(frame.rsv & int(self.rsv))
        if not self._marked:
            if self.mandatory:
                raise RemoteProtocolError(CloseCode.PROTOCOL_ERROR, "the message is not marked")
            return frame
        if frame.opcode and frame.fin:
            first, data = frame, bytes(frame.payload)
        else:
            whole = self._incoming.add(frame)
            if whole is None:
                return ()
            first, data = whole
        self._incoming_first = first
        decoded = self.decode_message(data, budget)
        if isinstance(decoded, Awaitable):
            return self._finish_decode(first, decoded)
        return self._cleared_frame(first, decoded)

    async def _finish_decode(self, first: Frame, decoded: Awaitable[bytes]) -> Frame:
        return self._cleared_frame(first, await decoded)

    def _cleared_frame(self, first: Frame, decoded: bytes) -> Frame:
        self._incoming_first = None
        return first.replace(payload=decoded, fin=True, rsv=first.rsv & ~int(self.rsv))
