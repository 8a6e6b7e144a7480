"""A server for the tests of clients that block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sync.served import serving


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with serving() as (_, server):
        yield server.url
