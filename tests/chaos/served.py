"""The app of the bench: a handler that talks at the same time as it listens, and keeps a record.

The environment says what it is: ``CHAOS_CODEC``, ``CHAOS_FILE`` (the record), ``CHAOS_PAUSE``.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from wsext_resume import SessionResume

from tests.chaos.talk import Heard, say
from wsext import App, Backoff, Extension, RoomOptions, ServerOptions, Session, WebSocketOptions

__all__ = ["CODECS", "KEPT", "app", "codecs", "options"]

CODECS = ("plain", "deflate", "zstd", "seal")

#: The most bytes of messages that a session of the bench keeps.
KEPT = 1 << 16

FAST = Backoff(initial=0.01, maximum=0.5)


def codecs(kind: str) -> list[Extension]:
    """The extensions of one kind of connection, beside session-resume."""
    if kind == "deflate":
        from wsext_deflate import PermessageDeflate

        return [PermessageDeflate()]
    if kind == "zstd":
        from wsext_zstd import PermessageZstd

        return [PermessageZstd()]
    if kind == "seal":
        from wsext_seal import PermessageSeal

        async def find_key(key_id: str) -> bytes:
            return bytes(32)

        return [PermessageSeal(keys=find_key, key_ids=["chaos"])]
    return []


def options() -> dict[str, Any]:
    """Options of both sides: a stalled connection is noticed soon."""
    return {"ping_interval": 0.5, "ping_timeout": 1.5, "close_timeout": 30.0}


def resume() -> SessionResume:
    many = 100_000
    return SessionResume(
        max_bytes=KEPT, max_rate=6000, max_per_peer=many, max_detached=many, window=120
    )


app = App(
    options=WebSocketOptions(**options()),
    server=ServerOptions(handshake_rate=None, max_connections_per_address=None),
    rooms=RoomOptions(),
)
app.install(resume())
for extension in codecs(os.environ.get("CHAOS_CODEC", "plain")):
    app.install(extension)


def note(*words: object) -> None:
    """Write a line into the record; lines of several processes do not mix."""
    file = os.open(os.environ["CHAOS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


@app.websocket("/talk/<name>")
async def talk(session: Session, name: str) -> None:
    note("began", name, os.getpid())
    stop = asyncio.Event()
    pause = float(os.environ.get("CHAOS_PAUSE", "1"))
    saying = session.create_task(say(session, stop, f"server {name}", pause))
    heard = Heard()
    async for message in session:
        try:
            if heard.take(message):
                stop.set()
                note("ended", name, heard.count, await saying)
        except AssertionError as error:
            note("wrong", name, str(error).replace("\n", " "))
            raise


@app.websocket("/echo")
async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def records(path: Path) -> list[list[str]]:
    """What handlers have written down."""
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []
