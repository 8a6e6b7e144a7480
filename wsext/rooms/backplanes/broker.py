"""What a broker has to do for a `RemoteBackplane`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from wsext.rooms.backplanes.contract import BackplaneStatus
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.positions import LogHead, Position

__all__ = ["TAIL_BYTES", "UNREADABLE", "Broker", "Deliver", "Lost", "Record"]

#: About how many bytes of a room's last messages are read at once.
TAIL_BYTES = 1 << 22

#: What is raised about something that was read, and not by a connection.
UNREADABLE = (ValueError, TypeError, LookupError)

#: Called with room, position and data. Positions are the broker's own; notes have ``None``.
Deliver: TypeAlias = "Callable[[str, Any, bytes], None]"

#: Called with what ended the connection.
Lost: TypeAlias = "Callable[[Exception], None]"


class Record(NamedTuple):
    """A message on its way to the broker.

    Attributes:
        room: Where it is said.
        number: The origin's own count; it only grows.
        id: Equal only if it is the same message in the same room: by it a repetition is known.
        data: The bytes to store.
        fresh: Whether no other process can have stored a message of this id.
    """

    room: str
    number: int
    id: str
    data: bytes
    fresh: bool = False


class Broker(ABC):
    """One connection to a broker.

    An exception of any method means that the connection is lost: `disconnect` is called, and after
    a while `connect` again, on the same object. So what others have put at the broker and cannot be
    read raises nothing: it is delivered and returned as ``b""``, or left out and added to
    ``faults``. Where a method about one room raises `ValueError`, `TypeError` or `LookupError` all
    the same, that room is left out, and the connection stays. Methods may be called while others
    are waiting.

    A broker whose log gives numbers also has `head`, `add` and `read`, and says so in ``numbers``.
    Then every position is a `Position`: a room's messages have the numbers 1, 2, 3 … without a gap,
    and after anything by which the log may have lost its end comes a new epoch.

    Attributes:
        max_size: The most bytes that a stored message may have.
        numbers: Whether `RoomOptions.recovery` is possible.
        faults: Counts what cannot be read; a `RemoteBackplane` gives its own.
    """

    max_size: int = 1 << 28
    numbers: bool = False
    faults = Faults(BackplaneStatus())

    @abstractmethod
    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        """Connect.

        Args:
            deliver: To call for everything that is said in a followed room, in the broker's order.
            lost: To call when the connection is lost outside of a method.
        """

    @abstractmethod
    async def disconnect(self) -> None:
        """Free everything; also after a `connect` that failed."""

    @abstractmethod
    async def append(self, records: Sequence[Record]) -> None:
        """Store messages in this order, hand them to all who follow their rooms, and return when
        they are stored."""

    async def add(self, records: Sequence[Record]) -> list[tuple[Position, bool] | None]:
        """`append` that tells each message's position, and whether it was a repetition.

        A message whose ``id`` is remembered in its room is not stored again: its position is that
        of the first. ``None`` stands for a message of a room that the broker cannot use (see
        ``faults``).
        """
        raise NotImplementedError

    async def head(self, room: str) -> LogHead:
        """Where a room's log ends. If there is no log yet, it begins now, in an epoch of its own.
        A room that the broker cannot use has an epoch of its own at every call."""
        raise NotImplementedError

    async def read(
        self, room: str, after: int, until: int, most_bytes: int
    ) -> list[tuple[int, bytes]]:
        """The messages with a number above ``after`` and at most ``until``, oldest first.

        What the log does not have any more is not there. After more than ``most_bytes`` the rest is
        left out.
        """
        raise NotImplementedError

    @abstractmethod
    async def note(self, room: str, data: bytes) -> None:
        """Hand something to all who follow a room now, without storing it."""

    @abstractmethod
    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        """The last messages of a room with their positions, oldest first; fewer if they are large:
        about `TAIL_BYTES`."""

    @abstractmethod
    async def follow(self, room: str, after: Any) -> None:
        """Deliver what is stored in a room after a position, and then everything that comes.

        After ``None`` that is everything. A position that the broker does not know any more is no
        error: deliver what may be newer; what is delivered twice is left out. A room that is
        followed already is read again from the position on.
        """

    @abstractmethod
    async def unfollow(self, room: str) -> None:
        """Deliver no more of a room."""

    @abstractmethod
    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        """Store room, member and information; ``None`` removes the member. Put again within a day,
        or it may be forgotten."""

    @abstractmethod
    async def members(self, room: str) -> dict[str, bytes]:
        """Who is in a room, of the processes that gave a sign of life. A member's name starts with
        its process's origin and a dot. Of very many, some may be missing."""

    async def rooms(self, most: int) -> list[str] | None:  # noqa: B027  # not every broker can
        """Names of rooms that have messages or members, in any order; at most so many, and no name
        that cannot be read. ``None`` if this broker cannot tell."""

    @abstractmethod
    async def beat(self, origin: str, seconds: float) -> None:
        """Give a sign of life of this process, good for some seconds; zero takes it back."""
