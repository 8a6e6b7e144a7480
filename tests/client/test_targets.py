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
        ("ws+unix:/s", Target(False, "localhost", 80, "/", uds="/s"), "localhost"),
        ("ws+unix:/s:/a?b", Target(False, "localhost", 80, "/a?b", uds="/s"), "localhost"),
    ],
)
def test_a_url_is_a_target(url: str, target: Target, host: str) -> None:
    assert Target.parse(url) == target
    assert target.host_header == host
