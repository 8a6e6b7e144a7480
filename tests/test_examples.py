"""Every example is run, and does what it says."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import httpx
import msgspec
import pytest

import wsext
from tests import brokers
from tests.e2e.browser import browsing, text_of, until
from tests.e2e.processes import ENV, Served, python, serving
from tests.e2e.processes import wsext as wsext_command
from tests.relay import relaying
from tests.waiting import until as pass_until
from wsext import testing

EXAMPLES = Path(__file__).parent.parent / "examples"


@contextmanager
def example(name: str, *args: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """An example's app as its operator runs it, without what else is installed here."""
    where = ("--app-dir", str(EXAMPLES), "--no-ext", "presets")
    with serving(f"{name}:app", *where, *args, env=env) as served:
        yield served


# `fastapi_app` runs under uvicorn, in tests/e2e/test_integrations.py.


def run(name: str, *args: str) -> str:
    done = python(EXAMPLES / name, *args)
    assert done.returncode == 0, done.stderr
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


async def test_fastapi_rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of its apps, as two processes have them."""
    with brokers.running("redis", tmp_path) as broker:
        monkeypatch.setenv("BROKER", broker.url)
        first, second = (runpy.run_path(str(EXAMPLES / "fastapi_rooms.py")) for _ in range(2))
        async with AsyncExitStack() as members:
            ada = await members.enter_async_context(fastapi_member(first, "Ada"))
            assert await ada.receive_json() == {"here": ["Ada"]}
            bob = await members.enter_async_context(fastapi_member(second, "Bob"))
            assert await bob.receive_json() == {"here": ["Ada", "Bob"]}
            assert await ada.receive_json() == {"join": "Bob"}
            await ada.send("hello")
            transport = httpx.ASGITransport(app=second["api"])
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                assert (await http.get("/rooms/tea")).json() == ["Ada", "Bob"]
                assert await bob.receive_json() == {"text": "hello", "who": "Ada"}
                pushed = await http.post("/rooms/tea", json={"text": "tea is ready"})
                assert pushed.status_code == 202
                assert "socket.onmessage" in (await http.get("/")).text
            assert await ada.receive_json() == {"text": "hello", "who": "Ada"}
            for member in (ada, bob):
                news = {"text": "tea is ready", "who": "the system"}
                assert await member.receive_json() == news
            await bob.close()
            assert await ada.receive_json() == {"leave": "Bob"}
            late = await members.enter_async_context(fastapi_member(second, "Eve"))
            assert [(await late.receive_json())["text"] for _ in range(2)] == [
                "hello",
                news["text"],
            ]
        with pytest.raises(wsext.InvalidStatus, match="403"):
            async with fastapi_member(first, ""):
                pass


def fastapi_member(example: dict[str, Any], name: str) -> Any:
    path, offer = f"/rooms/tea?name={name}", ["permessage-deflate"]
    return testing.connect(example["api"], path, settings=example["live"], extensions=offer)


@contextmanager
def web_view(broker: str) -> Iterator[str]:
    command = [sys.executable, EXAMPLES / "web_view.py", broker, "0"]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **quiet) as process:
        yield process.stdout.readline().strip()
        process.terminate()


async def test_web_view(tmp_path: Path) -> None:
    with (
        brokers.running("redis", tmp_path) as broker,
        example("rooms", "--backplane", broker.url) as served,
        web_view(broker.url) as view,
    ):
        async with wsext.connect(f"{served.ws}/rooms/tea?name=Ada") as ada:
            assert await ada.receive() == "* here: Ada"
            with await asyncio.to_thread(urlopen, f"{view}/tea", b"tea is ready") as answer:
                assert answer.read() == b"1 people get it\n"
            assert await ada.receive() == "tea is ready"


def test_custom_extension() -> None:
    lines = run("custom_extension.py").splitlines()
    assert lines[0] == "agreed: permessage-deflate; client_max_window_bits=12, x-crc32"
    assert lines[-1] == "echoed: True"
    stages = [line.split()[1] for line in lines[1:-1] if line.startswith("out")]
    assert stages[:4] == ["app", "permessage-deflate", "x-crc32", "wire"]


async def test_deflate() -> None:
    offer = ["permessage-deflate"]
    with example("deflate") as served:
        async with wsext.connect(f"{served.ws}/prices", extensions=offer) as session:
            assert session.negotiation.header == "permessage-deflate; client_max_window_bits=12"
            messages = [message async for message in session]
            assert msgspec.json.decode(messages[0]) == {"symbol": "WSX", "bid": 100, "ask": 101}
            words = str(messages[-1]).split()
            assert int(words[-1]) < int(words[0]) / 3
        async with wsext.connect(f"{served.ws}/login", extensions=offer) as session:
            assert [len(message) async for message in session] == [206, 400]
            assert 206 < session.stats.wire_bytes_in < 250
        async with wsext.connect(f"{served.ws}/pictures", extensions=offer) as session:
            assert session.extensions == ()


ORDERS = 50


async def test_order_feed(tmp_path: Path) -> None:
    """Connections are cut, a worker is killed, the broker restarts, the workers are renewed."""
    namespace = runpy.run_path(str(EXAMPLES / "order_feed.py"))
    trade: Callable[..., Coroutine[Any, Any, list[str]]] = namespace["trade"]
    backoff = wsext.Backoff(initial=0.02, maximum=0.2)
    env = {**ENV, "WSEXT_PLUGINS": "session-resume"}
    with (
        brokers.running("redis", tmp_path) as broker,
        example("order_feed", "--workers", "2", "--backplane", broker.url, env=env) as served,
    ):
        pid = served.process.pid
        async with relaying(served.port) as relay:
            async with asyncio.TaskGroup() as group:
                url = f"{relay.url}orders"
                traders = [
                    group.create_task(trade(url, name, ORDERS, 0.03, backoff))
                    for name in ("Ada", "Bob")
                ]
                for happen in (
                    relay.cut,
                    lambda: os.kill(workers_of(pid)[-1], signal.SIGKILL),
                    relay.cut,
                    broker.stop,
                    broker.start,
                    lambda: os.kill(pid, signal.SIGHUP),
                    relay.cut,
                ):
                    await asyncio.sleep(0.15)  # so much happens in between as may
                    happen()
            await pass_until(lambda: relay.is_idle)  # they have said goodbye
        ada, bob = (trader.result() for trader in traders)
    for name, seen in ("Ada", ada), ("Bob", bob):
        assert len(seen) == len({*seen})
        assert {f"{name}-{number}" for number in range(ORDERS)} <= {*seen}
    assert shared(ada, bob) == shared(bob, ada)


def workers_of(pid: int) -> list[int]:
    """The processes that a server has started, the oldest first."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def shared(mine: list[str], theirs: list[str]) -> list[str]:
    """What I have seen while both of us were there: from the first to the last that both have."""
    both = [mine.index(item) for item in mine if item in theirs]
    return mine[both[0] : both[-1] + 1]


