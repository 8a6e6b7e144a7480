"""Messages between an application and its session: every one, once, in order, and gathered."""

from __future__ import annotations

import asyncio
import warnings
from types import MappingProxyType
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect as foreign_connect

from tests.integrations.served import Receive, Scope, Send, echo, running
from tests.raw import masked, raw_peer


async def accepted(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def test_replies_to_what_came_together_leave_together() -> None:
    writes: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope["extensions"]["wsext"]["session"].request.transport
        write = transport.write

        def counted(data: bytes) -> None:
            writes.append(data)
            write(data)

        transport.write = counted
        await echo(scope, receive, send)

    async with running(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        writes.clear()
        peer.send(b"".join(masked(1, b"%d" % number) for number in range(16)))
        for number in range(16):
            frame = await peer.frame()
            assert frame is not None
            assert bytes(frame.payload) == b"%d" % number
        assert len(writes) == 1


async def test_a_receive_that_is_cancelled_takes_no_message() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accepted(receive, send)
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await receive()
        await send({"type": "websocket.send", "text": "now"})
        event = await receive()
        await send({"type": "websocket.send", "bytes": event["text"].encode()})
        await receive()

    async with running(app) as server, foreign_connect(server.ws) as client:
        assert await client.recv() == "now"
        await client.send("first")
        assert await client.recv() == b"first"


async def test_calls_are_coroutines_to_whoever_makes_tasks_of_them() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accepted(receive, send)
        event = await asyncio.wait_for(asyncio.create_task(receive()), 5)
        async with anyio.create_task_group() as group:
            group.start_soon(send, {"type": "websocket.send", "text": event["text"] + "1"})
        await asyncio.gather(
            *(send({"type": "websocket.send", "text": f"{number}"}) for number in range(2, 5))
        )
        await receive()

    async with running(app) as server, foreign_connect(server.ws) as client:
        await client.send("0")
        assert [await client.recv() for _ in range(4)] == ["01", "2", "3", "4"]


async def test_nothing_is_sent_until_it_is_awaited() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accepted(receive, send)
        later = send({"type": "websocket.send", "text": "second"})
        await send({"type": "websocket.send", "text": "first"})
        await later
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await later
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            send({"type": "websocket.send", "text": "never"})
        assert "was never awaited" in str(caught[0].message)
        await send({"type": "websocket.send", "text": "third"})
        await receive()

    async with running(app) as server, foreign_connect(server.ws) as client:
        assert [await client.recv() for _ in range(3)] == ["first", "second", "third"]


async def test_what_may_be_sent_is_looked_at_when_it_is_sent() -> None:
    """Calls made before the handshake was answered, or before the close, run after it."""
    outcome: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        early = send({"type": "websocket.send", "text": "early"})
        event = receive()
        await send({"type": "websocket.accept"})
        await early
        assert await event == {"type": "websocket.receive", "text": "go"}
        late = send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})
        try:
            await late
        except RuntimeError as error:
            outcome.put_nowait(error)

    async with running(app) as server, foreign_connect(server.ws) as client:
        assert await client.recv() == "early"
        await client.send("go")
        assert "after sending 'websocket.close'" in str(await outcome.get())


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"bytes": b"x", "text": None}, b"x"),
        ({"bytes": None, "text": "x"}, "x"),
        ({"bytes": bytearray(b"x")}, b"x"),
        ({"bytes": b"", "text": "x"}, b""),
        (MappingProxyType({"type": "websocket.send", "text": "x"}), "x"),
    ],
    ids=["bytes", "text", "bytearray", "both", "a mapping"],
)
async def test_what_an_application_may_send(event: Any, expected: str | bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accepted(receive, send)
        message = event if "type" in event else {"type": "websocket.send", **event}
        await send(message)
        await receive()

    async with running(app) as server, foreign_connect(server.ws) as client:
        assert await client.recv() == expected


async def test_an_application_that_never_looks_does_not_stop_the_loop() -> None:
    codes: asyncio.Queue[Any] = asyncio.Queue()
    stop = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accepted(receive, send)
        while not stop.is_set():
            codes.put_nowait((await receive())["code"])

    async with running(app) as server:
        async with foreign_connect(server.ws):
            pass
        assert [await codes.get() for _ in range(3)] == [1000] * 3
        stop.set()
