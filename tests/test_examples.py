"""Every example is run, and does what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

import wsext
from tests import brokers
from tests.e2e.processes import Served, serving

EXAMPLES = Path(__file__).parent.parent / "examples"


@contextmanager
def example(name: str, *args: str) -> Iterator[Served]:
    """An example's app as its operator runs it, without what else is installed here."""
    with serving(f"{name}:app", "--app-dir", str(EXAMPLES), "--no-ext", "presets", *args) as served:
        yield served


def run(name: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_every_example_is_tested_here() -> None:
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in tested, path


@pytest.mark.parametrize("path", ["/", "/fast"])
async def test_echo(path: str) -> None:
    with example("echo") as served:
        async with wsext.connect(served.ws + path) as session:
            for message in ("text", b"bytes"):
                await session.send(message)
                assert await session.receive() == message


async def test_chat() -> None:
    with example("chat") as served:
        url = f"{served.ws}/rooms/tea?name="
        async with wsext.connect(url + "Ada", subprotocols=["chat.v1"]) as ada:
            assert ada.subprotocol == "chat.v1"
            assert await ada.receive() == "* Ada comes in"
            async with wsext.connect(url + "Bob") as bob:
                assert await ada.receive() == "* Bob comes in"
                await bob.send("hi")
                assert await ada.receive() == "Bob: hi"
            assert await ada.receive() == "* Bob leaves"


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_rooms(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = "memory://"
        if kind != "memory":
            url = stack.enter_context(brokers.running(kind, tmp_path)).url
        first = stack.enter_context(example("rooms", "--backplane", url))
        second = first
        if kind != "memory":
            second = stack.enter_context(example("rooms", "--backplane", url))
        async with wsext.connect(f"{first.ws}/rooms/tea?name=Ada") as ada:
            assert await ada.receive() == "* here: Ada"
            await ada.send("hello")
            assert await ada.receive() == "Ada: hello"
            async with wsext.connect(f"{second.ws}/rooms/tea?name=Bob") as bob:
                assert await bob.receive() == "Ada: hello"
                assert await bob.receive() == "* here: Ada, Bob"
                assert await ada.receive() == "* Bob comes in"
                await bob.send("hi")
                assert await ada.receive() == await bob.receive() == "Bob: hi"
            assert await ada.receive() == "* Bob leaves"
        async with wsext.connect(f"{second.ws}/prices") as session:
            price = '{"symbol":"WSX","price":17}'
            await session.send(price)
            assert await session.receive() == price


def test_custom_extension() -> None:
    lines = run("custom_extension.py").splitlines()
    assert lines[0] == "agreed: permessage-deflate, x-crc32"
    assert lines[-1] == "echoed: True"
    stages = [line.split()[1] for line in lines[1:-1] if line.startswith("out")]
    assert stages[:4] == ["app", "permessage-deflate", "x-crc32", "wire"]


async def test_deflate() -> None:
    offer = ["permessage-deflate"]
    with example("deflate") as served:
        async with wsext.connect(f"{served.ws}/prices", extensions=offer) as session:
            assert session.negotiation.header == "permessage-deflate"
            messages = [message async for message in session]
            assert msgspec.json.decode(messages[0]) == {"symbol": "WSX", "bid": 100, "ask": 101}
            words = str(messages[-1]).split()
            assert int(words[-1]) < int(words[0]) / 3
        async with wsext.connect(f"{served.ws}/login", extensions=offer) as session:
            assert [len(message) async for message in session] == [206, 400]
            assert 206 < session.stats.wire_bytes_in < 250
        async with wsext.connect(f"{served.ws}/pictures", extensions=offer) as session:
            assert session.extensions == ()


def test_client() -> None:
    with serving() as served:
        lines = run("client.py", f"{served.ws}/chat", "2").splitlines()
    assert lines[0].startswith("connected, permessage-deflate, ")
    assert lines[1:] == [
        "You are connected! There are 1 users here.",
        "[user0]: hello from examples/client.py",
    ]