async def test_typed_orders() -> None:
    with example("typed_orders") as served:
        url = f"{served.ws}/orders/WSX"
        async with wsext.connect(url, subprotocols=["orders.json"]) as session:
            assert await session.receive_json() == {"type": "welcome", "symbol": "WSX"}
            place = {"type": "place", "id": 1, "side": "buy", "amount": 5}
            await session.send_json(place)
            assert await session.receive_json() == {"type": "placed", "id": 1, "order": 1}
            await session.send_json({"type": "report", "id": 2})
            report = {"type": "open", "id": 2, "order": 1, "amount": 5}
            assert await session.receive_json() == report
            for message, error in (
                ({"type": "cancel", "id": 3, "order": 2}, {"code": "not-open", "id": 3}),
                ({**place, "amount": -5}, {"code": "invalid", "path": "$.amount"}),
                ({**place, "amount": 5000}, {"code": "too-large", "id": 1}),
            ):
                await session.send_json(message)
                answer = await session.receive_json()
                assert {**answer, "type": "error", **error} == answer
            async with wsext.connect(url, subprotocols=["orders.msgpack"]) as other:
                assert await other.receive_msgpack() == {"type": "welcome", "symbol": "WSX"}
                news = {"type": "news", "side": "buy", "amount": 5.0}
                await session.send_json(place)
                assert await session.receive_json() == {"type": "placed", "id": 1, "order": 2}
                assert await other.receive_msgpack() == news
                await other.send_msgpack(place)
                assert await other.receive_msgpack() == {"type": "placed", "id": 1, "order": 1}
                assert await session.receive_json() == news
        async with wsext.connect(f"{served.ws}/ping") as session:
            await session.send_json({"type": "ping"})
            assert await session.receive_json() == {"type": "pong"}


