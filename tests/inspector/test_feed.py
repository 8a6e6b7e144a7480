"""What goes to an open page: sessions, what is watched, and no more than it is told to show."""

from __future__ import annotations

import wsext
from tests.inspector.pages import find, page, serving
from wsext import Session


async def test_sessions_their_negotiation_and_their_frames() -> None:
    async with serving() as (inspector, server):
        url = f"{server.url}/echo/a?token=s3cret"
        async with (
            page(inspector, server) as feed,
            wsext.connect(url, extensions=["permessage-deflate"], subprotocols=[]) as client,
        ):
            hello = await find(feed, "hello")
            assert hello["extensions"] == ["permessage-deflate"]
            overview = await find(feed, "overview", lambda event: event["rows"])
            (row,) = overview["rows"]  # not the page's own
            assert overview["sessions"] == 1
            assert (row["path"], row["extensions"]) == ("/echo/a", ["permessage-deflate"])
            await feed.send_json({"type": "watch", "session": row["id"], "payload": True})
            watching = await find(feed, "watching")
            assert watching["recorded"] is True
            description = watching["description"]
            assert description["stages"] == ["app", "permessage-deflate", "wire"]
            (offer,) = description["offers"]
            assert offer["verdict"] == "agreed"
            assert description["header"].startswith("permessage-deflate")
            await client.send("hello " * 100)
            await client.receive()
            frames = (await find(feed, "frames"))["frames"]
            incoming = [frame for frame in frames if frame["number"] == 1]
            assert [frame["stage"] for frame in incoming] == ["wire", "permessage-deflate", "app"]
            assert [frame["rsv"] for frame in incoming] == ["RSV1", "", ""]
            assert incoming[0]["size"] < 30
            assert incoming[2]["size"] == 600
            assert incoming[2]["preview"] == ("hello " * 100)[:80]
            outgoing = [frame for frame in frames if frame["number"] == 2]
            assert [frame["stage"] for frame in outgoing] == ["app", "permessage-deflate", "wire"]
            await client.send("fail")
            await client.wait_closed()
            overview = await find(feed, "overview", lambda event: event["rows"][0]["end"])
            (row,) = overview["rows"]
            end = row["end"]
            assert (end["code"], end["by"], end["error"]) == (1011, "server", "RuntimeError")
            assert overview["codes"] == {"1011": 1}
            assert overview["sessions"] == 0
            assert overview["incoming"]["app"] == 604
            await feed.send_json({"type": "watch", "session": row["id"]})
            watching = await find(feed, "watching")
            assert watching["description"] == description
            frames = watching["frames"]  # the last ones, without payloads
            assert [frame["opcode"] for frame in frames[-2:]] == ["close", "close"]
            assert {frame["preview"] for frame in frames} == {""}
            await feed.send_json({"type": "watch", "session": "nobody"})
            assert (await find(feed, "watching"))["session"] is None


async def test_a_page_chooses_what_its_table_shows() -> None:
    async with (
        serving() as (inspector, server),
        page(inspector, server) as feed,
        wsext.connect(f"{server.url}/echo/b", extensions=["permessage-deflate"]) as first,
        wsext.connect(f"{server.url}/echo/a") as second,
    ):
        assert (await find(feed, "hello"))["history"][0][1:] == [
            {"messages": 0, "app": 0, "wire": 0},
            {"messages": 0, "app": 0, "wire": 0},
        ]

        async def shows(*paths: str, **view: object) -> None:
            await feed.send_json({"type": "view", "view": view})
            await find(
                feed,
                "overview",
                lambda event: (
                    [row["path"] for row in event["rows"]] == list(paths)
                    and event["matching"] == len(paths)
                ),
            )

        for session in (first, second):
            await session.send("x")
            await session.receive()
        await find(feed, "overview", lambda event: len(event["rows"]) == 2)
        await shows("/echo/a", "/echo/b", sort="path")
        await shows("/echo/b", "/echo/a", sort="path", descending=True)
        await shows("/echo/b", extension="permessage-deflate")
        await shows("/echo/a", text="ECHO/A")
        await shows(state="ended")
        await feed.send_json({"type": "view", "view": {"sort": "colour"}})
        assert (await feed.wait_closed()).code == 1008


async def test_frames_are_traced_only_while_a_page_watches() -> None:
    async with (
        serving() as (inspector, server),
        wsext.connect(f"{server.url}/echo/a") as client,
    ):
        await client.send("unseen")
        await client.receive()
        (session,) = server.sessions
        own: list[str] = []
        session.trace(lambda direction, stage, frame: own.append(stage))
        async with page(inspector, server) as first, page(inspector, server) as second:
            for feed in (first, second):
                await feed.send_json({"type": "watch", "session": session.id, "payload": True})
                await find(feed, "watching")
            await client.send("both")
            await client.receive()
            for feed in (first, second):
                seen = await find(feed, "frames")
                assert {frame["preview"] for frame in seen["frames"]} == {"both"}
            await second.send_json({"type": "watch", "session": session.id, "payload": False})
            await find(second, "watching")
            await client.send("one")
            await client.receive()
            await find(first, "frames", lambda event: event["frames"][-1]["preview"] == "one")
            assert {f["preview"] for f in (await find(second, "frames"))["frames"]} == {""}
        count = len(own)
        while inspector.register.pages:
            await client.ping()
        await client.send("alone")
        await client.receive()
        assert len(own) > count  # the app's own trace stays


async def test_payloads_can_be_off_for_every_page() -> None:
    async with (
        serving(payload=False) as (inspector, server),
        page(inspector, server) as feed,
        wsext.connect(f"{server.url}/echo/a") as client,
    ):
        assert (await find(feed, "hello"))["payload"] is False
        (row,) = (await find(feed, "overview", lambda event: event["rows"]))["rows"]
        await feed.send_json({"type": "watch", "session": row["id"], "payload": True})
        await find(feed, "watching")
        await client.send("s3cret")
        await client.receive()
        assert {f["preview"] for f in (await find(feed, "frames"))["frames"]} == {""}


async def test_what_a_page_sends_is_checked() -> None:
    async with serving() as (inspector, server), page(inspector, server) as feed:
        await feed.send_json({"type": "watch", "session": 5})
        assert (await feed.wait_closed()).remote == (1008, "invalid message at $.session")


async def test_a_flood_of_frames_is_sampled_and_the_rest_counted() -> None:
    async with (
        serving() as (inspector, server),
        page(inspector, server) as feed,
        wsext.connect(f"{server.url}/echo/a") as client,
    ):
        (row,) = (await find(feed, "overview", lambda event: event["rows"]))["rows"]
        await feed.send_json({"type": "watch", "session": row["id"], "payload": True})
        await find(feed, "watching")
        sent = 3000
        client.create_task(_flood(client, sent))
        for _ in range(sent):
            await client.receive()
        shown = left_out = 0
        while shown + left_out < 2 * sent:
            event = await find(feed, "frames")
            assert len(event["frames"]) <= 240
            numbers = {frame["number"] for frame in event["frames"]}
            for number in numbers:  # whole journeys only
                stages = [f["stage"] for f in event["frames"] if f["number"] == number]
                assert sorted(stages) == ["app", "wire"]
            shown += len(numbers)
            left_out += event["left_out"]
        assert left_out > 0
        assert shown + left_out == 2 * sent


async def _flood(client: Session, count: int) -> None:
    for _ in range(count):
        await client.send("x")
