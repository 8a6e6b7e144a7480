"""Connections that another worker has to answer: who that is, and what it gets."""

from __future__ import annotations

import logging
import sys
from typing import Any, ClassVar

import pytest

from tests.raw import REQUEST, masked
from tests.server.apps import Seen
from tests.server.working import team
from tests.waiting import until
from wsext import (
    Agreement,
    App,
    Codec,
    Extension,
    NegotiationContext,
    Params,
    Request,
    Response,
    ServerOptions,
    Session,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no descriptors can be passed")


class At(Extension):
    """Who asks for a worker gets it, and is told who has answered."""

    name: ClassVar[str] = "x-at"
    extra_wire_params: ClassVar[frozenset[str]] = frozenset({"worker"})

    def worker_of(self, offer: Params) -> Any:
        if offer.text("worker") == "fault":
            raise RuntimeError("a fault")
        return 2 if offer.text("worker") == "number" else offer.text("worker") or ""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        return Agreement(Codec(), Params(worker=ctx.worker))


class Guarded:
    """An app whose guard notes what it sees, and lets in who says please."""

    def __init__(self, **server: Any) -> None:
        self.asked = 0
        self.seen = Seen()
        self.app = App(server=ServerOptions(**server))
        self.app.install(At)
        self.app.install(self.seen)
        self.app.websocket("/", guards=[self.guard])(self.echo)

    def guard(self, request: Request) -> Response | None:
        self.asked += 1
        return None if request.query_string == "please" else Response(403, "say please")

    async def echo(self, session: Session) -> None:
        await session.send(f"{session.request.remote} {session.request.secure}")
        async for message in session:
            await session.send(message)


def asking(worker: object, path: str = "/?please") -> bytes:
    offer = f"Sec-WebSocket-Extensions: x-at; worker={worker}\r\n"
    return REQUEST.format(path=path, more=offer).encode()


async def test_the_one_that_an_extension_names_gets_the_connection_and_what_was_read() -> None:
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app) as workers:
        peer = await workers.peer(1)
        host, port = peer.writer.get_extra_info("sockname")
        peer.send(asking("2-abc") + masked(1, b"came with the request"))
        assert "x-at; worker=2-abc" in await peer.read_head()
        for expected in (f"{host}:{port} False".encode(), b"came with the request"):
            frame = await peer.frame()
            assert frame is not None
            assert frame.payload == expected
        peer.send(masked(8, b"\x03\xe8"))
        assert await peer.close_code() == 1000
        assert workers.passed == [(1, 2)]
        assert [board.connections for board in workers.boards] == [0, 0]
        peer.writer.close()
    assert (one.asked, two.asked) == (0, 1)
    assert (one.seen.statuses, two.seen.statuses) == ([], [101])


async def test_its_guards_and_its_limits_decide() -> None:
    one, two = Guarded(), Guarded(max_connections=1)
    async with team(one.app, two.app) as workers:
        refused = await workers.peer(1)
        refused.send(asking("2-abc", "/"))
        assert (await refused.read_head()).startswith("HTTP/1.1 403")
        refused.writer.transport.abort()
        await until(lambda: not workers.boards[1].connections)
        first = await workers.peer(2)
        assert "101" in await first.shake("/?please")
        full = await workers.peer(1)
        full.send(asking("2-abc"))
        assert (await full.read_head()).startswith("HTTP/1.1 503")
        for peer in (first, full):
            peer.writer.transport.abort()
    assert two.seen.limits == ["max_connections"]


@pytest.mark.parametrize(
    "worker", ["9-abc", "nobody", "18446744073709551616-abc", "1-abc", "2-abd", "2", "0-abc", "x.y"]
)
async def test_who_is_not_there_is_answered_for_by_who_has_read_it(worker: object) -> None:
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app) as workers:
        peer = await workers.peer(1)
        peer.send(asking(worker))
        assert "x-at; worker=1-abc" in await peer.read_head()
        assert len(workers.passed) == (worker == "9-abc")
        peer.writer.close()


@pytest.mark.parametrize("worker", ["fault", "number"])
async def test_an_extension_that_fails_is_logged_and_knows_nobody(
    worker: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app) as workers:
        peer = await workers.peer(1)
        peer.send(asking(worker))
        assert "x-at; worker=1-abc" in await peer.read_head()
        peer.writer.close()
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert "x-at.worker_of()" in record.getMessage()


async def test_one_that_shuts_down_lets_another_one_answer_and_that_one_nobody() -> None:
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app) as workers:
        holding = await workers.peer(2)
        assert "101" in await holding.shake("/?please")
        workers.tell(2, b"s")
        assert await holding.close_code() == 1001  # it drains, and waits for this one
        peer = await workers.peer(1)
        peer.send(asking("2-abc"))
        assert (await peer.read_head()).startswith("HTTP/1.1 503")
        assert workers.passed == [(1, 2)]
        peer.writer.close()
        holding.send(masked(8, b"\x03\xe9"))
        holding.writer.close()