async def test_connect_four() -> None:
    app = runpy.run_path(str(EXAMPLES / "connect_four.py"))["app"]
    async with (
        testing.connect(app) as red,
        testing.connect(app) as yellow,
        testing.connect(app) as watcher,
    ):
        await red.send_json({"type": "init"})
        keys = await red.receive_json()
        await yellow.send_json({"type": "init", "join": keys["join"]})
        await yellow.send_json({"type": "play", "column": 3})
        assert (await yellow.receive_json())["code"] == "turn"
        for player, column in zip([red, yellow] * 3, (3, 3, 4, 4, 5, 5), strict=True):
            await player.send_json({"type": "play", "column": column})
            for each in (red, yellow):
                played = await each.receive_json()
                assert (played["type"], played["column"]) == ("play", column)
        await watcher.send_json({"type": "init", "watch": keys["watch"]})
        assert [(await watcher.receive_json())["row"] for _ in range(6)] == [0, 1] * 3
        for column, code in ((7, "invalid"), (-1, "invalid"), ("x", "invalid")):
            await red.send_json({"type": "play", "column": column})
            assert (await red.receive_json())["code"] == code
        await red.send_json({"type": "play", "column": 2})
        for each in (red, yellow, watcher):
            assert await each.receive_json() == {
                "type": "play",
                "player": "red",
                "column": 2,
                "row": 0,
            }
            assert await each.receive_json() == {"type": "win", "player": "red"}
        for player, code in ((yellow, "over"), (watcher, "watching")):
            await player.send_json({"type": "play", "column": 0})
            assert (await player.receive_json())["code"] == code
        await watcher.send_json({"type": "init"})
        assert (await watcher.receive_json())["code"] == "seated"
        async with testing.connect(app) as late:
            await late.send_json({"type": "init", "join": keys["join"]})
            assert (await late.receive_json())["code"] == "unknown-game"


@pytest.mark.parametrize("name", ["client", "sync_client"])
def test_client(name: str) -> None:
    with serving() as served:
        lines = run(f"{name}.py", f"{served.ws}/chat", "2").splitlines()
    assert lines[0].startswith("connected, permessage-deflate; client_max_window_bits=12, ")
    assert lines[1:] == [
        "You are connected! There are 1 users here.",
        f"[user0]: hello from examples/{name}.py",
    ]


