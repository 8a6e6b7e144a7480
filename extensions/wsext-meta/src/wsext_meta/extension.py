"""Negotiation and codec of permessage-meta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from wsext import (
    RSV,
    Agreement,
    CloseCode,
    Codec,
    Extension,
    Frame,
    LocalProtocolError,
    NegotiationContext,
    OptionSet,
    Params,
    Phase,
    RemoteProtocolError,
    wire,
)
from wsext_meta.envelope import pack, read_length, unpack

__all__ = ["MetaCodec", "MetaOptions", "PermessageMeta"]

_LOW, _HIGH = 16, 65536


class MetaOptions(OptionSet):
    """The options of `PermessageMeta`."""

    max_size: Annotated[
        int, wire("bytes of metadata that one message may have", ge=_LOW, le=_HIGH)
    ] = 4096


class MetaCodec(Codec):
    """Puts the envelope before a message that has metadata, and takes it off again.

    Only the first frames of a message are touched, so a streamed message stays a stream.
    """

    first_frame_rsv = True

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self._first: Frame | None = None  # the start of a message whose envelope is not whole
        self._buffer = bytearray()

    def encoded_bound(self, size: int) -> int:
        return size + self.max_size + 8

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        return bool(frame.meta)

    def encode(self, frame: Frame) -> Frame:
        if not frame.opcode or frame.is_control or not frame.meta:
            return frame
        envelope = pack(frame.meta)
        if len(envelope) > self.max_size:
            raise LocalProtocolError(
                f"metadata of {len(envelope)} bytes; {self.max_size} were agreed"
            )
        return frame.replace(payload=envelope + bytes(frame.payload), rsv=frame.rsv | self.rsv)

    def decode(self, frame: Frame, budget: int) -> Frame | Iterable[Frame]:
        if frame.is_control:
            return frame
        if frame.opcode:
            if not frame.rsv & self.rsv:
                return frame
            self._first = frame
            self._buffer.clear()
        elif self._first is None:
            return frame
        self._buffer += frame.payload
        return self._open(frame.fin)

    def _open(self, fin: bool) -> Frame | Iterable[Frame]:
        """The message's first frame without the envelope, once that is whole."""
        found = read_length(self._buffer)
        if found is not None:
            size, start = found
            if size > self.max_size:
                raise RemoteProtocolError(
                    CloseCode.MESSAGE_TOO_BIG, "more metadata than was agreed"
                )
            if len(self._buffer) >= start + size and self._first is not None:
                first, self._first = self._first, None
                meta = unpack(bytes(self._buffer[start : start + size]))
                body = bytes(self._buffer[start + size :])
                self._buffer.clear()
                return first.replace(
                    payload=body, fin=fin, rsv=first.rsv & ~int(self.rsv), meta=meta
                )
        if fin:
            raise RemoteProtocolError(CloseCode.INVALID_DATA, "the metadata is cut off")
        return ()


class PermessageMeta(Extension):
    """Metadata beside a message: ``send(data, meta={...})`` and ``receive_message().meta``."""

    name: ClassVar[str] = "permessage-meta"
    phase: ClassVar[Phase] = Phase.SEMANTIC
    rsv: ClassVar[RSV] = RSV.RSV3
    Options: ClassVar[type[OptionSet]] = MetaOptions
    options: MetaOptions

    def offers(self) -> Sequence[Params]:
        return [Params(max_size=self.options.max_size)]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        offer.text("max_size")
        asked = offer.integer("max_size", _LOW, _HIGH) or self.options.max_size
        size = min(asked, self.options.max_size)
        return Agreement(MetaCodec(size), Params(max_size=size))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        answer.text("max_size")
        size = answer.integer("max_size", _LOW, self.options.max_size)
        return MetaCodec(size or self.options.max_size)
