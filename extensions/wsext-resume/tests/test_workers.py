"""Sessions of several workers and servers, and under uvicorn: each client reaches its session."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from wsext_resume import SessionResume

import wsext
from tests.e2e.processes import serving
from tests.integrations.served import Receive, Scope, Send, running
from tests.raw import masked
from tests.relay import relaying
from tests.server.working import team
from tests.waiting import until
from wsext import App, Backoff, NotResumed, Request, ServerOptions, Session, hookimpl

FAST = Backoff(initial=0.001, maximum=0.05)
ROUNDS = 6

workers_only = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="workers need processes that inherit sockets"
)


class Counting:
    """An app whose handler numbers what it answers, and says once that it runs."""

    def __init__(self, **server: Any) -> None:
        self.resume = SessionResume()
        self.app = App(server=ServerOptions(**server))
        self.app.install(self.resume)
        self.app.websocket("/")(self.handle)
        self.runs = 0

    async def handle(self, session: Session) -> None:
        self.runs += 1
        taken = 0
        async for message in session:
            taken += 1
            await session.send(f"{taken} {message}")


async def talk(session: Session, cut: Any) -> None:
    """Send and receive, with a cut in the middle of each round."""
    for number in range(1, ROUNDS + 1):
        await session.send(f"message {number}")
        cut()
        assert await session.receive() == f"{number} message {number}"
    assert session.resumptions >= ROUNDS - 1  # what was cut off may have arrived before it


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@workers_only
@pytest.mark.parametrize("kind", ["plain", "tls", "h2", "h2-tls"])
async def test_a_session_of_another_worker_goes_on(kind: str, authority: trustme.CA) -> None:
    options: dict[str, Any] = {"http2": "h2" in kind}
    context = None
    if "tls" in kind:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        options["ssl"] = ssl.create_default_context()
        authority.configure_trust(options["ssl"])
    one, two = Counting(), Counting()
    async with team(one.app, two.app, context=context) as workers:
        url = f"{'wss' if context else 'ws'}://{workers.open_door()}/"
        how = {"extensions": [SessionResume()], "backoff": FAST, **options}
        async with wsext.connect(url, **how) as session:
            await talk(session, workers.cut)
            workers.let_go()
        assert session.close_info.ok
        assert workers.passed
        assert set(workers.passed) == {(2, 1)}
    assert (one.runs, two.runs) == (1, 0)
    assert one.resume.counters.get("refused elsewhere", 0) == 0


@workers_only
async def test_the_worker_that_has_a_session_asks_anew_how_long_its_identity_lasts() -> None:
    later, sessions = itertools.count(int(time.time()) + 1000), list[Session]()

    def guard(request: Request) -> None:
        request.identity, request.expires = "ann", next(later)

    app = App(guards=[guard])
    app.install(SessionResume())

    @app.websocket("/")
    async def echo(session: Session) -> None:
        sessions.append(session)
        async for message in session:
            await session.send(message)

    async with team(app, Counting().app) as workers:
        url = f"ws://{workers.open_door()}/"
        async with wsext.connect(url, extensions=[SessionResume()], backoff=FAST) as client:
            (mine,) = sessions
            first = mine.expires
            workers.cut()
            await client.send("back")
            assert await client.receive() == "back"
            assert first is not None
            assert mine.expires == first + 1
            workers.let_go()
        assert set(workers.passed) == {(2, 1)}


@workers_only
async def test_a_worker_that_is_not_there_any_more_means_a_fresh_start() -> None:
    one, two = Counting(drain_timeout=0.1), Counting(drain_timeout=0.1)
    async with team(one.app, two.app) as workers:
        url = f"ws://{workers.open_door()}/"
        session = await wsext.connect(url, extensions=[SessionResume()], backoff=FAST)
        await session.send("kept")
        assert await session.receive() == "1 kept"
        workers.gone.add(1)
        await session.send("nobody knows")
        workers.cut()
        info = await session.wait_closed()
        assert isinstance(info.exception, NotResumed)
        assert info.exception.reason == "elsewhere"
        assert session.unconfirmed[-1] == "nobody knows"
        workers.let_go()
    assert (one.runs, two.runs) == (1, 1)


@workers_only
async def test_one_that_drains_answers_who_comes_back_and_nobody_else() -> None:
    one, two = Counting(drain_timeout=3), Counting(drain_timeout=0.1)
    async with team(one.app, two.app) as workers:
        first, second, third = [await workers.peer(number) for number in (1, 2, 2)]
        mine = id_in(await first.shake(more=offering()))
        first.writer.transport.abort()
        await until(lambda: not workers.boards[0].connections)
        workers.tell(1, b"r")  # it waits for who comes back
        guessed = f"x{mine[1:]}"
        assert "fresh=elsewhere" in await second.shake(more=offering(guessed))
        assert workers.passed == [(2, 1), (1, 0)]
        assert "received=0" in await third.shake(more=offering(mine))
        await third.reader.readuntil(b"server is restarting")  # the end of a Close frame
        third.send(masked(8, b"\x03\xf4"))
        for peer in (second, third):
            peer.writer.close()


def offering(id: str | None = None) -> str:
    params = "" if id is None else f"; id={id}; received=0"
    return f"Sec-WebSocket-Extensions: session-resume{params}\r\n"


def id_in(head: str) -> str:
    found = re.search("; id=([^;]*);", head)
    assert found is not None, head
    return found[1]


# --- processes ------------------------------------------------------------------------------------

APP = """
import os
from wsext import App
from wsext_resume import SessionResume

