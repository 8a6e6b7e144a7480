"""Two engines, and what one has written given to the other."""

from __future__ import annotations

from wsext import Frame, Message
from wsext.protocol.connection import Connection
from wsext.testing.engines import MASK, write_wire

__all__ = ["from_client", "from_server", "messages", "pair", "pass_on", "take"]


def pair(**options: object) -> tuple[Connection, Connection]:
    """A client and a server."""
    return (
        Connection("client", **options),  # type: ignore[arg-type]
        Connection("server", **options),  # type: ignore[arg-type]
    )


def take(connection: Connection) -> bytes:
    """What it has to send."""
    return b"".join(bytes(chunk) for chunk in connection.data_to_send())


def pass_on(sender: Connection, receiver: Connection) -> list[object]:
    """Give a side what the other has to send; what comes out."""
    return list(receiver.receive_data(take(sender)))


def messages(events: list[object]) -> list[str | bytes]:
    """The data of the messages among what was received."""
    return [event.data for event in events if isinstance(event, Message)]


def from_client(*frames: Frame) -> bytes:
    """What a client would send that keeps no rule."""
    return write_wire(frames, MASK)


def from_server(*frames: Frame) -> Connection:
    """A client that received frames as they are, whatever the rules say."""
    client = Connection("client")
    client.receive_data(write_wire(frames))
    return client
