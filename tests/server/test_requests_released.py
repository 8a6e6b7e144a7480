"""What a request leaves is freed at once, whatever became of it: bodies and TLS have buffers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

import wsext
from tests.freed import kept_transports, left_to_the_collector, no_collector
from tests.raw import contexts, raw_peer
from tests.waiting import until
from wsext import App, Request, Response, ServerOptions

SIZE = 1 << 18
FORM = (f"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n").encode()
CHUNKED = b"POST /form HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def make_app() -> App:
    app = App(server=ServerOptions(max_body_size=SIZE, incoming_total=SIZE * 2))

    @app.http("/form", methods=["POST"])
    def form(request: Request) -> Response:
        return Response(200, str(len(request.body)))

    @app.http("/hangs")
    async def hangs(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    return app


@pytest.fixture(autouse=True)
def collector_off() -> Iterator[None]:
    with no_collector():
        yield


class Host:
    """A server, and peers of it."""

    def __init__(self, server: wsext.Server, context: ssl.SSLContext | None) -> None:
        self.server = server
        self.peer = partial(raw_peer, server.port, context)


async def is_answered(host: Host, data: bytes, status: str) -> None:
    async with host.peer() as peer:
        peer.send(data)
        assert status in await peer.read_head()


async def no_page(host: Host) -> None:
    await is_answered(host, b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", "404")


async def malformed(host: Host) -> None:
    await is_answered(host, b"GET\r\n\r\n", "400")


async def whole(host: Host) -> None:
    await is_answered(host, FORM + bytes(SIZE), "200")


async def too_large(host: Host) -> None:
    await is_answered(host, FORM.replace(b"Length: ", b"Length: 9") + bytes(SIZE), "413")


async def bad_chunk(host: Host) -> None:
    await is_answered(host, CHUNKED + b"3\r\nabcd\r\n", "400")


async def cut_off(host: Host) -> None:
    async with host.peer() as peer:
        peer.send(FORM + bytes(SIZE - 1))
        await peer.writer.drain()
        await until(lambda: host.server.turns.waiting == SIZE - 1)


async def too_many(host: Host) -> None:
    """One of three bodies is refused, and the others are cut off."""
    async with host.peer() as first, host.peer() as second, host.peer() as third:
        peers = (first, second, third)
        for peer in peers:
            peer.send(FORM + bytes(SIZE - 1))
        tasks = [asyncio.create_task(peer.read_head()) for peer in peers]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert all("503" in task.result() for task in done)
        for task in others:
            task.cancel()
        await asyncio.wait(tasks)


async def never_answered(host: Host) -> None:
    async with host.peer() as peer:
        peer.send(b"GET /hangs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: host.server.is_answering)


ENDS = [
    no_page,
    malformed,
    whole,
    too_large,
    bad_chunk,
    cut_off,
    too_many,
    never_answered,
]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", ENDS)
async def test_a_request_is_freed(end: Callable[[Host], Awaitable[None]], secure: bool) -> None:
    served, context = contexts() if secure else (None, None)
    async with wsext.serve(make_app(), ssl=served) as server:
        host = Host(server, context)
        for _ in range(2):
            await end(host)
            await until(lambda: not server.connection_count)
        for _ in range(5):
            await asyncio.sleep(0)  # the transports close their sockets
        assert left_to_the_collector() == []
        assert kept_transports() == []
