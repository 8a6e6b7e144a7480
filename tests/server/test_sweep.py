"""Limits of addresses and sessions, trusted proxies, origins: over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsext
from tests.raw import masked, raw_peer
from wsext import App, InvalidStatus, OptionError, Request, ServerOptions, Session, hookimpl


class Seen:
    """A plugin that notes which limits were reached, and how requests were answered."""

    def __init__(self) -> None:
        self.limits: list[str] = []
        self.statuses: list[int] = []

    @hookimpl
    def wsext_limited(self, limit: str) -> None:
        self.limits.append(limit)

    @hookimpl
    def wsext_answered(self, request: Request | None, status: int) -> None:
        self.statuses.append(status)


def make_app(options: dict[str, Any] | None = None, **server: Any) -> tuple[App, Seen]:
    app = App(server=ServerOptions(trusted_proxies=("127.0.0.1",), **server))
    seen = Seen()
    app.install(seen)

    @app.websocket("/", options=options)
    async def echo(session: Session) -> None:
        await session.send(str(session.request.remote))
        async for message in session:
            await session.send(message)

    return app, seen


def via(*hops: str, **more: str) -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(hops), **more}


async def refused(url: str, **how: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        await wsext.connect(url, **how)
    return caught.value


async def admitted(url: str, **how: Any) -> Session:
    """A session, once there is a place for it again."""
    while True:
        try:
            return await wsext.connect(url, **how)
        except InvalidStatus as error:
            if error.status != 429:
                raise


async def test_connections_of_one_address_are_limited_and_others_are_not() -> None:
    app, seen = make_app(max_connections_per_address=2)
    async with wsext.serve(app) as server:
        mine = via("203.0.113.7")
        async with (
            wsext.connect(server.url, headers=mine),
            wsext.connect(server.url, headers=mine) as second,
        ):
            error = await refused(server.url, headers=mine)
            assert (error.status, error.headers["Retry-After"]) == (429, "5")
            async with wsext.connect(server.url, headers=via("203.0.113.8")) as other:
                assert await other.receive() == "203.0.113.8"
            await second.close()
            third = await admitted(server.url, headers=mine)
            assert third.is_open
            await third.close()
        for _ in range(5):  # an address of this machine is not limited
            await (await wsext.connect(server.url)).close()
    assert set(seen.limits) == {"max_connections_per_address"}
    assert seen.statuses[:4] == [101, 101, 429, 101]


async def test_an_ipv6_network_counts_as_one_address() -> None:
    app, _ = make_app(max_connections_per_address=1)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, headers=via("2001:db8:1:2::3")),
    ):
        assert (await refused(server.url, headers=via("[2001:db8:1:2:ff::1]:80"))).status == 429
        async with wsext.connect(server.url, headers=via("2001:db8:1:3::3")) as other:
            assert await other.receive() == "2001:db8:1:3::3"


async def test_handshakes_of_one_address_are_limited() -> None:
    app, seen = make_app(handshake_rate=0.5)
    async with wsext.serve(app) as server:
        mine = via("203.0.113.7")
        for _ in range(5):
            await (await wsext.connect(server.url, headers=mine)).close()
        error = await refused(server.url, headers=mine)
        assert error.status == 429
        assert 1 <= int(error.headers["Retry-After"]) <= 2
        await (await wsext.connect(server.url, headers=via("203.0.113.8"))).close()
    assert seen.limits == ["handshake_rate"]


@pytest.mark.parametrize(
    ("hops", "remote"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["10.9.9.9", "198.51.100.1"], "198.51.100.1"),  # what the client made up comes first
        (["198.51.100.1", "10.0.0.2", "10.0.0.1"], "198.51.100.1"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["198.51.100.1", "unknown"], "127.0.0.1"),
    ],
)
async def test_the_client_behind_trusted_proxies(hops: list[str], remote: str) -> None:
    app, _ = make_app()
    app.server_options = app.server_options.replace({"trusted_proxies": "127.0.0.1,10.0.0.0/24"})
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, headers=via(*hops)) as session,
    ):
        assert await session.receive() == remote


async def test_nobody_else_is_believed() -> None:
    app, _ = make_app()
    app.server_options = app.server_options.replace({"trusted_proxies": ""})
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, headers=via("198.51.100.1")) as session,
    ):
        assert str(await session.receive()).startswith("127.0.0.1:")
    with pytest.raises(OptionError, match=r"'10\.0\.0' is no address"):
        await wsext.serve(App(server=ServerOptions(trusted_proxies=("10.0.0",))))


@pytest.mark.parametrize(
    ("origin", "headers", "ok"),
    [
        (None, {}, True),
        ("http://HOST", {}, True),
        ("https://HOST", {}, True),
        ("http://127.0.0.1", {}, False),  # another port
        ("http://evil.example", {}, False),
        ("null", {}, False),
        ("file://", {}, False),
        ("http://[", {}, False),
        ("https://public.example", {"X-Forwarded-Host": "public.example"}, True),
        ("https://evil.example", {"X-Forwarded-Host": "public.example"}, False),
    ],
)
async def test_pages_of_elsewhere_may_not_connect(
    origin: str | None, headers: dict[str, str], ok: bool
) -> None:
    app, _ = make_app()
    async with wsext.serve(app) as server:
        if origin is not None:
            origin = origin.replace("HOST", f"127.0.0.1:{server.port}")
        if ok:
            async with wsext.connect(server.url, origin=origin, headers=headers) as session:
                assert session.is_open
        else:
            error = await refused(server.url, origin=origin, headers=headers)
            assert error.status == 403


async def test_too_many_messages_are_read_later_and_none_is_lost() -> None:
    app, seen = make_app({"message_rate": 200})
    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.receive()
        start = asyncio.get_running_loop().time()
        sent = 0
        while not seen.limits:  # faster than 200 a second, until it is noticed
            for _ in range(100):
                await session.send(str(sent))
                sent += 1
            await asyncio.sleep(0.01)
        await session.send("last")
        for number in range(sent):
            assert await session.receive() == str(number)
            if number == 400:
                break
        assert asyncio.get_running_loop().time() - start < 30
        assert session.is_open
        assert set(seen.limits) == {"message_rate"}
        session.abort()


async def test_too_many_pings_close_with_1008() -> None:
    app, seen = make_app({"ping_rate": 10})
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        peer.send(masked(9, b"x") * 500)
        assert await peer.close_code() == 1008
    assert seen.limits == ["ping_rate"]


async def test_a_peer_that_reads_nothing_is_closed_and_one_that_reads_slowly_is_not() -> None:
    app, seen = make_app()
    ended: dict[str, int] = {}

    @app.websocket("/flood/<name>", options={"write_timeout": 2, "outgoing_bytes": 1024})
    async def flood(session: Session, name: str) -> None:
        try:
            while True:
                await session.send(b"x" * 65536)
        finally:
            ended[name] = session.close_info.code

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake("/flood/stuck")
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        async with raw_peer(server.port) as slow:
            await slow.shake("/flood/slow")
            while "stuck" not in ended:
                assert await slow.reader.read(100_000)
                await asyncio.sleep(0.005)
            assert "slow" not in ended
    assert ended["stuck"] == 1013
    assert seen.limits == ["write_timeout"]
