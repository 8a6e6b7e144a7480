"""Programs for `websockets` and what becomes of them by docs/migrating.md do the same.

Each dialogue is held twice, with the program for `websockets` and with the one for wsext, and what
was heard is compared. Clients are compared in the same way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect as their_connect
from websockets.exceptions import ConnectionClosed as TheirClosed
from websockets.exceptions import InvalidStatus as TheirStatus
from websockets.sync.client import connect as their_sync_connect

import wsext
import wsext.sync
from tests.e2e.ported import ours, theirs
from tests.raw import fetch
from tests.waiting import until

Dialogue = Callable[[str], Awaitable[list[Any]]]


async def heard(url: str, *messages: str | bytes, **options: Any) -> list[Any]:
    """Say something, and hear the rest: messages and the close code, or the status of a refusal."""
    try:
        async with their_connect(url, **options) as client:
            for message in messages:
                await client.send(message)
            got: list[Any] = []
            try:
                while True:
                    got.append(await client.recv())
            except TheirClosed:
                return [*got, client.close_code, client.close_reason]
    except TheirStatus as refused:
        response = refused.response
        return [response.status_code, response.headers.get("WWW-Authenticate"), response.body]


async def hello(url: str) -> list[Any]:
    return await heard(url, "Ada")


async def echo(url: str) -> list[Any]:
    async with their_connect(url) as client:
        messages: list[str | bytes] = ["text", b"bytes", "", "long " * 1000]
        got: list[Any] = [extension.name for extension in client.protocol.extensions]
        for message in messages:
            await client.send(message)
            got.append(await client.recv())
        return got


async def counter(url: str) -> list[Any]:
    async with their_connect(url) as one:
        got: list[Any] = [json.loads(await one.recv()) for _ in range(2)]
        async with their_connect(url) as two:
            got += [json.loads(await two.recv()) for _ in range(2)]
            got.append(json.loads(await one.recv()))
            await two.send(json.dumps({"add": 5}))
            got += [json.loads(await each.recv()) for each in (one, two)]
        got.append(json.loads(await one.recv()))
        return got


async def clock(url: str) -> list[Any]:
    async with their_connect(url) as one, their_connect(url) as two:
        return [str(await each.recv()).split()[0] for each in (one, two, one)]


async def both_ways(url: str) -> list[Any]:
    return await heard(url, "3", "4", "-1")


async def password(url: str) -> list[Any]:
    return [
        await heard(url.replace("://", "://ada:sesame@")),
        await heard(url.replace("://", "://bob:honey@")),
        (await heard(url.replace("://", "://ada:honey@")))[:2],
        (await heard(url))[:2],
    ]


async def token_in_query(url: str) -> list[Any]:
    return [await heard(f"{url}/?token=token-of-ada"), await heard(f"{url}/?token=x")]


async def token_first(url: str) -> list[Any]:
    return [await heard(url, "token-of-ada"), await heard(url, "x")]


async def health(url: str) -> list[Any]:
    port = int(url.rpartition(":")[2])
    status, _, body = await fetch(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return [status, body, await heard(url)]


async def routes(url: str) -> list[Any]:
    spoken: Any = ["chat.v1", "chat.v2"]
    return [
        await heard(f"{url}/rooms/tea/7", subprotocols=spoken),
        (await heard(f"{url}/rooms/tea/x", subprotocols=spoken))[0],
        (await heard(f"{url}/", subprotocols=spoken))[0],
    ]


async def ends(url: str) -> list[Any]:
    got: list[Any] = [
        await heard(f"{url}/"),
        await heard(f"{url}/4000"),
        (await heard(f"{url}/raise"))[0],
        (await heard(f"{url}/wait", "x" * 2000))[0],
    ]
    for code in (1000, 1001, 4001):
        async with their_connect(f"{url}/wait") as client:
            await client.close(code)
    client = await their_connect(f"{url}/wait")
    client.transport.abort()

    async def all_seen() -> bool:
        seen = (await heard(f"{url}/seen"))[0].split()
        got[4:] = seen
        return len(seen) == 10

    await until(all_seen)
    return got


@pytest.mark.parametrize(
    "dialogue",
    [
        *(hello, echo, counter, clock, both_ways, password, token_in_query, token_first),
        *(health, routes, ends),
    ],
    ids=lambda dialogue: dialogue.__name__,
)
async def test_a_ported_server_does_the_same(dialogue: Dialogue) -> None:
    name = dialogue.__name__
    async with getattr(theirs, name)() as url:
        before = await dialogue(url)
    async with getattr(ours, name)() as url:
        assert await dialogue(url) == before
    assert before


# --- clients ----------------------------------------------------------------------------------


async def their_end(url: str, **options: Any) -> str:
    try:
        async with their_connect(url, **options) as client:
            while True:
                await client.recv()
    except TheirClosed as closed:
        again = await raised(client.send("too late"))
        return f"{type(closed).__name__} {closed.rcvd} {closed.sent} {again}"
    except TheirStatus as refused:
        return f"InvalidStatus {refused.response.status_code} {refused.response.body!r}"
    except Exception as error:
        return type(error).__name__


async def our_end(url: str, **options: Any) -> str:
    try:
        async with wsext.connect(url, **options) as client:
            while True:
                await client.receive()
    except wsext.ConnectionClosed as closed:
        again = await raised(client.send("too late"))
        sides = [closed.info.remote, closed.info.local]
        rcvd, sent = (
            side and f"{side[0]} ({kind_of(side[0])}) {side[1]}".strip() for side in sides
        )
        return f"{type(closed).__name__} {rcvd} {sent} {again}"
    except wsext.InvalidStatus as refused:
        return f"InvalidStatus {refused.status} {refused.body!r}"
    except Exception as error:
        return type(error).__name__


def kind_of(code: int) -> str:
    names = {1000: "OK", 1001: "going away", 1011: "internal error", 1009: "message too big"}
    return names.get(code, "private use")


async def raised(work: Awaitable[Any]) -> str:
    try:
        await work
    except Exception as error:
        return type(error).__name__
    return "nothing"


@pytest.mark.parametrize("path", ["/", "/1001", "/4000"])
async def test_sessions_end_for_both_clients_with_the_same_exceptions(path: str) -> None:
    async with ours.ends() as url:
        ended = await our_end(url + path)
        assert ended == await their_end(url + path)
        assert ended.startswith("ConnectionClosed")


async def test_refusals_are_the_same_exception_and_have_other_attributes() -> None:
    async with ours.token_in_query() as url:
        assert await our_end(url) == "InvalidStatus 401 b'wrong token\\n'"
        assert await their_end(url) == "InvalidStatus 401 bytearray(b'wrong token\\n')"


async def answering(answer: bytes) -> asyncio.Server:
    """A server that answers everything with these bytes, or with nothing."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer:
            writer.write(answer)
            writer.close()
        else:
            await reader.read()
            writer.close()

    return await asyncio.start_server(handler, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "theirs", "ours"),
    [
        (b"", "TimeoutError", "TimeoutError"),
        (b"SSH-2.0\r\n", "InvalidMessage", "InvalidHandshake"),
        (
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "InvalidHeader",
            "InvalidHandshake",
        ),
    ],
    ids=["nothing", "something else", "no key"],
)
async def test_what_opening_raises(answer: bytes, theirs: str, ours: str) -> None:
    async with await answering(answer) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await their_end(url, open_timeout=0.1) == theirs
        assert await our_end(url, open_timeout=0.1) == ours
    refused = await their_end(url), await our_end(url)
    assert refused == ("ConnectionRefusedError", "ConnectionRefusedError")
    wrong = url.replace("ws://", "http://")
    assert (await their_end(wrong), await our_end(wrong)) == ("InvalidURI", "ValueError")