def test_trio_echo() -> None:
    """A server on trio with a client on asyncio, and the other way round."""
    with example("echo", env={**os.environ}) as served:
        extensions = ("permessage-deflate", "permessage-zstd")
        lines = run("trio_echo.py", served.ws, *extensions).splitlines()
    for line, name in zip(lines, extensions, strict=True):
        assert re.fullmatch(rf"{name}.*: 600 bytes travelled as \d\d", line), line

    command = [sys.executable, EXAMPLES / "trio_echo.py", "serve", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None

        async def talk(url: str) -> None:
            async with wsext.connect(url, extensions=["permessage-deflate"]) as session:
                assert session.extension("permessage-deflate")
                await session.send(b"bytes")
                assert await session.receive() == b"bytes"
                server.terminate()
                assert (await session.wait_closed()).code == 1001

        asyncio.run(talk(server.stdout.readline().strip()))
        assert server.wait(10) == 0


@pytest.mark.parametrize(
    ("path", "how", "result"),
    [
        ("/page", {"headers": {"Cookie": "session=ada-123"}}, "hello Ada"),
        ("/page", {"headers": {"Cookie": "session=ada"}}, 401),
        ("/page", {"headers": {"Cookie": "session=ada-123"}, "origin": "https://evil"}, 403),
        ("/page", {}, 401),
        ("/api", {"headers": {"Authorization": "Bearer bob-456"}}, "hello Bob"),
        ("/api", {"headers": {"Authorization": "Basic bob-456"}}, 401),
        ("/admin", {"headers": {"Authorization": "Bearer ada-123"}}, "hello Ada"),
        ("/admin", {"headers": {"Authorization": "Bearer bob-456"}}, 403),
        ("/anywhere", {"subprotocols": ["api.v1", "token.bob-456"]}, "hello Bob"),
        ("/anywhere", {"subprotocols": ["api.v1"]}, 401),
        (
            "/anywhere",
            {"subprotocols": ["api.v1", "token.ada-123"], "origin": "https://elsewhere"},
            "hello Ada",
        ),
    ],
)
async def test_auth(auth: Served, path: str, how: dict[str, Any], result: str | int) -> None:
    try:
        session = await wsext.connect(auth.ws + path, **how)
    except wsext.InvalidStatus as error:
        got: Any = error.status
    else:
        got = await session.receive()
        assert session.subprotocol in (None, "api.v1")
        await session.close()
    assert got == result


@pytest.mark.parametrize(
    ("token", "origin", "status"),
    [("ada-123", None, 200), ("ada-123", "https://evil", 403), ("guess", None, 401)],
)
async def test_log_in(auth: Served, token: str, origin: str | None, status: int) -> None:
    def log_in() -> tuple[int, str]:
        request = UrlRequest(auth.http, urlencode({"token": token}).encode())
        if origin is not None:
            request.add_header("Origin", origin)
        try:
            with urlopen(request) as answer:
                return answer.status, answer.headers["Set-Cookie"]
        except HTTPError as refused:
            with refused:
                return refused.code, ""

    got, cookie = await asyncio.to_thread(log_in)
    assert got == status
    if cookie:
        headers = {"Cookie": cookie.partition(";")[0]}
        async with wsext.connect(f"{auth.ws}/page", headers=headers) as session:
            assert await session.receive() == "hello Ada"


@pytest.fixture(scope="module")
def auth() -> Iterator[Served]:
    with example("auth") as served:
        yield served


def test_market_data(tmp_path: Path) -> None:
    """As its first lines say."""
    recorded, trained = tmp_path / "quotes.jsonl", tmp_path / "quotes.zdict"
    recorded.write_text(run("market_data.py", "record"))
    done = wsext_command("zstd", "train", str(recorded), "-o", str(trained), env={**os.environ})
    assert done.returncode == 0, done.stderr
    with example(
        "market_data", "--ext", f"permessage-zstd:dictionaries={trained}", env={**os.environ}
    ) as served:
        lines = run("market_data.py", "watch", f"{served.ws}/quotes", str(trained)).splitlines()
    sizes = [float(line.split(" bytes each")[0].split()[-1]) for line in lines]
    plain, deflate, zstd, with_dictionary = sizes
    assert plain > max(deflate, zstd)
    assert with_dictionary < min(deflate, zstd) / 2


@pytest.mark.browser
def test_dashboard(tmp_path: Path) -> None:
    with (
        example("dashboard", env={**ENV, "DASHBOARD_TOKEN": "sesame"}) as served,
        browsing(tmp_path) as browser,
    ):
        for path, status in (("", 401), ("login/Eve?token=wrong", 403)):
            with pytest.raises(HTTPError) as refused, urlopen(f"{served.http}{path}"):
                pass
            refused.value.close()
            assert refused.value.code == status
        browser.get(f"{served.http}login/Ada?token=sesame")
        until(browser, lambda b: text_of(b, "#user") == "Ada")
        assert "token" not in browser.current_url
        assert text_of(browser, "#status") == "live"
        assert text_of(browser, "#viewers") == "1"
        up = text_of(browser, "#up")
        until(browser, lambda b: text_of(b, "#up") != up)
