"""What the live page knows of sessions: those now, how the last ones ended, and totals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.resuming import Pair
from tests.waiting import until
from wsext import App, CloseInfo, Frame, Session, hookimpl, testing
from wsext.inspector import Inspector
from wsext.inspector.frames import Reader, Recorder
from wsext.inspector.register import Register
from wsext.inspector.rows import Row, Traffic, View, traffic_of
from wsext.sdk.installed import Installed


def shown(register: Register, view: View | None = None) -> list[Row]:
    """What a page's table shows."""
    ids, _ = register.pick(view or View())
    return [row for id in ids if (row := register.row(id)) is not None]


class Registered:
    """An app whose sessions are registered, and tell when they have ended."""

    def __init__(self) -> None:
        self.register = Register(["/own"], payload=True)
        self.ended: asyncio.Queue[Session] = asyncio.Queue()
        self.app = App()
        self.app.install(self)

        @self.app.websocket("/")
        @self.app.websocket("/own/feed")
        @self.app.websocket("/echo")
        async def echo(session: Session) -> None:
            async for message in session:
                if message == "fail":
                    raise RuntimeError("the secret of the handler")
                await session.send(message)

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        self.register.opened(session)

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        self.register.closed(session, info)
        self.ended.put_nowait(session)

    @asynccontextmanager
    async def talking(self, path: str = "/") -> AsyncIterator[testing.ClientSession]:
        async with testing.connect(self.app, path) as client:
            await client.send("hello")
            await client.receive()
            yield client


@pytest.fixture
def registered() -> Registered:
    return Registered()


async def test_sessions_are_rows_the_newest_first_and_then_those_that_have_ended(
    registered: Registered,
) -> None:
    register = registered.register
    async with registered.talking("/?token=secret") as first:
        async with registered.talking("/echo") as second:
            ids = [session.peer.id for session in (first, second)]
            rows = shown(register)
            assert [row.id for row in rows] == ids[::-1]
            assert (rows[1].path, rows[1].incoming, rows[1].outgoing) == (
                *("/", Traffic(1, 5, 5), Traffic(1, 5, 5)),
            )
            assert register.row(None) is register.row("nobody") is None
            assert len(register) == 2
        await registered.ended.get()
        assert [row.state for row in shown(register)] == ["open", "ended"]
        assert [row.id for row in shown(register)] == ids
        by_path = View(sort="path", descending=True)
        assert [row.path for row in shown(register, by_path)] == ["/", "/echo"]  # the ended last
        assert register.pick(View(text="echo")) == ([ids[1]], 0)
        assert register.pick(View(state="open")) == ([ids[0]], 1)
    assert len(register) == 0


async def test_last_frames_are_kept_while_a_page_is_open_also_of_sessions_that_end(
    registered: Registered,
) -> None:
    register = registered.register
    async with registered.talking() as before:
        register.page_opened()
        async with registered.talking() as meanwhile:
            await before.send("again")
            await before.receive()
            await meanwhile.close(4000, "bye")
        ended = await registered.ended.get()
        for id, count in ((before.peer.id, 2), (ended.id, 4)):  # in and out; and two closes
            found = register.find(id)
            assert found is not None
            description, recorder = found
            assert description.stages == ["app", "wire"]
            assert recorder is not None
            frames, _ = Reader(recorder, payload=True).take()
            assert len({frame.number for frame in frames}) == count
        assert [frame.preview for frame in frames][-1] == "4000 bye"
        register.page_closed()
        await before.send("unseen")
        await before.receive()
    ended = await registered.ended.get()
    found = register.find(ended.id)
    assert found is not None
    assert found[1] is None  # nobody looked when it ended
    assert register.find("nobody") is register.find(None) is None


