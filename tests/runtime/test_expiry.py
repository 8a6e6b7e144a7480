"""What becomes of a session whose identity expires, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

import wsext
from tests.raw import REQUEST
from wsext import (
    App,
    CloseInfo,
    ConnectionClosed,
    ConnectionClosedError,
    Frame,
    HandshakeRejected,
    InvalidStatus,
    Listener,
    NotResumed,
    RemoteProtocolError,
    Request,
    Session,
    WebSocketOptions,
    testing,
)
from wsext.runtime.expiry import seconds_left

TEXT = 1


@dataclass(frozen=True)
class User:
    """Who is on the other side; a fresh token of the same user makes an equal one."""

    name: str
    token: str = field(compare=False)


class Office:
    """An app that lets in whoever says a name and for how long."""

    def __init__(self) -> None:
        self.app = App(options=WebSocketOptions(ping_interval=None))
        self.app.websocket("/", guards=[self.guard])(self.talk)
        self.app.websocket("/listener", guards=[self.guard])(self.listener())
        self.app.websocket_raw("/raw", guards=[self.guard])(self.frames)
        self.is_open = True
        self.sessions: list[Session] = []
        self.heard: list[Any] = []
        self.errors: list[BaseException] = []
        self.told: list[CloseInfo] = []

    def guard(self, request: Request) -> None:
        if not self.is_open:
            raise HandshakeRejected(503)
        name, lasts = request.query.get("name", "ann"), request.query.get("lasts", "60")
        request.identity = User(name, lasts)
        request.expires = None if lasts == "ever" else time.time() + float(lasts)

    async def talk(self, session: Session) -> None:
        """Every message is heard; one that has a name in it is a new token."""
        self.sessions.append(session)
        try:
            while True:
                text = str(await session.receive())
                self.heard.append(text)
                name, _, lasts = text.partition(" for ")
                if lasts:
                    session.renew(User(name, lasts), expires=time.time() + float(lasts))
                    await session.send("renewed")
        except ConnectionClosed as closed:
            self.errors.append(closed)
            raise

    def listener(self) -> type[Listener]:
        office = self

        class Told(Listener):
            def on_message(self, session: Session, message: str | bytes) -> None:
                office.heard.append(message)

            def on_close(self, session: Session, info: CloseInfo) -> None:
                office.told.append(info)

        return Told

    async def frames(self, session: Session) -> None:
        async for frame in session.incoming:
            self.heard.append(frame)


Scenario = Callable[[testing.World, wsext.Server], Awaitable[None]]


def play(office: Office, scenario: Scenario) -> None:
    async def run(world: testing.World) -> None:
        await scenario(world, await world.serve(office.app))

    testing.simulate(run, weather=testing.calm)


async def ended(session: Session) -> tuple[CloseInfo, float]:
    """How a session ends, and in how many seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    return await session.wait_closed(), loop.time() - began


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("path", ["/", "/listener"])
def test_a_session_is_closed_with_1008_when_its_identity_expires(path: str, http2: bool) -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server, f"{path}?lasts=60", http2=http2) as session:
            await asyncio.sleep(59)
            await session.send("in time")
            info, seconds = await ended(session)
            assert info.remote == (1008, "the identity has expired")
            assert info.clean
            assert 0.9 < seconds < 1.5

    play(office, scenario)
    assert office.heard == ["in time"]
    (info,) = office.told or [office.sessions[0].close_info]
    assert info.local == (1008, "the identity has expired")
    assert isinstance(info.exception, RemoteProtocolError)


def test_the_handler_learns_of_it() -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server) as session:
            await session.wait_closed()

    play(office, scenario)
    (error,) = office.errors
    assert isinstance(error, ConnectionClosedError)
    assert error.info.code == 1008


@pytest.mark.parametrize("path", ["/", "/listener", "/raw"])
def test_nothing_is_taken_from_a_peer_whose_identity_has_expired(path: str) -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.raw_peer(server, path) as peer:
            await asyncio.sleep(61)
            peer.send_frame(Frame(TEXT, b"late"))  # and no Close frame
            await asyncio.sleep(11)
            assert not server.sessions
            assert await peer.receive_close() == 1008

    play(office, scenario)
    assert office.heard == []


def test_what_has_expired_already_is_no_identity() -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        for lasts in ("0", "-5", "nan"):
            with pytest.raises(InvalidStatus) as caught:
                await world.connect(server, f"/?lasts={lasts}")
            assert caught.value.status == (500 if lasts == "nan" else 401)
        assert caught.value.status == 500
        world.expect("expires is Unix time")

    play(office, scenario)
    assert office.sessions == []


