"""Sessions on trio are used as those on asyncio are."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio

import wsext
import wsext.trio
from tests.codecs import History
from tests.trio.peers import on_trio
from wsext import App, ConnectionClosed, Frame, Message, WebSocketOptions
from wsext.testing.on_trio import connect, pair


@on_trio
async def test_text_binary_and_bytes_like_messages() -> None:
    async with pair() as (client, server):
        for data, expected in (
            ("text é", "text é"),
            (b"bytes", b"bytes"),
            (bytearray(b"array"), b"array"),
            (memoryview(b"view"), b"view"),
            ("", ""),
        ):
            await client.send(data)
            assert await server.receive() == expected
            server.send_nowait(data)
            assert await client.receive() == expected
        with pytest.raises(TypeError):
            await client.send(5)
        assert (client.stats.messages_out, server.stats.messages_in) == (5, 5)


@on_trio
async def test_messages_frames_and_values() -> None:
    async with pair() as (client, server):
        await client.send("a", meta={"n": 1})
        assert isinstance(await server.receive_message(), Message)
        await client.send(b"b")
        assert await server.receive_frame() == Frame(2, b"b")
        await client.send_json({"a": [1]})
        assert await server.receive_json(dict[str, list[int]]) == {"a": [1]}
        await client.send_msgpack([1, 2])
        assert await server.receive_msgpack() == [1, 2]
        await client.send_frame(Frame(1, b"in ", False))
        await client.send_frame(Frame(0, b"two"))
        assert await server.receive() == "in two"


@on_trio
async def test_streams_in_both_directions() -> None:
    async def chunks() -> AsyncIterator[str]:
        for text in ("one ", "two ", "three"):
            yield text

    async with pair() as (client, server):
        await client.send(chunks())
        assert await server.receive() == "one two three"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, chunks())
            pieces = [piece async for piece in server.receive_stream()]
        assert "".join(map(str, pieces)) == "one two three"
        await client.send("whole")
        assert await server.receive() == "whole"


@on_trio
async def test_iteration_ends_silently_after_a_normal_end_and_with_an_error_otherwise() -> None:
    async def read(session: wsext.trio.Session, got: list[Any]) -> None:
        async for message in session:
            got.append(message)

    got: list[Any] = []
    async with pair() as (client, server):
        await client.send("a")
        await client.close()
        await read(server, got)
        await read(server, got)
        with pytest.raises(wsext.ConnectionClosedOK):
            await server.receive()
    async with pair() as (client, server):
        await client.close(4000, "why")
        with pytest.raises(wsext.ConnectionClosedError, match="4000"):
            await read(server, got)
        with pytest.raises(ConnectionClosed):
            await client.send("late")
    assert got == ["a"]


@on_trio
async def test_a_ping_is_answered_and_measured() -> None:
    async with pair() as (client, server):
        assert await client.ping() == client.latency == 0
        assert await server.ping(b"mine") == 0
        for payload, error in (("text", TypeError), (b"x" * 126, ValueError)):
            with pytest.raises(error):
                await client.ping(payload)  # type: ignore[arg-type]
        await client.close()
        with pytest.raises(ConnectionClosed):
            await server.ping()


@on_trio
async def test_the_close_tells_both_sides_code_and_reason() -> None:
    async with pair() as (client, server):
        with pytest.raises(ValueError, match="may not be sent"):
            await client.close(1006)
        await client.close(4001, "enough")
        await client.close()  # only waits
        info = await server.wait_closed()
        assert (info.code, info.reason, info.clean) == (4001, "enough", True)
        assert client.close_info.local == (4001, "enough")
        assert not client.is_open


@on_trio
async def test_what_was_agreed_and_who_asks() -> None:
    seen: list[wsext.trio.Session] = []
    app = App()
    app.install("permessage-deflate")

    @app.websocket("/greet/<name>", subprotocols=["b", "a"])
    async def greet(session: Any, name: str) -> None:
        session.state["greeted"] = name
        seen.append(session)
        await session.send(f"Hi, {name}!")

    async with connect(
        app,
        "/greet/Ada?x=1",
        extensions=["permessage-deflate"],
        subprotocols=["a", "b"],
        headers={"X-Who": "me"},
    ) as client:
        assert await client.receive() == "Hi, Ada!"
        assert (client.subprotocol, client.role) == ("b", "client")
        assert client.extension("permessage-deflate").name == "permessage-deflate"
        assert client.response_headers is not None
        assert client.response_headers["Upgrade"] == "websocket"
    (server,) = seen
    assert (server.role, server.path_params, server.state) == (
        "server",
        {"name": "Ada"},
        {"greeted": "Ada"},
    )
    assert server.request.query == {"x": "1"}
    assert server.request.headers["X-Who"] == "me"
    assert server.request.route == "/greet/<name>"


@on_trio
async def test_a_trace_sees_every_stage() -> None:
    seen: list[tuple[str, str]] = []
    async with pair([History()]) as (client, server):
        end = client.trace(lambda way, stage, frame: seen.append((way, stage)))
        await client.send("a")
        await server.receive()
        end()
        await client.send("b")
        assert await server.receive() == "b"
    assert seen == [("out", "app"), ("out", "x-history"), ("out", "wire")]


@on_trio
async def test_a_broadcast_reaches_sessions_on_trio() -> None:
    async with pair() as (client, server), pair() as (other, other_server):
        await other.close()
        missed = wsext.broadcast([server, other_server], "to all")
        assert await client.receive() == "to all"
        assert list(missed) == [other_server]


@on_trio
async def test_a_raw_session_takes_frames_as_they_are() -> None:
    app, got = App(options=WebSocketOptions(ping_interval=None)), []

    @app.websocket_raw("/")
    async def raw(session: Any) -> None:
        got.append(await session.receive_frame())
        await session.send_frame(Frame(2, b"a", False))
        await session.send_frame(Frame(0, b"b"))

    async with connect(app) as client:
        await client.send_frame(Frame(9, b"p"))
        assert await client.receive() == b"ab"
        info = await client.wait_closed()
        assert info.code == 1006  # Close frames are the handler's
    assert got == [Frame(9, b"p")]


def test_calls_from_other_threads_are_refused_and_say_what_to_call() -> None:
    async def scenario() -> None:
        async with pair() as (client, server):
            for call in (partial(server.send_nowait, "a"), server.abort, server.close_nowait):
                with pytest.raises(RuntimeError, match=r"call trio\.from_thread\.run_sync"):
                    await trio.to_thread.run_sync(call)
            await trio.to_thread.run_sync(trio.from_thread.run_sync, server.send_nowait, "b")
            assert await client.receive() == "b"

    trio.run(scenario)


def test_what_asyncio_has_and_trio_has_not_is_not_there() -> None:
    on_asyncio = {name for name in dir(wsext.Session) if not name.startswith("_")}
    on_trio = {name for name in dir(wsext.trio.Session) if not name.startswith("_")}
    assert on_trio <= on_asyncio
    assert on_asyncio - on_trio - set(wsext.Session.__slots__) == {
        *("connected", "resumptions", "unconfirmed", "create_task", "incoming", "outgoing"),
    }


def test_without_trio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio", None)
    monkeypatch.delitem(sys.modules, "wsext.trio")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'wsext\[trio\]'"):
        importlib.import_module("wsext.trio")
