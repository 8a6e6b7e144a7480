"""What can be set in a backplane's URL: ``redis://localhost?retain=5000&prefix=chat``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from wsext.sdk.options import OptionSet, local, refuse_code_options

__all__ = ["MemoryOptions", "NatsOptions", "RemoteOptions", "take_options"]


class _LogOptions(OptionSet):
    """Parameters of everything that numbers a room's messages."""

    ids: Annotated[
        int, local("ids of messages that are remembered of a room, to know a repetition", ge=1)
    ] = 10_000
    id_ttl: Annotated[int, local("seconds that an id is remembered", ge=1)] = 300


class MemoryOptions(_LogOptions):
    """Parameters of ``memory://``."""

    __owner__: ClassVar[str] = "memory://"

    retain: Annotated[int, local("messages that are kept of a room", ge=1)] = 100
    retain_bytes: Annotated[int, local("bytes of messages that are kept of a room", ge=1)] = 1 << 18
    rooms: Annotated[int, local("rooms of which messages are kept", ge=1)] = 1000
    total_bytes: Annotated[
        int, local("bytes of messages that are kept of all rooms; the oldest rooms go first", ge=1)
    ] = 1 << 24
    ttl: Annotated[int, local("seconds that a room's messages are kept after the last", ge=1)] = (
        3600
    )


class RemoteOptions(_LogOptions):
    """Parameters of every backplane with a broker."""

    __owner__: ClassVar[str] = "backplane"

    prefix: Annotated[
        str, local("what names at the broker start with", pattern="^[A-Za-z0-9_-]{1,64}$")
    ] = "wsext"
    retain: Annotated[
        int, local("messages of a room that the broker keeps: history, and what is caught up", ge=1)
    ] = 10_000
    ttl: Annotated[int, local("seconds that the broker keeps a room's messages", ge=60)] = 86_400
    queue_bytes: Annotated[
        int, local("bytes of messages that may wait for the broker; the oldest go first", ge=1024)
    ] = 1 << 24
    max_message_bytes: Annotated[
        int, local("bytes of a message to or from other processes", ge=1024)
    ] = 1 << 24
    max_members: Annotated[
        int, local("members of a room in other processes that are told of", ge=1)
    ] = 10_000
    timeout: Annotated[float, local("seconds that the broker may take to answer", gt=0)] = 5.0
    max_backoff: Annotated[float, local("most seconds between attempts to connect", gt=0)] = 5.0


class NatsOptions(RemoteOptions):
    """Parameters of ``nats://``."""

    __owner__: ClassVar[str] = "nats://"

    storage: Annotated[Literal["file", "memory"], local("where the NATS server keeps messages")] = (
        "file"
    )


Options = TypeVar("Options", bound=OptionSet)


def take_options(
    url: str, kind: type[Options], passing: tuple[str, ...] = ()
) -> tuple[str, Options]:
    """A URL without its own parameters, and what they say.

    Args:
        url: The URL.
        kind: The parameters that it may have.
        passing: Others that stay in the URL, by how they start.

    Raises:
        OptionError: For an unknown parameter, a value that does not fit, or what only code sets.
    """
    parts = urlsplit(url)
    mine, others = {}, []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name.startswith(passing) and passing:
            others.append((name, value))
        else:
            mine[name] = value
    owner = f"{parts.scheme}://"
    refuse_code_options(kind, mine, owner)
    options = kind.parse(mine, owner=owner)
    return urlunsplit(parts._replace(query=urlencode(others))), options
