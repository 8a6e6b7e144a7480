"""The options of sessions and of the server, as option sets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from wsext.sdk.options import OptionSet, local

__all__ = ["Overflow", "RoomOptions", "RoomOverflow", "ServerOptions", "WebSocketOptions"]

Overflow = Literal["suspend", "close", "drop-oldest"]

RoomOverflow = Literal["close", "drop-oldest", "coalesce"]


class WebSocketOptions(OptionSet):
    """What every session of an app, a route or a client goes by. Sizes in bytes, times in seconds.

    Raises:
        OptionError: For a value outside its bounds.
    """

    __owner__: ClassVar[str] = "websocket"

    ping_interval: (
        Annotated[float, local("seconds between pings; none sends no pings", gt=0)] | None
    ) = 20.0
    ping_timeout: (
        Annotated[float, local("seconds to wait for a sign of life after a ping", gt=0)] | None
    ) = 20.0
    close_timeout: Annotated[float, local("seconds to wait for the peer when closing", gt=0)] = 10.0
    max_message_size: Annotated[
        int, local("bytes of a received message, decoded (1009 beyond)", ge=1, le=1 << 31)
    ] = 1 << 20
    max_frame_size: (
        Annotated[int, local("bytes of a received frame (1009 beyond)", ge=125, le=1 << 31)] | None
    ) = None
    incoming_capacity: Annotated[
        int, local("received messages that may wait for the application", ge=1)
    ] = 256
    incoming_bytes: Annotated[int, local("bytes of received messages that may wait", ge=1)] = (
        1 << 20
    )
    incoming_overflow: Annotated[
        Overflow,
        local(
            "what happens when too much waits: stop reading, close with 1013, or drop the oldest"
        ),
    ] = "suspend"
    outgoing_bytes: Annotated[int, local("bytes that may wait for the peer to read", ge=1024)] = (
        1 << 17
    )
    outgoing_overflow: Annotated[
        Overflow,
        local(
            "what happens when too much waits: send() waits, close with 1013, or drop the oldest"
        ),
    ] = "suspend"
    origins: (
        Annotated[tuple[str, ...], local("values of Origin that are accepted; none accepts all")]
        | None
    ) = None
    prefer: Annotated[
        Literal["client", "server"], local("whose order decides between extensions")
    ] = "client"


class ServerOptions(OptionSet):
    """What the server goes by. Sizes in bytes, times in seconds.

    Raises:
        OptionError: For a value outside its bounds.
    """

    __owner__: ClassVar[str] = "server"

    handshake_timeout: Annotated[float, local("seconds for the whole opening handshake", gt=0)] = (
        10.0
    )
    drain_timeout: Annotated[float, local("seconds that sessions get to end at shutdown", ge=0)] = (
        10.0
    )
    max_connections: (
        Annotated[int, local("connections at the same time (503 beyond)", ge=1)] | None
    ) = 10_000
    max_header_size: Annotated[
        int, local("bytes of request line and headers (431 beyond)", ge=512, le=1 << 20)
    ] = 16384
    max_header_count: Annotated[int, local("header lines (431 beyond)", ge=8, le=128)] = 100
    max_offers: Annotated[
        int, local("extension offers that are read; the rest is ignored", ge=1, le=1024)
    ] = 32
    backlog: Annotated[int, local("connections that may wait to be accepted", ge=1)] = 1024
    backplane: (
        Annotated[str, local("URL of the broker that joins the rooms of several processes")] | None
    ) = None


class RoomOptions(OptionSet):
    """What every room of an app goes by. Sizes in bytes.

    Raises:
        OptionError: For a value outside its bounds.
    """

    __owner__: ClassVar[str] = "rooms"

    queue_bytes: Annotated[
        int, local("bytes of broadcasts that may wait for a member that reads slowly", ge=1)
    ] = 1 << 18
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
