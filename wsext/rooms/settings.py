"""The options of rooms, as an option set."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from wsext.sdk.options import OptionSet, local

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
    max_rooms_per_session: Annotated[
        int, local("rooms that a session may be in at the same time (1008 beyond)", ge=1)
    ] = 100
    max_info_bytes: Annotated[
        int, local("bytes of a member's info and name, as MessagePack (1008 beyond)", ge=64)
    ] = 4096
