"""Behind nginx, with workers and Redis: what is killed, reloaded and restarted, and what becomes of
traders and sessions, by the table of docs/nothing-is-lost.md.

SHOW=full python -m pytest tests/e2e/test_nginx.py -n0 -s --timeout 600

does it, and then lets the page of the docs trade, too, in a browser.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests import brokers
from tests.brokers import Broker
from tests.e2e.browser import browsing
from tests.e2e.processes import ENV, serving
from tests.e2e.proxies import Proxy, proxying
from tests.test_docs import blocks
from tests.waiting import until
from wsext import Backoff, CloseInfo, ConnectionClosed, NotResumed, Session

ROOT = Path(__file__).parents[2]
FAST = Backoff(initial=0.02, maximum=0.2)
FULL = os.environ.get("SHOW") == "full"
ROUNDS = 3
ORDERS = 250 * ROUNDS

#: Seconds in which something that was killed is there again.
SOON = 30

#: The feed of the example, and the page of the docs that trades there.
SHOP = """
from pathlib import Path
from order_feed import app
from wsext import Response

@app.http("/")
def page(request):
    return Response(200, Path("page.html").read_text(), content_type="text/html")
"""


class Site:
    """A server with two workers, on a port that stays its own when it is restarted."""

    def __init__(self, folder: Path, broker: str) -> None:
        self._folder = folder
        self._broker = broker
        self._port = brokers.free_port()
        self._stack = ExitStack()
        self.supervisor = 0
        (folder / "shop.py").write_text(SHOP)
        (page,) = blocks(ROOT / "docs" / "nothing-is-lost.md", "html")
        (folder / "page.html").write_text(page)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        path = f"{ROOT / 'examples'}:{os.environ.get('PYTHONPATH', '')}"
        env = {**ENV, "WSEXT_PLUGINS": "session-resume", "PYTHONPATH": path}
        args = [
            "shop:app",
            "--port",
            str(self._port),
            "--workers",
            "2",
            "--backplane",
            self._broker,
        ]
        args += ["--set", "server.trusted_proxies=127.0.0.1"]
        served = self._stack.enter_context(serving(*args, cwd=self._folder, env=env))
        self.supervisor = served.process.pid

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._stack.close()

    @property
    def workers(self) -> list[int]:
        """Their processes, the oldest first."""
        children = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children")
        return sorted(map(int, children.read_text().split()))


class Follower:
    """One session that trades at the feed."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._placed = 0

    async def place(self) -> None:
        """Place an order, and see it in the feed."""
        self._placed += 1
        id = f"{self.session.id}-{self._placed}"
        await self.session.send_json({"type": "order", "id": id, "text": "buy"})
        async with asyncio.timeout(SOON):
            while True:
                message = await self.session.receive_json()
                if message["type"] == "confirmed" and message["id"] == id:
                    return

    async def sees(self, names: set[str]) -> None:
        """Wait until each of the traders is back, and has placed an order."""
        async with asyncio.timeout(SOON):
            while names:
                message = await self.session.receive_json()
                if message["type"] == "placed":
                    names.discard(message["order"]["id"].partition("-")[0])

    async def end(self) -> CloseInfo:
        """How it ends; nobody has closed it here. The Close frame stands behind all that comes."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(SOON):
                while True:
                    await self.session.receive()
        return self.session.close_info


@asynccontextmanager
async def following(proxy: Proxy) -> AsyncIterator[Follower]:
    url = f"wss://localhost:{proxy.port}/orders"
    async with wsext.connect(url, extensions=["session-resume"], backoff=FAST) as session:
        await session.send_json({"type": "hello", "since": None})
        yield Follower(session)


async def kill_and_reload(site: Site, proxy: Proxy) -> None:
    """What happens to nginx, and to a worker."""
    async with following(proxy) as follower:
        await follower.place()
        before = proxy.workers
        proxy.reload()
        await until(lambda: proxy.workers != before)
        await follower.place()
        assert follower.session.resumptions == 0  # the old worker of nginx keeps what it has

        proxy.kill_workers()
        await follower.place()
        assert follower.session.resumptions == 1
    async with following(proxy) as one, following(proxy) as other, following(proxy) as third:
        for follower in (one, other, third):
            await follower.place()
        victim = site.workers[0]
        os.kill(victim, signal.SIGKILL)
        ended = [asyncio.create_task(each.end()) for each in (one, other, third)]
        async with asyncio.timeout(SOON):
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            assert not task.done() or isinstance(task.result().exception, NotResumed)
            task.cancel()
    await until(lambda: victim not in site.workers and len(site.workers) == 2)


async def deploy(site: Site, proxy: Proxy, broker: Broker, names: set[str]) -> None:
    """What happens to the broker, and to the whole server.

    Args:
        names: The traders that go on all the time. One that comes back just when the broker is away
            is told that it has missed something.
    """
    async with following(proxy) as follower:
        await follower.sees(names)
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await follower.place()
        assert follower.session.resumptions == 0

        old = site.workers
        os.kill(site.supervisor, signal.SIGHUP)
        assert isinstance((await follower.end()).exception, NotResumed)
        await until(lambda: not {*old} & {*site.workers})
    async with following(proxy) as follower:
        await follower.place()
        await asyncio.to_thread(site.stop)  # nginx answers 502 meanwhile
        await asyncio.to_thread(site.start)
        assert (await follower.end()).code == 1001


@contextmanager
def staged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Proxy, Broker]]:
    """Redis, a server, and nginx in front of it."""
    folders = [folder / name for name in ("redis", "site", "proxy")]
    for each in folders:
        each.mkdir()
    with brokers.running("redis", folders[0]) as broker:
        site = Site(folders[1], broker.url)
        site.start()
        try:
            with proxying("nginx", folders[2], site.http) as proxy:
                monkeypatch.setenv("SSL_CERT_FILE", str(proxy.authority))
                yield site, proxy, broker
        finally:
            site.stop()


def check(seen: dict[str, list[str]], placed: dict[str, int]) -> None:
    """Everybody has seen every order of everybody once, and all of them in the same order.

    Args:
        seen: What each trader has seen, from its first order to its last.
        placed: How many orders each has placed.
    """
    for name, orders in seen.items():
        assert len(orders) == len({*orders}), f"{name} has seen orders twice"
        assert {f"{name}-{number}" for number in range(placed[name])} <= {*orders}
    one, other = seen.values()
    assert between(one, other) == between(other, one)


def between(mine: list[str], theirs: list[str]) -> list[str]:
    """What one has seen while both were there: from the first to the last that both have."""
    both = [at for at, id in enumerate(mine) if id in {*theirs}]
    return mine[both[0] : both[-1] + 1]


Trade = Callable[..., Coroutine[Any, Any, list[str]]]


@pytest.fixture
def trade() -> Trade:
    """The trader of the example."""
    found: Trade = runpy.run_path(str(ROOT / "examples" / "order_feed.py"))["trade"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="takes a minute; SHOW=full")
async def test_behind_nginx_nothing_is_lost(
    trade: Trade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged(tmp_path, monkeypatch) as (site, proxy, broker):
        url = f"wss://localhost:{proxy.port}/orders"
        async with asyncio.TaskGroup() as group:
            traders = {
                name: group.create_task(trade(url, name, ORDERS, 0.05, FAST))
                for name in ("Ada", "Bob")
            }
            for _ in range(ROUNDS):
                await kill_and_reload(site, proxy)
                busy = {name for name, task in traders.items() if not task.done()}
                await deploy(site, proxy, broker, busy)
    seen = {name: task.result() for name, task in traders.items()}
    print({name: f"{len(orders)} orders seen" for name, orders in seen.items()})
    check(seen, dict.fromkeys(seen, ORDERS))


# --- the page -------------------------------------------------------------------------------------

#: Places an order every 50 ms, until it is told to stop.
BUSY = "window.placed = 0; window.busy = setInterval(() => buy(`page-${placed++}`), 50)"
IDLE = "clearInterval(busy)"
SEEN = "return [...document.querySelectorAll('li')].map((item) => item.textContent)"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not FULL, reason="takes a minute; SHOW=full")
async def test_a_page_behind_nginx_loses_nothing(
    trade: Trade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = (tmp_path / "profile", "--ignore-certificate-errors")
    with staged(tmp_path, monkeypatch) as (site, proxy, broker), browsing(*flags) as browser:

        async def run(script: str) -> Any:
            return await asyncio.to_thread(browser.execute_script, script)

        async def has_seen_all() -> bool:
            return bool(await run("return waiting.size") == 0)

        await asyncio.to_thread(browser.get, f"https://localhost:{proxy.port}/")
        await run(BUSY)
        async with asyncio.TaskGroup() as group:
            url = f"wss://localhost:{proxy.port}/orders"
            trading = group.create_task(trade(url, "Ada", ORDERS, 0.05, FAST))
            for _ in range(ROUNDS):
                await kill_and_reload(site, proxy)
                await deploy(site, proxy, broker, {"page"} if trading.done() else {"Ada", "page"})
        await run(IDLE)
        await until(has_seen_all, every=0.1)
        seen = {"Ada": trading.result(), "page": await run(SEEN)}
        placed = {"Ada": ORDERS, "page": await run("return placed")}
    print({name: f"{len(orders)} orders seen" for name, orders in seen.items()}, placed)
    check(seen, placed)
