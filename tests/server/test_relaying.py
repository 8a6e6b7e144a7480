"""Connections over TLS and HTTP/2 that another worker answers: this one passes their bytes on."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

import pytest
import trustme

import wsext
from tests.server.test_handing import At, Guarded
from tests.server.working import team
from tests.waiting import until
from wsext import Params

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no descriptors can be passed")

BIG = bytes(range(256)) * 4096


class To(At):
    """Asks for the second worker."""

    def offers(self) -> list[Params]:
        return [Params(worker="2-abc")]

    def confirm(self, offers: Any, answer: Params, ctx: Any) -> Any:
        assert answer == Params(worker="2-abc")
        return self.make_codec(answer, ctx)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["tls", "h2", "h2-tls"])
def how(
    request: pytest.FixtureRequest, authority: trustme.CA
) -> tuple[ssl.SSLContext | None, dict[str, Any]]:
    """The workers' TLS context, and how a client connects."""
    http2 = "h2" in request.param
    if "tls" not in request.param:
        return None, {"http2": http2, "url": "ws://localhost/?please"}
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, {"http2": http2, "url": "wss://localhost/?please", "ssl": client}


async def test_a_session_of_another_worker_is_as_any(how: Any) -> None:
    context, options = how
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app, context=context) as workers:
        session = await workers.connect(1, extensions=[To], **options)
        host, port = session.request.get_extra_info("sockname")
        secure = context is not None
        assert await session.receive() == f"{host}:{port} {secure}"
        await session.send(BIG)
        assert await session.receive() == BIG
        await session.ping()
        await session.close()
        assert session.close_info.code == 1000
        assert workers.passed == [(1, 2)]
        await until(lambda: not any(board.connections for board in workers.boards))
    assert (one.asked, two.asked) == (0, 1)


async def test_a_refusal_of_another_worker_arrives(how: Any) -> None:
    context, options = how
    one, two = Guarded(), Guarded()
    url = options.pop("url").partition("?")[0]
    async with team(one.app, two.app, context=context) as workers:
        with pytest.raises(wsext.InvalidStatus) as caught:
            await workers.connect(1, url, extensions=[To], **options)
        assert (caught.value.status, caught.value.body) == (403, b"say please")
        await until(lambda: not any(board.connections for board in workers.boards))


async def test_what_is_lost_on_one_side_is_lost_on_the_other(how: Any) -> None:
    context, options = how
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app, context=context) as workers:
        session = await workers.connect(1, extensions=[To], **options)
        await session.receive()
        session.abort()
        await until(lambda: not any(board.connections for board in workers.boards))
        session = await workers.connect(1, extensions=[To], **options)
        await session.receive()
        workers.tell(1, b"s")  # it relays no session of its own, so it ends at once
        assert (await session.wait_closed()).code == 1006
        await until(lambda: not any(board.connections for board in workers.boards))


@pytest.mark.parametrize("how", ["h2-tls"], indirect=True)
async def test_who_reads_slowly_is_not_read_ahead_for(how: Any) -> None:
    context, options = how
    one, two = Guarded(), Guarded()
    async with team(one.app, two.app, context=context) as workers:
        session = await workers.connect(1, extensions=[To], **options)
        await session.receive()
        session.hold_reading(60)
        sending = asyncio.create_task(_send(session))
        await asyncio.sleep(0.3)  # many times what it takes to send all of it
        assert not sending.done()
        sending.cancel()
        session.abort()


async def _send(session: wsext.Session) -> None:
    for _ in range(40):
        await session.send(BIG)
