"""What a server answers to who comes back, right or wrong: raw clients in a simulated world."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from wsext_resume import SessionResume

import wsext
from wsext import (
    Agreement,
    App,
    Codec,
    Extension,
    Frame,
    NegotiationContext,
    Params,
    Request,
    Response,
    ServerOptions,
    Session,
    WebSocketOptions,
    testing,
)

#: ``SHOW=full`` takes minutes.
GUESSES, ABANDONED = (10_000, 100_000) if os.environ.get("SHOW") == "full" else (50, 200)

ACK = 0xB
TEXT = 1


class Shop:
    """An app whose handler answers with how many it has taken, for users of whom a guard knows."""

    def __init__(self, *extensions: Any, **options: Any) -> None:
        self.resume = SessionResume(**options)
        self.app = App(
            options=WebSocketOptions(ping_interval=None, origins=None),
            server=ServerOptions(trusted_proxies=("0.0.0.0/0", "::/0", "unix")),
        )
        self.app.install(self.resume)
        for extension in extensions:
            self.app.install(extension)
        self.runs = 0
        self.open = True
        self.sessions: list[Session] = []
        for path in ("/", "/other"):
            self.app.websocket(path, guards=[self.guard], subprotocols=["v1", "v2"])(self.handle)

    async def guard(self, request: Request) -> Response | None:
        request.identity = request.headers.get("X-User")
        return None if self.open else Response(401, "closed")

    async def handle(self, session: Session) -> None:
        self.runs += 1
        self.sessions.append(session)
        taken = 0
        async for message in session:
            taken += 1
            for number in range(int(message)):
                await session.send(f"{taken}.{number}")

    def count(self, name: str) -> int:
        return self.resume.counters.get(name, 0)


class Visitor:
    """A client that does as it is told.

    Attributes:
        status: Of the answer.
        answer: The parameters of the answer.
    """

    def __init__(self, peer: testing.RawPeer, status: int, header: str) -> None:
        self.peer = peer
        self.status = status
        resumed = re.search(r"session-resume; ([^,]*)", header)
        pairs = resumed[1].split("; ") if resumed else []
        self.answer: dict[str, str] = dict(pair.split("=") for pair in pairs)  # type: ignore[misc]

    @property
    def id(self) -> str:
        return self.answer["id"]

    def say(self, text: str) -> None:
        self.peer.send_frame(Frame(TEXT, text.encode()))

    def confirm(self, taken: int) -> None:
        """Acknowledge, as every client does first of all when it has come back."""
        self.peer.send_frame(Frame(ACK, bytes([taken])))

    async def hear(self, count: int) -> list[str]:
        """The next messages."""
        heard: list[str] = []
        while len(heard) < count:
            frame = await self.peer.receive_frame()
            assert frame is not None, f"the connection ended after {heard}"
            if frame.opcode == TEXT:
                heard.append(bytes(frame.payload).decode())
        return heard

    async def ended(self) -> bool:
        """Wait for the end of the connection; whether it came without a Close frame."""
        return await self.peer.receive_close() is None


@asynccontextmanager
async def visit(
    world: testing.World,
    server: wsext.Server,
    id: str | None = None,
    received: object = 0,
    *,
    more: str = "",
    path: str = "/",
    user: str | None = "ann",
    **headers: str,
) -> AsyncIterator[Visitor]:
    offer = "session-resume" if id is None else f"session-resume; id={id}; received={received}"
    named = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Extensions": offer + more,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    if user is not None:
        named["X-User"] = user
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    async with world.raw_peer(server, shake=False) as peer:
        peer.send("\r\n".join(lines).encode())
        response = await peer.receive_response()
        header = response.headers.get("Sec-WebSocket-Extensions", "")
        yield Visitor(peer, response.status_code, header)


Scenario = Callable[[testing.World, wsext.Server], Awaitable[None]]


def play(shop: Shop, scenario: Scenario) -> None:
    async def run(world: testing.World) -> None:
        await scenario(world, await world.serve(shop.app))

    testing.simulate(run, weather=testing.Conditions())


# --- the same session goes on ---------------------------------------------------------------------


def test_who_comes_back_gets_what_it_has_not_received_and_the_handler_goes_on() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            assert first.answer.keys() == {"id", "window"}
            first.say("3")
            assert await first.hear(1) == ["1.0"]
        async with visit(world, server, first.id, 1) as second:
            assert second.answer == {"id": second.id, "window": "60", "received": "1"}
            assert await second.hear(2) == ["1.1", "1.2"]
            second.say("1")
            assert await second.hear(1) == ["2.0"]
        assert shop.sessions[0].resumptions == 1

    play(shop, scenario)
    assert shop.runs == 1
    assert not shop.resume.counters


def test_every_answer_has_another_id_and_the_log_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = Shop()
    ids: list[str] = []

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        id = None
        for _ in range(3):
            async with visit(world, server, id) as visitor:
                visitor.confirm(0)
                id = visitor.id
                ids.append(id)
                session = shop.sessions[0] if shop.sessions else None
        assert session is not None
        shown = f"{session.negotiation} {session.request.headers} {session!r} {shop.resume!r}"
        assert not [id for id in ids if id in shown]

    play(shop, scenario)
    assert len(set(ids)) == 3
    assert min(len(id) for id in ids) >= 32
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    assert not [id for id in ids if id in logged]


# --- whose session it is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("identity", {"user": "bob"}),
        ("identity", {"user": None}),
        ("identity", {"path": "/other"}),
        ("identity", {"Origin": "https://elsewhere.example"}),
        ("identity", {"Sec_WebSocket_Protocol": "v2"}),
        ("counts", {"received": 2}),
        ("counts", {"received": "999999999999999999"}),
    ],
)
def test_others_get_a_new_session(reason: str, how: dict[str, Any]) -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server, Sec_WebSocket_Protocol="v1") as first:
            first.say("1")
            await first.hear(1)
        mine = {"Sec_WebSocket_Protocol": "v1"}
        async with visit(world, server, first.id, **{**mine, **how}) as thief:
            assert thief.answer["fresh"] == reason
            assert "received" not in thief.answer
            thief.say("1")
            assert await thief.hear(1) == ["1.0"]  # the handler begins anew
        async with visit(world, server, first.id, **mine) as owner:
            lost = reason == "counts"  # its owner has come back, and does not do so again
            assert owner.answer.get("fresh") == ("unknown" if lost else None)

    play(shop, scenario)
    assert shop.count(f"refused {reason}") == 1


def test_strangers_are_told_apart_by_the_id_alone() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server, user=None) as first:
            pass
        async with visit(world, server, first.id, user=None) as second:
            assert second.answer["received"] == "0"

    play(shop, scenario)


@pytest.mark.parametrize(
    "offer",
    [
        *("; id=x", "; received=1", "; id; received=1", "; id=x; received", "; window=5"),
        *("; id=x; received=-1", "; id=x; received=01", "; id=x; received=9223372036854775808"),
        *("; id=x; received=1e3", "; id=x; received=1; fresh=unknown"),
    ],
)
def test_a_malformed_offer_is_declined(offer: str) -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server, more=offer) as visitor:
            assert (visitor.status, visitor.answer) == (101, {})
        assert shop.sessions[0].negotiation.records[0].verdict == "declined"

    play(shop, scenario)


def test_guards_decide_about_each_resumption_and_before_the_id() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            pass
        shop.open = False
        for id in (first.id, "guessed"):
            async with visit(world, server, id) as refused:
                assert (refused.status, refused.answer) == (401, {})
        shop.open = True
        async with visit(world, server, first.id) as second:
            assert "received" in second.answer

    play(shop, scenario)
    assert not shop.resume.counters


def test_guesses_are_new_sessions_and_leave_nothing_behind() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        for number in range(GUESSES):
            async with visit(world, server, f"{number:032}") as visitor:
                assert visitor.answer["fresh"] == "unknown"
                visitor.peer.send_frame(Frame(8, b"\x03\xe8"))
                assert await visitor.peer.receive_close() == 1000
        async with visit(world, server, "x" * 32 + ".7-abc") as visitor:
            assert visitor.answer["fresh"] == "elsewhere"

    play(shop, scenario)
    assert (shop.count("refused unknown"), shop.count("refused elsewhere")) == (GUESSES, 1)


# --- ids --------------------------------------------------------------------------------------


def test_an_answer_that_was_lost_makes_no_difference_and_one_that_came_ends_the_old_id() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            pass
        for _ in range(2):  # it comes back, and never hears the answer
            async with visit(world, server, first.id) as lost:
                assert "received" in lost.answer
        async with visit(world, server, first.id) as second:
            second.confirm(0)
            second.say("1")
            await second.hear(1)
            async with visit(world, server, first.id) as replayed:
                assert replayed.answer["fresh"] == "unknown"
            async with visit(world, server, lost.id) as never_used:
                assert never_used.answer["fresh"] == "unknown"
            second.say("1")
            assert await second.hear(1) == ["2.0"]

    play(shop, scenario)
    assert (shop.count("old id"), shop.count("refused unknown")) == (2, 2)


def test_a_handshake_that_is_answered_after_the_next_one_takes_no_id_away() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            pass
        async with visit(world, server, first.id) as second:
            for _ in range(2):  # given up before that one, and on the way for longer
                async with visit(world, server, first.id) as late:
                    assert "received" in late.answer
            assert await second.ended()
        async with visit(world, server, second.id) as third:
            assert "received" in third.answer
            third.confirm(0)
            third.say("1")
            assert await third.hear(1) == ["1.0"]
            async with visit(world, server, late.id) as replayed:
                assert replayed.answer["fresh"] == "unknown"

    play(shop, scenario)
    assert shop.runs == 2


def test_a_session_that_is_still_connected_is_taken_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wsext.resume")
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            first.say("2")
            await first.hear(1)
            async with visit(world, server, first.id, 1) as second:
                assert second.answer["received"] == "1"
                assert await first.ended()
                first.say("9")  # to nobody
                assert await second.hear(1) == ["1.1"]
                second.say("1")
                assert await second.hear(1) == ["2.0"]
                assert server.connection_count == 1

    play(shop, scenario)
    assert shop.count("takeovers") == 1
    (record,) = [record for record in caplog.records if record.name == "wsext.resume"]
    assert shop.sessions[0].id in record.getMessage()


class Gate(Extension):
    """Makes a handshake wait that asks for it."""

    name: ClassVar[str] = "x-gate"
    extra_wire_params: ClassVar[frozenset[str]] = frozenset({"wait"})

    def setup(self) -> None:
        self.opened = asyncio.Event()

    async def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        if offer.flag("wait"):
            await self.opened.wait()
        return Agreement(Codec(), Params())


def test_of_two_at_once_the_last_one_goes_on() -> None:
    gate = Gate()
    shop = Shop(gate)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server, more=", x-gate") as first:
            first.say("1")
            await first.hear(1)
        statuses: list[int] = []

        async def slow() -> None:
            async with visit(world, server, first.id, more=", x-gate; wait") as visitor:
                statuses.append(visitor.status)

        waiting = asyncio.create_task(slow())
        await asyncio.sleep(1)
        async with visit(world, server, first.id, more=", x-gate") as second:
            assert await second.hear(1) == ["1.0"]
            gate.opened.set()
            await waiting
            second.say("1")
            assert await second.hear(1) == ["2.0"]
        assert statuses == [503]

    play(shop, scenario)


def test_what_a_session_had_in_use_it_has_again_or_it_does_not_go_on() -> None:
    shop = Shop(Gate())

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server, more=", x-gate") as first:
            pass
        async with visit(world, server, first.id) as stripped:
            assert stripped.status == 400
        async with visit(world, server, first.id, more=", x-gate") as second:
            assert "received" in second.answer

    play(shop, scenario)


def test_an_id_that_two_have_lets_them_take_turns_for_a_while_only() -> None:
    shop = Shop(max_rate=10)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        id, turns = None, 0
        while True:
            async with visit(world, server, id) as visitor:
                if "fresh" in visitor.answer:
                    break
                visitor.confirm(0)
                id = visitor.id
                turns += 1
        assert turns == 11
        assert visitor.answer["fresh"] == "unknown"
        assert not shop.sessions[0].is_open

    play(shop, scenario)
    assert shop.count("max_rate") == 1


# --- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "kept"), [(59.9, True), (60.1, False), (600.0, False)])
def test_a_session_is_kept_for_its_window(seconds: float, kept: bool) -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            pass
        await asyncio.sleep(seconds)
        assert len(server.sessions) == kept
        async with visit(world, server, first.id) as second:
            assert ("fresh" in second.answer) is not kept

    play(shop, scenario)


def test_sessions_without_a_connection_take_no_place_of_connections() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        for _ in range(5):
            async with visit(world, server):
                pass
        await asyncio.sleep(1)
        assert (server.connection_count, len(server.sessions)) == (0, 5)

    play(shop, scenario)


def test_strangers_go_before_users_and_the_oldest_before_others() -> None:
    shop = Shop(max_detached=3, max_per_peer=2)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        came: dict[str, str] = {}
        for name, user, address in [
            ("user", "ann", "192.0.2.1"),
            ("stranger", None, "192.0.2.2"),
            ("other", None, "192.0.2.3"),
            ("late", "bob", "192.0.2.2"),  # the fourth: the oldest stranger goes
            ("one", "cat", "192.0.2.4"),  # the other stranger goes
            ("two", "cat", "192.0.2.5"),  # no strangers are left: the oldest goes
            ("three", "cat", "192.0.2.6"),  # the third of one user: its oldest goes
        ]:
            async with visit(world, server, user=user, X_Forwarded_For=address) as visitor:
                came[name] = visitor.id
            await asyncio.sleep(0.1)
        users = {"user": "ann", "late": "bob", "one": "cat", "two": "cat", "three": "cat"}
        kept = []
        for name, id in came.items():
            async with visit(world, server, id, user=users.get(name)) as visitor:
                if "fresh" not in visitor.answer:
                    kept.append(name)
                visitor.peer.send_frame(Frame(8, b"\x03\xe8"))
                await visitor.peer.receive_close()
        assert kept == ["late", "two", "three"]

    play(shop, scenario)
    assert (shop.count("max_detached"), shop.count("max_per_peer")) == (3, 1)


def test_an_address_without_identities_has_its_share() -> None:
    shop = Shop(max_per_peer=2)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        for number in range(6):
            address = f"2001:db8::{number}" if number % 2 else "192.0.2.1"
            async with visit(world, server, user=None, X_Forwarded_For=address):
                pass
        await asyncio.sleep(0.1)
        assert len(server.sessions) == 4

    play(shop, scenario)
    assert shop.count("max_per_peer") == 2


def test_what_they_keep_is_bounded_also_when_it_grows_later() -> None:
    shop = Shop(max_detached_bytes=10_000)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        for user in ("ann", "bob"):
            async with visit(world, server, user=user):
                pass
        await asyncio.sleep(0.1)
        ann, bob = shop.sessions
        for session in (ann, bob):
            session.send_nowait("x" * 6000)
        await asyncio.sleep(1.5)
        assert (ann.is_open, bob.is_open) == (False, True)

    play(shop, scenario)
    assert shop.count("max_detached_bytes") == 1


def test_many_abandoned_sessions_are_as_few_as_may_be_kept() -> None:
    shop = Shop(max_detached=20, max_per_peer=1000)

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        for _ in range(ABANDONED):
            async with visit(world, server, user=None):
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert len(server.sessions) == 20
        await asyncio.sleep(61)
        assert not server.sessions

    play(shop, scenario)
    assert shop.count("max_detached") == ABANDONED - 20


# --- shutting down --------------------------------------------------------------------------------


def test_a_server_that_drains_waits_for_who_comes_back_and_refuses_others() -> None:
    shop = Shop()

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server) as first:
            first.say("2")
            await first.hear(1)
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(5)
        async with visit(world, server) as late:
            assert late.status == 503
        async with visit(world, server, "x" * 32) as guess:
            assert guess.status == 503
        async with visit(world, server, first.id, 1) as second:
            assert await second.hear(1) == ["1.1"]
            assert await second.peer.receive_close() == 1001
            second.peer.send_frame(Frame(8, b"\x03\xe9"))
            await closing
        async with visit(world, server, second.id) as gone:
            assert gone.status == 503

    play(shop, scenario)
    assert shop.runs == 1


@pytest.mark.parametrize("wait", [True, False])
def test_it_waits_for_nobody_if_it_is_told_so(wait: bool) -> None:
    shop = Shop()
    shop.app.server_options = shop.app.server_options.replace({"drain_detached": wait})

    async def scenario(world: testing.World, server: wsext.Server) -> None:
        async with visit(world, server):
            pass
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await server.close()
        assert (asyncio.get_running_loop().time() - began > 9.9) is wait
        assert not server.sessions

    play(shop, scenario)
