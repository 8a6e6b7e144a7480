"""What operators and brokers give: `wsext.toml`, and what is said in rooms elsewhere."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.source import LIMIT, Source
from wsext import App, OptionError, PluginError
from wsext.config.applying import apply
from wsext.config.configuration import Config
from wsext.config.sources import read_file, take_environment, take_extension, take_setting
from wsext.rooms.backplanes.broker import Broker, Deliver, Lost, Record
from wsext.rooms.backplanes.remote import RemoteBackplane
from wsext.rooms.hub import Hub
from wsext.rooms.settings import RoomOptions
from wsext.sdk.plugins import default_plugins

__all__ = ["broker", "toml"]

_FOLDER = tempfile.TemporaryDirectory()


def toml(data: bytes) -> None:
    """``wsext.toml``, ``--set``, ``--ext`` and the environment: an app, or an `OptionError` that
    says what is wrong in text that can be printed."""
    source = Source(data)
    choice = source.byte()
    config = Config()
    try:
        if choice & 3 == 0:
            path = Path(_FOLDER.name, "wsext.toml")
            path.write_bytes(source.rest)
            config.update(read_file(path), "wsext.toml")
        else:
            for line in source.rest.decode("utf-8", "replace").split("\n"):
                if choice & 3 == 1:
                    take_setting(config, line)
                elif choice & 3 == 2:
                    take_extension(config, line)
                else:
                    name, _, value = line.partition("=")
                    take_environment(config, {f"WSEXT_{name}": value}, ["permessage-deflate"])
        for section in config.sections:
            config.section(section)
        apply(config, App(), default_plugins())
    except (OptionError, PluginError) as error:
        assert str(error).strip()


class _Fed(Broker):
    """A broker that holds and says what it was given."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.deliver: Deliver

    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        self.deliver = deliver

    async def disconnect(self) -> None:
        """Nothing to free."""

    async def append(self, records: Sequence[Record]) -> None:
        """Nobody else listens."""

    async def note(self, room: str, data: bytes) -> None:
        """Nobody else listens."""

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        return list(enumerate(self.pieces))[-count:]

    async def follow(self, room: str, after: Any) -> None:
        """Everything is delivered as it is."""

    async def unfollow(self, room: str) -> None:
        """Nothing was followed."""

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        """Nobody else looks."""

    async def members(self, room: str) -> dict[str, bytes]:
        return {f"other.{number}": piece for number, piece in enumerate(self.pieces)}

    async def beat(self, origin: str, seconds: float) -> None:
        """Nobody else looks."""


def broker(data: bytes) -> None:
    """Messages and members from a broker: what cannot be read is left out, what can be is said, and
    nothing ends the connection to the broker."""
    source = Source(data)
    choice = source.byte()
    pieces = [piece[:LIMIT] for piece in source.rest.split(b"\xc1\xc1")]  # no value of msgpack
    if choice & 1:  # in what RemoteBackplane puts around a message
        pieces = [
            b"\x93\xa1o" + bytes([number + 1]) + b"\xc5" + len(piece).to_bytes(2, "big") + piece
            for number, piece in enumerate(pieces[:50])
        ]
    asyncio.run(_hear(_Fed(pieces), live=bool(choice & 2)))


async def _hear(fed: _Fed, live: bool) -> None:
    plane = RemoteBackplane("fed://", fed)
    hub = Hub(lambda: RoomOptions(history=10), lambda: plane)
    hub.hold(fed)
    room = hub.room("r")
    history = await hub.open(room.name)
    assert len(history) <= 10
    for message in history:
        assert isinstance(message.data, str | bytes)
    for number, piece in enumerate(fed.pieces):
        fed.deliver(room.name, (number + 100) if live else None, piece)
    for member in await hub.presence(room.name):
        assert isinstance(member.id, str)
    assert plane.status.connected, "what cannot be read does not end the connection"
    await hub.let_go(fed)
