"""What a room may be called, and a message in it."""

from __future__ import annotations

from wsext.errors import RoomError

__all__ = ["check_id", "check_name"]

#: The longest name of a room, in bytes of UTF-8: brokers put it into theirs.
_LONGEST_NAME = 255

#: The longest id of a message, in bytes of UTF-8.
_LONGEST_ID = 64


def check_name(name: str) -> None:
    """Refuse what cannot be a room's name.

    Raises:
        RoomError: If it is empty, longer than 255 bytes of UTF-8, or no text that UTF-8 can encode.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise RoomError("a room's name is text that UTF-8 can encode") from None
    if not 1 <= size <= _LONGEST_NAME:
        raise RoomError(f"a room's name has 1 to {_LONGEST_NAME} bytes")


def check_id(id: str) -> str:
    """The id, if a message may have it.

    Raises:
        RoomError: If it is empty, longer than 64 bytes of UTF-8, or no text that UTF-8 can encode.
    """
    try:
        size = len(id.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= _LONGEST_ID:
        raise RoomError(f"a message's id is text of 1 to {_LONGEST_ID} bytes")
    return id
