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
    message_rate: (
        Annotated[float, local("messages a second that a peer may send (read later beyond)", gt=0)]
        | None
    ) = 50_000.0
    ping_rate: (
        Annotated[float, local("pings a second that a peer may send (1008 beyond)", gt=0)] | None
    ) = 100.0
    write_timeout: (
        Annotated[
            float,
            local(
                "seconds that a peer may take nothing of a full outgoing queue (1013 beyond)", gt=0
            ),
        ]
        | None
    ) = 30.0
    origins: (
        Annotated[
            tuple[str, ...],
            local("origins of pages that may connect; same: this host's own; none accepts all"),
        ]
        | None
    ) = ("same",)
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
    max_connections_per_address: (
        Annotated[int, local("connections of one address (429 beyond)", ge=1)] | None
    ) = 1000
    handshake_rate: (
        Annotated[float, local("handshakes a second of one address (429 beyond)", gt=0)] | None
    ) = 50.0
    trusted_proxies: Annotated[
        tuple[str, ...],
        local("addresses and networks whose X-Forwarded-* headers are believed; or unix"),
    ] = ()
    max_header_size: Annotated[
        int, local("bytes of request line and headers (431 beyond)", ge=512, le=1 << 20)
    ] = 16384
    max_header_count: Annotated[int, local("header lines (431 beyond)", ge=8, le=128)] = 100
    max_offers: Annotated[
        int, local("extension offers that are read; the rest is ignored", ge=1, le=1024)
    ] = 32
    backlog: Annotated[int, local("connections that may wait to be accepted", ge=1)] = 1024
    http2: Annotated[bool, local("whether HTTP/2 is spoken, too; needs wsext[http2]")] = True
    http2_streams: Annotated[
        int, local("streams of an HTTP/2 connection at the same time (refused beyond)", ge=1)
    ] = 100
    http2_window: Annotated[
        int, local("bytes per HTTP/2 stream that may come unread", ge=65535, le=1 << 24)
    ] = 1 << 17
    http2_idle_timeout: Annotated[
        float, local("seconds that an HTTP/2 connection is kept without a stream", gt=0)
    ] = 60.0
    http2_control_rate: Annotated[
        float,
        local("control frames of HTTP/2 per second, ten times that at once (GOAWAY beyond)", gt=0),
    ] = 100.0
    http2_reset_rate: Annotated[
        float,
        local("streams of HTTP/2 reset per second, ten times that at once (GOAWAY beyond)", gt=0),
    ] = 10.0
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
