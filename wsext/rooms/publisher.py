"""Speaking in rooms from outside of an app: a task queue, a cron job, a web view."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from wsext.errors import OptionError, PublishError
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.audience import Sayable
from wsext.rooms.backplanes.contract import Backplane, BackplaneStatus
from wsext.rooms.backplanes.envelope import record_id
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.memory import MemoryBackplane
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.backplanes.urls import make_backplane
from wsext.rooms.heard import RoomMessage
from wsext.rooms.names import check_id, check_name
from wsext.rooms.notes import Said, encode, read_members, read_said
from wsext.rooms.ports import Key
from wsext.rooms.presence import Presence
from wsext.runtime.prepared_value import PreparedValue
from wsext.sdk.plugins import default_plugins

__all__ = ["MakeBackplane", "Publisher", "outside_backplane"]

#: Where the rooms are: a URL, or what makes a backplane.
MakeBackplane: TypeAlias = "str | Callable[[], Backplane]"


#: The longest time for one message, in seconds: brokers forget a message's id after 100 or more.
_LONGEST = 60.0

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

T = TypeVar("T")


class Publisher:
    """Speaks in the rooms of other processes, without an app and without sessions.

    ``async with Publisher("redis://localhost") as publisher`` connects, and the block's end
    disconnects. A broker that is away then is no error yet: every method waits for it.
    `BlockingPublisher` does the same for programs without an event loop.

    Args:
        backplane: The URL that the app's servers use (``redis://…``, ``nats://…``, or of a
            plugin), with the same parameters. Or a function that makes a `Backplane`.
        timeout: Seconds that a broker which is away or does not answer is waited for, in every
            method; at most 60, and for `publish` at most half of the URL's ``id_ttl``.
        name: Ids of messages are known by it and the room: publishers of one name share them, also
            later ones. 1 to 64 letters, digits, ``_``, ``.`` and ``-``.

    Raises:
        OptionError: If the URL cannot be used. ``memory://`` cannot: nobody outside of a process
            reaches its rooms.
    """

    def __init__(
        self, backplane: MakeBackplane, *, timeout: float = 10.0, name: str = "publisher"
    ) -> None:
        if not 0 < timeout <= _LONGEST:
            problem = f"expected seconds above 0 and at most {_LONGEST:g}, got {timeout!r}"
            raise OptionError("publisher", "timeout", problem)
        if not _NAME.fullmatch(name):
            raise OptionError("publisher", "name", f"expected {_NAME.pattern}, got {name!r}")
        self._timeout = timeout
        self._name = name
        self._backplane = outside_backplane(backplane)
        self._faults = Faults(self._backplane.status)
        self._speaker: _Speaker | None = None

    @property
    def status(self) -> BackplaneStatus:
        """How the backplane is: connected or not, what waits, what was given up."""
        return self._backplane.status

    async def __aenter__(self) -> Self:
        self._speaker = _Speaker()
        self._backplane.recovery = self._backplane.can_recover  # so that it knows ids and positions
        await self._backplane.start(self._speaker)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._speaker = None
        await self._backplane.close()

    def _opened(self) -> _Speaker:
        if self._speaker is None:
            raise RuntimeError("the publisher is not open: use it in an `async with` block")
        return self._speaker

    async def publish(
        self,
        room: str,
        data: Sayable,
        *,
        id: str | None = None,
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Position | None:
        """Send a message to everybody in a room, and return when the broker has taken it.

        Messages of one publisher arrive in the order in which `publish` was called, and once each:
        a message that is sent again after a lost connection has the id that it had.

        Args:
            room: The room's name.
            data: ``str`` becomes a text message, bytes-like a binary one. A `PreparedValue` becomes
                for each member what its `Session.format` says.
            id: 1 to 64 bytes of UTF-8. A message whose id the broker remembers in this room, of a
                publisher of the same name, is not sent again. Without one it has an id of its own.
            key: With the policy ``coalesce``, replaces what waits with the same key.
            hints: For the extensions, as in `Session.send`.
            meta: Metadata beside the message, as in `Session.send`.

        Returns:
            The message's position in the room; of a repetition that of the first. ``None`` if the
            backplane, of a plugin, knows neither positions nor ids.

        Raises:
            PublishError: If the broker was away all the time. Nobody will get the message.
            OutcomeUnknown: If the broker was given the message, and did not answer.
            RoomError: If the room's name or the id cannot be used, or the message is too large.
            TypeError: If the data is of another type, or hints or metadata cannot be encoded.
        """
        speaker = self._opened()
        check_name(room)
        if not isinstance(data, (PreparedMessage, PreparedValue)):
            data = PreparedMessage(data, hints=hints, meta=meta)
        if id is not None:
            check_id(id)
        fresh, payload = id is None, encode(Said.of(data, key, id=id))
        id = id or f"{speaker.origin}-{next(speaker.count)}"
        try:
            return await self._backplane.store(
                room, payload, record_id(self._name, id), self._timeout, fresh=fresh
            )
        except PublishError as error:
            error.id = id  # as a caller may give it
            raise

    async def presence(self, room: str) -> list[Presence]:
        """Who is in a room, over all processes.

        Raises:
            ConnectionError: If the broker is away.
            RoomError: If the room's name cannot be used.
        """
        check_name(room)
        found = await self._ask(lambda: self._backplane.members(room))
        return read_members(self._faults, room, found)

    async def history(self, room: str, count: int) -> list[RoomMessage]:
        """The last messages of a room, oldest first: at most ``count``, and what the broker keeps.

        Raises:
            ConnectionError, RoomError: As `presence`.
            ValueError: If ``count`` is negative.
        """
        check_name(room)
        if count < 0:
            raise ValueError(f"expected a count of 0 or more, got {count}")
        last = await self._ask(lambda: self._backplane.last(room, count))
        read = [read_said(self._faults, room, position, payload) for position, payload in last]
        return [message for message in read if message is not None]

    async def rooms(self, most: int = 1000) -> list[str]:
        """Names of rooms that have messages or members, in any order; at most ``most``.

        Raises:
            ConnectionError: If the broker is away.
            NotImplementedError: If the backplane cannot tell.
        """
        return await self._ask(lambda: self._backplane.rooms(most))

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer; a broker that is away is asked again when it is back, within the time."""
        back, until = self._opened().back, time.monotonic() + self._timeout
        while True:
            back.clear()
            try:
                return await question()
            except ConnectionError:
                with suppress(TimeoutError):
                    async with asyncio.timeout(until - time.monotonic()):
                        await back.wait()
                if not back.is_set():
                    raise


class _Speaker:
    """The subscriber that a publisher is: it hears nothing, for it opens no room."""

    def __init__(self) -> None:
        self.origin = secrets.token_hex(6)
        self.count = itertools.count(1)
        self.back = asyncio.Event()

    def receive(self, room: str, payload: bytes) -> None:
        pass

    def hear(self, room: str, position: Position, payload: bytes | None) -> None:
        pass

    def lose(self, room: str, position: Position, reason: str) -> None:
        pass

    def resynced(self) -> None:
        self.back.set()


def outside_backplane(backplane: MakeBackplane) -> Backplane:
    """A backplane that reaches other processes.

    Raises:
        OptionError: If it does not, or the URL cannot be used.
    """
    if isinstance(backplane, str):
        made = make_backplane(backplane, default_plugins().backplanes)
    else:
        made = backplane()
    if isinstance(made, MemoryBackplane):
        problem = (
            "memory:// reaches nobody outside of its process; use the URL of a broker, such as "
            "redis://…, here and for the servers"
        )
        raise OptionError("publisher", "backplane", problem)
    return made