app = App()
app.install(SessionResume)
runs = 0

@app.websocket("/")
async def handle(session):
    global runs
    runs += 1
    taken = 0
    async for message in session:
        taken += 1
        await session.send(f"{taken} {os.getpid()} {runs} {message}")
"""


@workers_only
async def test_two_processes_and_a_network_that_cuts(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(APP)
    with serving("demo:app", "--workers", "2", cwd=tmp_path) as served:
        async with relaying(served.port) as relay:
            how: dict[str, Any] = {"extensions": [SessionResume()], "backoff": FAST}
            async with wsext.connect(relay.url, **how) as session:
                pids = set()
                for number in range(1, 2 * ROUNDS):
                    await session.send(f"{number}")
                    relay.cut()
                    taken, pid, runs, text = str(await session.receive()).split()
                    assert (taken, runs, text) == (str(number), "1", str(number))
                    pids.add(pid)
                assert len(pids) == 1
                assert session.resumptions >= ROUNDS
                await session.send("nobody knows")
                os.kill(int(pids.pop()), signal.SIGKILL)
                info = await session.wait_closed()
                assert isinstance(info.exception, NotResumed)
                assert info.exception.reason in ("elsewhere", "unknown")


@workers_only
async def test_a_session_of_a_worker_that_stands_still_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(APP)

    async def ask(session: Session, text: str) -> int:
        await session.send(text)
        return int(str(await session.receive()).split()[1])

    async def ask_anew() -> int:
        async with wsext.connect(served.ws) as another:
            return await ask(another, "who")

    with serving("demo:app", "--workers", "2", cwd=tmp_path) as served:
        async with relaying(served.port) as relay:
            how: dict[str, Any] = {"extensions": [SessionResume()], "backoff": FAST}
            async with wsext.connect(relay.url, **how) as session:
                pid = await ask(session, "first")
                os.kill(pid, signal.SIGSTOP)
                try:
                    # Once it is known that this one stands still, the other one serves all.
                    assert pid not in await asyncio.gather(*(ask_anew() for _ in range(6)))
                    relay.cut()
                    await until(lambda: len(relay.asked) > 1)
                    assert await ask_anew() != pid  # so the other one has handed it over
                finally:
                    os.kill(pid, signal.SIGCONT)
                assert await ask(session, "second") == pid
                assert session.resumptions == 1


# --- uvicorn --------------------------------------------------------------------------------------


class Application:
    """An ASGI application that numbers what it answers."""

    def __init__(self) -> None:
        self.runs = 0
        self.ended: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.runs += 1
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "v2"})
        taken = 0
        while (event := await receive())["type"] == "websocket.receive":
            taken += 1
            if event["text"] == "return":
                return
            await send({"type": "websocket.send", "text": f"{taken} {event['text']}"})
        self.ended.append(event["code"])


async def test_an_asgi_application_goes_on_after_a_cut() -> None:
    app, settings = Application(), Counting().app
    async with running(app, settings=settings) as served, relaying(served.port) as relay:
        how: dict[str, Any] = {"extensions": [SessionResume()], "backoff": FAST}
        async with wsext.connect(relay.url, subprotocols=["v1", "v2"], **how) as session:
            await talk(session, relay.cut)
            assert session.subprotocol == "v2"
            assert len(served.server.server_state.connections) == 1
        await until(lambda: not served.server.server_state.connections)
        assert session.close_info.ok
    assert (app.runs, app.ended) == (1, [1000])


async def test_an_asgi_application_that_returns_has_closed_the_session() -> None:
    app, settings = Application(), Counting().app
    async with running(app, settings=settings) as served:
        session = await wsext.connect(served.ws, extensions=[SessionResume()], subprotocols=["v2"])
        await session.send("return")
        assert (await session.wait_closed()).remote == (1000, "")


async def test_a_uvicorn_that_shuts_down_keeps_no_session_without_a_connection() -> None:
    app, settings, detached = Application(), Counting().app, asyncio.Event()

    class Told:
        @hookimpl
        def wsext_session_detached(self, session: Session) -> None:
            detached.set()

    settings.install(Told())
    async with running(app, settings=settings) as served:
        session = await wsext.connect(served.ws, extensions=[SessionResume()], subprotocols=["v2"])
        await session.send("hello")
        assert await session.receive() == "1 hello"
        session.abort()
        await asyncio.wait_for(detached.wait(), 20)
    assert app.ended == [1012]
