"""How is one message sent in fragments, as its parts come? The same on asyncio and on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Data, Frame
from wsext.protocol.wire import to_payload

__all__ = ["send_fragments"]


async def send_fragments(
    first: Data,
    rest: AsyncIterator[Data],
    hints: Mapping[str, Any] | None,
    meta: Mapping[str, Any] | None,
    send: Callable[[Frame], Awaitable[None]],
) -> None:
    """Send a message part by part; an empty last fragment ends it (RFC 6455 §5.4).

    Args:
        first: Its first part.
        rest: The others.
        hints, meta: As for `Session.send`; the first frame has them.
        send: Sends a frame.

    Raises:
        TypeError: If some parts are text and others binary.
    """
    opcode, payload = to_payload(first)
    await send(Frame(opcode, payload, False, 0, hints, meta))
    async for chunk in rest:
        kind, payload = to_payload(chunk)
        if kind != opcode:
            raise TypeError("a streamed message is all text or all binary")
        await send(Frame(Opcode.CONTINUATION, payload, False))
    await send(Frame(Opcode.CONTINUATION, b"", True))
