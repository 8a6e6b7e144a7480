"""A session over real sockets, as applications use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import wsext
from tests.extensions import Append, Reverse, Split
from tests.raw import masked, raw_peer
from tests.runtime.sessions import Ends, echo_app
from wsext import (
    App,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Frame,
    Session,
)


async def test_text_binary_and_bytes_like_messages() -> None:
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url) as session:
        for data in ("héllo", b"\x00\xff", "", b"", "x" * 100_000):
            await session.send(data)
            assert await session.receive() == data
        await session.send(bytearray(b"abc"))
        assert await session.receive() == b"abc"
        await session.send(memoryview(b"abc"))
        message = await session.receive_message()
        assert (message.data, message.type, message.is_text) == (b"abc", "binary", False)
        with pytest.raises(TypeError):
            await session.send(5)  # type: ignore[arg-type]


async def test_a_sent_buffer_may_change_afterwards() -> None:
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url) as session:
        buffer = bytearray(b"before")
        await session.send(buffer)
        buffer[:] = b"after!"
        assert await session.receive() == b"before"


async def test_streams_in_both_directions() -> None:
    app = App()
    pieces: list[str] = []

    @app.websocket("/")
    async def collect(session: Session) -> None:
        pieces.extend([str(piece) async for piece in session.receive_stream()])
        assert await session.receive() == "and another"
        await session.send("done")

    async def chunks() -> AsyncIterator[str]:
        for word in ("one ", "two ", "thrée"):
            yield word

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send(chunks())
        await session.send("and another")
        assert await session.receive() == "done"
    assert "".join(pieces) == "one two thrée"
    assert len(pieces) >= 3


async def test_pings_measure_latency_and_answer_while_the_app_is_busy() -> None:
    app = App()
    release = asyncio.Event()

    @app.websocket("/")
    async def busy(session: Session) -> None:
        await release.wait()

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        assert session.latency is None
        latency = await session.ping()
        assert 0 <= latency < 5
        assert session.latency == latency
        assert await session.ping(b"own payload") >= 0
        release.set()
        await session.wait_closed()
        with pytest.raises(ConnectionClosed):
            await session.ping()


async def test_keepalive_ends_a_session_whose_peer_is_silent() -> None:
    ends = Ends(ping_interval=0.02, ping_timeout=0.05, close_timeout=0.1)

    @ends.route
    async def handler(session: Session) -> None:
        async for _ in session:
            pass

    async with wsext.serve(ends.app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await peer.close_code() == 1011
        info = await ends.infos.get()
    assert info.local == (1011, "ping timeout")
    assert not info.ok


async def test_keepalive_leaves_a_living_session_alone() -> None:
    app = echo_app(ping_interval=0.01, ping_timeout=1.0)
    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        for _ in range(3):
            (server_side,) = server.sessions
            while server_side.latency is None:
                await session.ping()
        assert session.is_open


# --- how sessions end -------------------------------------------------------------------------


async def test_returning_closes_with_1000() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("bye")

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        assert [message async for message in session] == ["bye"]
        info = session.close_info
        assert (info.code, info.clean, info.ok, info.local_first) == (1000, True, True, False)
        with pytest.raises(ConnectionClosedOK):
            await session.receive()
        with pytest.raises(ConnectionClosedOK):
            await session.send("x")
        with pytest.raises(ConnectionClosedOK):
            session.send_nowait("x")


async def test_closing_twice_or_after_the_peer_only_waits() -> None:
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url) as session:
        await asyncio.gather(session.close(4001, "first"), session.close(4002, "second"))
        assert session.close_info.local == (4001, "first")
        await session.close()
        with pytest.raises(ValueError, match="1006"):
            await session.close(1006)


async def test_a_dropped_connection_is_1006_for_everyone() -> None:
    ends = Ends()

    @ends.route
    async def handler(session: Session) -> None:
        with pytest.raises(ConnectionClosedError):
            await session.receive()

    async with wsext.serve(ends.app) as server:
        async with raw_peer(server.port) as peer:
            await peer.shake()
        assert (await ends.infos.get()).code == 1006


async def test_what_was_sent_before_the_close_arrives() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        for number in range(2000):
            session.send_nowait(f"{number}")
        await session.close(1000, "all sent")

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        got = [message async for message in session]
    assert got == [f"{number}" for number in range(2000)]


# --- flow control -----------------------------------------------------------------------------


async def test_flush_waits_for_the_system() -> None:
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url) as session:
        await session.send(b"x" * 500_000)
        await session.flush()
        assert session.buffered_amount == 0
        assert len(await session.receive()) == 500_000


async def test_cancelling_receive_loses_nothing() -> None:
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url) as session:
        waiting = asyncio.ensure_future(session.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await session.send("kept")
        assert await session.receive() == "kept"


# --- frames, channels, listeners, raw ---------------------------------------------------------


async def test_a_raw_session_takes_frames_as_they_are() -> None:
    app = App()
    frames: list[Frame] = []

    @app.websocket_raw("/")
    async def raw(session: Session) -> None:
        async for frame in session:
            frames.append(frame)
            if frame.opcode == 8:
                await session.send_frame(Frame(8, b"\x03\xe8"))
                return

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        for data in (masked(1, b"a", False), masked(9, b"p"), masked(0, b"b"), masked(8)):
            peer.send(data)
        assert await peer.close_code() == 1000
        assert await peer.frame() is None
    assert frames == [Frame(1, b"a", False), Frame(9, b"p"), Frame(0, b"b"), Frame(8)]


async def test_a_raw_session_negotiates_when_it_is_asked_to() -> None:
    app = App()
    app.install(Reverse)

    @app.websocket_raw("/coded", negotiate_extensions=True)
    @app.websocket_raw("/plain")
    async def raw(session: Session) -> None:
        frame = await session.receive_frame()
        await session.send_frame(frame)

    async with wsext.serve(app) as server:
        for path, agreed in (("/coded", ["x-reverse"]), ("/plain", [])):
            async with wsext.connect(server.url + path, extensions=[Reverse]) as session:
                assert [item.name for item in session.extensions] == agreed
                await session.send("abc")
                assert await session.receive() == "abc"


# --- extensions -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [[Append, Reverse], [Reverse, Append]])
async def test_extensions_that_do_not_commute_round_trip(order: list[Any]) -> None:
    app = echo_app()
    for item in (Append, Reverse):
        app.install(item)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=order) as session,
    ):
        assert [item.name for item in session.extensions] == [item.name for item in order]
        for data in ("hello", b"\x00\x01", ""):
            await session.send(data)
            assert await session.receive() == data
        assert session.extension(Append).params["suffix"] == "end"
        assert session.extension("x-split", None) is None
        with pytest.raises(LookupError, match="x-split"):
            session.extension(Split)


async def test_negotiation_is_data() -> None:
    app = echo_app()
    app.install(Append)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[Append(suffix="forbidden"), Reverse()]) as session,
    ):
        (on_server,) = server.sessions
        assert [
            (r.offer.name, r.verdict.value, r.reason) for r in on_server.negotiation.records
        ] == [
            ("x-append", "declined", "that suffix is forbidden"),
            ("x-append", "agreed", ""),
            ("x-reverse", "skipped", "not installed"),
        ]
        assert str(session.extensions[0]) == "x-append; suffix=end"


async def test_several_may_trace_a_session_and_each_ends_its_own() -> None:
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url) as session:
        first: list[str] = []
        second: list[str] = []
        end_first = session.trace(lambda direction, stage, frame: first.append(direction))
        end_second = session.trace(lambda direction, stage, frame: second.append(direction))
        await session.send("a")
        await session.receive()
        assert first == second == ["out", "out", "in", "in"]
        end_first()
        end_first()
        await session.send("b")
        await session.receive()
        assert (len(first), len(second)) == (4, 8)
        end_second()
        session.trace(lambda direction, stage, frame: first.append(stage))
        session.trace(None)
        await session.send("c")
        await session.receive()
        assert (len(first), len(second)) == (4, 8)


def test_a_session_has_few_members() -> None:
    members = {name for name in dir(Session) if not name.startswith("_")}
    assert len(members) <= 47, sorted(members)


def test_what_the_fast_path_calls_cannot_be_overridden() -> None:
    with pytest.raises(TypeError, match=r"Mine\._deliver: private methods cannot be overridden"):

        class Mine(Session):
            def _deliver(self, item: Any) -> None:
                pass
