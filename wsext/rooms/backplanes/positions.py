"""Where a message stands in its room's log: an epoch and a number.

A log numbers its messages 1, 2, 3 … without a gap, so two positions tell exactly how many messages
lie between them. The epoch is a random token. It changes whenever the log may have lost messages at
its end, so a number is never given twice in one epoch.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from wsext.errors import RoomError

__all__ = ["MOST_EPOCHS", "LogHead", "Position", "new_epoch"]

#: Earlier epochs that a log remembers: one for each restart of its broker.
MOST_EPOCHS = 16

#: What `Position.parse` takes; numbers below 2**53 are exact in every language.
_TEXT = re.compile(r"([A-Za-z0-9_-]{1,32}):(0|[1-9][0-9]{0,15})", re.ASCII)
_HIGHEST = 1 << 53


class Position(NamedTuple):
    """Where a message stands in its room; ``str`` makes it text, `parse` reads the text.

    Positions of one room can be sent to a client, which brings back the last one that it has seen.

    Attributes:
        epoch: Names the log; 1 to 32 letters, digits, ``-`` and ``_``.
        number: 1 for the first message; 0 is before it.
    """

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read ``"EPOCH:NUMBER"``, which may come from a peer.

        Raises:
            RoomError: If it is nothing that ``str`` makes.
        """
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None or (number := int(found[2])) > _HIGHEST:
            raise RoomError("a position is EPOCH:NUMBER, as it was sent")
        return cls(found[1], number)


class LogHead(NamedTuple):
    """Where the log of a room ends now.

    Attributes:
        epoch: The log's epoch.
        number: The number of its last message; 0 if there was none yet.
        earlier: The last position of earlier epochs that this log continues, oldest first.
    """

    epoch: str
    number: int
    earlier: tuple[Position, ...] = ()

    @property
    def position(self) -> Position:
        """The position of the last message."""
        return Position(self.epoch, self.number)

    def common(self, position: Position) -> int:
        """Up to which number this log is the one in which a position was given.

        That is the position's own number if nothing was lost, a smaller one if the log has lost its
        end since, and 0 if it is another log.
        """
        for last in (self.position, *self.earlier):
            if last.epoch == position.epoch:
                return min(last.number, position.number)
        return 0

    def renewed(self) -> LogHead:
        """The same log in a new epoch: it may have lost its end, and others may know more of it."""
        earlier = (*self.earlier, self.position)[-MOST_EPOCHS:]
        return LogHead(new_epoch(), self.number, earlier)


def new_epoch() -> str:
    """A token for a new epoch."""
    return secrets.token_urlsafe(9)
