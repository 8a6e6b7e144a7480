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

__all__ = ["Backplane", "BackplaneStatus", "Incomplete", "LogSubscriber", "Subscriber"]


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


class LogSubscriber(Subscriber, Protocol):
    """Who hears messages by their positions: a hub with `RoomOptions.recovery`."""

    def hear(self, room: str, position: Position, payload: bytes | None) -> None:
        """Somebody said something, perhaps this process. Without a payload only the position is
        another."""

    def lose(self, room: str, position: Position, reason: str) -> None:
        """Some of what was said up to a position will never be heard; `Missed` has the reasons."""


class Incomplete(Exception):
    """Not everything since a position can be had.

    Attributes:
        reason: Why; see `Missed`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Backplane(ABC):
    """What a hub needs to reach the hubs of other processes.

    A message that one process publishes in a room reaches every other process in which the room is
    open, once, in the order in which that process published; never the publisher itself. What may
    break that is for each backplane to say.

    Attributes:
        status: How it is.
        history: The most messages of a room that will be asked for; set before the start. ``None``
            if that is not known.
        recovery: Whether messages are heard by their positions: `submit`, `open_log` and `replay`
            instead of `publish` and `open`; set before the start. The subscriber then has to be
            a `LogSubscriber`.
        can_recover: Whether that is possible.
        is_prompt: Whether nothing that is asked of it ever waits. The hub then takes as much as
            comes at once; of others it takes no more than they do in time.
    """

    history: int | None = None
    recovery: bool = False
    can_recover: bool = False
    is_prompt: bool = False

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

    def submit(
        self, room: str, payload: bytes, id: str | None, outcome: asyncio.Future[Position]
    ) -> None:
        """Say something in a room. This process hears it as the others do, by `LogSubscriber.hear`.

        Args:
            room: Any text.
            payload: The message.
            id: What is said again with the same id is heard once.
            outcome: Gets its position, or that of the first with this id, as soon as the broker has
                it; a `PublishError` if it is given up.

        Raises:
            ValueError: As `publish`.
        """
        raise NotImplementedError

    async def open_log(
        self, room: str, history: int
    ) -> tuple[Position | None, list[tuple[Position, bytes]]]:
        """`open` by positions: the last one, which is ``None`` if the broker was never there, and
        the last messages with theirs."""
        raise NotImplementedError

    async def replay(
        self, room: str, since: Position, until: Position | None, messages: int, size: int
    ) -> list[tuple[Position, bytes]]:
        """What was said after a position, up to another that was heard here.

        Args:
            room: The room.
            since: After which position.
            until: Up to which; ``None``: up to what was heard here when the broker was there.
            messages: The most messages that are wanted.
            size: The most bytes.

        Raises:
            Incomplete: If that is not all that there was.
        """
        raise NotImplementedError

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
