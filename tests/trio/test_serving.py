"""The server: where it listens, what it takes, and how it shuts down."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import wsext
import wsext.trio
from tests.raw import masked
from tests.trio.peers import RawPeer, on_trio
from wsext import App, CloseInfo, ServerOptions, WebSocketOptions
from wsext.testing.on_trio import connect, serving


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message)


def test_it_listens_where_it_is_told_to() -> None:
    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            serve = partial(wsext.trio.serve, echo, ["127.0.0.1", "::1"])
            server = await nursery.start(serve)
            async with wsext.trio.connect(f"ws://127.0.0.1:{server.port}/any/path") as session:
                await session.send("a")
                assert await session.receive() == "a"
                assert len(server.sessions) == 1
            await server.close()
            assert server.sessions == frozenset()
            await server.close()  # only waits

    trio.run(scenario)


def test_an_address_that_is_taken_is_an_error() -> None:
    async def scenario() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            port = listener.socket.getsockname()[1]
            with pytest.raises(OSError, match="in use"):
                await wsext.trio.serve(echo, "127.0.0.1", port)

    trio.run(scenario)


@on_trio
async def test_an_app_brings_its_own() -> None:
    app = App()
    app.install("session-resume")
    with pytest.raises(TypeError, match="has its own"):
        await wsext.trio.serve(app, options=WebSocketOptions())
    with pytest.raises(TypeError, match="coroutine function"):
        await wsext.trio.serve(lambda session: None)
    app.websocket("/")(echo)
    with pytest.raises(wsext.PluginError, match="leave it out"):
        await wsext.trio.serve(app)
    app.uninstall("session-resume")

    @app.lifespan
    async def life(app: App) -> AsyncIterator[None]:
        yield

    with pytest.raises(TypeError, match="lifespans of an App run on asyncio"):
        await wsext.trio.serve(app)


@on_trio
async def test_closing_ends_sessions_with_1001_and_takes_no_more() -> None:
    async with serving(echo) as (server, listener):
        async with wsext.trio.connect("ws://memory/", stream=listener.open()) as session:
            await server.close()
            info = session.close_info
            assert (info.code, info.clean) == (1001, True)
        with pytest.raises(trio.BrokenResourceError):
            listener.open()


@on_trio
async def test_sessions_that_do_not_end_are_dropped_after_drain_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cancelled: list[bool] = []

    async def stubborn(session: Any) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(True)

    how = {"server": ServerOptions(drain_timeout=3)}
    async with (
        serving(stubborn, **how) as (server, listener),
        wsext.trio.connect("ws://memory/", stream=listener.open()) as session,
    ):
        await server.close()
        assert trio.current_time() == pytest.approx(3)
        await session.wait_closed()
    assert cancelled == [True]
    assert "1 sessions did not end in time" in caplog.text


@on_trio
async def test_cancelling_it_drops_every_connection() -> None:
    infos: list[CloseInfo] = []

    async def client(listener: Any, nursery: trio.Nursery) -> None:
        async with wsext.trio.connect("ws://memory/", stream=listener.open()) as session:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                infos.append(await session.wait_closed())

    async with trio.open_nursery() as nursery, serving(echo) as (_, listener):
        await client(listener, nursery)
    assert [info.code for info in infos] == [1006]


@on_trio
async def test_beyond_the_limit_connections_are_told_so() -> None:
    how = {"server": ServerOptions(max_connections=1)}
    async with serving(echo, **how) as (_, listener):
        async with wsext.trio.connect("ws://memory/", stream=listener.open()):
            with pytest.raises(wsext.InvalidStatus) as caught:
                async with wsext.trio.connect("ws://memory/", stream=listener.open()):
                    pass
            assert caught.value.status == 503
        async with wsext.trio.connect("ws://memory/", stream=listener.open()):
            pass


@on_trio
async def test_who_is_silent_gives_its_place_up_when_another_one_comes() -> None:
    how = {"server": ServerOptions(max_connections=2, handshake_timeout=10)}
    async with (
        serving(echo, **how) as (_, listener),
        wsext.trio.connect("ws://memory/", stream=listener.open()),
    ):
        silent = RawPeer(listener.open())
        await trio.sleep(4.9)
        assert "503" in await RawPeer(listener.open()).shake()
        await trio.sleep(0.2)  # half of the time for a handshake is over
        assert "101" in await RawPeer(listener.open()).shake()
        assert await silent.frame() is None
        assert "503" in await RawPeer(listener.open()).shake()  # sessions give way to none


def test_a_reset_is_noticed_while_nothing_is_read() -> None:
    infos: list[CloseInfo] = []

    async def scenario() -> None:
        options = WebSocketOptions(incoming_capacity=1, ping_interval=None)
        ended = trio.Event()

        async def busy(session: Any) -> None:
            infos.append(await session.wait_closed())
            ended.set()

        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(wsext.trio.serve, busy, options=options))
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            peer = RawPeer(stream)
            assert "101" in await peer.shake()
            await peer.send(masked(1, b"a") * 100)
            await trio.testing.wait_all_tasks_blocked(0.1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await trio.aclose_forcefully(stream)  # resets it
            with trio.fail_after(3):
                await ended.wait()
            nursery.cancel_scope.cancel()

    trio.run(scenario)
    assert [info.code for info in infos] == [1006]


class _Failing(trio.abc.Listener[trio.abc.Stream]):
    """Has no file descriptor at first."""

    def __init__(self, answers: Iterator[Any]) -> None:
        self.answers = answers

    async def accept(self) -> trio.abc.Stream:
        answer = next(self.answers, None)
        if isinstance(answer, OSError):
            raise answer
        if answer is None:
            await trio.sleep_forever()
        stream: trio.abc.Stream = answer
        return stream

    async def aclose(self) -> None:
        pass


@on_trio
async def test_it_goes_on_accepting_when_there_were_no_descriptors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    listener = _Failing(iter([OSError(24, "too many open files"), theirs]))
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(wsext.trio.serve, echo, listeners=[listener]))
        assert "101" in await RawPeer(ours).shake()
        with pytest.raises(LookupError):
            _ = server.port
        with pytest.raises(LookupError):
            _ = server.url
        nursery.cancel_scope.cancel()
    assert "cannot accept connections" in caplog.text


@on_trio
async def test_the_access_log_has_a_line_for_every_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "wsext.access")
    async with connect(echo, "/there?token=secret") as client:
        await client.send("a")
        await client.receive()
    lines = [record.getMessage() for record in caplog.records if record.name == "wsext.access"]
    assert lines[0] == "unix GET /there HTTP/1.1 -> 101"
    assert "/there ended with 1000 after 0.000 s, 1 messages in, 1 out" in lines[1]
