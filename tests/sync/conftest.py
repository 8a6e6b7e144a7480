"""A server for the tests of clients that block, and a session with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sync.served import EXTENSIONS, serving
from wsext.sync import BlockingSession, connect


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with serving() as (_, server):
        yield server.url


@pytest.fixture(params=EXTENSIONS)
def session(request: pytest.FixtureRequest, url: str) -> Iterator[BlockingSession]:
    with connect(f"{url}/echo", extensions=[request.param], subprotocols=["echo.v1"]) as session:
        assert [agreed.name for agreed in session.extensions] == [request.param]
        yield session
