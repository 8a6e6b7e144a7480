"""Settings from a file and the environment, uvicorn's options, and the limits of sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect as foreign_connect

from tests.integrations.served import Recorder, echo, running, with_deflate
from tests.raw import REQUEST, masked, raw_peer
from tests.server.test_trimming import MB, is_trimmed, leave_holes, resident
from tests.waiting import until
from wsext import App, OptionError, Request, ServerOptions, WebSocketOptions, hookimpl
from wsext.integrations.options import Profiles, settings_from_environment
from wsext.integrations.uvicorn import WebSocketProtocol
from wsext.sdk.plugins import set_default_plugins
from wsext.testing.clock import Clock


async def test_a_message_over_ws_max_size_is_1009() -> None:
    app = Recorder()
    async with running(app, ws_max_size=1000) as server:
        async with foreign_connect(server.ws) as client:
            await client.send(b"x" * 1000)
            assert len((await app.events.get())["bytes"]) == 1000
            await client.send([b"x" * 400] * 3)
            await client.wait_closed()
        assert client.protocol.close_code == 1009
        event = await app.events.get()
        assert (event["type"], event["code"]) == ("websocket.disconnect", 1009)


async def test_uvicorns_deflate_switch_is_ours() -> None:
    async with (
        running(echo, settings=with_deflate(), ws_per_message_deflate=False) as server,
        foreign_connect(server.ws) as client,
    ):
        assert client.protocol.extensions == []


async def test_pings_go_by_uvicorns_options() -> None:
    app = Recorder()
    async with (
        running(app, ws_ping_interval=0.05, ws_ping_timeout=0.1) as server,
        raw_peer(server.port) as peer,
    ):
        await peer.shake()
        for _ in range(3):
            ping = await peer.frame()
            assert ping is not None
            assert ping.opcode == 9
            peer.send(masked(10, bytes(ping.payload)))
        assert await peer.close_code() == 1011  # the next one is not answered
        assert (await app.events.get())["code"] == 1011


async def test_the_limits_that_are_looked_at_now_and_then_hold_and_hooks_are_told() -> None:
    told: list[Any] = []

    class Seen:
        @hookimpl
        def wsext_limited(self, limit: str) -> None:
            told.append(limit)

        @hookimpl
        def wsext_answered(self, request: Request | None, status: int) -> None:
            told.append(status)

    settings = App(options=WebSocketOptions(ping_rate=10))
    settings.install(Seen())
    async with running(Recorder(), settings=settings) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert told == [101]
        closed = asyncio.ensure_future(peer.close_code())
        while not closed.done():
            peer.send(masked(9, b"p") * 50)
            await asyncio.wait([closed], timeout=0.05)
        assert closed.result() == 1008
    assert told == [101, "ping_rate"]


@pytest.mark.parametrize(
    ("uvicorns", "server", "lines", "status"),
    [
        ({}, {}, ["Host: localhost", "Origin: http://localhost"], 101),
        ({}, {}, ["Host: localhost", "Origin: https://localhost"], 403),
        ({}, {}, ["Host: my.example", "Origin: http://my.example"], 403),
        (
            {},
            {},
            ["Host: my.example", "Origin: https://my.example", "X-Forwarded-Proto: https"],
            101,
        ),
        (
            {"forwarded_allow_ips": "10.0.0.1"},
            {},
            ["Host: my.example", "Origin: https://my.example", "X-Forwarded-Proto: https"],
            403,
        ),
        (
            {"forwarded_allow_ips": "*"},
            {},
            ["Host: my.example", "Origin: https://my.example", "X-Forwarded-Proto: https"],
            101,
        ),
        ({}, {"allowed_hosts": ["my.example"]}, ["Host: my.example"], 101),
        ({}, {"allowed_hosts": ["my.example"]}, ["Host: evil.example"], 421),
    ],
)
async def test_hosts_and_origins_behind_uvicorns_proxies(
    uvicorns: dict[str, Any], server: dict[str, Any], lines: list[str], status: int
) -> None:
    settings = App(server=ServerOptions.parse(server))
    async with running(echo, settings=settings, **uvicorns) as running_:
        more = "".join(f"{line}\r\n" for line in lines[1:])
        request = REQUEST.format(path="/", more=more).replace("Host: localhost", lines[0])
        async with raw_peer(running_.port) as peer:
            peer.send(request.encode())
            assert int((await peer.read_head()).split()[1]) == status


FORWARDED = "X-Forwarded-For: {}\r\n"


@pytest.mark.parametrize(
    ("limits", "clients", "statuses", "limit"),
    [
        ({"max_connections": 2}, ["", "", ""], [101, 101, 503], "max_connections"),
        (
            {"max_connections_per_address": 1},
            ["203.0.113.1", "203.0.113.2", "203.0.113.1"],
            [101, 101, 429],
            "max_connections_per_address",
        ),
        ({"handshake_rate": 0.1}, ["203.0.113.1"] * 2, [101, 429], "handshake_rate"),
        ({"max_connections_per_address": 1}, ["", "", ""], [101, 101, 101], ""),  # loopback
    ],
)
async def test_places_are_limited_as_by_our_own_server(
    limits: dict[str, Any], clients: list[str], statuses: list[int], limit: str
) -> None:
    told: list[str] = []

    class Seen:
        @hookimpl
        def wsext_limited(self, limit: str, request: Request | None) -> None:
            told.append(limit)

    settings = App(server=ServerOptions.parse(limits))
    settings.install(Seen())
    async with running(echo, settings=settings) as server, AsyncExitStack() as stack:
        for client, status in zip(clients, statuses, strict=True):
            peer = await stack.enter_async_context(raw_peer(server.port))
            head = await peer.shake(more=FORWARDED.format(client) if client else "")
            assert int(head.split()[1]) == status
            assert ("Retry-After: " in head) is (status != 101)
        await stack.aclose()
        await until(lambda: not server.server.server_state.connections)
        if limit != "handshake_rate":  # there is a place again
            async with raw_peer(server.port) as peer:
                assert (await peer.shake()).startswith("HTTP/1.1 101 ")
    assert told == ([limit] if limit else [])


@pytest.fixture
def fresh_plugins() -> Iterator[None]:
    """What a configuration allows is everyone's in the process; not so in other tests."""
    yield
    set_default_plugins(None)


