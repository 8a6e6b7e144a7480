"""permessage-fragment: what is larger than agreed is sent in several frames, but never in more than
16,384."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from wsext import (
    Agreement,
    Codec,
    Extension,
    Frame,
    NegotiationContext,
    OptionSet,
    Params,
    Phase,
    wire,
)

__all__ = ["FragmentCodec", "FragmentOptions", "PermessageFragment"]

_LOW, _HIGH = 1, 1 << 24

#: Frames that are made of one. Each costs memory and time, however small it is, and how small they
#: are is the peer's choice.
_MOST_FRAMES = 1 << 14


class FragmentOptions(OptionSet):
    """The options of `PermessageFragment`."""

    max_frame: Annotated[
        int, wire("bytes of the largest data frame that either side sends", ge=_LOW, le=_HIGH)
    ] = 16384


class FragmentCodec(Codec):
    """Makes of every outgoing frame as many as are needed, and none of an empty continuation."""

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame

    @property
    def share_key(self) -> Hashable:
        """Equal messages are cut alike."""
        return self.max_frame

    def encode(self, frame: Frame) -> Frame | Iterable[Frame]:
        data, size = frame.payload, self.max_frame
        if not frame.opcode and not frame.fin and not data:
            return ()  # it says nothing, and nobody misses it
        if len(data) <= size:
            return frame
        starts = range(0, len(data), max(size, -(-len(data) // _MOST_FRAMES)))
        return [
            frame.replace(
                opcode=0 if at else frame.opcode,
                rsv=0 if at else frame.rsv,  # the bits of a message stand on its first frame
                payload=data[at : at + starts.step],
                fin=frame.fin and at == starts[-1],
            )
            for at in starts
        ]


class PermessageFragment(Extension):
    """Frames of bounded size in both directions, for peers with small buffers and for fairness
    between large messages and pings."""

    name: ClassVar[str] = "permessage-fragment"
    phase: ClassVar[Phase] = Phase.WIRE
    Options: ClassVar[type[OptionSet]] = FragmentOptions
    options: FragmentOptions
    #: For `wsext ext check`: frames of one byte would be 70,000 of one message, in every pair.
    conformance: ClassVar[Mapping[str, Any]] = {
        "variants": ({}, {"max_frame": 100}, {"max_frame": _HIGH})
    }

    def offers(self) -> Sequence[Params]:
        return [Params(max_frame=self.options.max_frame)]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        offer.text("max_frame")
        asked = offer.integer("max_frame", _LOW, _HIGH) or _HIGH
        size = min(asked, self.options.max_frame)
        return Agreement(FragmentCodec(size), Params(max_frame=size))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        answer.text("max_frame")
        size = answer.integer("max_frame", _LOW, self.options.max_frame)
        return FragmentCodec(size or self.options.max_frame)
