"""A random scenario: several servers share rooms over a broker, and everything fails now and then.

Clients say things one after the other, each with an id, and say it again until it is confirmed.
When a connection ends they come back to any server, with the position that they have seen last.
Meanwhile the broker drops connections, stops, and restarts with its data, without the end of it or
without all of it; servers are killed and replaced; the network does what it wants.

The model: nobody hears anything twice; numbers go on without a gap, or the client was told that
something is missing. If the broker loses nothing, what was confirmed is in the log, and what one
client says is heard in its order. In the end everybody has heard everything that came after what it
was told about, and every server knows who is there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Any, TypeAlias

from wsext_resume import SessionResume

from tests.simulation.bus import Bus, BusBroker
from tests.waiting import sessions_gone
from wsext import (
    App,
    ConnectionClosed,
    HandshakeError,
    LocalProtocolError,
    LogHead,
    Missed,
    Position,
    RemoteBackplane,
    RoomError,
    RoomMessage,
    RoomOptions,
    ServerOptions,
    Session,
    WebSocketOptions,
)
from wsext.server.server import Server
from wsext.testing import World

__all__ = ["Rooms", "draw", "play"]

#: Virtual seconds until everybody has heard everything, once nothing fails any more.
CALM = 120.0

#: What fails, and an argument: seconds, and the part of the data that is kept.
Fault: TypeAlias = tuple[str, float, float]
FAULTS = (
    "cut bus",
    "cut bus",
    "stop bus",
    "restart bus",
    "cut client",
    "cut client",
    "kill server",
)


@dataclass(frozen=True)
class Rooms:
    """What a run does.

    Attributes:
        servers, clients: How many there are.
        says: How many things each client says.
        faults: What fails, one after the other: what, seconds until the next, and how much of its
            data a broker keeps that restarts.
        weather: ``calm``, ``mild`` or ``rough``.
        resumes: Whether sessions outlive their connections.
    """

    servers: int
    clients: int
    says: int
    faults: tuple[Fault, ...]
    weather: str
    resumes: bool

    @property
    def keeps_data(self) -> bool:
        """Whether the broker loses nothing."""
        return all(what != "restart bus" or keep == 1 for what, _, keep in self.faults)

    def simpler(self) -> list[Rooms]:
        """Programs with one thing less."""
        found = [
            replace(self, faults=self.faults[:at] + self.faults[at + 1 :])
            for at in range(len(self.faults))
        ]
        least = {"servers": 1, "clients": 1, "says": 0}
        found += [
            replace(self, **{name: getattr(self, name) - 1})
            for name, value in least.items()
            if getattr(self, name) > value
        ]
        if self.resumes:
            found.append(replace(self, resumes=False))
        if self.weather != "calm":
            found.append(replace(self, weather="calm"))
        return found


def draw(rng: Random) -> Rooms:
    """A program by chance."""
    keep = rng.choice((1, 1, 1, 0.5, 0))
    seconds = (0.0, 0.01, 0.2, 1.0, 7.0)
    return Rooms(
        servers=rng.randint(1, 3),
        clients=rng.randint(1, 4),
        says=rng.randint(0, 8),
        faults=tuple(
            (rng.choice(FAULTS), rng.choice(seconds), keep) for _ in range(rng.randint(0, 6))
        ),
        weather=rng.choice(("calm", "mild", "mild", "rough")),
        resumes=rng.random() < 0.3,
    )


class Place:
    """One of the servers, and those that replaced it.

    Attributes:
        server: The one that runs now.
    """

    server: Server

    def __init__(self, world: World, bus: Bus, name: str, resumes: bool) -> None:
        self._world = world
        self._bus = bus
        self._resumes = resumes
        self._names = (f"{name}{number}" for number in count(1))

    async def start(self) -> None:
        """Begin anew, as a process does."""
        self._broker = BusBroker(self._bus, next(self._names))
        self.app = App(
            rooms=RoomOptions(recovery=True, stamp=_stamp),
            backplane=RemoteBackplane("bus://", self._broker),
            options=OPTIONS,
            server=ServerOptions(handshake_rate=None, drain_timeout=1.0),
        )
        if self._resumes:
            self.app.install(SessionResume(window=5))
        self.app.websocket("/")(self._handle)
        self.server = await self._world.serve(self.app)

    async def _handle(self, session: Session) -> None:
        query = session.request.query
        room = self.app.room("tea")
        joining = room.join(session, since=query.get("since"), info={"name": query["name"]})
        async with joining as members:
            if members.missed is not None:
                await session.send(_told(members.missed))
            await session.send("here")
            async for message in session:
                try:
                    await members.broadcast(message, id=str(message))
                    await session.send(f"ok {message}")
                except RoomError:
                    await session.send(f"no {message}")

    async def replace(self) -> None:
        """Kill the process, and start another one."""
        self._broker.kill()
        for wire in self._world.connections:
            wire.reset()  # all that there are: sessions with other servers come back, too
        await self.server.close()
        await self.start()

    async def here(self) -> list[str]:
        """Who is there, as this server sees it."""
        return sorted(str(member.info["name"]) for member in await self.app.room("tea").presence())


OPTIONS = WebSocketOptions(close_timeout=2.0, ping_interval=5.0, ping_timeout=5.0)


def _stamp(message: RoomMessage) -> str:
    return f"at {message.position} {message.data}"


def _told(missed: Missed) -> str:
    return f"gap {missed.reason} {missed.position}"


class Client:
    """Says what it has to say, and hears the others.

    Attributes:
        heard: Ids of everything that it has heard, in order.
        confirmed: Ids of what the servers have confirmed.
        gaps: What it was told is missing.
        first: The position after which it has to hear everything.
        is_here: Whether it is in the room now.
    """

    def __init__(self, name: str, says: int, ends: Counter[str]) -> None:
        self.name = name
        self.heard: list[str] = []
        self.confirmed: list[str] = []
        self.gaps: list[str] = []
        self.first: Position | None = None
        self.position: Position | None = None
        self.is_here = False
        self._left = [f"{name}-{number}" for number in range(says, 0, -1)]
        self._ends = ends
        self._since_gap: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Whether it has said everything, and is in the room."""
        return not self._left and self.is_here

    def is_at(self, head: LogHead) -> bool:
        """Whether it has heard the last message, if it has heard any."""
        last = self.position
        return last is None or head.common(last) == last.number == head.number

    async def live(self, world: World, places: list[Place], resumes: bool) -> None:
        """Connect, again and again, until it is cancelled."""
        extensions = [SessionResume(window=5)] if resumes else []
        while True:
            server = world.random.choice(places).server
            since = f"&since={self.position}" if self.position else ""
            path = f"/?name={self.name}{since}"
            try:
                connecting = world.connect(server, path, extensions=extensions, options=OPTIONS)
                async with connecting as session:
                    await self._talk(session)
            except (OSError, HandshakeError, ConnectionClosed, LocalProtocolError) as error:
                self._ends[type(error).__name__] += 1
            finally:
                self.is_here = False
            await asyncio.sleep(world.random.uniform(0.01, 0.3))

    async def _talk(self, session: Session) -> None:
        async for message in session:
            what, _, rest = str(message).partition(" ")
            if what == "gap":
                self._miss(*rest.split())
            elif what == "at":
                self._hear(*rest.split())
            elif what == "here":
                self.is_here = True
            elif what == "ok":
                self.confirmed.append(self._left.pop())
                assert self.confirmed[-1] == rest, f"{rest} was confirmed, which was not asked for"
            if self._left and what in ("here", "ok", "no"):
                await session.send(self._left[-1])
        self._ends[str(session.close_info.code)] += 1

    def _miss(self, reason: str, position: str) -> None:
        self.gaps.append(reason)
        self._ends[reason] += 1
        self._since_gap.clear()
        self.position = None if position == "None" else Position.parse(position)
        self.first = self.position

    def _hear(self, text: str, id: str) -> None:
        position = Position.parse(text)
        assert id not in self._since_gap, f"{self.name} has heard {id} twice"
        if not self.gaps:
            assert id not in self.heard, f"{self.name} has heard {id} twice"
        last = self.position
        if last is None:
            self.first = Position(position.epoch, position.number - 1)
        elif position.number != last.number + 1:  # an epoch that continues another one goes on, too
            raise AssertionError(f"{self.name} has heard {position} after {last}")
        self._since_gap.add(id)
        self.heard.append(id)
        self.position = position


