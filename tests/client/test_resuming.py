"""A session that has lost its connection: when it dials again, and what may come of that."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme
from wsext_resume import SessionResume

import wsext
from tests.client.servers import accept, listening
from tests.extensions import Reverse
from tests.relay import relaying
from tests.waiting import until
from wsext import (
    App,
    Backoff,
    ConnectionClosed,
    HandshakeRejected,
    InvalidStatus,
    NotResumed,
    Request,
    ServerOptions,
    Session,
    testing,
)

FAST = Backoff(initial=0.001, maximum=0.01)
REFUSED = testing.Conditions(refuse=True)

Scenario = Callable[[testing.World], Awaitable[None]]


def echo_app(**options: Any) -> App:
    app = App(server=ServerOptions(drain_timeout=0.0))
    app.install(SessionResume(**options))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


def run(scenario: Scenario, *conditions: testing.Conditions | None, seed: int = 1) -> None:
    """A scenario on a calm network, where the first connections may have it otherwise."""
    left = list(conditions)

    def weather(rng: Random) -> testing.Conditions:
        return (left.pop(0) if left else None) or testing.Conditions()

    testing.simulate(scenario, seed, weather=weather)


def dial(world: testing.World, server: wsext.Server, **options: Any) -> Any:
    return world.connect(server, extensions=[SessionResume()], **options)


async def detached(session: Session) -> None:
    await until(lambda: not session.connected)


# --- it goes on -------------------------------------------------------------------------------


def test_the_program_notices_nothing() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(echo_app())
        async with dial(world, server) as session:
            for number in range(20):
                if number % 5 == 4:
                    world.connections[-1].reset()
                await session.send(f"message {number}")
                assert await session.receive() == f"message {number}"
            assert session.resumptions == 4
            assert session.connected
            assert not session.fresh_start
        assert session.close_info.ok
        assert len(world.connections) == 5

    run(scenario)


#: Every byte is for ``SHOW=full``; how far a second connection gets within these numbers of bytes:
#: the answer and some frames, the handshake and some frames.
STEP = 1 if os.environ.get("SHOW") == "full" else 11
READS = {"client": 300, "server": 380}


async def say_ten(world: testing.World) -> None:
    server = await world.serve(echo_app())
    async with dial(world, server, backoff=FAST) as session:
        world.connections[0].reset()
        for number in range(10):
            await session.send(f"message {number}")
        assert [await session.receive() for _ in range(10)] == [
            f"message {number}" for number in range(10)
        ]
    info = session.close_info
    assert info.local == (1000, "")
    assert info.clean or str(info.exception).startswith("the session could not be resumed (unkn")


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_second_connection_may_be_cut_at_any_byte(side: Any) -> None:
    for size in range(1, READS[side], STEP):
        run(say_ten, None, testing.Conditions(half_close_after=(side, size)))


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_close_frame_that_is_cut_off_arrives_all_the_same(side: Any) -> None:
    ends: list[int] = []
    app = App()
    app.install(SessionResume())

    @app.websocket("/")
    async def listen(session: Session) -> None:
        assert await session.receive() == "hello"
        ends.append((await session.wait_closed()).code)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        async with dial(world, server, backoff=FAST) as session:
            await session.send("hello")
            await session.flush()
            await session.close(4001, "done")
        assert session.close_info.code == 4001

    for size in range(220, 240) if side == "client" else range(213, 245):
        run(scenario, testing.Conditions(half_close_after=(side, size)))
    assert set(ends) == {4001}


def test_a_receive_and_a_send_may_be_cancelled_while_there_is_no_connection() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(echo_app())
        async with dial(world, server) as session:
            await session.send("one")
            assert await session.receive() == "one"
            world.connections[-1].reset()
            await detached(session)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await session.receive()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await session.send("not sent")
            await session.send("two")
            assert await session.receive() == "two"

    run(scenario, None, REFUSED, REFUSED)


async def test_a_server_that_is_gone_for_a_while() -> None:
    async with (
        wsext.serve(echo_app()) as server,
        relaying(server.port) as relay,
        wsext.connect(relay.url, extensions=[SessionResume()], backoff=FAST) as session,
    ):
        await session.send("one")
        assert await session.receive() == "one"
        relay.target, port = 1, relay.target  # nothing listens there
        relay.cut()
        await until(lambda: len(relay.asked) > 2)
        session.send_nowait("two")
        relay.target = port
        assert await session.receive() == "two"
        assert session.resumptions == 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("tls", [False, True])
async def test_over_tls_and_http2_it_comes_back_as_it_came(
    tls: bool, http2: bool, authority: trustme.CA
) -> None:
    ours = theirs = None
    if tls:
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(theirs)
        theirs.set_alpn_protocols(["h2", "http/1.1"])
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
    app = echo_app()
    app.install("permessage-deflate")
    resumable: list[Any] = [SessionResume(), "permessage-deflate"]
    async with wsext.serve(app, ssl=theirs) as server, relaying(server.port) as relay:
        url = relay.url.replace("ws", "wss", 1) if tls else relay.url
        opening = wsext.connect(url, extensions=resumable, backoff=FAST, ssl=ours, http2=http2)
        async with opening as session:
            for number in range(3):
                text = f"message {number} " * 10
                await session.send(text)
                assert await session.receive() == text
                relay.cut()
            await session.send("last")
            assert await session.receive() == "last"
            assert len(session.extensions) == 2
            assert session.resumptions == 3
        assert session.close_info.ok


async def test_over_a_unix_socket_it_comes_back_as_it_came(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with wsext.serve(echo_app()) as server, relaying(server.port) as relay:
        async with await asyncio.start_unix_server(relay.take, path):
            url = f"ws+unix:{path}:/"
            async with wsext.connect(url, extensions=[SessionResume()], backoff=FAST) as session:
                for text in ("one", "two"):
                    await session.send(text)
                    assert await session.receive() == text
                    relay.cut()
        assert session.resumptions == 2


async def test_a_session_on_a_socket_of_the_program_ends_with_it() -> None:
    async with wsext.serve(echo_app()) as server, relaying(server.port) as relay:
        sock = socket.create_connection(("127.0.0.1", relay.port))
        opening = wsext.connect(relay.url, extensions=[SessionResume()], sock=sock)
        async with opening as session:
            relay.cut()
            with pytest.raises(ConnectionClosed, match="1006"):
                await session.receive()


def test_a_fresh_token_is_made_for_each_attempt() -> None:
    tokens: list[str | None] = []
    app = echo_app()

    async def guard(request: Request) -> None:
        tokens.append(request.headers.get("Authorization"))
        request.identity = "ada"

    @app.websocket("/guarded", guards=[guard])
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        count = 0

        async def headers() -> dict[str, str]:
            nonlocal count
            count += 1
            return {"Authorization": f"Bearer {count}"}

        opening = world.connect(server, "/guarded", extensions=[SessionResume()], headers=headers)
        async with opening as session:
            for text in ("one", "two", "three"):
                await session.send(text)
                assert await session.receive() == text
                world.connections[-1].reset()
            assert session.request.headers["Authorization"] == "Bearer 3"

    run(scenario)
    assert tokens[:3] == ["Bearer 1", "Bearer 2", "Bearer 3"]


# --- how long it waits ------------------------------------------------------------------------


def attempts(
    app: App, *conditions: testing.Conditions | None, seconds: float = 100
) -> tuple[list[float], Session]:
    """When a client has connected that has lost its first connection at once."""
    times: list[float] = []
    sessions: list[Session] = []

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        async with dial(world, server) as session:
            sessions.append(session)
            world.connections[-1].reset()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await session.wait_closed()
            session.abort()
        times.extend(event.time for event in world.network.events if event.what == "connects")

    run(scenario, *conditions)
    return times, sessions[0]


def test_the_waits_grow_when_connections_are_accepted_and_fail_at_once() -> None:
    dropped = testing.Conditions(reset_after=500)
    times, session = attempts(echo_app(max_rate=6000), None, *[dropped] * 60, seconds=300)
    waits = [after - before for before, after in pairwise(times)]
    assert len(waits) < 60
    assert max(waits) > 5
    assert max(waits) < 15.1  # a quarter of the window
    assert session.resumptions > 5


@pytest.mark.parametrize("code", [1012, 1013])
def test_a_server_that_is_busy_is_left_alone_for_a_while(code: int) -> None:
    times: list[float] = []
    app = App()
    app.install(SessionResume(window=60))

    @app.websocket("/")
    async def leave(session: Session) -> None:
        await session.send("welcome")
        await session.close(code)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        async with dial(world, server) as session:
            assert await session.receive() == "welcome"
            await until(lambda: not session.connected)
            assert session.is_open
            with pytest.raises(ConnectionClosed, match="unknown"):
                await session.receive()
        times.extend(event.time for event in world.network.events if event.what == "connects")

    run(scenario)
    assert 5 < times[1] - times[0] < 15.1


def guarded_app(*answers: HandshakeRejected | None, **options: Any) -> App:
    """An app that refuses some of the first handshakes; ``None`` is none of them."""
    app = App()
    app.install(SessionResume(**options))
    left = list(answers)

    async def guard(request: Request) -> None:
        answer = left.pop(0) if left else None
        if answer is not None:
            raise answer

    @app.websocket("/", guards=[guard])
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


def test_retry_after_is_waited_for() -> None:
    busy = HandshakeRejected(503, headers={"Retry-After": "7"})
    times, session = attempts(guarded_app(None, busy, busy))
    assert times[2] - times[1] >= 7
    assert times[3] - times[2] >= 7
    assert session.resumptions == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_that_another_attempt_cannot_mend_ends_the_session(status: int) -> None:
    times, session = attempts(guarded_app(None, HandshakeRejected(status)))
    assert len(times) == 2
    error = session.close_info.exception
    assert isinstance(error, InvalidStatus)
    assert error.status == status
    assert f"HTTP {status}" in str(session.close_info)


def test_the_window_ends_while_nothing_can_be_reached() -> None:
    times: list[float] = []

    async def scenario(world: testing.World) -> None:
        loop = asyncio.get_running_loop()
        server = await world.serve(echo_app(window=30))
        async with dial(world, server) as session:
            await session.send("kept")
            world.connections[-1].reset()
            await detached(session)
            times.append(loop.time())
            session.send_nowait("not sent")
            with pytest.raises(ConnectionClosed) as caught:
                await session.receive()
            times.append(loop.time())
            assert isinstance(caught.value.info.exception, NotResumed)
            assert caught.value.info.exception.reason == "expired"
            assert session.unconfirmed == ["kept", "not sent"]

    run(scenario, None, *[REFUSED] * 1000)
    assert 29 < times[1] - times[0] < 31


# --- a fresh start ----------------------------------------------------------------------------


async def lose(world: testing.World, server: wsext.Server) -> None:
    """End the server's sessions without their clients noticing, then drop the connections."""
    for session in server.sessions:
        session.abort()
    await asyncio.sleep(0)


