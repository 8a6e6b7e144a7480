"""What is the same in every session, whatever runs it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsext.trio
from tests.trio.peers import run
from wsext import App, Session
from wsext.runtime.common import Common
from wsext.testing import connect, on_trio

app = App()
app.install("permessage-deflate")


@app.websocket("/<name>", subprotocols=["chat"])
async def greet(session: Any, name: str) -> None:
    session.name = name
    await session.send(f"{session.name}, {session.id}")
    await session.receive()
    await session.close(4000, "enough")


async def facts(session: Any) -> dict[str, Any]:
    """What a client's session tells."""
    stages: list[str] = []
    session.trace(lambda way, stage, frame: stages.append(stage))
    greeting = (await session.receive()).split(", ")
    await session.send("go on")
    info = await session.wait_closed()
    with pytest.raises(LookupError, match="x-nothing"):
        session.extension("x-nothing")
    return {
        "greeting": greeting[0],
        "names": session.id == session.name != greeting[1],
        "extensions": [agreed.name for agreed in session.extensions],
        "default": session.extension("x-nothing", None),
        "subprotocol": session.subprotocol,
        "stages": stages,
        "close": (info.code, info.reason, info.clean, session.is_open),
        "stats": session.stats.messages_in,
        "state": session.state,
        "repr": repr(session).split()[-1],
        "role": (session.role, session.identity, dict(session.path_params)),
        "waiting": session.buffered_amount,
    }


OPTIONS: dict[str, Any] = {"extensions": ["permessage-deflate"], "subprotocols": ["chat"]}


def test_sessions_tell_the_same_on_asyncio_and_on_trio() -> None:
    told: list[dict[str, Any]] = []

    async def here() -> None:
        async with connect(app, "/Ada", **OPTIONS) as session:
            told.append(await facts(session))

    async def there() -> None:
        async with on_trio.connect(app, "/Ada", **OPTIONS) as session:
            told.append(await facts(session))

    asyncio.run(here())
    run(there)
    assert told[0] == told[1]
    assert told[0]["greeting"] == "Ada"
    assert told[0]["close"] == (4000, "enough", True, False)
    assert told[0]["repr"] == "CLOSED>"


def test_both_sessions_have_it() -> None:
    assert issubclass(Session, Common)
    assert issubclass(wsext.trio.Session, Common)
