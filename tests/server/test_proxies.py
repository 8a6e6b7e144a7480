"""Who is believed what it says about its clients."""

from __future__ import annotations

import pytest

import wsext
from tests.server.apps import limited_app, via
from wsext import (
    App,
    Headers,
    OptionError,
    Request,
    ServerOptions,
)
from wsext.server.proxies import Proxies


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
    app, _ = limited_app()
    app.server_options = app.server_options.replace({"trusted_proxies": "127.0.0.1,10.0.0.0/24"})
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, headers=via(*hops)) as session,
    ):
        assert await session.receive() == remote


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("public.example", "public.example"),
        ("made.up, public.example:8443", "public.example:8443"),
        ("evil.example/.public.example", "localhost"),
        ("user@public.example", "localhost"),
        ("[::g]", "localhost"),
        ("", "localhost"),
    ],
)
def test_a_forwarded_host_is_one_or_does_not_count(given: str, host: str) -> None:
    asked = Request("GET", "/", Headers({"Host": "localhost", "X-Forwarded-Host": given}))
    Proxies(["127.0.0.1"]).apply(asked, "127.0.0.1")
    assert asked.host == host


@pytest.mark.parametrize(
    ("trusted", "nobody"), [((), True), (("unix",), False), (("10.0.0.0/8",), False)]
)
def test_nobody_is_trusted_unless_it_is_said(trusted: tuple[str, ...], nobody: bool) -> None:
    assert Proxies(trusted).trusts_nobody is nobody


async def test_nobody_else_is_believed() -> None:
    app, _ = limited_app()
    app.server_options = app.server_options.replace({"trusted_proxies": ""})
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, headers=via("198.51.100.1")) as session,
    ):
        assert str(await session.receive()).startswith("127.0.0.1:")
    with pytest.raises(OptionError, match=r"'10\.0\.0' is no address"):
        await wsext.serve(App(server=ServerOptions(trusted_proxies=("10.0.0",))))