@pytest.mark.parametrize("wrong", ["soon", float("nan"), datetime.now(UTC)])
def test_only_unix_time_is_a_time(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Unix time in seconds, as of time\.time\(\)"):
        seconds_left(wrong)


async def test_a_session_that_does_not_expire_has_no_timer_for_it() -> None:
    office, delays = Office(), list[float]()
    for lasts, timers in (("ever", []), ("1000", [1000])):
        async with testing.raw_peer(office.app, shake=False) as peer:
            call_later = peer.clock.call_later

            def note(delay: float, callback: Any, call: Any = call_later) -> Any:
                delays.append(delay)
                return call(delay, callback)

            peer.clock.call_later = note  # type: ignore[method-assign]
            peer.send(REQUEST.format(path=f"/?lasts={lasts}", more="").encode())
            await peer.clock.advance(0.5)
            assert [round(delay) for delay in delays if delay > 100] == timers


# --- renewal ------------------------------------------------------------------------------------


def test_a_renewed_identity_lasts_longer_without_another_connection() -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server) as session:
            for _ in range(5):
                await asyncio.sleep(50)
                await session.send("ann for 60")
                assert await session.receive() == "renewed"
            info, seconds = await ended(session)
            assert info.code == 1008
            assert 59 < seconds < 61
        assert len(world.connections) == 1

    play(office, scenario)
    assert office.sessions[0].identity.token == "60"


def test_an_identity_may_be_renewed_for_ever_or_for_less() -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server) as session:
            await asyncio.sleep(1)
            (mine,) = office.sessions
            mine.renew(mine.identity, expires=None)
            assert mine.expires is None
            await asyncio.sleep(10_000)
            assert session.is_open
            mine.renew(mine.identity, expires=time.time() + 5)
            info, seconds = await ended(session)
            assert info.code == 1008
            assert 4.5 < seconds < 6

    play(office, scenario)


@pytest.mark.parametrize("token", ["bob for 60", "ann for 0", "ann for -1"])
def test_a_token_of_somebody_else_or_an_old_one_ends_the_session(token: str) -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server) as session:
            await session.send(token)
            info = await session.wait_closed()
            reason = "another identity" if "bob" in token else "the identity has expired"
            assert info.remote == (1008, reason)

    play(office, scenario)
    assert office.sessions[0].identity == User("ann", "")


def test_a_session_that_has_ended_cannot_be_renewed() -> None:
    office = Office()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server) as session:
            await asyncio.sleep(1)
            with pytest.raises(TypeError):
                office.sessions[0].renew(User("ann", ""), expires=datetime.now(UTC))  # type: ignore[arg-type]
            assert session.is_open
        await asyncio.sleep(1)
        with pytest.raises(ConnectionClosed):
            office.sessions[0].renew(User("ann", ""), expires=None)

    play(office, scenario)


# --- with session-resume ------------------------------------------------------------------------


def test_a_resumed_session_lasts_as_long_as_its_last_handshake_says() -> None:
    office = Office()
    office.app.install("session-resume", window=1000)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server, extensions=["session-resume"]) as session:
            await asyncio.sleep(50)
            world.connections[-1].reset()
            await asyncio.sleep(50)  # it would have expired; the new handshake says 60 again
            await session.send("still here")
            assert session.resumptions == 1
            info, seconds = await ended(session)
            assert info.code == 1008
            assert 0 < seconds < 15

    play(office, scenario)
    assert office.heard == ["still here"]


def test_a_session_without_a_connection_does_not_expire_and_has_to_come_back_with_a_fresh_one() -> (
    None
):
    office = Office()
    office.app.install("session-resume", window=1000)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        client = world.connect(server, extensions=["session-resume"])
        async with client as session:
            await asyncio.sleep(1)
            office.is_open = False
            world.connections[-1].reset()
            await asyncio.sleep(100)
            (mine,) = office.sessions
            assert mine.is_open
            assert not mine.connected
            office.is_open = True
            await session.send("back")
            await asyncio.sleep(30)
            assert session.resumptions == 1

    play(office, scenario)
    assert office.heard == ["back"]


def test_a_renewed_identity_is_the_one_that_may_resume() -> None:
    office = Office()
    office.app.install("session-resume", window=1000)
    names = iter(["ann", "ann", "bob"])
    office.app.routes.clear()

    def guard(request: Request) -> None:
        request.identity, request.expires = User(next(names), ""), time.time() + 60

    office.app.websocket("/", guards=[guard])(office.talk)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with world.connect(server, extensions=["session-resume"]) as session:
            await session.send("ann for 600")
            assert await session.receive() == "renewed"
            world.connections[-1].reset()
            await session.send("the same user")
            await asyncio.sleep(30)
            assert session.resumptions == 1
            world.connections[-1].reset()
            info = await session.wait_closed()  # the next handshake is somebody else's
            assert isinstance(info.exception, NotResumed)
            assert info.exception.reason == "identity"

    play(office, scenario)
    assert office.heard == ["ann for 600", "the same user"]
