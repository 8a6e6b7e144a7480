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
from wsext.inspector.frames import Recorder
from wsext.inspector.register import Register, Traffic, traffic_of
from wsext.sdk.installed import Installed


class Registered:
    """An app whose sessions are registered, and tell when they have ended."""

    def __init__(self) -> None:
        self.register = Register("/own", payload=True)
        self.ended: asyncio.Queue[Session] = asyncio.Queue()
        self.app = App()
        self.app.install(self)

        @self.app.websocket("/")
        @self.app.websocket("/own")
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


async def test_sessions_are_rows_the_newest_first_but_for_the_one_that_is_watched(
    registered: Registered,
) -> None:
    register = registered.register
    async with registered.talking("/?token=secret") as first, registered.talking() as second:
        ids = [session.peer.id for session in (first, second)]
        assert [row.id for row in register.rows(None)] == ids[::-1]
        rows = list(register.rows(ids[0]))
        assert [row.id for row in rows] == ids
        assert (rows[0].path, rows[0].incoming, rows[0].outgoing) == (
            *("/", Traffic(1, 5, 5), Traffic(1, 5, 5)),
        )
        assert register.get(ids[1]) is second.peer
        assert register.get(None) is register.get("nobody") is None
        assert len(register) == 2
    assert len(register) == 0


async def test_the_pages_own_sessions_do_not_count(registered: Registered) -> None:
    async with registered.talking("/own"):
        assert len(registered.register) == 0
    assert registered.register.number == 0
    assert registered.register.totals()[1:] == (Traffic(), Traffic())


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
    (closed,) = registered.register.closed_after(0)
    assert (closed.code, closed.reason, closed.by, closed.clean, closed.error) == expected
    assert closed.messages == 2 + (end == "server")
    assert registered.register.codes == {expected[0]: 1}
    assert registered.register.closed_after(closed.number) == []


async def test_totals_go_on_after_sessions_have_ended(registered: Registered) -> None:
    for _ in range(2):
        async with registered.talking() as client:
            assert traffic_of(client) == (Traffic(1, 5, 5), Traffic(1, 5, 5))
        await registered.ended.get()
    _, incoming, outgoing = registered.register.totals()
    assert (incoming, outgoing) == (Traffic(2, 10, 10), Traffic(2, 10, 10))


async def test_only_the_last_ends_are_remembered_and_all_are_counted(
    registered: Registered,
) -> None:
    for _ in range(110):
        async with testing.raw_peer(registered.app) as peer:
            peer.send_frame(Frame(8, b"\x03\xe8"))
            await peer.receive_close()
        await registered.ended.get()
    remembered = registered.register.closed_after(0)
    assert [closed.number for closed in remembered] == list(range(11, 111))
    assert registered.register.codes[1000] == 110


async def test_a_row_says_what_the_session_holds_by_what_holds_it() -> None:
    app, register = App(), Register("/own", payload=True)

    @app.websocket("/")
    async def deaf(session: Session) -> None:
        register.opened(session)
        await session.wait_closed()

    async with testing.connect(app, "/") as client:
        await until(lambda: len(register) == 1)
        assert next(register.rows(None)).held == {}
        await client.send("x" * 5000)
        await until(lambda: bool(next(register.rows(None)).held))
        assert next(register.rows(None)).held == {"inbox": 5000}


async def test_a_session_that_loses_its_connection_stays_and_is_watched_on() -> None:
    inspector, hooks = Inspector(), Installed()
    hooks.install(inspector)
    register = inspector.register
    pair = Pair(hooks=(hooks, Installed()))
    (row,) = register.rows(None)
    assert (row.connected, row.resumptions) == (True, 0)
    recorder = Recorder(pair.server, payload=False)
    await pair.cut()
    (row,) = register.rows(None)
    assert (row.connected, row.resumptions) == (False, 0)
    assert register.detached == {row.id}
    pair.resume()
    (row,) = register.rows(None)
    assert (row.connected, row.resumptions) == (True, 1)
    assert (register.detached, register.resumptions) == (set(), 1)
    await pair.client.send("again")
    assert await pair.server.receive() == "again"
    frames, _ = recorder.take()
    assert "text" in [frame.opcode for frame in frames]
    await pair.cut()
    pair.server.abort()
    assert (register.detached, len(register)) == (set(), 0)
    pair.client.abort()