async def test_so_many_sessions_are_recorded_and_what_a_page_watches_is(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsext.inspector.register._MAX_RECORDED", 2)
    register = registered.register
    register.page_opened()
    async with registered.talking() as first, registered.talking() as second:
        watched = register.find(first.peer.id)
        assert watched is not None
        assert watched[1] is not None
        watched[1].watchers += 1
        async with registered.talking() as third:
            for client in (first, second, third):
                await client.send("x")
                await client.receive()
            assert watched[1].count == 4
            found = register.find(third.peer.id)
            assert found is not None
            assert found[1] is not None
            assert found[1].count == 4
            found = register.find(second.peer.id)  # was given up for the third; begins again
            assert found is not None
            assert found[1] is not None
            assert found[1].count == 0


async def test_the_pages_own_sessions_do_not_count(registered: Registered) -> None:
    async with registered.talking("/own/feed"):
        assert len(registered.register) == 0
    await registered.ended.get()
    assert shown(registered.register) == []
    totals = registered.register.totals()
    assert (totals.incoming, totals.outgoing) == (Traffic(), Traffic())


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("client", (4000, "bye", "client", True, None)),
        ("server", (1011, "internal error", "server", True, "RuntimeError")),
        ("reset", (1006, "", "nobody", False, "ConnectionResetError")),
    ],
)
async def test_an_end_says_who_began_it_and_keeps_the_error_s_text_to_itself(
    registered: Registered, end: str, expected: tuple[object, ...]
) -> None:
    async with registered.talking() as client:
        if end == "client":
            await client.close(4000, "bye")
        elif end == "server":
            await client.send("fail")
            await client.wait_closed()
        else:
            client.abort()
    await registered.ended.get()
    (row,) = shown(registered.register)
    assert row.end is not None
    found = (row.end.code, row.end.reason, row.end.by, row.end.clean, row.end.error)
    assert found == expected
    assert row.incoming.messages == 1 + (end == "server")
    assert (row.connected, row.latency, row.held) == (False, None, {})
    assert registered.register.codes == {expected[0]: 1}


async def test_totals_go_on_after_sessions_have_ended(registered: Registered) -> None:
    for _ in range(2):
        async with registered.talking() as client:
            assert traffic_of(client) == (Traffic(1, 5, 5), Traffic(1, 5, 5))
        await registered.ended.get()
    totals = registered.register.totals()
    assert (totals.incoming, totals.outgoing) == (Traffic(2, 10, 10), Traffic(2, 10, 10))
    assert registered.register.history.samples()[-1] == totals


async def test_only_the_last_ends_are_remembered_and_all_are_counted(
    registered: Registered,
) -> None:
    for _ in range(110):
        async with testing.raw_peer(registered.app) as peer:
            peer.send_frame(Frame(8, b"\x03\xe8"))
            await peer.receive_close()
        await registered.ended.get()
    rows = shown(registered.register)
    assert len(rows) == 100
    assert {row.state for row in rows} == {"ended"}
    ends = [row.end.at for row in rows if row.end]
    assert ends == sorted(ends, reverse=True)
    assert registered.register.codes[1000] == 110


async def test_a_row_says_what_the_session_holds_by_what_holds_it() -> None:
    app, register = App(), Register(["/own"], payload=True)

    @app.websocket("/")
    async def deaf(session: Session) -> None:
        register.opened(session)
        await session.wait_closed()

    async with testing.connect(app, "/") as client:
        await until(lambda: len(register) == 1)
        assert shown(register)[0].held == {}
        await client.send("x" * 5000)
        await until(lambda: bool(shown(register)[0].held))
        assert shown(register)[0].held == {"inbox": 5000}


async def test_a_session_that_loses_its_connection_stays_and_is_watched_on() -> None:
    inspector, hooks = Inspector(), Installed()
    hooks.install(inspector)
    register = inspector.register
    pair = Pair(hooks=(hooks, Installed()))
    (row,) = shown(register)
    assert (row.connected, row.resumptions) == (True, 0)
    reader = Reader(Recorder(pair.server, payload=False), payload=False)
    await pair.cut()
    (row,) = shown(register)
    assert (row.connected, row.resumptions) == (False, 0)
    assert register.detached == {row.id}
    pair.resume()
    (row,) = shown(register)
    assert (row.connected, row.resumptions) == (True, 1)
    assert (register.detached, register.resumptions) == (set(), 1)
    await pair.client.send("again")
    assert await pair.server.receive() == "again"
    frames, _ = reader.take()
    assert "text" in [frame.opcode for frame in frames]
    await pair.cut()
    pair.server.abort()
    assert (register.detached, len(register)) == (set(), 0)
    pair.client.abort()
