"""What a room and a message may be called."""

from __future__ import annotations

from wsext.errors import RoomError

__all__ = ["check_id", "check_name"]

#: The longest name of a room, in bytes of UTF-8: brokers put it into theirs.
_LONGEST_NAME = 255

#: The longest id of a message, in bytes of UTF-8: they are remembered.
_LONGEST_ID = 64


def check_name(name: str) -> None:
    """Refuse what cannot be a room's name.

    Raises:
        RoomError: If it is empty, longer than 255 bytes of UTF-8, or no text that UTF-8 can encode.
    """
    _check(name, "a room's name", _LONGEST_NAME)


def check_id(id: str) -> None:
    """Refuse what cannot be a message's id.

    Raises:
        RoomError: If it is empty, longer than 64 bytes of UTF-8, or no text that UTF-8 can encode.
    """
    _check(id, "a message's id", _LONGEST_ID)


def _check(text: str, what: str, most: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise RoomError(f"{what} is text that UTF-8 can encode") from None
    if not 1 <= size <= most:
        raise RoomError(f"{what} has 1 to {most} bytes")
