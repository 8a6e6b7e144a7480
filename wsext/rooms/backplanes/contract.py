"""What a backplane is: it joins the rooms of several processes.

A backplane carries what is said in a room to the other processes that have members in it, keeps a
room's last messages, and knows who is there. `Backplane` is the contract; `RemoteBackplane` keeps
it over any `Broker`: order, exactly once, reconnection.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from wsext.errors import OutcomeUnknown
from wsext.rooms.backplanes.positions import Position

__all__ = ["Backplane", "BackplaneStatus", "Subscriber"]


@dataclass(slots=True)
class BackplaneStatus:
    """How a backplane is; the counters are totals since the start.

    Attributes:
        url: Where it is, without user and password.
        connected: Whether other processes can be reached now.
        reconnects: How often the connection was made again.
        queued: Messages that wait to be sent to other processes.
        queued_bytes: Their bytes.
        published: Messages that the broker has taken.
        received: Messages that came from other processes.
        repeated: Messages that came again and were left out.
        dropped: Messages for other processes that were given up, because too many waited.
        unreadable: Messages, members and rooms of the broker that cannot be used, and were left
            out.
        kept_bytes: Bytes of rooms' messages that this process keeps in the broker's stead.
        error: What went wrong last; empty if nothing did.
    """

    url: str = "memory://"
    connected: bool = True
    reconnects: int = 0
    queued: int = 0
    queued_bytes: int = 0
    published: int = 0
    received: int = 0
    repeated: int = 0
    dropped: int = 0
    unreadable: int = 0
    kept_bytes: int = 0
    error: str = ""


class Subscriber(Protocol):
    """Who gets what other processes say: a hub.

    Attributes:
        origin: Names this process among those on the backplane; new at every start.
    """

    origin: str

    def receive(self, room: str, payload: bytes) -> None:
        """Another process said something in a room that is open here."""

    def resynced(self) -> None:
        """The backplane has been away and is back: who is where may have changed."""


class Backplane(ABC):
    """What a hub needs to reach the hubs of other processes.

    A message that one process publishes in a room reaches every other process in which the room is
    open, once, in the order in which that process published; never the publisher itself. What may
    break that is for each backplane to say.

    Attributes:
        status: How it is.
        history: The most messages of a room that will be asked for; set before the start. ``None``
            if that is not known.
    """

    history: int | None = None

    def __init__(self) -> None:
        self.status = BackplaneStatus()

    @abstractmethod
    async def start(self, subscriber: Subscriber) -> None:
        """Connect; return after the first attempt, whether it succeeded or not. Never raises for a
        broker that is away: it is tried again until `close`."""

    @abstractmethod
    async def close(self) -> None:
        """Send what waits, if that is possible soon, and disconnect."""

    @abstractmethod
    async def open(self, room: str, history: int) -> list[bytes]:
        """Hear what others say in a room from now on; its last ``history`` messages, oldest first.

        Returns what it has when the broker is away, and hears the room once it is back.
        """

    @abstractmethod
    async def shut(self, room: str) -> None:
        """Hear no more of a room."""

    @abstractmethod
    def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
        """Say something in a room. Never waits.

        Args:
            room: Any text.
            payload: The message.
            kept: Whether it belongs to the room's history and survives a reconnection; otherwise it
                reaches who is connected now.

        Raises:
            ValueError: If the broker does not take messages of this size; a `RoomError` does not
                end a session with a traceback.
        """

    async def store(
        self, room: str, payload: bytes, id: str, seconds: float, *, fresh: bool = False
    ) -> Position | None:
        """Say something in a room that belongs to its history, and wait until the broker has it.

        After the time it is given up: it is not sent any more.

        Args:
            room: Any text.
            payload: The message.
            id: By what a repetition is known, if the broker can.
            seconds: How long to try.
            fresh: Whether the id is a new one, so that nobody can have stored a message of it.

        Returns:
            Where it is, or of a repetition where the first one is, if the broker can tell.

        Raises:
            PublishError: If the broker has not been given it.
            OutcomeUnknown: If the broker has been given it and has not said that it took it.
            ValueError: As `publish`.
        """
        self.publish(room, payload)
        try:
            async with asyncio.timeout(seconds):
                await self.wait_sent()
        except TimeoutError:
            raise OutcomeUnknown(room, id, f"{self.status.url} has not taken it") from None
        if not self.status.connected:
            raise OutcomeUnknown(room, id, f"{self.status.url} is away")
        return None

    async def last(self, room: str, count: int) -> list[tuple[Position | None, bytes]]:
        """The last messages of a room that is not open here, oldest first, with their positions if
        the broker can tell; fewer if they are large.

        Raises:
            ConnectionError: If the broker is away.
        """
        payloads = await self.open(room, count)
        await self.shut(room)
        if not self.status.connected:
            raise ConnectionError(f"{self.status.url} is away")
        return [(None, payload) for payload in payloads]

    async def rooms(self, most: int) -> list[str]:
        """Names of rooms that have messages or members, in any order; at most so many.

        Raises:
            ConnectionError: If the broker is away.
            NotImplementedError: If it cannot tell.
        """
        raise NotImplementedError(f"{self.status.url} cannot tell which rooms there are")

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be sent that publishers should `wait_sent`."""
        return False

    async def wait_sent(self) -> None:  # noqa: B027  # there may be nothing to wait for
        """Wait until what was published is sent, or the broker is away."""

    @abstractmethod
    async def enter(self, room: str, member: str, info: bytes) -> None:
        """Make a member known to all processes.

        Args:
            room: The room.
            member: The subscriber's origin, a dot, and what the session is called there.
            info: What the others see.
        """

    @abstractmethod
    async def leave(self, room: str, member: str) -> None:
        """Take a member back."""

    @abstractmethod
    async def members(self, room: str) -> dict[str, bytes]:
        """Who is in a room, over all processes that live.

        Raises:
            ConnectionError: If the broker is away.
        """
