"""The options of rooms, as an option set."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from wsext.rooms.heard import Stamp
from wsext.sdk.options import OptionSet, in_code, local

__all__ = ["RoomOptions", "RoomOverflow"]

RoomOverflow = Literal["close", "drop-oldest", "coalesce"]


class RoomOptions(OptionSet):
    """What every room of an app goes by. Sizes in bytes.

    Raises:
        OptionError: For a value outside its bounds.
    """

    __owner__: ClassVar[str] = "rooms"

    queue_bytes: Annotated[
        int, local("bytes of broadcasts that may wait for a member that reads slowly", ge=1)
    ] = 1 << 18
    session_queue_bytes: Annotated[
        int, local("bytes of broadcasts of all its rooms that may wait for a session", ge=1)
    ] = 1 << 21
    overflow: Annotated[
        RoomOverflow,
        local(
            "what happens when too much waits: close with 1013, drop the oldest, or keep only the "
            "newest of each key and then close"
        ),
    ] = "close"
    history: Annotated[
        int, local("messages of a room that are kept for those who join", ge=0, le=100_000)
    ] = 100
    history_bytes: Annotated[int, local("bytes of them", ge=1)] = 1 << 18
    history_total_bytes: Annotated[
        int, local("bytes of the messages that are kept of all rooms of the process", ge=1)
    ] = 1 << 25
    shared_context: Annotated[
        bool,
        local("compress a message with those before it as context, once for all members"),
    ] = True
    context_total_bytes: Annotated[
        int, local("bytes that the contexts of all rooms of the process may take", ge=1)
    ] = 1 << 25
    max_rooms_per_session: Annotated[
        int, local("rooms that a session may be in at the same time (1008 beyond)", ge=1)
    ] = 100
    max_info_bytes: Annotated[
        int, local("bytes of a member's info and name, as MessagePack (1008 beyond)", ge=64)
    ] = 4096
    recovery: Annotated[
        bool,
        local("members hear a room in the broker's order, by positions, and can catch up"),
    ] = False
    replay_messages: Annotated[
        int, local("messages that a member may catch up; of more it is told that it missed", ge=1)
    ] = 1000
    replay_bytes: Annotated[
        int, local("bytes of them; session_queue_bytes has to have room for them, too", ge=1)
    ] = 1 << 20
    stamp: (
        Annotated[
            Stamp,
            in_code(
                "makes what members get of a message that has a position, once for all of them"
            ),
        ]
        | None
    ) = None
