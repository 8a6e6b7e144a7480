"""Sessions whose messages interceptors see: every way out and in, order, ends and bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest

import wsext
from tests.waiting import at_rest, until
from wsext import (
    App,
    ConnectionClosed,
    EndSession,
    Frame,
    Interceptor,
    Listener,
    PreparedMessage,
    ProtocolError,
    Session,
    WebSocketOptions,
    hookimpl,
    testing,
)
from wsext.runtime.held import Held
from wsext.runtime.turns import turns_of

Act = Callable[[Any, "str | bytes"], Any]


class Sees(Interceptor):
    """Does what the test says with every message."""

    name: ClassVar[str] = "sees"
    act: Act


class Receives(Sees):
    @hookimpl
    def wsext_message_received(self, session: Any, message: str | bytes) -> Any:
        return self.act(session, message)


class ReceivesAsync(Sees):
    @hookimpl
    async def wsext_message_received(self, session: Any, message: str | bytes) -> Any:
        result = self.act(session, message)
        return await result if isinstance(result, Awaitable) else result


class Sends(Sees):
    @hookimpl
    def wsext_message_sending(self, session: Any, message: str | bytes) -> Any:
        return self.act(session, message)


class SendsAsync(Sees):
    @hookimpl
    async def wsext_message_sending(self, session: Any, message: str | bytes) -> Any:
        result = self.act(session, message)
        return await result if isinstance(result, Awaitable) else result


RECEIVING = (Receives, ReceivesAsync)
SENDING = (Sends, SendsAsync)


def made(kind: type[Sees], act: Act, *, fail_closed: bool = False) -> Sees:
    one = type(kind.__name__, (kind,), {"fail_closed": fail_closed})()
    one.act = act
    return one


def shout(session: Any, message: str | bytes) -> str | bytes:
    return message.upper()


def no_links(session: Any, message: str | bytes) -> None:
    if "http" in message:  # type: ignore[operator]
        raise EndSession(4001, "no links")


def broken(session: Any, message: str | bytes) -> None:
    raise RuntimeError("a secret")


def cancelled(session: Any, message: str | bytes) -> None:
    raise asyncio.CancelledError


async def pieces(*parts: Any) -> AsyncIterator[Any]:
    for part in parts:
        yield part


# --- every way ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SENDING)
async def test_whatever_is_sent_passes_the_interceptors(kind: type[Sees]) -> None:
    loud = made(kind, shout)
    async with testing.pair([loud], client=["permessage-deflate"]) as (client, session):
        await session.send("one")
        session.send_nowait(b"two")
        await session.send(pieces("thr", "ee"))
        await session.send(PreparedMessage("four"))
        session.send_nowait(PreparedMessage("five"))
        assert wsext.broadcast([session], "six") == {}
        await session.send_json({"a": "seven"})
        await session.send_frame(Frame(1, b"ei", False))
        await session.ping()
        await session.send_frame(Frame(0, b"ght"))
        got = [await client.receive() for _ in range(8)]
    assert got == ["ONE", b"TWO", "THREE", "FOUR", "FIVE", "SIX", '{"A":"SEVEN"}', "EIGHT"]


@pytest.mark.parametrize("kind", RECEIVING)
async def test_however_it_is_received_a_message_has_passed_the_interceptors(
    kind: type[Sees],
) -> None:
    loud = made(kind, shout)
    async with testing.pair([loud], client=[]) as (client, session):
        for number in range(4):
            await client.send(f"a{number}")
        await client.send(pieces("stre", "am"))
        await client.send('{"a":1}')
        await client.send("last")
        assert await session.receive() == "A0"
        assert (await session.receive_message()).data == "A1"
        assert await session.receive_frame() == Frame(1, b"A2")
        assert await anext(session) == "A3"
        assert [part async for part in session.receive_stream()] == ["STREAM"]
        assert await session.receive_json() == {"A": 1}
        assert await session.receive() == "LAST"


@pytest.mark.parametrize("sends", SENDING)
@pytest.mark.parametrize("receives", RECEIVING)
async def test_a_listener_has_interceptors_too(receives: type[Sees], sends: type[Sees]) -> None:
    app = App()
    receiving, sending = made(receives, shout), made(sends, lambda session, message: message + "!")
    app.install(receiving)
    type(sending).name = "other"
    app.install(sending)

    @app.websocket("/")
    class Echo(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(message)

    async with testing.connect(app) as client:
        for word in ("one", "two", "three"):
            await client.send(word)
        assert [await client.receive() for _ in range(3)] == ["ONE!", "TWO!", "THREE!"]


@pytest.mark.parametrize("kind", SENDING)
async def test_what_a_room_sends_passes_the_interceptors(kind: type[Sees]) -> None:
    app = App()
    app.install(made(kind, shout))

    @app.websocket("/")
    async def member(session: Session) -> None:
        async with app.room("hall").join(session):
            await session.send("in")
            async for message in session:
                await app.room("hall").broadcast(message)

    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url) as one,
        wsext.connect(server.url) as other,
    ):
        for client in (one, other):
            assert await client.receive() == "IN"
        for word in ("hello", "again"):
            await one.send(word)
        for client in (one, other):
            assert [await client.receive(), await client.receive()] == ["HELLO", "AGAIN"]


@pytest.mark.parametrize("kind", SENDING)
async def test_a_prepared_message_is_shared_by_those_who_see_it_unchanged(
    kind: type[Sees],
) -> None:
    loud = made(kind, shout)
    message = PreparedMessage("to all")
    async with (
        testing.pair([loud], client=[]) as (one, loud_session),
        testing.pair([], client=[]) as (other, plain_session),
    ):
        loud_session.send_nowait(message)
        assert await one.receive() == "TO ALL"
        assert message.held_bytes == message.size  # no encoding of it is kept
        plain_session.send_nowait(message)
        assert await other.receive() == "to all"
        assert message.held_bytes > message.size


async def test_over_http2_messages_pass_the_interceptors() -> None:
    app = App()
    app.install(made(ReceivesAsync, shout))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, http2=True) as client,
    ):
        await client.send(pieces("so ", "loud"))
        assert await client.receive() == "SO LOUD"


async def test_typed_messages_pass_the_interceptors() -> None:
    app = App()
    app.install(made(Receives, lambda session, message: message.replace("Ada", "Eve")))

    @app.websocket("/")
    async def answer(session: Session) -> None:
        await session.send_json(await session.receive_json(dict[str, str]))

    async with testing.connect(app) as client:
        await client.send_json({"name": "Ada"})
        assert await client.receive_json() == {"name": "Eve"}


# --- order --------------------------------------------------------------------------------------


def test_messages_keep_their_order_however_long_each_takes() -> None:
    async def slow(session: Any, message: str | bytes) -> str | tuple[()] | None:
        assert isinstance(message, str)
        await asyncio.sleep(int(message) % 3)
        return () if message == "4" else None

    async def scenario(world: testing.World) -> None:
        app = App()
        app.install(made(ReceivesAsync, slow))

        @app.websocket("/")
        async def echo(session: Session) -> None:
            async for message in session:
                await session.send(message)

        server = await world.serve(app)
        sending = made(SendsAsync, slow)
        async with world.connect(server, "/", extensions=[sending]) as client:
            for number in range(9):
                if number % 2:
                    await client.send(str(number))
                else:
                    client.send_nowait(str(number))
            got = [await client.receive() for _ in range(8)]
        assert got == [str(number) for number in range(9) if number != 4]

    for seed in testing.seeds(3):
        testing.simulate(scenario, seed)


async def test_what_was_accepted_passes_the_interceptor_before_the_close() -> None:
    gate = asyncio.Event()

    async def wait(session: Any, message: str | bytes) -> str:
        await gate.wait()
        return f"late {message!r}"

    async with testing.pair([made(SendsAsync, wait)], client=[]) as (client, session):
        session.send_nowait("word")
        session.close_nowait(1001)
        gate.set()
        assert await client.receive() == "late 'word'"
        assert (await client.wait_closed()).code == 1001


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RECEIVING)
async def test_a_filter_ends_the_session_and_fragments_do_not_evade_it(kind: type[Sees]) -> None:
    async with testing.pair([made(kind, no_links)], client=[]) as (client, session):
        await client.send("fine")
        await client.send(pieces("see ht", "tp", "://example.org"))
        client.send_nowait("after it")
        assert await session.receive() == "fine"
        with pytest.raises(ConnectionClosed) as closed:
            await session.receive()
        assert isinstance(closed.value.info.exception, EndSession)
        assert (await client.wait_closed()).remote == (4001, "no links")


@pytest.mark.parametrize("kind", SENDING)
async def test_the_sender_of_what_ends_the_session_is_told(kind: type[Sees]) -> None:
    async with testing.pair([made(kind, no_links)], client=[]) as (client, session):
        await session.send("fine")
        with pytest.raises(EndSession, match="no links"):
            await session.send("http://example.org")
        with pytest.raises(ConnectionClosed):
            await session.send("after it")
        assert await client.receive() == "fine"
        assert (await client.wait_closed()).remote == (4001, "no links")


async def test_send_nowait_queues_for_an_asynchronous_interceptor_which_decides_later() -> None:
    async with testing.pair([made(SendsAsync, no_links)], client=[]) as (client, session):
        session.send_nowait("http://example.org")
        assert session.is_open
        assert (await client.wait_closed()).remote == (4001, "no links")
        assert isinstance((await session.wait_closed()).exception, EndSession)


@pytest.mark.parametrize("act", [broken, cancelled])
@pytest.mark.parametrize("kind", [*RECEIVING, *SENDING])
@pytest.mark.parametrize("fail_closed", [False, True])
async def test_a_fault_is_isolated_or_ends_the_session_with_1011(
    kind: type[Sees], fail_closed: bool, act: Act, caplog: pytest.LogCaptureFixture
) -> None:
    one = made(kind, act, fail_closed=fail_closed)
    async with testing.pair([one], client=[]) as (client, session):
        sender, receiver = (client, session) if kind in RECEIVING else (session, client)
        with suppress(ProtocolError):
            await sender.send("hello")
        if fail_closed:
            assert (await client.wait_closed()).remote == (1011, "extension failed")
            info = await session.wait_closed()
            assert str(info.exception) == "sees: interceptor failed (close code 1011)"
        else:
            assert await receiver.receive() == "hello"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "interceptor sees failed" in record.getMessage()
    assert session.id in record.getMessage()
    assert record.exc_info


@pytest.mark.parametrize("kind", [ReceivesAsync, SendsAsync])
@pytest.mark.parametrize("fail_closed", [False, True])
async def test_an_interceptor_that_never_answers_has_a_deadline(
    kind: type[Sees], fail_closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    entered = asyncio.Event()

    async def never(session: Any, message: str | bytes) -> None:
        entered.set()
        await asyncio.Event().wait()

    one = made(kind, never, fail_closed=fail_closed)
    options = WebSocketOptions(codec_timeout=5)
    async with testing.pair([one], client=[], app_options=options) as (client, session):
        sender, receiver = (client, session) if kind is ReceivesAsync else (session, client)
        sender.send_nowait("hello")
        await entered.wait()
        await client.clock.advance(6)
        if fail_closed:
            assert (await client.wait_closed()).remote == (1011, "extension failed")
        else:
            assert await receiver.receive() == "hello"
    assert "took longer than 5" in caplog.text


class OnFrames(Interceptor):
    """Fails on the frames of one opcode, in both directions."""

    name: ClassVar[str] = "on-frames"
    fail_closed = True
    opcode: int
    error: Exception = RuntimeError("a secret")

    @hookimpl
    def wsext_frame_received(self, frame: Frame) -> None:
        self.look(frame)

    @hookimpl
    def wsext_frame_sending(self, frame: Frame) -> None:
        self.look(frame)

    def look(self, frame: Frame) -> None:
        if frame.opcode == self.opcode:
            raise self.error


@pytest.mark.parametrize("opcode", [1, 9, 10])
@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("a secret"), 1011), (EndSession(4002, "so"), 4002)]
)
@pytest.mark.parametrize("on_server", [False, True])
async def test_a_frame_hook_ends_the_session_whatever_frame_it_sees(
    opcode: int, error: Exception, code: int, on_server: bool
) -> None:
    one = OnFrames()
    one.opcode, one.error = opcode, error
    server, client = ([one], []) if on_server else ([], [one])
    async with testing.pair(server, client=client) as (mine, session):
        with suppress(ConnectionClosed, ProtocolError):
            await mine.send("hello")
            await mine.ping()
        ended = await (session if on_server else mine).wait_closed()
        told = await (mine if on_server else session).wait_closed()
    assert ended.local is not None
    assert ended.local[0] == told.code == code


@pytest.mark.parametrize("on_server", [False, True])
async def test_a_frame_hook_that_fails_on_a_close_frame_does_not_keep_it(on_server: bool) -> None:
    one = OnFrames()
    one.opcode = 8
    server, client = ([one], []) if on_server else ([], [one])
    async with testing.pair(server, client=client) as (mine, session):
        await mine.close(4000)
        peer = mine if on_server else session
        assert (await peer.wait_closed()).remote is not None


# --- bounds and cancellation --------------------------------------------------------------------


async def test_what_waits_for_an_interceptor_is_bounded() -> None:
    gate = asyncio.Event()

    async def wait(session: Any, message: str | bytes) -> None:
        await gate.wait()

    bound = WebSocketOptions(incoming_bytes=1 << 16, outgoing_bytes=1 << 14)
    async with testing.pair(
        [made(ReceivesAsync, wait)], client=[], app_options=bound, client_options=bound
    ) as (client, session):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for _ in range(4000):
                await client.send(bytes(1000))
                sent += 1

        flooding = asyncio.create_task(flood())
        assert await at_rest(lambda: sent) < 4000
        held = Held.of(session)
        assert held.partial >= 1000  # the one that the interceptor has
        waiting = turns_of(asyncio.get_running_loop()).waiting
        assert waiting >= held.undecoded + 1000
        assert held.total <= Held.at_most(bound).total
        gate.set()
        for _ in range(4000):
            assert len(await session.receive()) == 1000
        await flooding


async def test_a_send_that_is_cancelled_does_not_interrupt_an_interceptor() -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def wait(session: Any, message: str | bytes) -> str:
        entered.set()
        await gate.wait()
        return f"<{message!r}>"

    async with testing.pair([made(SendsAsync, wait)], client=[]) as (client, session):
        sending = asyncio.create_task(session.send("one"))
        await entered.wait()
        behind = asyncio.create_task(session.send("never"))
        await asyncio.sleep(0)
        for task in (sending, behind):
            task.cancel()
        await asyncio.wait([sending, behind])
        gate.set()
        await session.send("two")
        assert [await client.receive(), await client.receive()] == ["<'one'>", "<'two'>"]


async def test_an_interceptor_that_waits_is_cancelled_when_the_session_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: list[BaseException] = []

    async def wait(session: Any, message: str | bytes) -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ends.append(error)
            raise

    async with testing.pair([made(ReceivesAsync, wait)], client=[]) as (client, session):
        await client.send("hello")
        await until(lambda: Held.of(session).partial > 0)
        client.abort()
        await session.wait_closed()
        await until(lambda: bool(ends))
    assert isinstance(ends[0], asyncio.CancelledError)
    assert "failed" not in caplog.text
