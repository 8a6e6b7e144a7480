"""What a client accepts of an answer: each part of it has a limit."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.client.servers import accept, answering, listening
from tests.extensions import Append
from wsext import (
    Backoff,
    ClientLimits,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
    OptionError,
)
from wsext.sdk.options import option_fields


def test_the_reference_has_the_limits_and_the_waits() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
    for field in option_fields(ClientLimits):
        row = f"| `{field.name}` | {field.default} | {field.description} ({field.bounds}) |"
        assert row in page
    for wait in fields(Backoff):
        default = "none" if wait.default is None else wait.default
        assert f"| `{wait.name}` | {default} |" in page


CHUNKED = b"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMITS = ClientLimits(max_header_size=2000, max_header_count=10, max_body_size=100)


def test_the_bounds_of_the_limits() -> None:
    with pytest.raises(OptionError, match="client: max_header_count"):
        ClientLimits(max_header_count=129)
    with pytest.raises(OptionError, match="did you mean 'max_body_size'"):
        ClientLimits.parse({"max_bodysize": 1})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda key: b"HTTP/1.1 101 " + b"x" * 2000 + b"\r\n", "more than 2000 bytes"),
        (lambda key: accept(key, "A: b\r\n" * 11), "more than 10 headers"),
        (lambda key: accept(key, f"A: {'b' * 1900}\r\n"), "more than 2000 bytes"),
        (lambda key: b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + accept(key), "more than 10 headers"),
        (lambda key: b"HTTP/1.1 102 x\r\nA: b\r\n\r\n" * 5 + accept(key), "more than 10 headers"),
        (
            lambda key: (
                b"HTTP/1.1 103 " + b"y" * 990 + b"\r\n\r\n" + accept(key, "A: " + "z" * 990)
            ),
            "2000",
        ),
    ],
)
async def test_a_head_that_is_too_large_is_refused(
    make: Callable[[str], bytes], words: str
) -> None:
    async with answering(make) as url:
        with pytest.raises(InvalidHandshake, match=words):
            await wsext.connect(url, limits=LIMITS)


@pytest.mark.parametrize("number", [1, 3])
async def test_informational_answers_come_before_the_real_one(number: int) -> None:
    """RFC 9110 §15.2: also where the client expects none."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * number
    async with answering(lambda key: early + accept(key) + b"\x81\x02hi") as url:
        session = await wsext.connect(url)
        assert await session.receive() == "hi"
        session.abort()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 403 x\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 403 x\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 403 x\r\n\r\n" + b"y" * 5000, b"y" * 100),
        (b"HTTP/1.1 403 x\r\nContent-Length: 9999999999\r\n\r\n" + b"y" * 5000, b"y" * 100),
        (b"HTTP/1.1 403 x\r\nContent-Length: 10\r\n\r\nhalf", b"half"),
        (b"HTTP/1.1 403 x\r\nContent-Length: -1\r\n\r\nno", b""),
        (b"HTTP/1.1 403 x\r\nContent-Length: many\r\n\r\nno", b""),
        (CHUNKED + b"3;a=b\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", b"abcd"),
        (
            CHUNKED + b"FFFFFF\r\n" + b"y" * 5000,
            b"y" * 100,
        ),
        (CHUNKED + b"-5\r\nno", b""),
        (CHUNKED + b"1\r\ny\r\n" * 5000, b"yyyyy"),
        (CHUNKED + b"9" * 5000, b""),
        (b"HTTP/1.1 204 x\r\n\r\n", b""),
    ],
)
async def test_of_a_refusals_body_so_much_is_kept(answer: bytes, body: bytes) -> None:
    async with answering(lambda key: answer) as url:
        with pytest.raises(InvalidStatus) as caught:
            await wsext.connect(url, limits=LIMITS)
    assert caught.value.status in (403, 204)
    assert caught.value.body == body


