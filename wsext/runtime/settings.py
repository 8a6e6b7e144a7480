"""The options of a session, as an option set."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

from msgspec.structs import force_setattr

from wsext.protocol.origins import read_origins
from wsext.sdk.options import OptionSet, local

__all__ = ["Overflow", "WebSocketOptions"]

Overflow = Literal["suspend", "close", "drop-oldest"]


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
    negotiation_timeout: Annotated[
        float, local("seconds that the extensions of a handshake may take to answer", gt=0)
    ] = 5.0
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
        Annotated[float, local("frames of any kind a second from a peer (read later beyond)", gt=0)]
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
    codec_timeout: (
        Annotated[
            float,
            local("seconds that an asynchronous codec may take for one frame (1011 beyond)", gt=0),
        ]
        | None
    ) = 30.0
    origins: (
        Annotated[
            tuple[str, ...],
            local("origins of pages that may connect; same: this host's own; *: all"),
        ]
        | None
    ) = ("same",)
    prefer: Annotated[
        Literal["client", "server"], local("whose order decides between extensions")
    ] = "client"

    def check(self) -> None:
        if self.origins is not None:
            force_setattr(cast("Any", self), "origins", read_origins(self.origins))
