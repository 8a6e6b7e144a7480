"""The limits of a session that are looked at once a second."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

import wsext
from tests.http2.peer import h2_peer
from tests.raw import masked, raw_peer
from tests.server.apps import limited_app
from tests.waiting import until
from wsext import Frame, Server, Session, testing
from wsext.http2.connection import HTTP2Connection
from wsext.runtime.link import Link


async def test_too_many_messages_are_read_later_and_none_is_lost() -> None:
    app, seen = limited_app({"message_rate": 200})
    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.receive()
        start = asyncio.get_running_loop().time()
        sent = 0
        while not seen.limits:  # faster than 200 a second, until it is noticed
            for _ in range(100):
                await session.send(str(sent))
                sent += 1
            await asyncio.sleep(0.01)
        await session.send("last")
        for number in range(sent):
            assert await session.receive() == str(number)
            if number == 400:
                break
        assert asyncio.get_running_loop().time() - start < 30
        assert session.is_open
        assert set(seen.limits) == {"message_rate"}
        session.abort()


async def test_a_session_that_sends_too_much_for_long_is_one_line_of_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, seen = limited_app({"message_rate": 10})
    async with testing.raw_peer(app) as peer:
        for _ in range(20):
            for _ in range(30):
                peer.send_frame(Frame(2, b"x"))
            await peer.clock.advance(1)
    assert len(seen.limits) > 1
    assert sum("message_rate" in record.getMessage() for record in caplog.records) == 1


async def test_too_many_pings_close_with_1008() -> None:
    app, seen = limited_app({"ping_rate": 10})
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        peer.send(masked(9, b"x") * 500)
        assert await peer.close_code() == 1008
    assert seen.limits == ["ping_rate"]


async def test_a_peer_that_reads_nothing_is_closed_and_one_that_reads_slowly_is_not() -> None:
    app, seen = limited_app()
    ended: dict[str, int] = {}

    @app.websocket("/flood/<name>", options={"write_timeout": 2, "outgoing_bytes": 1024})
    async def flood(session: Session, name: str) -> None:
        try:
            while True:
                await session.send(b"x" * 65536)
        finally:
            ended[name] = session.close_info.code

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake("/flood/stuck")
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with raw_peer(server.port) as slow:
            await slow.shake("/flood/slow")
            while "stuck" not in ended:
                assert await slow.reader.read(100_000)
                await asyncio.sleep(0.005)
            assert "slow" not in ended
    assert ended["stuck"] == 1013
    assert seen.limits == ["write_timeout"]


async def test_a_connection_of_http2_is_looked_at_once_for_all_its_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(HTTP2Connection, "find_reset", lambda self: looked.append(loop.time()))
    app, _ = limited_app()
    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        for _ in range(3):
            await peer.open("/")
        await until(lambda: len(looked) >= 2)
    assert looked[1] - looked[0] > 0.5  # the next round, and not the next session


async def test_of_many_sessions_some_are_looked_at_now_and_some_later_all_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = testing.Clock()
    looked: list[tuple[float, Link]] = []

    def look(link: Link) -> bool:
        if link.connection.role == "server":
            looked.append((clock.time(), link))
        return True

    monkeypatch.setattr(Link, "look", look)
    app, _ = limited_app()
    server = Server(app, timers=clock)
    await server.start()
    await server.listen("127.0.0.1", 0)
    sessions = [await wsext.connect(server.url) for _ in range(150)]
    await until(lambda: len(server.sessions) == 150)
    await clock.advance(2)  # from the first to the next that came
    looked.clear()
    for ended in sessions[::3]:
        await ended.close()
    await until(lambda: len(server.sessions) == 100)
    await clock.advance(5)
    at_once = Counter(when for when, _ in looked)
    assert max(at_once.values()) <= 8  # more would let messages wait
    assert len({link for _, link in looked}) == 100
    for each in {link for _, link in looked}:
        times = [when for when, link in looked if link is each]
        assert 4 <= len(times) <= 6
        assert all(0.7 < after - before < 1.4 for before, after in pairwise(times))
    await server.close(1)
    await asyncio.gather(*(session.wait_closed() for session in sessions))


async def test_who_is_silent_is_not_looked_at_until_something_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = testing.Clock()
    looked: list[str] = []
    look = Link.look

    def tell(link: Link) -> bool:
        looked.append(link.connection.role)
        return look(link)

    monkeypatch.setattr(Link, "look", tell)
    app, _ = limited_app()
    server = Server(app, timers=clock)
    await server.start()
    await server.listen("127.0.0.1", 0)
    session = await wsext.connect(server.url)
    await session.receive()
    await clock.advance(3)  # once when it is new
    looked.clear()
    await clock.advance(15)  # no ping is sent yet
    assert looked.count("server") == 0
    await session.send("I am still here")
    await session.receive()
    await clock.advance(1.5)
    assert looked.count("server") == 1
    await server.close(1)
    await session.wait_closed()
