"""Which hosts may be asked for, over both versions of HTTP, and what pages get on loopback."""

from __future__ import annotations

from typing import Any

import pytest

import wsext
from tests.http2.peer import VERSION, h2_peer
from tests.raw import REQUEST, fetch, raw_peer
from wsext import App, OptionError, ServerOptions, Session, testing


def make_app(**server: Any) -> App:
    app = App(server=ServerOptions(**server))
    app.http("/page")(lambda request: "a page")

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


def asked(host: str, path: str = "/page", *more: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


async def shake(server: wsext.Server, host: str, *more: str) -> int:
    """The status of a handshake."""
    request = REQUEST.format(path="/", more="".join(f"{line}\r\n" for line in more))
    async with raw_peer(server.port) as peer:
        peer.send(request.replace("Host: localhost", f"Host: {host}").encode())
        return int((await peer.read_head()).split()[1])


@pytest.mark.parametrize(
    ("allowed", "host", "ok"),
    [
        (("example.com",), "example.com", True),
        (("example.com",), "EXAMPLE.com.:8765", True),
        (("Example.COM",), "example.com", True),
        (("example.com",), "www.example.com", False),
        (("example.com",), "example.com.evil", False),
        (("example.com",), "127.0.0.1", False),
        (("example.com",), "", False),
        (("*.example.com",), "www.example.com", True),
        (("*.example.com",), "a.b.example.com:443", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "evilexample.com", False),
        (("a.example", "127.0.0.1", "[::1]"), "127.0.0.1:8765", True),
        (("a.example", "127.0.0.1", "[::1]"), "[::1]:8765", True),
        (("::1",), "[::1]", True),
        (("*",), "anything.example", True),
        (None, "anything.example", True),
        (None, "", True),
    ],
)
async def test_hosts_that_may_be_asked_for(
    allowed: tuple[str, ...] | None, host: str, ok: bool
) -> None:
    async with wsext.serve(make_app(allowed_hosts=allowed)) as server:
        assert (await fetch(server.port, asked(host)))[0] == (200 if ok else 421)
        if host:
            assert await shake(server, host) == (101 if ok else 421)
            target = f"GET http://{host}/page HTTP/1.1\r\nHost: example.com\r\n\r\n"
            assert (await fetch(server.port, target.encode()))[0] == (200 if ok else 421)


@pytest.mark.parametrize(("allowed", "status"), [("localhost", 200), ("example.com", 421)])
async def test_the_authority_of_http_2_is_a_host(allowed: str, status: int) -> None:
    async with (
        wsext.serve(make_app(allowed_hosts=(allowed,))) as server,
        h2_peer(server.port) as peer,
    ):
        page = await peer.fetch("/page", (), method="GET", protocol=None, end=True)
        assert page[0] == status
        assert (await peer.response(peer.request("/", VERSION)))[0] == status


@pytest.mark.parametrize("name", ["a b", "http://a", "*.*.a", "a:80", "*a", "", "ü"])
async def test_what_is_no_name_is_said_at_the_start(name: str) -> None:
    with pytest.raises(OptionError, match="allowed_hosts"):
        await wsext.serve(make_app(allowed_hosts=(name,)))


@pytest.mark.parametrize(
    ("host", "more", "options", "status"),
    [
        ("127.0.0.1:8765", (), {}, 101),
        ("localhost:8765", (), {}, 101),
        ("app.localhost", (), {}, 101),
        ("[::1]:8765", (), {}, 101),
        ("192.168.1.5", (), {}, 101),
        ("evil.example:8765", (), {}, 403),
        ("localhost.evil.example", (), {}, 403),
        ("127.0.0.1.evil.example", (), {}, 403),
        ("evil.example", ("X-Forwarded-For: 192.0.2.1",), {}, 403),
        ("my.example", (), {"allowed_hosts": ("my.example",)}, 101),
        ("my.example", (), {"allowed_hosts": ("*",)}, 101),
        ("my.example", ("X-Forwarded-Proto: http",), {"trusted_proxies": ("127.0.0.1",)}, 101),
        ("evil.example", (), {"trusted_proxies": ("127.0.0.1",)}, 403),
    ],
)
async def test_a_page_cannot_make_its_own_name_stand_for_loopback(
    host: str, more: tuple[str, ...], options: dict[str, Any], status: int
) -> None:
    async with wsext.serve(make_app(**options)) as server:
        assert await shake(server, host, f"Origin: http://{host}", *more) == status
        assert await shake(server, host, *more) == 101  # no browser


@pytest.mark.parametrize(
    ("origin", "proto", "status"),
    [
        ("https://my.example", "https", 101),
        ("http://my.example", "http", 101),
        ("http://my.example", "https", 403),
        ("https://my.example", "http", 403),
    ],
)
async def test_the_scheme_is_what_a_trusted_proxy_says(
    origin: str, proto: str, status: int
) -> None:
    async with wsext.serve(make_app(trusted_proxies=("127.0.0.1",))) as server:
        lines = (f"Origin: {origin}", f"X-Forwarded-Proto: {proto}")
        assert await shake(server, "my.example", *lines) == status


async def test_tests_in_memory_have_no_names() -> None:
    async with testing.connect(make_app(allowed_hosts=("example.com",))) as client:
        await client.send("hello")
        assert await client.receive() == "hello"
