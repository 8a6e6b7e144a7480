"""Attacks on what is logged: forged lines, control characters, and very many lines."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target
from tests.raw import masked
from tests.waiting import at_rest

PROMISE = "control characters in what is logged"
#: C0 and C1 controls as UTF-8, but for the end of a line; and what turns the direction of text.
CONTROLS = re.compile(
    rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)

MARK = "forged-line-of-log"
PATHS = [
    f"/%0a{MARK}",
    f"/%0d%0a{MARK}",
    "/\x1b[31mred",
    "/%1b[31mred",
    "/a%0db",
    "/%c2%85%c2%9b",
    "/%e2%80%ae%e2%80%a8",
    "/%00",
    "/\x7f\x07",
    f"/room/%0a{MARK}",
]


def _check(said: bytes) -> None:
    found = CONTROLS.search(said)
    assert not found, f"raw {found[0]!r} in the log"
    forged = [one for one in said.split(b"\n") if one.startswith(MARK.encode())]
    assert not forged, f"a forged line: {forged[0]!r}"


async def _ask_for_all(target: Target) -> None:
    for path in PATHS:
        for upgrade in (False, True):
            with suppress(*DROPPED):
                if upgrade:
                    (await target.websocket(path, "User-Agent: \x1b[2J\r\n")).close()
                else:
                    await target.get(path, "Referer: \x1b]0;x\x07\r\n")
    await at_rest(lambda: len(target.said()))


@attack(
    "control characters in paths, in the text log",
    PROMISE,
    fronts=("http1", "tls"),
    args=("--access-log", "text"),
)
async def text_log(target: Target) -> None:
    await _ask_for_all(target)
    _check(target.said())


@attack(
    "control characters in paths, in the JSON log",
    PROMISE,
    fronts=("http1",),
    args=("--access-log", "json"),
)
async def json_log(target: Target) -> None:
    await _ask_for_all(target)
    _check(target.said())
    for one in target.said().splitlines():
        if one.startswith(b"{"):
            json.loads(one)


@attack(
    "control characters in reasons of Close frames",
    PROMISE,
    fronts=("http1", "http2", "uvicorn", "trio"),
    args=("--access-log", "text"),
    sessions=8,
)
async def close_reasons(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.websocket()
        reason = f"\n{MARK}\x1b[31m\x85\u202e\r"
        await peer.push(masked(8, b"\x0f\xa1" + reason.encode()))
        await peer.close_code()

    await target.each(8, one)
    await asyncio.sleep(0.3)  # nothing tells when it is logged
    _check(target.said())


def noisy(name: str, data: bytes, path: str = "/", **how: object) -> None:
    """Many sessions that do something which may be worth a line."""

    @attack(name, "lines of log without end", sessions=8, **how)  # type: ignore[arg-type]
    async def run(target: Target) -> None:
        async def one(number: int) -> None:
            if not target.time_is_left:
                return
            peer = await target.websocket(path)
            with suppress(*DROPPED):
                await peer.push(data)
                await asyncio.wait_for(peer.close_code(), 3)
            peer.close()

        while target.time_is_left:
            await target.each(100, one, at_once=8)


FRONTS = ("http1", "http2", "uvicorn", "trio")
noisy("sessions that break the protocol, without end", masked(3), fronts=FRONTS)
noisy(
    "sessions that ping too often, without end",
    masked(9) * 5000,
    fronts=FRONTS,
    options={"websocket.ping_rate": 1},
)
noisy("sessions that send bad UTF-8, without end", masked(1, b"\xff"), fronts=FRONTS)


@attack(
    "requests that cannot be read, without end",
    "lines of log without end",
    fronts=("http1", "workers"),  # uvicorn reads requests itself, and logs a line for each
    sessions=8,
)
async def unreadable(target: Target) -> None:
    async def one(number: int) -> None:
        await target.ask(b"\xff\x00" * 50 + b"\r\n\r\n")

    while target.time_is_left:
        await target.each(100, one, at_once=8)


@attack(
    "broken TLS, without end",
    "lines of log without end",
    fronts=("tls",),
    sessions=8,
)
async def broken_tls(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp(tls=False)
        await peer.push(b"\x16\x03\x01\x00\x05hello" if number % 2 else b"GET / HTTP/1.1\r\n\r\n")
        await peer.reader.read()
        peer.close()

    while target.time_is_left:
        await target.each(100, one, at_once=8)
