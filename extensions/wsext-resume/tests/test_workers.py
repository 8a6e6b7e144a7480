"""Sessions of several workers, of servers with a backplane, and under uvicorn: who comes back reaches
the one that has the session."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from wsext_resume import SessionResume

import wsext
from tests.e2e.processes import ENV, serving
from tests.integrations.served import Receive, Scope, Send, running
from tests.relay import relaying
from tests.server.working import Team, team
from tests.waiting import until
from wsext import App, Backoff, NotResumed, ServerOptions, Session

FAST = Backoff(initial=0.001, maximum=0.05)
ROUNDS = 6

workers_only = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="workers need processes that inherit sockets"
)


class Counting:
    """An app whose handler numbers what it answers, and says once that it runs."""

    def __init__(self, **server: Any) -> None:
        self.resume = SessionResume()
        self.app = App(server=ServerOptions(**server))
        self.app.install(self.resume)
        self.app.websocket("/")(self.handle)
        self.runs = 0

    async def handle(self, session: Session) -> None:
        self.runs += 1
        taken = 0
        async for message in session:
            taken += 1
            await session.send(f"{taken} {message}")


async def talk(session: Session, cut: Any) -> None:
    """Send and receive, with a cut in the middle of each round."""
    for number in range(1, ROUNDS + 1):
        await session.send(f"message {number}")
        cut()
        assert await session.receive() == f"{number} message {number}"
    assert session.resumptions >= ROUNDS - 1  # what was cut off may have arrived before it


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@workers_only
@pytest.mark.parametrize("kind", ["plain", "tls", "h2", "h2-tls"])
async def test_a_session_of_another_worker_goes_on(kind: str, authority: trustme.CA) -> None:
    options: dict[str, Any] = {"http2": "h2" in kind}
    context = None
    if "tls" in kind:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        options["ssl"] = ssl.create_default_context()
        authority.configure_trust(options["ssl"])
    one, two = Counting(), Counting()
    async with team(one.app, two.app, context=context) as workers:
        url = f"{'wss' if context else 'ws'}://{workers.open_door()}/"
        how = {"extensions": [SessionResume()], "backoff": FAST, **options}
        async with wsext.connect(url, **how) as session:
            await talk(session, workers.cut)
        assert session.close_info.ok
        assert workers.passed
        assert set(workers.passed) == {(2, 1)}
    assert (one.runs, two.runs) == (1, 0)
    assert one.resume.counters.get("refused elsewhere", 0) == 0
