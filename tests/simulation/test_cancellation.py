"""Every await point of the public API is cancelled once.

Afterwards the session works on, with every message in its place, or it has ended with a code that
says so. What is being sent when the sender is cancelled arrives whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.simulation.codecs import STACKS
from tests.simulation.stepping import Stepper
from tests.waiting import sessions_gone
from wsext import App, ConnectionClosed, Frame, Session, WebSocketOptions
from wsext.runtime.life import life_of
from wsext.testing import Conditions, World, simulate

#: Slow enough for everything to have to wait somewhere.
NETWORK = Conditions(latency=(0.01, 0.01), capacity=2000)
OPTIONS = WebSocketOptions(ping_interval=None, close_timeout=5.0, outgoing_bytes=2000)
FEED = [f"message {number}" for number in range(6)]
#: More awaits than this in one operation would be a finding, too.
MOST_STEPS = 200


class Partner:
    """The server's side, and what the client's has done.

    Attributes:
        got: What the server has received.
        sent: What the client has sent for sure.
        pending: What it was about to send.
        received: What it has received.
    """

    def __init__(self, stack: str) -> None:
        self.got: list[Any] = []
        self.sent: list[Any] = []
        self.pending: Any = None
        self.received: list[Any] = []
        self.app = App(options=OPTIONS)
        for extension in STACKS[stack]:
            self.app.install(extension)
        self.app.websocket("/collect")(self._collect)
        self.app.websocket("/slow")(self._collect_slowly)
        self.app.websocket("/feed")(self._feed)

    async def _collect(self, session: Session) -> None:
        async for message in session:
            self.got.append(message)

    async def _collect_slowly(self, session: Session) -> None:
        session.hold_reading(3.0)
        await self._collect(session)

    async def _feed(self, session: Session) -> None:
        for message in FEED:
            await session.send(message)
            await asyncio.sleep(0.05)
        await session.wait_closed()


# --- what is cancelled --------------------------------------------------------------------------

Operation = Callable[[Session, Partner], Awaitable[None]]


async def _send(session: Session, partner: Partner, message: Any, sending: Awaitable[None]) -> None:
    partner.pending = message
    await sending
    partner.sent.append(message)
    partner.pending = None


async def send_small(session: Session, partner: Partner) -> None:
    for message in ("a", "bb", "ccc"):
        await _send(session, partner, message, session.send(message))


async def send_large(session: Session, partner: Partner) -> None:
    for letter in "abc":
        await _send(session, partner, letter * 5000, session.send(letter * 5000))


async def send_stream(session: Session, partner: Partner) -> None:
    async def pieces() -> AsyncIterator[str]:
        for _ in range(3):
            yield "piece"
            await asyncio.sleep(0.01)

    await _send(session, partner, "piece" * 3, session.send(pieces()))
    await _send(session, partner, "next", session.send("next"))


async def send_json(session: Session, partner: Partner) -> None:
    for number in range(3):
        await _send(session, partner, str(number), session.send_json(number))


async def send_frame(session: Session, partner: Partner) -> None:
    for letter in "abc":
        await _send(session, partner, letter, session.send_frame(Frame(1, letter.encode())))


async def flush(session: Session, partner: Partner) -> None:
    await _send(session, partner, "x" * 5000, session.send("x" * 5000))
    await session.flush()


async def ping(session: Session, partner: Partner) -> None:
    await session.ping()
    await session.ping(b"mine")


async def close(session: Session, partner: Partner) -> None:
    await _send(session, partner, "last", session.send("last"))
    await session.close(1000, "done")


async def wait_closed(session: Session, partner: Partner) -> None:
    session.close_nowait(1000, "done")
    await session.wait_closed()


async def task(session: Session, partner: Partner) -> None:
    await session.create_task(send_small(session, partner))


async def receive(session: Session, partner: Partner) -> None:
    for _ in FEED:
        partner.received.append(await session.receive())


async def iterate(session: Session, partner: Partner) -> None:
    async for message in session:
        partner.received.append(message)
        if len(partner.received) == len(FEED):
            return


async def receive_in_time(session: Session, partner: Partner) -> None:
    while len(partner.received) < len(FEED):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                partner.received.append(await session.receive())


async def receive_stream(session: Session, partner: Partner) -> None:
    for _ in FEED:
        async for piece in session.receive_stream():
            partner.received.append(piece)


SENDING = [
    *(send_small, send_large, send_stream, send_json, send_frame, flush),
    *(ping, close, wait_closed, task),
]
RECEIVING = [receive, iterate, receive_in_time, receive_stream]


# --- the tests ----------------------------------------------------------------------------------


def run(path: str, operation: Operation, stack: str, at: int, late: bool) -> int:
    """Run an operation, cancelled at some step; how many steps it took."""

    async def scenario(world: World) -> int:
        partner = Partner(stack)
        server = await world.serve(partner.app)
        session = await world.connect(server, path, extensions=STACKS[stack], options=OPTIONS)
        stepper = Stepper(operation(session, partner), at, late)  # type: ignore[arg-type]
        done, _ = await asyncio.wait({stepper.task}, timeout=100)
        assert done, "it neither ends nor can be cancelled"
        if at and stepper.task.cancelled():
            await _go_on(session, partner)
        elif stepper.task.exception() is not None:
            assert isinstance(stepper.task.exception(), ConnectionClosed), stepper.task.exception()
        await asyncio.wait_for(session.close(), 30)
        await life_of(session).release()
        await sessions_gone(server)
        _check(session, partner, path)
        return stepper.steps

    return simulate(scenario, weather=NETWORK)


async def _go_on(session: Session, partner: Partner) -> None:
    """Use the session as if nothing had happened."""
    if session.is_open:
        await session.send("after")
        partner.sent.append("after")
    with suppress(ConnectionClosed, TimeoutError):
        while True:
            async with asyncio.timeout(1):
                partner.received.append(await session.receive())


def _check(session: Session, partner: Partner, path: str) -> None:
    code = session.close_info.code
    assert code not in (1002, 1007), f"the peer was sent what it cannot read: {session.close_info}"
    if path == "/feed":
        assert partner.received == FEED, f"received {partner.received}"
        return
    sent, pending = partner.sent, partner.pending
    possible = [sent]
    if pending is not None:
        at = len(sent) - (sent[-1:] == ["after"])
        possible.append([*sent[:at], pending, *sent[at:]])
    got = partner.got
    if code == 1000:
        assert got in possible, f"{_short(got)} arrived; sent were {_short(sent)}"
    else:
        assert any(got == each[: len(got)] for each in possible), f"{_short(got)} arrived"


def _short(messages: list[Any]) -> list[str]:
    return [f"{message[:8]}({len(message)})" for message in messages]


def every_step(steps_of: Callable[[int, bool], int]) -> None:
    """Cancel at each step, early and late; fail with all that was found."""
    count = steps_of(0, False)
    assert count < MOST_STEPS
    findings = []
    for late in (False, True):
        for at in range(1, count + 1):
            try:
                steps_of(at, late)
            except Exception as error:
                text = (str(error).splitlines() or [repr(error)])[0]
                findings.append(f"step {at} of {count}{', late' if late else ''}: {text}")
    assert not findings, "\n" + "\n".join(findings)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("path", ["/collect", "/slow"])
@pytest.mark.parametrize("operation", SENDING, ids=lambda operation: operation.__name__)
def test_sending_can_be_cancelled(operation: Operation, path: str, stack: str) -> None:
    every_step(lambda at, late: run(path, operation, stack, at, late))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("operation", RECEIVING, ids=lambda operation: operation.__name__)
def test_receiving_can_be_cancelled(operation: Operation, stack: str) -> None:
    every_step(lambda at, late: run("/feed", operation, stack, at, late))


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("stack", ["plain", "all"])
def test_a_whole_client_can_be_cancelled(stack: str, http2: bool) -> None:
    def steps_of(at: int, late: bool) -> int:
        async def scenario(world: World) -> int:
            partner = Partner(stack)
            server = await world.serve(partner.app)

            async def client() -> None:
                connecting = world.connect(
                    server, "/collect", extensions=STACKS[stack], options=OPTIONS, http2=http2
                )
                async with connecting as session:
                    await session.send("x" * 3000)
                    await session.ping()

            stepper = Stepper(client(), at, late)
            done, _ = await asyncio.wait({stepper.task}, timeout=100)
            assert done, "it neither ends nor can be cancelled"
            assert stepper.task.cancelled() or stepper.task.exception() is None
            async with asyncio.timeout(30):
                await sessions_gone(server)
            return stepper.steps

        return simulate(scenario, weather=NETWORK)

    every_step(steps_of)
