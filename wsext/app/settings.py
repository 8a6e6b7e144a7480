"""The options of the server that runs an app, as an option set."""

from __future__ import annotations

from typing import Annotated, ClassVar

from wsext.sdk.options import OptionSet, local

__all__ = ["ServerOptions"]


class ServerOptions(OptionSet):
    """What the server goes by. Sizes in bytes, times in seconds.

    Raises:
        OptionError: For a value outside its bounds.
    """

    __owner__: ClassVar[str] = "server"

    handshake_timeout: Annotated[
        float, local("seconds for the opening handshake, with that of TLS", gt=0)
    ] = 10.0
    drain_timeout: Annotated[float, local("seconds that sessions get to end at shutdown", ge=0)] = (
        10.0
    )
    drain_detached: Annotated[
        bool,
        local("whether shutdown waits for clients to come back for their sessions"),
    ] = True
    worker_timeout: (
        Annotated[
            float,
            local("seconds in which a worker has to give a sign of life (replaced beyond)", ge=1),
        ]
        | None
    ) = 30.0
    max_connections: (
        Annotated[int, local("connections at the same time (503 beyond)", ge=1)] | None
    ) = 10_000
    max_connections_per_address: (
        Annotated[int, local("connections of one address (429 beyond)", ge=1)] | None
    ) = 1000
    handshake_rate: (
        Annotated[float, local("handshakes a second of one address (429 beyond)", gt=0)] | None
    ) = 50.0
    incoming_total: (
        Annotated[
            int,
            local(
                "bytes of received messages that may wait in all sessions of a process (read later"
                " beyond), with the bodies of its POSTs (503 beyond)",
                ge=1,
            ),
        ]
        | None
    ) = 1 << 25
    trusted_proxies: Annotated[
        tuple[str, ...],
        local("addresses and networks whose X-Forwarded-* headers are believed; or unix"),
    ] = ()
    allowed_hosts: (
        Annotated[
            tuple[str, ...],
            local("hosts that may be asked for, *.example.com, * (421 beyond)", min_length=1),
        ]
        | None
    ) = None
    max_header_size: Annotated[
        int, local("bytes of request line and headers (431 beyond)", ge=512, le=1 << 20)
    ] = 16384
    max_header_count: Annotated[int, local("header lines (431 beyond)", ge=8, le=128)] = 100
    max_body_size: Annotated[
        int, local("bytes of the body of a POST (413 beyond)", ge=0, le=1 << 20)
    ] = 65536
    max_offers: Annotated[
        int, local("extension offers that are read; the rest is ignored", ge=1, le=1024)
    ] = 32
    backlog: Annotated[int, local("connections that may wait to be accepted", ge=1)] = 1024
    gc_freeze: Annotated[
        bool,
        local("whether the garbage collector passes over what exists before a process serves"),
    ] = True
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
    http2_frame_rate: Annotated[
        float, local("frames of an HTTP/2 connection per second (read later beyond)", ge=1000)
    ] = 20_000.0
    http2_control_rate: Annotated[
        float,
        local("control frames of HTTP/2 per second, ten times that at once (GOAWAY beyond)", gt=0),
    ] = 100.0
    http2_reset_rate: Annotated[
        float,
        local("streams of HTTP/2 reset per second, ten times that at once (GOAWAY beyond)", gt=0),
    ] = 10.0
    advertise: (
        Annotated[
            str,
            local(
                "URL at which clients reach this server and no other one of its backplane",
                pattern="^wss?://[^/]",
            ),
        ]
        | None
    ) = None
    backplane: (
        Annotated[str, local("URL of the broker that joins the rooms of several processes")] | None
    ) = None