async def test_clients_without_an_event_loop_do_the_same() -> None:
    def their_talk(url: str) -> list[Any]:
        with their_sync_connect(url) as client:
            client.send("Ada")
            return [client.recv(timeout=5), *client, client.close_code]

    def our_talk(url: str) -> list[Any]:
        with wsext.sync.connect(url) as session:
            session.send("Ada")
            return [session.receive(timeout=5), *session, session.close_info.code]

    async with ours.hello() as url:
        for talk in (their_talk, our_talk):
            assert await asyncio.to_thread(talk, url) == ["Hello, Ada!", 1000]


async def their_reconnecting(url: str, wanted: int) -> list[Any]:
    got: list[Any] = []
    async for client in their_connect(url):
        try:
            async for message in client:
                got.append(message)
                if len(got) == wanted:
                    return got
        except TheirClosed:
            continue
    raise AssertionError("it does not end")


async def our_reconnecting(url: str, wanted: int) -> list[Any]:
    got: list[Any] = []
    backoff = wsext.Backoff(initial=0.001, maximum=0.01)
    async for session in wsext.connect(url, backoff=backoff):
        async for message in session:  # ends silently here, whatever the reason
            got.append(message)
            if len(got) == wanted:
                return got
    raise AssertionError("it does not end")


async def test_a_client_comes_back_in_the_same_loop() -> None:
    app = wsext.App()

    @app.websocket("/")
    async def hang_up(session: wsext.Session) -> None:
        await session.send("hi")
        await session.close(1011)

    async with wsext.serve(app) as server:
        for reconnecting in (their_reconnecting, our_reconnecting):
            assert await reconnecting(server.url, 3) == ["hi"] * 3
