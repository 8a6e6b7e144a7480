"""Backplanes connect the rooms of several processes.

A backplane carries what is said in a room to the other processes that have members in it, keeps a
room's last messages, and knows who is there. `Backplane` is the contract; `RemoteBackplane` keeps
it over any `Broker`: order, exactly once, reconnection. The scheme of a URL chooses:

    memory://            this process alone; the default
    redis://host:6379/0  a Redis server; also rediss:// and unix://
    nats://host:4222     a NATS server with JetStream; also tls://

Other schemes come from plugins through the hook ``wsext_backplanes``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from wsext.errors import OptionError, nearest

__all__ = [
    "Backplane",
    "BackplaneFactory",
    "BackplaneStatus",
    "Receiver",
    "make_backplane",
    "safe_url",
]


@dataclass(slots=True)
class BackplaneStatus:
    """How a backplane is; the counters are totals since the start.

    Attributes:
        url: Where it is, without user and password.
        connected: Whether other processes can be reached now.
        reconnects: How often the connection was made again.
        queued: Messages that wait to be sent to other processes.
        queued_bytes: Their bytes.
        published: Messages that the broker has taken.
        received: Messages that came from other processes.
        repeated: Messages that came again and were left out.
        dropped: Messages for other processes that were given up, because too many waited.
        error: What went wrong last; empty if nothing did.
    """

    url: str = "memory://"
    connected: bool = True
    reconnects: int = 0
    queued: int = 0
    queued_bytes: int = 0
    published: int = 0
    received: int = 0
    repeated: int = 0
    dropped: int = 0
    error: str = ""


class Receiver(Protocol):
    """Who gets what other processes say: a hub.

    Attributes:
        origin: Names this process among those on the backplane; new at every start.
    """

    origin: str

    def receive(self, room: str, payload: bytes) -> None:
        """Another process said something in a room that is open here."""

    def resynced(self) -> None:
        """The backplane has been away and is back: who is where may have changed."""


class Backplane(ABC):
    """What a hub needs to reach the hubs of other processes.

    A message that one process publishes in a room reaches every other process in which the room is
    open, once, in the order in which that process published; never the publisher itself. What may
    break that is for each backplane to say.
    """

    def __init__(self) -> None:
        self.status = BackplaneStatus()

    @abstractmethod
    async def start(self, receiver: Receiver) -> None:
        """Connect; return after the first attempt, whether it succeeded or not. Never raises for a
        broker that is away: it is tried again until `close`."""

    @abstractmethod
    async def close(self) -> None:
        """Send what waits, if that is possible soon, and disconnect."""

    @abstractmethod
    async def open(self, room: str, history: int) -> list[bytes]:
        """Hear what others say in a room from now on; its last ``history`` messages, oldest first.

        Returns what it has when the broker is away, and hears the room once it is back.
        """

    @abstractmethod
    async def shut(self, room: str) -> None:
        """Hear no more of a room."""

    @abstractmethod
    def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
        """Say something in a room. Never waits.

        Args:
            room: Any text.
            payload: The message.
            kept: Whether it belongs to the room's history and survives a reconnection; otherwise it
                reaches who is connected now.

        Raises:
            ValueError: If the broker does not take messages of this size.
        """

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be sent that publishers should `wait_sent`."""
        return False

    async def wait_sent(self) -> None:  # noqa: B027  # there may be nothing to wait for
        """Wait until what was published is sent, or the broker is away."""

    @abstractmethod
    async def enter(self, room: str, member: str, info: bytes) -> None:
        """Make a member known to all processes. ``member`` starts with the receiver's origin and a
        dot."""

    @abstractmethod
    async def leave(self, room: str, member: str) -> None:
        """Take a member back."""

    @abstractmethod
    async def members(self, room: str) -> dict[str, bytes]:
        """Who is in a room, over all processes that live.

        Raises:
            ConnectionError: If the broker is away.
        """


#: Makes a backplane of a URL.
BackplaneFactory: TypeAlias = Callable[[str], Backplane]

_BUILT_IN = {
    "memory": ("wsext.rooms.backplanes.memory", "MemoryBackplane", ""),
    "redis": ("wsext.rooms.backplanes.redis", "redis_backplane", "redis"),
    "rediss": ("wsext.rooms.backplanes.redis", "redis_backplane", "redis"),
    "unix": ("wsext.rooms.backplanes.redis", "redis_backplane", "redis"),
    "nats": ("wsext.rooms.backplanes.nats", "nats_backplane", "nats"),
    "tls": ("wsext.rooms.backplanes.nats", "nats_backplane", "nats"),
}


def make_backplane(url: str, others: Callable[[], Mapping[str, BackplaneFactory]]) -> Backplane:
    """The backplane that a URL names.

    Args:
        url: With the scheme that chooses.
        others: What plugins bring, by scheme; asked when the scheme is none of the built-in ones.

    Raises:
        OptionError: If nobody knows the scheme, its package is not installed, or the URL is wrong.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in _BUILT_IN:
        factory = _built_in(scheme)
    else:
        brought = others()
        if scheme not in brought:
            known = sorted({*_BUILT_IN, *brought})
            problem = f"no backplane for {scheme!r}; known: {', '.join(known)}"
            raise OptionError("server", "backplane", problem, nearest(scheme, known))
        factory = brought[scheme]
    try:
        return factory(url)
    except OptionError:
        raise
    except ValueError as error:  # its text may hold the password
        problem = f"{safe_url(url)} cannot be used"
        raise OptionError("server", "backplane", problem) from error


def _built_in(scheme: str) -> BackplaneFactory:
    module, name, extra = _BUILT_IN[scheme]
    try:
        factory: BackplaneFactory = getattr(import_module(module), name)
    except ImportError as error:
        problem = f"{scheme}:// needs a package that is missing: pip install 'wsext[{extra}]'"
        raise OptionError("server", "backplane", problem) from error
    return factory


def safe_url(url: str) -> str:
    """A URL without user, password and query, for logs and metrics."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
