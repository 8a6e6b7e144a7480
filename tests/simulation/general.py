"""A random scenario: two sessions talk under a random stack, policy and network, and a model says
what may come of it.

The model: each direction delivers what was sent, exactly once and in order; what was not delivered
is the rest, and then the session's end has a code that says so. A cancelled send may have happened
or not. With the policy ``drop-oldest`` messages may be missing, but never out of order.

With ``resumes`` the network may cut connections, and none of this changes: the client comes back,
the same handler goes on, and every message still arrives exactly once and in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias

from wsext_resume import SessionResume

from tests.simulation.codecs import STACKS
from tests.waiting import sessions_gone
from wsext import (
    App,
    ConnectionClosed,
    HandshakeError,
    LocalProtocolError,
    QueueFull,
    Session,
    WebSocketOptions,
)
from wsext.testing import World

__all__ = ["CODES", "ENDS", "SIZES", "Program", "Side", "Step", "draw", "play"]

#: What a side does, and an argument: a size, a count or seconds.
Step: TypeAlias = tuple[str, Any]

#: Virtual seconds within which everything has to be over, whatever the network does.
BOUND = 600.0
#: Codes with which a session may end here. 1002 and 1007 are not among them: nobody breaks the
#: protocol, so whoever says so has been sent what this side has spoiled.
CODES = frozenset({1000, 1001, 1006, 1008, 1009, 1011, 1013, 4000})
#: Virtual seconds for which a session without a connection is kept.
WINDOW = 100
#: Messages that may wait for the application.
CAPACITY = 8
#: Messages that a session keeps until they are acknowledged, if it can be resumed.
KEPT = 1024
SIZES = (0, 1, 10, 125, 126, 1000, 5000, 70_000)


@dataclass(frozen=True)
class Program:
    """What a run does.

    Attributes:
        stack: A name of `STACKS`.
        http2: Whether the session runs over HTTP/2.
        weather: ``calm``, ``mild`` or ``rough``.
        policy: What happens when too much waits to be sent.
        client, server: The steps of each side: ``(what, argument)``.
        reading: Seconds that each side's reader rests after each message.
        resumes: Whether the session outlives its connections.
    """

    stack: str
    http2: bool
    weather: str
    policy: str
    client: tuple[Step, ...]
    server: tuple[Step, ...]
    reading: tuple[float, float]
    resumes: bool = False

    def sides(self) -> tuple[Side, Side]:
        """The client's and the server's side, with their steps."""
        steps = (self.client, self.server)
        client, server = (
            Side(*each) for each in zip("cs", self.reading, map(_each, steps), strict=True)
        )
        return client, server

    def simpler(self) -> list[Program]:
        """Programs with one thing less."""
        plain = {
            "resumes": False,
            "http2": False,
            "weather": "calm",
            "policy": "suspend",
            "reading": (0, 0),
        }
        found = [
            replace(self, **{name: value})
            for name, value in plain.items()
            if getattr(self, name) != value
        ]
        for name in ("client", "server"):
            steps = getattr(self, name)
            for at in range(len(steps)):
                found.append(replace(self, **{name: steps[:at] + steps[at + 1 :]}))
        return found


def draw(rng: Random) -> Program:
    """A program by chance."""
    resumes = rng.random() < 0.5
    return Program(
        resumes=resumes,
        stack=rng.choice(list(STACKS)),
        http2=rng.random() < 0.3,
        weather=rng.choice(("calm", "mild", "mild", "rough")),
        policy=rng.choice(("suspend", "suspend", "close", "drop-oldest")),
        client=_steps(rng, resumes),
        server=_steps(rng, resumes),
        reading=(rng.choice((0, 0, 0.01, 1.0)), rng.choice((0, 0, 0.01, 1.0))),
    )


#: How often each step is drawn, beside the others.
_WEIGHTS = {
    "send": 4,
    "send nowait": 2,
    "burst": 1,
    "stream": 1,
    "cancelled send": 1,
    "ping": 1,
    "flush": 1,
    "sleep": 3,
}
ENDS = ("close", "close nowait", "abort", "raise")


async def _each(steps: Iterable[Step]) -> AsyncIterator[Step]:
    for step in steps:
        yield step


def _steps(rng: Random, resumes: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    weights = _WEIGHTS | ({"cut": 3} if resumes else {})
    for what in rng.choices(list(weights), list(weights.values()), k=rng.randint(0, 8)):
        if what in ("send", "send nowait", "cancelled send"):
            steps.append((what, rng.choice(SIZES)))
        elif what in ("stream", "burst"):
            steps.append((what, rng.choice((0, 1, 4, 40))))
        else:
            steps.append((what, rng.choice((0.0, 0.001, 0.05, 2.0))))
    if rng.random() < 0.6:
        steps.append((rng.choice(ENDS), 0))
    return tuple(steps)


class Side:
    """One session with the model of what it has sent and received.

    Attributes:
        sent: Every message that was sent for sure, or perhaps: ``(message, sure)``.
        received: What has arrived.
        findings: Which bounds were not kept.
        closed_itself: Whether the program has closed this side.
        done: The steps that were begun.
        cut: Resets the newest connection.
    """

    def __init__(self, name: str, rest: float, steps: AsyncIterable[Step]) -> None:
        self.name = name
        self.cut: Callable[[], None] = lambda: None
        self.steps = steps
        self.session: Session | None = None
        self.sent: list[tuple[str, bool]] = []
        self.received: list[str] = []
        self.findings: list[str] = []
        self.closed_itself = False
        self.done: list[Step] = []
        self._rest = rest
        self._numbers = 0
        self._spare = 0

    def resumes(self, cut: Callable[[], None]) -> None:
        """The session outlives its connections, which ``cut`` ends.

        While a side has to send something again, it reads on, whatever waits: else two sides
        could wait for each other. The peer sends so much, at most, without an acknowledgement.
        """
        self.cut = cut
        self._spare = KEPT

    def _message(self, size: int) -> str:
        self._numbers += 1
        return f"{self.name}{self._numbers}:".ljust(size, ".")

    async def run(self, session: Session) -> None:
        """Read beside the steps, until the session ends or the steps do."""
        self.session = session
        reader = session.create_task(self._read(session), name=f"{self.name}'s reader")
        with suppress(ConnectionClosed):
            async for step in self.steps:
                self.done.append(step)
                await self._step(session, *step)
                self.check_bounds()
        if self.closed_itself or not session.is_open:
            await session.wait_closed()
        else:
            await asyncio.sleep(1.0)  # leave the other side some time, too
        await session.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(BOUND / 4):
                await asyncio.wait({reader})

    async def _read(self, session: Session) -> None:
        with suppress(ConnectionClosed):
            while True:
                self.received.append(str(await session.receive()))
                if self._rest:
                    await asyncio.sleep(self._rest)

    async def _step(self, session: Session, what: str, argument: Any) -> None:
        match what:
            case "send":
                await self._send(session, self._message(argument))
            case "send nowait":
                message = self._message(argument)
                self._begin(message)
                try:
                    session.send_nowait(message)
                    self._sure()
                except QueueFull:
                    self.sent.pop()
            case "stream":
                await self._stream(session, argument)
            case "cancelled send":
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.004):
                        await self._send(session, self._message(argument))
            case "ping":
                with suppress(TimeoutError):
                    async with asyncio.timeout(argument or 1.0):
                        await session.ping()
            case "flush":
                with suppress(TimeoutError):
                    async with asyncio.timeout(argument + 0.01):
                        await session.flush()
            case "burst":
                for _ in range(argument):
                    await self._send(session, self._message(10))
            case "sleep":
                await asyncio.sleep(argument)
            case "close":
                self.closed_itself = True
                await session.close(1000, "done")
            case "close nowait":
                self.closed_itself = True
                session.close_nowait(4000, "done")
            case "abort":
                session.abort()
            case "cut":
                self.cut()
                await asyncio.sleep(argument)
            case "raise" if session.is_open:  # else it would only stop the reading
                self.closed_itself = True
                raise Raised

    async def _send(self, session: Session, message: str) -> None:
        self._begin(message)
        try:
            await session.send(message)
        except LocalProtocolError:  # the policy has closed the session
            self.sent.pop()
            raise
        self._sure()

    async def _stream(self, session: Session, count: int) -> None:
        pieces = [self._message(10) for _ in range(count)]

        async def stream() -> AsyncIterator[str]:
            for piece in pieces:
                yield piece
                await asyncio.sleep(0.001)

        if pieces:
            self._begin("".join(pieces))
        await session.send(stream())
        if pieces:
            self._sure()

    def _begin(self, message: str) -> None:
        self.sent.append((message, False))

    def _sure(self) -> None:
        self.sent[-1] = (self.sent[-1][0], True)

    def check_bounds(self) -> None:
        """Note a finding if more waits than may."""
        session = self.session
        if session is None:
            return
        waiting = session.stats.waiting_in
        if waiting > CAPACITY + 1 + self._spare:
            self.findings.append(f"too much received waits: {waiting} of {CAPACITY} messages")
        buffered = session.buffered_amount
        most = session.options.outgoing_bytes + 2 * max(SIZES) + 10_000
        if buffered > most:
            self.findings.append(f"too much waits to be sent: {buffered} of {most} bytes")


class Raised(Exception):
    """A handler's failure that the program asks for."""


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        codes: How each side ended.
        refused: What the client got instead of a session.
    """

    codes: dict[str, int] = field(default_factory=dict)
    refused: BaseException | None = None


async def play(world: World, program: Program, client: Side, server_side: Side) -> Outcome:
    """Run what two sides do under a program's conditions, and check it against the model.

    Raises:
        AssertionError: If something came of it that the model does not allow.
    """
    options = WebSocketOptions(
        close_timeout=5.0,
        outgoing_bytes=20_000,
        incoming_capacity=CAPACITY,
        outgoing_overflow=program.policy,  # type: ignore[arg-type]
    )
    app = App(options=options)
    stack: list[Any] = [*STACKS[program.stack]]
    if program.resumes:
        stack.append(SessionResume(window=WINDOW, max_messages=KEPT))
        for side in (client, server_side):
            side.resumes(lambda: world.connections[-1].reset() if world.connections else None)
    for extension in stack:
        app.install(extension)

    @app.websocket("/")
    async def handler(session: Session) -> None:
        if server_side.session is None:
            await server_side.run(session)
        else:  # a fresh start, which the client closes
            assert not server_side.session.is_open, "the handler runs again"
            await session.wait_closed()

    server = await world.serve(app)
    outcome = Outcome()
    connecting = world.connect(
        server,
        extensions=stack,
        options=options,
        http2=program.http2,
    )
    try:
        async with asyncio.timeout(BOUND):
            async with connecting as session:
                await client.run(session)
    except (OSError, TimeoutError, HandshakeError) as error:
        outcome.refused = error
        # The answer to the handshake is lost with a connection that is dropped.
        dropping = {what for what, _ in server_side.done} & {"abort", "cut"}
        dropped = program.weather == "rough" or program.policy == "close" or dropping
        if client.session is None and not dropped:
            raise
    except (Raised, ConnectionClosed, LocalProtocolError):
        pass
    async with asyncio.timeout(BOUND):
        await sessions_gone(server)
    for side in (client, server_side):
        assert not side.findings, side.findings[0]
        if side.session is not None:
            info = side.session.close_info
            outcome.codes[side.name] = info.code
            assert info.code in CODES, f"a wrong code: {side.name} ended with {info}"
    _check_direction(client, server_side, program)
    _check_direction(server_side, client, program)
    allowed = sum(("raise", 0) in side.done for side in (client, server_side))
    logged = [record.getMessage() for record in world.errors]
    assert len(logged) <= allowed + (program.policy == "close"), f"logged: {logged}"
    return outcome


def _check_direction(sender: Side, receiver: Side, program: Program) -> None:
    """Everything in order and once; and whole, when the session ended as planned."""
    at = 0
    missing: list[str] = []
    for message in receiver.received:
        skipped = at
        while at < len(sender.sent) and sender.sent[at][0] != message:
            at += 1
        known = [_short(text) for text in receiver.received]
        assert at < len(sender.sent), f"out of order, or twice: {_short(message)} among {known}"
        missing += [_short(text) for text, sure in sender.sent[skipped:at] if sure]
        at += 1
    if program.policy == "drop-oldest":
        return
    assert not missing, f"lost, though later ones came: {missing}"
    if sender.session is None or receiver.session is None:
        return
    ours, theirs = sender.session.close_info, receiver.session.close_info
    only_the_sender = ours.local_first and not theirs.local_first and not receiver.closed_itself
    if ours.clean and only_the_sender and ours.code == theirs.code:  # and the receiver did not fail
        rest = [_short(message) for message, sure in sender.sent[at:] if sure]
        assert not rest, f"lost, though sent before a clean close: {rest}"


def _short(message: str) -> str:
    """The first message's number."""
    return message.partition(":")[0]
