"""A page is told of the frames of its own session."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

import wsext
from wsext import InvalidStatus, Server
from wsext.reference import build_app


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app = build_app()
    app.install("permessage-deflate")
    async with wsext.serve(app) as server:
        yield server


async def test_the_page_is_told_of_its_own_frames_only(server: Server) -> None:
    async with (
        wsext.connect(f"{server.url}/frames/t0ken") as feed,
        wsext.connect(f"{server.url}/chat?watch=t0ken", extensions=["permessage-deflate"]) as mine,
        wsext.connect(f"{server.url}/chat?watch=guess") as other,
    ):
        await mine.receive()
        await other.receive()
        opening = await feed.receive_json(dict)
        assert opening["type"] == "session"
        assert opening["name"] == "user0"
        (extension,) = opening["extensions"]
        assert extension["name"] == "permessage-deflate"
        assert "DEFLATE" in extension["about"]
        assert opening["negotiation"][0]["verdict"] == "agreed"
        await other.send("not for the feed? it is chat, so it is sent to mine")
        await mine.receive()
        await mine.send("hello hello hello")
        way: list[dict[str, object]] = []
        while [event["stage"] for event in way] != ["wire", "permessage-deflate", "app"]:
            event = await feed.receive_json(dict)
            if event["type"] == "frame" and event["direction"] == "in":
                way.append(event)
        assert len({event["number"] for event in way}) == 1
        assert [event["unchanged"] for event in way] == [False, False, True]
        assert way[-1]["preview"] == "hello hello hello"
        await mine.close()
        while event["type"] != "closed":
            event = await feed.receive_json(dict)
        assert event["code"] == 1000


async def test_a_token_belongs_to_the_first(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with wsext.connect(f"{server.url}/frames/t") as first:
        async with wsext.connect(f"{server.url}/frames/t") as second:
            assert (await second.wait_closed()).code == 1008
        assert first.is_open
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_long_token_is_no_page(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with wsext.connect(f"{server.url}/frames/{'t' * 64}") as longest:
        assert longest.is_open
    for token in ("t" * 65, "t" * 5000, "%0a" * 65):
        with pytest.raises(InvalidStatus) as caught:
            await wsext.connect(f"{server.url}/frames/{token}")
        assert caught.value.status == 404
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