async def test_a_redirect_is_not_followed_and_a_cookie_not_kept() -> None:
    asked: list[bytes] = []
    redirect = (
        b"HTTP/1.1 302 x\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(redirect)
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        for _ in range(2):
            with pytest.raises(InvalidStatus, match="302"):
                await wsext.connect(f"ws://127.0.0.1:{port}")
    assert [request.split()[1] for request in asked] == [b"/", b"/"]
    assert b"ookie" not in asked[1]


@pytest.mark.parametrize(
    "value",
    [
        "x-append, x-append",
        ", ".join(["x-append"] * 1000),
        "; ".join(["x-append", *(f"p{number}" for number in range(1000))]),
        "x-append; p=" + "y" * 8000,
        ";" * 8000,
        "x-what",
        "y" * 8000,
        "\x9b" * 20,
    ],
)
async def test_an_answer_has_the_extensions_that_were_offered_once(value: str) -> None:
    more = f"Sec-WebSocket-Extensions: {value}\r\n"
    async with answering(lambda key: accept(key, more)) as url:
        with pytest.raises((NegotiationError, InvalidHandshake)) as caught:
            await wsext.connect(url, extensions=[Append])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "make",
    [
        lambda key: accept("another key in base64=="),
        lambda key: accept(key, "Sec-WebSocket-Accept: x\r\n"),
        lambda key: accept(key).replace(b"1.1", b"1.0", 1),
        lambda key: accept(key).replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        lambda key: accept(key).replace(b"101", b"1" + b"0" * 5000 + b"1", 1),
        lambda key: accept(key).replace(b"\r\n\r\n", b"\r\n folded: x\r\n\r\n"),
        lambda key: accept(key).replace(b"\r\n\r\n", b"\r\n: x\r\n\r\n"),
        lambda key: accept(key).replace(b"\r\n\r\n", b"\r\nA: \x00\r\n\r\n"),
        lambda key: b"\xff" * 70000,
        lambda key: b"\x16\x03\x01" + bytes(100),
    ],
)
async def test_what_is_no_answer_is_refused_in_few_words(make: Callable[[str], bytes]) -> None:
    async with answering(make) as url:
        with pytest.raises(InvalidHandshake) as caught:
            await wsext.connect(url)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


ANSWER = accept("dGhlIHNhbXBsZSBub25jZQ==", "X: y\r\n")


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("size", [0, 1, 12, 40, len(ANSWER) - 1])
async def test_a_connection_that_ends_within_the_answer(size: int, end: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER[:size])
        if end == "abort":
            writer.transport.abort()
        writer.close()

    async with listening(handle) as port:
        with pytest.raises(InvalidHandshake, match="ended before") as caught:
            await wsext.connect(f"ws://127.0.0.1:{port}")
    assert caught.value.cut_off


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("endless", [b"A: b\r\n", b"HTTP/1.1 100 x\r\n\r\n", b"x", b""])
async def test_an_answer_without_end_costs_neither_memory_nor_more_than_the_timeout(
    endless: bytes, tls: bool
) -> None:
    """With TLS the handshake of that comes first, and never ends."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 101 x\r\n" if endless == b"A: b\r\n" else b"")
        try:
            while endless:
                writer.write(endless * 1000)
                await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        writer.close()

    url = "wss" if tls else "ws"
    async with listening(handle) as port:
        tracemalloc.start()
        try:
            with pytest.raises((InvalidHandshake, TimeoutError, OSError)):
                await wsext.connect(f"{url}://127.0.0.1:{port}", open_timeout=0.3)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


async def test_an_answer_byte_by_byte_is_an_answer_while_there_is_time() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        for byte in accept(key) + b"\x81\x01!":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        session = await wsext.connect(f"ws://127.0.0.1:{port}")
        assert await session.receive() == "!"
        session.abort()


@pytest.mark.parametrize("when", ["at once", "later", "while answering"])
async def test_a_connect_that_is_cancelled_leaves_nothing_behind(
    when: str, caplog: Any, recwarn: Any
) -> None:
    reached = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if when == "while answering":
                writer.write(b"HTTP/1.1 101 x\r\n")
            reached.set()
            await reader.read()
        writer.close()

    problems: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: problems.append(context))
    async with listening(handle) as port:
        for turns in range(1, 12):
            reached.clear()
            task = asyncio.ensure_future(wsext.connect(f"ws://127.0.0.1:{port}").__aenter__())
            if when == "at once":
                for _ in range(turns):
                    await asyncio.sleep(0)
            else:
                await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
    for _ in range(5):
        await asyncio.sleep(0)
    assert problems == []
    assert not caplog.records