@pytest.mark.usefixtures("fresh_plugins")
async def test_the_configuration_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSEXT_CONFIG", str(tmp_path / "mine.toml"))
    monkeypatch.setenv("WSEXT_PLUGINS", "permessage-deflate,permessage-zstd,permessage-checksum")
    (tmp_path / "mine.toml").write_text(
        "[extensions]\npermessage-checksum = false\n"
        "[extensions.permessage-deflate]\nserver_no_context_takeover = true\n"
        "[websocket]\nmax_message_size = 1048576\nincoming_capacity = 7\nclose_timeout = 3\n"
    )
    ws = WebSocketProtocol.using(*settings_from_environment())
    assert {item.name for item in ws.settings.installed.items} == {
        "permessage-deflate",
        "permessage-zstd",
    }
    app = Recorder()
    async with (
        running(app, ws=ws, ws_max_queue=9) as server,
        foreign_connect(server.ws) as client,
    ):
        (deflate,) = client.protocol.extensions
        assert deflate.remote_no_context_takeover  # type: ignore[attr-defined]
    options = app.scope["extensions"]["wsext"]["session"].options
    assert options.max_message_size == 1 << 20  # set, though it is wsext's default
    assert options.incoming_capacity == 9  # uvicorn's option was changed
    assert (options.close_timeout, options.ping_interval) == (3, 20)


@pytest.mark.usefixtures("fresh_plugins")
def test_a_mistake_in_the_configuration_stops_uvicorn_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wsext.toml").write_text("[extensions.permessage-deflate]\nlevle = 9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSEXT_PLUGINS", "permessage-deflate")
    monkeypatch.delitem(vars(uvicorn_module()), "Protocol", raising=False)
    config = uvicorn.Config(echo, ws="wsext.integrations.uvicorn:Protocol", log_config=None)
    with pytest.raises(OptionError, match=r"permessage-deflate: levle: .*did you mean 'level'"):
        config.load()


def uvicorn_module() -> Any:
    import wsext.integrations.uvicorn as module

    return module


@pytest.mark.skipif(not is_trimmed, reason="only the GNU C library has it")
async def test_memory_is_given_back_after_many_connections() -> None:
    clock = Clock()
    profiles = Profiles(App(), (), logging.getLogger("uvicorn.error"))
    config = uvicorn.Config(echo)
    kept = leave_holes()
    for _ in range(32):
        profiles.release(profiles.admit(config, ("127.0.0.1", 1)), clock)
    full = resident()
    await clock.advance(2)
    assert resident() < full - 32 * MB
    assert kept