def test_async_for_goes_on_with_the_new_session_of_the_same_connection() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(echo_app(window=1))
        number = 0
        async for session in dial(world, server):
            number += 1
            await session.send(f"message {number}")
            assert await session.receive() == f"message {number}"
            assert session.fresh_start is (number > 1)
            if number == 3:
                break
            await lose(world, server)
            session.send_nowait("for nobody")
            with pytest.raises(ConnectionClosed, match="unknown") as caught:
                await session.receive()
            assert isinstance(caught.value.info.exception, NotResumed)
            assert session.unconfirmed == [f"message {number}", "for nobody"]
        assert len(world.connections) == 3

    run(scenario)


def test_without_async_for_the_new_session_is_closed() -> None:
    ends: list[int] = []
    app = App()
    app.install(SessionResume())

    @app.websocket("/")
    async def greet(session: Session) -> None:
        await session.send("welcome")
        ends.append((await session.wait_closed()).code)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        async with dial(world, server) as session:
            assert await session.receive() == "welcome"
            await lose(world, server)
            with pytest.raises(ConnectionClosed, match="no longer"):
                await session.receive()
        assert ends == [1006, 1000]
        assert not server.sessions

    run(scenario)


def test_a_refused_id_is_never_offered_again() -> None:
    offered: list[str] = []
    app = echo_app()

    async def note(request: Request) -> None:
        offered.append(request.headers["Sec-WebSocket-Extensions"])

    @app.websocket("/noted", guards=[note])
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        number = 0
        opening = world.connect(server, "/noted", extensions=[SessionResume()])
        async for session in opening:
            await session.send("x")
            assert await session.receive() == "x"
            number += 1
            if number == 3:
                break
            await lose(world, server)

    run(scenario)
    ids = [part for text in offered for part in text.split("; ") if part.startswith("id=")]
    assert len(ids) == 2
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("; received=0", "x-reverse: is required"),
        ("; received=0, x-reverse\r\nSec-WebSocket-Protocol: v2", "another subprotocol"),
        ("; received=1, x-reverse\r\nSec-WebSocket-Protocol: v1", "received what was not sent"),
        ("; fresh=unknown, x-reverse\r\nSec-WebSocket-Protocol: v1", "no such session"),
        (", x-reverse\r\nSec-WebSocket-Protocol: v1", "either received or fresh"),
    ],
)
async def test_what_a_server_may_answer(answer: str, problem: str) -> None:
    first = "; id=a; window=60, x-reverse\r\nSec-WebSocket-Protocol: v1\r\n"
    answers = [first, f"; id=b; window=60{answer}\r\n"]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(accept(key, f"Sec-WebSocket-Extensions: session-resume{answers.pop(0)}"))
        if not answers:
            await reader.read()
        writer.close()

    async with listening(handle) as port:
        opening = wsext.connect(
            f"ws://127.0.0.1:{port}/",
            extensions=[SessionResume(), Reverse],
            required=["x-reverse"],
            subprotocols=["v1", "v2"],
            backoff=FAST,
            options=wsext.WebSocketOptions(close_timeout=0.1),
        )
        async with opening as session:
            with pytest.raises(ConnectionClosed, match=problem):
                await session.receive()
    assert not answers


