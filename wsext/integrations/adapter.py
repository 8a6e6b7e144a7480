"""One codec as an extension of ``websockets``, which knows one frame for one frame only."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from websockets.exceptions import PayloadTooBig
from websockets.exceptions import ProtocolError as TheirProtocolError
from websockets.extensions import Extension as TheirExtension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.typing import ExtensionName

from wsext.errors import LocalProtocolError, ProtocolError
from wsext.protocol.agreement import Agreed, Phase
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage

__all__ = [
    "UNLIMITED",
    "Adapter",
    "TooLateError",
    "UnadaptableError",
    "phase_of",
    "reserved_bits",
]

#: ``max_size=None`` of ``websockets``, in bytes.
UNLIMITED = 1 << 31


class TooBig(PayloadTooBig):
    """A message is larger than ``websockets`` allows. Its text becomes the reason of the Close
    frame, and before version 14 ``websockets`` has none."""

    def __str__(self) -> str:
        return f"over size limit ({self.args[1]} bytes)"


class EncodingError(LocalProtocolError, TheirProtocolError):
    """A message could not be encoded. For anything else than an error of its own ``websockets``
    would drop the connection; like this whoever sends can still close it."""


class UnadaptableError(EncodingError):
    """A codec did what one frame for one frame cannot express."""


class TooLateError(UnadaptableError):
    """A codec left a message as it is whose first fragment was sent as an encoded one."""


def reserved_bits(other: TheirExtension) -> int:
    """The reserved bits of an extension; of foreign ones only those of ``websockets`` are known."""
    if isinstance(other, Adapter):
        return other.rsv
    return RSV.RSV1 if isinstance(other, PerMessageDeflate) else RSV.NONE


def phase_of(other: TheirExtension) -> Phase | None:
    """Where an extension sits in the stack; of foreign ones only those of ``websockets`` are
    known."""
    if isinstance(other, Adapter):
        return other.phase
    return Phase.COMPRESSION if isinstance(other, PerMessageDeflate) else None


class Adapter(TheirExtension):
    """One codec on one connection, as ``websockets`` calls it: one frame for one frame.

    A codec that holds fragments back until it has the whole message is given its way: an empty
    fragment stands for each that is held, and the last one carries the message.

    Args:
        agreed: The extension and its codec.
        others: The extensions of the connection, which ``websockets`` goes on to fill.
    """

    def __init__(self, agreed: Agreed, others: Sequence[TheirExtension] = ()) -> None:
        self.name = ExtensionName(agreed.name)
        self.rsv = int(agreed.extension.rsv)
        self.phase: Phase = agreed.extension.phase
        self._codec = agreed.codec
        agreed.boundary.session = "of websockets"
        self._stage = Stage(
            agreed.name, agreed.codec, agreed.extension.rsv, boundary=agreed.boundary
        )
        self._pipeline = Pipeline([self._stage])
        self._others = others
        self._conflict_checked = False
        self._marked = 0  # our bits on the outgoing message's first fragment, if it was held
        self._sent_held = False
        # The bits of other extensions on the messages that are half way.
        self._foreign_out = self._foreign_in = 0
        self._held_bytes = 0  # of the incoming message, not given out yet
        self._failure: EncodingError | None = None
        # ``websockets`` does not tell when the connection ends, but it lets go of the extension.
        weakref.finalize(self, self._pipeline.close)

    @property
    def is_async(self) -> bool:
        """Whether the codec is asynchronous, and so cannot be used here."""
        return self._pipeline.is_async or self._stage.boundary.closes_later

    # --- outgoing -----------------------------------------------------------------------------

    def encode(self, frame: TheirFrame) -> TheirFrame:
        """An outgoing frame, encoded.

        Raises:
            LocalProtocolError: If the codec fails, or cannot be adapted after all. Its state no
                longer matches the peer's then, so every later message is refused, too.
        """
        self._check_conflict()
        if self._failure is not None and frame.opcode < 8:
            raise self._failure
        foreign, own = _split(frame, self.rsv)
        if 0 < own.opcode < 8:
            self._foreign_out = foreign
        self._pipeline.rsv_foreign = foreign | self._foreign_out
        try:
            frames = self._pipeline.encode(own)
            result = own if own.is_control else self._joined_encoded(own, frames)
        except EncodingError as error:
            self._failure = error
            raise
        except ProtocolError as error:
            self._failure = EncodingError(error.reason, error.code, self.name)
            raise self._failure from error
        return _theirs(frame.opcode, result, foreign)

    def _joined_encoded(self, frame: Frame, frames: list[Frame]) -> Frame:
        if not frames and not frame.fin:
            if frame.opcode:
                self._sent_held, self._marked = True, self.rsv
            return Frame(frame.opcode, b"", False, self._marked if frame.opcode else 0)
        if len(frames) != 1:
            made = f"{len(frames)} frames" if frames else "nothing"
            raise UnadaptableError(f"makes {made} of one frame", extension=self.name)
        (result,) = frames
        if result.fin != frame.fin:
            raise UnadaptableError("ends messages elsewhere", extension=self.name)
        held, self._sent_held = self._sent_held and frame.opcode == 0, False
        if not held:
            return result
        if result.rsv & self.rsv != self._marked:
            raise TooLateError(
                "leaves a message as it is whose first fragment was sent as an encoded one",
                extension=self.name,
            )
        return result.replace(rsv=0)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: TheirFrame, *, max_size: int | None = None) -> TheirFrame:
        """An incoming frame, decoded.

        Raises:
            PayloadTooBig: If it becomes larger than ``max_size``.
            ProtocolError: That of ``websockets``, if the codec refuses the frame.
            LocalProtocolError: If the codec fails.
        """
        self._check_conflict()
        foreign, own = _split(frame, self.rsv)
        misplaced = own.rsv & self.rsv if not own.opcode else 0
        if misplaced and self._codec.first_frame_rsv:
            raise TheirProtocolError(f"{RSV(misplaced).names()} on a continuation")
        if 0 < own.opcode < 8:
            self._foreign_in = foreign
        self._pipeline.rsv_foreign = foreign | self._foreign_in
        limit = UNLIMITED if max_size is None else max_size
        # What is left of the limit is what `websockets` says, not what the stage has counted.
        self._stage.limit = limit + (0 if own.opcode else self._stage.produced)
        try:
            if not own.is_control:
                self._check_held(own, limit)
            frames = self._pipeline.decode(own)
            result = own if own.is_control else self._joined_decoded(own, frames)
        except ProtocolError as error:
            raise _their_error(error, limit) from error
        return _theirs(frame.opcode, result, foreign)

    def _check_held(self, frame: Frame, limit: int) -> None:
        """What a codec holds back is in no count of ``websockets``."""
        self._held_bytes = len(frame.payload) + (0 if frame.opcode else self._held_bytes)
        if self._held_bytes > max(limit, self._codec.encoded_bound(limit)):
            raise TooBig(self._held_bytes, limit)

    def _joined_decoded(self, frame: Frame, frames: list[Frame]) -> Frame:
        if frames:
            self._held_bytes = 0
        elif frame.fin:
            raise UnadaptableError("drops a message", extension=self.name)
        if any(item.fin for item in frames[:-1]) or (frames and frames[-1].fin != frame.fin):
            raise UnadaptableError("ends messages elsewhere", extension=self.name)
        payload = b"".join(bytes(item.payload) for item in frames)
        return Frame(frame.opcode, payload, frame.fin)

    def _check_conflict(self) -> None:
        """Refuse to work beside an extension that was agreed after this one on the same bit."""
        if self._conflict_checked:
            return
        for other in self._others:
            bits = reserved_bits(other) & self.rsv if other is not self else 0
            if bits:
                what = RSV(bits).names()
                raise LocalProtocolError(
                    f"{what} is used by {other.name}, too; pass compression=None to websockets",
                    extension=self.name,
                )
        self._conflict_checked, self._others = True, ()


def _split(frame: TheirFrame, rsv: int) -> tuple[int, Frame]:
    """The bits of other extensions, and the frame with all of its bits."""
    bits = frame.rsv1 * RSV.RSV1 | frame.rsv2 * RSV.RSV2 | frame.rsv3 * RSV.RSV3
    return bits & ~rsv, Frame(int(frame.opcode), frame.data, frame.fin, bits)


def _theirs(opcode: TheirOpcode, frame: Frame, foreign: int) -> TheirFrame:
    bits = frame.rsv | foreign
    payload = frame.payload if isinstance(frame.payload, bytes) else bytes(frame.payload)
    return TheirFrame(
        opcode,
        payload,
        frame.fin,
        bool(bits & RSV.RSV1),
        bool(bits & RSV.RSV2),
        bool(bits & RSV.RSV3),
    )


def _their_error(error: ProtocolError, limit: int) -> Exception:
    """A codec's refusal as what ``websockets`` closes with the right code for, as far as it can:
    it has 1002 where wsext has 1007."""
    if error.code == CloseCode.MESSAGE_TOO_BIG:
        return TooBig(None, limit)
    if error.code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA):
        return TheirProtocolError(error.reason)
    return error