async def play(world: World, program: Rooms) -> Counter[str]:
    """Run a program, and check it against the model: what was seen how often.

    Raises:
        AssertionError: If something came of it that the model does not allow.
    """
    ends: Counter[str] = Counter()
    bus = Bus(world.random)
    places = [Place(world, bus, name, program.resumes) for name in "ABC"[: program.servers]]
    for place in places:
        await place.start()
    clients = [Client(name, program.says, ends) for name in "wxyz"[: program.clients]]
    living = [asyncio.create_task(c.live(world, places, program.resumes)) for c in clients]
    try:
        async for what, seconds, keep in _slowly(program.faults):
            await _fail(world, bus, places, what, seconds, keep)
            _check_alive(living)
        await _settle(living, clients, places, bus)
    finally:
        for task in living:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.wait(living)
    _judge(bus, clients, program)
    for place in places:
        async with asyncio.timeout(60):
            await sessions_gone(place.server)
    return ends


async def _slowly(faults: tuple[Fault, ...]) -> AsyncIterator[Fault]:
    for fault in faults:
        await asyncio.sleep(fault[1])
        yield fault


def _check_alive(living: list[asyncio.Task[None]]) -> None:
    for task in living:
        if task.done():
            task.result()


async def _fail(
    world: World, bus: Bus, places: list[Place], what: str, seconds: float, keep: float
) -> None:
    rng = world.random
    match what:
        case "cut bus":
            bus.cut(rng.randint(1, 3))
        case "stop bus":
            await bus.stop(seconds)
        case "restart bus":
            await bus.restart(seconds, keep)
        case "cut client" if world.connections:
            rng.choice(world.connections).reset()
        case "kill server":
            await rng.choice(places).replace()