# --- the end while there is no connection -----------------------------------------------------


@pytest.mark.parametrize("error", [None, ZeroDivisionError, asyncio.CancelledError])
def test_the_block_is_left_while_there_is_no_connection(error: Any) -> None:
    async def scenario(world: testing.World) -> None:
        loop = asyncio.get_running_loop()
        server = await world.serve(echo_app(window=100))
        options = wsext.WebSocketOptions(close_timeout=3)
        began = 0.0
        with suppress(ZeroDivisionError, asyncio.CancelledError):
            async with dial(world, server, options=options) as session:
                world.connections[-1].reset()
                await detached(session)
                began = loop.time()
                if error is not None:
                    raise error
        took = loop.time() - began
        assert took < 0.1 if error is asyncio.CancelledError else took < 3.1
        await asyncio.sleep(101)  # until the server lets go of it, too

    run(scenario, None, *[REFUSED] * 1000)


@pytest.mark.parametrize("conditions", [REFUSED, testing.Conditions(latency=(5.0, 5.0))])
def test_close_is_bounded_and_can_be_cancelled(conditions: testing.Conditions) -> None:
    """Whether the next attempt is waited for or under way."""

    async def scenario(world: testing.World) -> None:
        loop = asyncio.get_running_loop()
        server = await world.serve(echo_app(window=5))
        options = wsext.WebSocketOptions(close_timeout=3)
        async with dial(world, server, options=options) as session:
            world.connections[-1].reset()
            await detached(session)
            await asyncio.sleep(1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await session.close(4001)
            began = loop.time()
            await session.close()
            assert loop.time() - began < 3
            assert not session.is_open
            assert session.close_info.local is None
        await asyncio.sleep(10)

    run(scenario, None, *[conditions] * 100)


def test_connecting_again_is_cancelled_with_the_program() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(echo_app(window=5))

        async def read() -> None:
            async with dial(world, server) as session:
                world.connections[-1].reset()
                await session.receive()

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(1)  # in the middle of its second handshake
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(10)

    run(scenario, None, testing.Conditions(latency=(0.4, 0.5)))


# --- another address --------------------------------------------------------------------------


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\n\r\n".encode()


async def test_a_session_is_followed_to_another_port_once() -> None:
    async with (
        wsext.serve(echo_app()) as server,
        relaying(server.port) as node,
        relaying(server.port) as relay,
    ):
        relay.plan.extend([None, redirect(node.url)])
        opening = wsext.connect(
            relay.url,
            extensions=[SessionResume()],
            backoff=FAST,
            headers={"Cookie": "id=1", "X-App": "7"},
        )
        async with opening as session:
            relay.cut()
            await session.send("hello")
            assert await session.receive() == "hello"
            assert session.resumptions == 1
        assert len(relay.asked) == 2
        (asked,) = node.asked
        assert "id=" in asked.partition("session-resume")[2]
        assert "Cookie" not in asked
        assert "X-App: 7" in asked


@pytest.mark.parametrize("location", ["ws://elsewhere.invalid/", "{node}", "/again", ""])
async def test_where_a_redirect_leads_to_nothing_the_session_begins_anew(location: str) -> None:
    async with (
        wsext.serve(echo_app()) as server,
        relaying(server.port) as node,
        relaying(server.port) as relay,
    ):
        node.plan.append(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        relay.plan.extend([None, redirect(location.format(node=node.url))])
        if location == "/again":
            relay.plan.append(redirect("/"))
        opening = wsext.connect(relay.url, extensions=[SessionResume()], backoff=FAST)
        fresh = []
        async for session in opening:
            fresh.append(session.fresh_start)
            if len(fresh) == 2:
                break
            relay.cut()
            with pytest.raises(ConnectionClosed, match="elsewhere"):
                await session.receive()
        assert fresh == [False, True]
        assert "id=" not in relay.asked[-1].partition("session-resume")[2]


async def test_other_redirects_are_not_followed() -> None:
    async with wsext.serve(echo_app()) as server, relaying(server.port) as relay:
        for status in ("301 Moved Permanently", "302 Found", "308 Permanent Redirect"):
            answer = f"HTTP/1.1 {status}\r\nLocation: {server.url}\r\n\r\n".encode()
            relay.plan.extend([None, answer])
            opening = wsext.connect(relay.url, extensions=[SessionResume()], backoff=FAST)
            async with opening as session:
                relay.cut()
                with pytest.raises(ConnectionClosed, match=status[:3]):
                    await session.receive()
        relay.plan.append(redirect(server.url))
        with pytest.raises(InvalidStatus, match="307"):
            await wsext.connect(relay.url)
