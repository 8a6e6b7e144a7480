"""Two engines that have negotiated, and a wire between them that can be looked at and bent."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from functools import cache
from inspect import isawaitable
from typing import Any, Self, TypeVar

from wsext.errors import ProtocolError
from wsext.protocol.agreement import Negotiation, NegotiationContext, Offer
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Frame, Message
from wsext.protocol.negotiation import (
    aconfirm,
    anegotiate,
    make_offers,
    offers_header,
    parse_offers,
)
from wsext.protocol.wire import FrameParser, apply_mask, frame_header
from wsext.sdk.extension import Extension
from wsext.sdk.installed import make_pipeline

__all__ = [
    "Engines",
    "agree",
    "finish",
    "frames_in",
    "free",
    "lenient_parser",
    "messages_of",
    "negotiated",
    "parse_wire",
    "resolve",
    "write_wire",
]

LIMIT = 1 << 22

_T = TypeVar("_T")

#: Seconds for which a codec may wait.
PATIENCE = 10.0

#: A masking key for frames that are made by hand.
MASK = b"\x11\x22\x33\x44"


def finish(coroutine: Coroutine[Any, Any, _T], *, waits: bool) -> _T:
    """Run a coroutine to its end.

    Args:
        coroutine: What to run.
        waits: Whether it may wait for something. What cannot wait needs no event loop, and is done
            in a tenth of the time. All that waits runs on one loop, so that an extension may keep
            what belongs to a loop.
    """
    if waits:
        return _runner().run(_awaited(coroutine))
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a codec waits, and none of its methods is `async def`")


def resolve(result: Any) -> Any:
    """What a method of an extension returned, or what it gives once it has been awaited."""
    return _runner().run(_awaited(result)) if isawaitable(result) else result


def free(codec: Any) -> None:
    """Close a codec, also one whose `close` is asynchronous."""
    resolve(codec.close())


async def _awaited(awaitable: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout(PATIENCE):
            return await awaitable
    except TimeoutError as error:
        raise AssertionError(f"it waits for something that has not come in {PATIENCE} s") from error


async def _resolved(awaitable: Awaitable[Any]) -> Any:
    """`resolve`, for who would await: the loop of the kit runs beside no other."""
    return resolve(awaitable)


@cache
def _runner() -> asyncio.Runner:
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    atexit.register(runner.close)
    return runner


def negotiated(
    offers: Sequence[Offer], installed: Sequence[Extension], ctx: NegotiationContext
) -> Negotiation:
    """What a server makes of some offers, also if `accept` is asynchronous."""
    return finish(anegotiate(offers, installed, ctx, wait=_resolved), waits=False)


def agree(
    client: Sequence[Extension], server: Sequence[Extension], limit: int = LIMIT
) -> tuple[Negotiation, Negotiation]:
    """Negotiate as two peers do: through the headers.

    Raises:
        NegotiationError: If the client refuses the server's answer.
    """
    offers = make_offers(client)
    header = offers_header(offers)
    parsed = parse_offers([header] if header else [])
    server_side, client_side = (NegotiationContext(role, limit) for role in ("server", "client"))
    on_server = negotiated(parsed, server, server_side)
    answer = [on_server.header] if on_server.header else []
    try:
        confirming = aconfirm(offers, answer, client, client_side, wait=_resolved)
        return finish(confirming, waits=False), on_server
    except BaseException:
        on_server.close()
        raise


def lenient_parser(masked: bool) -> FrameParser:
    """A parser that lets every reserved bit and opcode pass."""
    return FrameParser(
        masked=masked,
        max_size=1 << 31,
        rsv_first=0x70,
        rsv_rest=0x70,
        rsv_control=0x70,
        opcodes=frozenset({3, 4, 5, 6, 7, 11, 12, 13, 14, 15}),
    )


def parse_wire(data: bytes, masked: bool) -> list[Frame]:
    """The frames of a stream as they are on the wire, every bit allowed."""
    out: list[Frame] = []
    lenient_parser(masked).feed(data, out)
    return out


def write_wire(frames: Iterable[Frame], mask: bytes = b"") -> bytes:
    """Frames as they are on the wire, whatever the rules say of them; masked with a key."""
    data = bytearray()
    for frame in frames:
        payload = bytes(frame.payload)
        data += frame_header(frame.opcode, len(payload), frame.fin, frame.rsv, bool(mask)) + mask
        data += apply_mask(payload, mask) if mask else payload
    return bytes(data)


def messages_of(events: Iterable[Message | Frame]) -> list[str | bytes]:
    """The data of the messages among what was received."""
    return [event.data for event in events if isinstance(event, Message)]


def frames_in(result: Any) -> list[Frame]:
    """What a method of a codec returned, as frames."""
    result = resolve(result)
    return [result] if isinstance(result, Frame) else list(result)


class Engines:
    """A client's and a server's `Connection` that have agreed on extensions."""

    def __init__(
        self, client: Sequence[Extension], server: Sequence[Extension], limit: int = LIMIT
    ) -> None:
        self.on_client, self.on_server = agree(client, server, limit)
        self.client = Connection(
            "client", make_pipeline(self.on_client, limit), max_message_size=limit
        )
        self.server = Connection(
            "server", make_pipeline(self.on_server, limit), max_message_size=limit
        )

    @property
    def agreed(self) -> bool:
        """Whether anything is in use."""
        return bool(self.on_server.agreed)

    def ends(self, sender: str) -> tuple[Connection, Connection]:
        """The sending and the receiving connection of a direction."""
        if sender == "client":
            return self.client, self.server
        return self.server, self.client

    def finish(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run what one of the methods below returned, outside of any event loop."""
        waits = self.client.pipeline.is_async or self.server.pipeline.is_async
        return finish(coroutine, waits=waits)

    async def send(self, sender: str, frames: Sequence[Frame]) -> bytes:
        """Encode frames; what travels.

        Raises:
            ProtocolError: If a codec fails.
        """
        source, _ = self.ends(sender)
        for frame in frames:
            await source.asend_frame(frame)
        return b"".join(bytes(chunk) for chunk in source.data_to_send())

    async def receive(self, sender: str, data: bytes) -> list[Message | Frame]:
        """Give the other side what travelled; what comes out.

        Raises:
            ProtocolError: If the other side refuses it.
        """
        _, target = self.ends(sender)
        events = await target.areceive_data(data)
        if isinstance(target.failure, ProtocolError):
            raise target.failure
        return events

    async def pass_on(self, sender: str, frames: Sequence[Frame]) -> list[Message | Frame]:
        """Send frames and receive them on the other side."""
        return await self.receive(sender, await self.send(sender, frames))

    def close_code(self, data: bytes, sender: str = "client") -> int | None:
        """The close code that the other side answers some bytes with; ``None`` if it takes them."""
        try:
            self.finish(self.receive(sender, data))
        except ProtocolError as error:
            return error.code
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End both connections as a lost transport does: every codec is closed, and what closes
        asynchronously is awaited."""
        for end in (self.client, self.server):
            end.lose()
            for boundary in end.pipeline.close():
                resolve(boundary.aclose())
