"""A blocking publisher in the threads of a WSGI server: every message reaches every process once.

SHOW=full python -m pytest tests/e2e/test_publisher.py -n0 --timeout 600
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests import brokers
from tests.rooms.backplanes.processes import Client, joined, processes
from tests.test_docs import PAGES, blocks
from wsext import BlockingPublisher

FULL = os.environ.get("SHOW") == "full"
MESSAGES = 10_000 if FULL else 400
#: Requests at the same time, and messages that each request publishes.
AT_ONCE, EACH = 8, 10


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nobody reads it."""


@contextmanager
def web_app(publisher: BlockingPublisher) -> Iterator[str]:
    """``/FIRST`` publishes some messages, from this number on, in the thread of its request."""

    @Request.application
    def app(request: Request) -> Response:
        first = int(request.path.strip("/"))
        for number in range(first, first + EACH):
            publisher.publish("tea", f"{first} {number}")
        return Response("published")

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post_all(url: str, broker: brokers.Broker, dies: bool) -> None:
    """Make every request; the broker is killed when a quarter of them has been answered."""

    def post(first: int) -> None:
        with urlopen(f"{url}/{first}") as response:
            assert response.read() == b"published"

    starts = range(0, MESSAGES, EACH)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(post, starts)):
            if dies and done == len(starts) // 4:
                broker.kill()
                broker.start()


def by_request(got: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for first, _, number in (text.partition(" ") for text in got):
        found.setdefault(first, []).append(int(number))
    return found


@pytest.mark.parametrize("dies", [False, True], ids=["stays", "dies"])
@pytest.mark.parametrize("kind", ["redis", "nats"])
async def test_what_web_views_publish_is_delivered_once(
    kind: str, dies: bool, tmp_path: Path
) -> None:
    with brokers.running(kind, tmp_path) as broker, BlockingPublisher(broker.url) as publisher:
        async with (
            processes(broker.url, 2) as (one, two),
            joined(one, "tea") as a,
            joined(two, "tea") as b,
        ):
            with web_app(publisher) as url:
                await asyncio.to_thread(post_all, url, broker, dies)

            async def all_of(client: Client) -> list[str]:
                async with asyncio.timeout(30):
                    return [str(await client.session.receive()) for _ in range(MESSAGES)]

            for got in await asyncio.gather(all_of(a), all_of(b)):
                assert by_request(got) == {
                    str(first): list(range(first, first + EACH))
                    for first in range(0, MESSAGES, EACH)
                }
            await asyncio.to_thread(publisher.publish, "tea", "end")
            assert await a.receive(1) == await b.receive(1) == ["end"]  # no second copies


async def test_the_page_about_publishers_is_true(tmp_path: Path) -> None:
    (page,) = [path for path in PAGES if path.name == "publishing.md"]
    with brokers.running("redis", tmp_path) as broker:
        code = "\n".join(blocks(page, "python")).replace("redis://localhost", broker.url)
        said: dict[str, Any] = {}
        exec(code, said)  # our own page
        async with processes(broker.url, 1) as (one,), joined(one, "reports") as reader:
            assert await asyncio.to_thread(said["place_order"], 17) == "placed"
            assert await asyncio.to_thread(said["nightly_report"], "all is well") == 1
            assert await reader.receive(1) == ["all is well"]
        assert await said["announce"]("tea is ready") == ["tea is ready"]
        orders = await asyncio.to_thread(said["publisher"].history, "orders", 5)
        assert [message.data for message in orders] == ["order 17 is placed"]
        for _ in range(2):
            assert await asyncio.to_thread(said["ship_order"], 17) == "shipped"
        orders = await asyncio.to_thread(said["publisher"].history, "orders", 5)
        assert [message.data for message in orders][1:] == ["order 17 is shipped"]
        await asyncio.to_thread(said["publisher"].close)
