"""What a room asks of the hub that it belongs to; `Hub` is one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeAlias

from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.backplanes.kept import Bounds, KeptMessages
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.contexts import Contexts
from wsext.rooms.counters import Counters
from wsext.rooms.heard import Heard
from wsext.rooms.presence import Presence
from wsext.rooms.settings import RoomOptions
from wsext.runtime.prepared_value import PreparedValue
from wsext.runtime.session import Session

__all__ = ["Key", "RoomHub"]

#: What `Room.broadcast` coalesces by.
Key: TypeAlias = "str | int"


class RoomHub(Protocol):
    """What a room needs from outside: options, tasks, and the way to other processes.

    Attributes:
        counters: Totals of all rooms of this process.
        kept: The last messages of the rooms that are open here.
        contexts: The contexts in which they are compressed.
    """

    counters: Counters
    kept: KeptMessages[Heard]
    contexts: Contexts

    @property
    def options(self) -> RoomOptions:
        """The options of every room."""

    @property
    def bounds(self) -> Bounds:
        """How much of `kept` there may be."""

    def check_thread(self, call: str) -> None:
        """Refuse a call of another thread, where the event loop does not run.

        Raises:
            RuntimeError: If this is one.
        """

    def member_id(self, session: Session) -> str:
        """How a session is called among the members of all processes."""

    @property
    def is_swamped(self) -> bool:
        """Whether so much waits for the broker that nobody may join."""

    def admit(self, session: Session) -> None:
        """A session begins a membership.

        Raises:
            RoomError: If it has too many.
        """

    def dismiss(self, session: Session) -> None:
        """A session ends a membership."""

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in the background; its errors are logged."""

    async def open(self, name: str) -> list[PreparedMessage | PreparedValue]:
        """Hear a room; its last messages."""

    async def open_log(self, name: str) -> tuple[Position | None, list[Heard]]:
        """Hear a room by positions: where it stands, if that is known, and its last messages."""

    async def replay(self, name: str, since: Position, until: Position | None) -> list[Heard]:
        """What was said after a position, up to another, or up to what was heard here last.

        Raises:
            Incomplete: If not all of that can be had.
        """

    def keep(self, name: str) -> None:
        """A room has members."""

    def shut(self, name: str) -> None:
        """A room has no members any more."""

    def say(
        self,
        room: str,
        message: PreparedMessage | PreparedValue,
        key: Key | None,
        left_out: frozenset[str],
        id: str | None = None,
    ) -> asyncio.Future[Position] | None:
        """Hand a message to the members of this process and to the other processes; with
        `RoomOptions.recovery`, to everybody through the broker, which tells its position.

        Raises:
            OptionError: If there is an id without recovery.
            RoomError: If the message or the id is too long.
        """

    async def wait_sent(self) -> None:
        """Wait while the broker is behind, or until other sessions have had their turn."""

    async def enter(self, room: str, member: Presence) -> None:
        """Tell everybody that a member has come."""

    def leave(self, room: str, member: Presence) -> None:
        """Tell everybody that a member has gone."""

    async def presence(self, name: str) -> list[Presence]:
        """Who is in the room, over all processes."""