async def _settle(
    living: list[asyncio.Task[None]], clients: list[Client], places: list[Place], bus: Bus
) -> None:
    """Nothing fails any more: everybody says the rest, hears everything and is seen."""
    names = sorted(client.name for client in clients)
    seen: Any = None
    try:
        async with asyncio.timeout(CALM):
            while not all(client.is_done and client.is_at(bus.head("tea")) for client in clients):
                await asyncio.sleep(0.5)
                _check_alive(living)
            while True:
                with suppress(ConnectionError):
                    seen = [await place.here() for place in places]
                    if all(here == names for here in seen):
                        return
                await asyncio.sleep(1.0)
                _check_alive(living)
    except TimeoutError:
        waiting = [(c.name, c.is_done, c.position) for c in clients]
        head = bus.head("tea").position
        raise AssertionError(f"it does not settle: {waiting}, {head}, seen: {seen}") from None


def _judge(bus: Bus, clients: list[Client], program: Rooms) -> None:
    """What has to be true in the end."""
    log = bus.ids("tea")
    assert len(set(log)) == len(log), "the log has a message twice"
    for client in clients:
        if program.keeps_data:
            lost = [id for id in client.confirmed if id not in log]
            assert not lost, f"{client.name}: confirmed, and not in the log: {lost}"
            said = {*client.gaps} - ({"away"} if program.faults else set())
            assert not said, f"{client.name} was told of a gap where there is none: {said}"
        first = 0 if client.first is None else client.first.number
        missing = [id for id in log[first:] if id not in client.heard]
        assert client.first is None or not missing, f"{client.name} never heard {missing}"
        for other in clients if program.keeps_data else ():
            mine = [int(id.partition("-")[2]) for id in client.heard if id.startswith(other.name)]
            assert mine == sorted(mine), f"{client.name} heard {other.name} out of order"
