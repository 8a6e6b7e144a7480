"""Targets: what a URL says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import wsext
from wsext.client.targets import Target


@pytest.mark.parametrize("url", ["http://x/", "ws://", "example.com", "ws+unix:"])
async def test_a_wrong_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="ws"):
        wsext.connect(url)


@pytest.mark.parametrize(
    "url",
    [
        "ws://ada:hunter2@",
        "http://ada:hunter2@h",
        "ws://ada:hun/ter2@h",
        "ws://ada@h",
        "ws://a%3Ada:hunter2@h",
        "ws://ada:hunter2%ff@h",
        "ws://ada:hunter2@h:99999",
        "ws://ada:hunter2@h/#x",
        "ws://ada:hunter2@h/\r\nX: y",
        "ws://ada:hunter2@h /",
        "ws://ada:hunter2@h\0/",
        "ws://ada:hunter2@h\u2028/",
    ],
)
def test_an_error_does_not_show_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Target.parse(url)
    shown = str(caught.value)
    assert "hun" not in shown
    assert "ter2" not in shown
    assert shown.isprintable()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "ws+unix:/s:/x HTTP/1.1\r\nX-Injected: y",
        "ws+unix:/s:/a b",
        "ws+unix:/s:/a\0",
        'ws://a,b;c"d/',
        "ws://h/a|b^c\x80",
    ],
)
async def test_nothing_of_a_url_gets_into_the_request_unchecked(url: str, tmp_path: Path) -> None:
    got: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())
        writer.close()

    path = str(tmp_path / "s")
    async with await asyncio.start_unix_server(handle, path):
        with pytest.raises(ValueError, match=r"may not stand|percent-encode"):
            await wsext.connect(url.replace("/s:", f"{path}:"))
    assert got == []


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("ws://h", Target(False, "h", 80, "/"), "h"),
        ("ws://h:81/a?b=c", Target(False, "h", 81, "/a?b=c"), "h:81"),
        ("wss://[::1]/", Target(True, "::1", 443, "/"), "[::1]"),
        ("wss://u:p@h/", Target(True, "h", 443, "/", authorization="Basic dTpw"), "h"),
        (
            "ws://%C3%A4:%40:%2F@[::1]:81",
            Target(False, "::1", 81, "/", authorization="Basic w6Q6QDov"),
            "[::1]:81",
        ),
        ("ws+unix:/s", Target(False, "localhost", 80, "/", uds="/s"), "localhost"),
        ("ws+unix:/s:/a?b", Target(False, "localhost", 80, "/a?b", uds="/s"), "localhost"),
    ],
)
def test_a_url_is_a_target(url: str, target: Target, host: str) -> None:
    assert Target.parse(url) == target
    assert target.host_header == host


@pytest.mark.parametrize(
    ("url", "location", "hosts", "found"),
    [
        ("ws://a.example:80/x", "/y?z", (), "ws://a.example/y?z"),
        ("ws://a.example/x", "ws://a.example:8001/x", (), "ws://a.example:8001/x"),
        ("ws://a.example/x", "http://A.Example:8001/x", (), "ws://a.example:8001/x"),
        ("ws://a.example/x", "https://a.example/x", (), "wss://a.example/x"),
        ("ws://a.example/x", "wss://b.example/x", ("b.example",), "wss://b.example/x"),
        ("ws://a.example/x", "ws://n1.b.example/x", ("*.b.example",), "ws://n1.b.example/x"),
        ("ws://a.example/x", "//b.example/x", ("b.example",), "ws://b.example/x"),
        ("ws://[::1]:81/x", "ws://[::1]:82/x", (), "ws://[::1]:82/x"),
        ("ws://a.example/x", "ws://b.example/x", (), None),
        ("ws://a.example/x", "ws://evilb.example/x", ("*.b.example", "b.example"), None),
        ("ws://a.example/x", "ws://b.example.evil/x", ("b.example",), None),
        ("wss://a.example/x", "ws://a.example/x", (), None),
        ("ws://a.example/x", "ftp://a.example/x", (), None),
        ("ws://a.example/x", "", (), None),
        ("ws://a.example/x", "ws://a.example:99999/", (), None),
        ("ws://a.example/x", "ws://a.example/\r\nX: y", (), None),
        ("ws+unix:/s:/x", "ws://localhost/x", (), None),
    ],
)
def test_a_redirect_is_followed_only_to_hosts_that_are_named(
    url: str, location: str, hosts: tuple[str, ...], found: str | None
) -> None:
    target = Target.parse(url).redirected(location, hosts)
    assert (target and target.url) == found


def test_a_redirect_brings_no_credentials() -> None:
    target = Target.parse("ws://ada:secret@h/x").redirected("ws://eve:secret@h:81/x", ())
    assert target is not None
    assert target.authorization is None


@pytest.mark.parametrize("url", ["ws://h/x?y", "wss://h:444/", "ws+unix:/tmp/s:/x", "ws://[::1]/"])
def test_a_target_is_a_url_again(url: str) -> None:
    assert Target.parse(url).url == url
