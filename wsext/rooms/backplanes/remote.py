"""Order, exactly once and reconnection over any broker.

Every message carries its origin (a process) and a number that only grows. A receiver remembers the
last number of each origin in each room, and leaves out what it has had. So a publisher may repeat:
after a reconnection it looks for its own last number in what the broker still has, and sends what
is missing before anything newer; and a receiver reads on from the last message that it has seen.

That makes two promises. What a process publishes survives a broker that loses its memory, if it
was taken at most half a minute before (`OutgoingRecords`). And a process that was away gets what it
missed, as long as the broker keeps it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from wsext.errors import RoomError
from wsext.escape import escape, get_logger, safe_url
from wsext.protocol.closing import CloseCode
from wsext.rooms.backplanes.broker import Broker, Record
from wsext.rooms.backplanes.contract import Backplane, Subscriber
from wsext.rooms.backplanes.envelope import DECODER, Envelope, record_id, seal
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.options import RemoteOptions
from wsext.rooms.backplanes.outgoing import Outcome, OutgoingRecords
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.backplanes.roster import Roster
from wsext.runtime.backoff import Backoff

__all__ = ["RemoteBackplane"]

logger = get_logger("wsext.backplane")

T = TypeVar("T")

#: Seconds between signs of life, and how long others believe them.
_BEAT = 5.0
_ALIVE = 3 * _BEAT

#: Seconds after which members are put again, so that those of dead processes can be forgotten.
_REFRESH = 3600.0

#: The first wait between attempts to connect, in seconds; it doubles.
_FIRST_DELAY = 0.05

#: Messages at a room's end in which a publisher looks for its own.
_TAIL = 2000

#: Processes whose last number in a room is remembered; the one silent longest goes first.
_MOST_ORIGINS = 1000

#: Notes that may wait for the broker; without the oldest, members are compared a little later.
_MOST_NOTES = 1000


class _Followed:
    """A room that is open here.

    Attributes:
        since: Own messages after this number are in the hub's hands already.
        seen: The last number of every origin.
        position: Where to read on; meaningless until it is ``known``.
        connection: The number of the connection on which it is followed.
    """

    __slots__ = ("connection", "known", "position", "seen", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.seen: dict[str, int] = {}
        self.position: Any = None
        self.known = False
        self.connection = 0

    def is_new(self, origin: str, number: int) -> bool:
        """Whether a message has not been seen; from now on it has."""
        if not number:
            return True  # its publisher does not count; the broker has found out
        last = self.seen.pop(origin, 0)
        self.seen[origin] = max(number, last)
        if len(self.seen) > _MOST_ORIGINS:
            del self.seen[next(iter(self.seen))]
        return number > last


class RemoteBackplane(Backplane):
    """A backplane over a `Broker`.

    Args:
        url: For the status.
        broker: What talks to the broker.
        options: Bounds and times.
    """

    def __init__(self, url: str, broker: Broker, options: RemoteOptions | None = None) -> None:
        super().__init__()
        self.status.url = safe_url(url)
        self.status.connected = False
        self._broker = broker
        self._options = options or RemoteOptions()
        self._running: asyncio.Task[None] | None = None
        self._faults = broker.faults = Faults(self.status)

    # --- life ---------------------------------------------------------------------------------

    async def start(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._number = 0
        self._outgoing = OutgoingRecords(self.status, self._options.queue_bytes)
        self._notes: deque[tuple[str, bytes]] = deque(maxlen=_MOST_NOTES)
        self._roster = Roster(self._broker)
        self._rooms: dict[str, _Followed] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._connection = 0
        self._by_id = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._tried = asyncio.Event()
        self._running = asyncio.get_running_loop().create_task(self._run())
        await self._tried.wait()

    async def close(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        with suppress(Exception):
            async with asyncio.timeout(self._options.timeout):
                await self._sent.wait()
                if self.status.connected:
                    self._roster.clear()
                    await self._roster.flush()
                    await self._broker.beat(self._subscriber.origin, 0)
        self._outgoing.give_up_all("the backplane was closed")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        self._set_connected(False)

    async def _run(self) -> None:
        backoff = Backoff(_FIRST_DELAY, maximum=self._options.max_backoff)
        delays = backoff.delays()
        while True:
            try:
                await self._work_connected()
            except Exception as error:
                worked = self.status.connected
                if worked and time.monotonic() - self._since > self._options.max_backoff:
                    delays = backoff.delays()
                self._set_connected(False)
                self._say(error, worked or not self._tried.is_set())
            finally:
                if self._lost.done() and not self._lost.cancelled():
                    self._lost.exception()  # it may have come while something else failed, too
                with suppress(Exception):
                    await self._in_time(self._broker.disconnect())
            self._tried.set()
            if self._running is None:  # a TaskGroup that ends by an error forgets that `close`
                return  # has cancelled it meanwhile (until Python 3.13)
            await asyncio.sleep(next(delays))

    def _say(self, error: Exception, loudly: bool) -> None:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        name, text = type(error).__name__, escape(str(error)[:200])  # it may quote the broker
        self.status.error = f"{name}: {text}" if text else name
        level = logging.WARNING if loudly else logging.DEBUG
        logger.log(level, "%s is away: %s", self.status.url, self.status.error)

    def _set_connected(self, connected: bool) -> None:
        self.status.connected = connected
        self._since = time.monotonic()
        self._update_sent()

    async def _work_connected(self) -> None:
        """Connect, catch up, and work until the connection is lost, which is the error raised."""
        self._lost = asyncio.get_running_loop().create_future()
        self._connection += 1
        await self._in_time(self._broker.connect(self._deliver, self._on_lost))
        await self._in_time(self._beat())
        await self._resync()
        self._set_connected(True)
        if self._connection > 1:
            self.status.reconnects += 1
            logger.warning("%s is back", self.status.url)
        self._tried.set()
        self._work.set()
        await self._in_time(self._roster.flush())  # who came while it was catching up
        self._subscriber.resynced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._keep_alive())
            await self._lost

    def _on_lost(self, error: Exception) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(self._options.timeout):
            return await work

    async def _keep_alive(self) -> None:
        refresh = time.monotonic() + _REFRESH
        while True:
            await asyncio.sleep(_BEAT)
            await self._in_time(self._beat())
            if time.monotonic() > refresh:
                refresh = time.monotonic() + _REFRESH
                self._roster.change_all()
                await self._in_time(self._roster.flush())

    async def _beat(self) -> None:
        await self._broker.beat(self._subscriber.origin, _ALIVE)

    # --- sending ------------------------------------------------------------------------------

    def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
        self._number += 1
        data = self._seal(self._number, payload)
        if kept:
            id = record_id(self._subscriber.origin, self._number)
            self._put(Record(room, self._number, id, data, fresh=True))
        elif self.status.connected:
            self._notes.append((room, data))
            self._work.set()

    def _put(self, record: Record, outcome: Outcome | None = None) -> None:
        self._outgoing.put(record, outcome)
        self._work.set()
        self._update_sent()

    def _seal(self, number: int, payload: bytes) -> bytes:
        data = seal(self._subscriber.origin, number, payload)
        most = min(self._broker.max_size, self._options.max_message_bytes)
        if len(data) > most:
            problem = (
                f"{len(payload)} bytes are too large for {self.status.url}, which takes {most}"
            )
            raise RoomError("too large for the room", CloseCode.MESSAGE_TOO_BIG, problem)
        return data

    async def store(
        self, room: str, payload: bytes, id: str, seconds: float, *, fresh: bool = False
    ) -> Position | None:
        self._number += 1
        self._by_id = self._broker.numbers
        data = self._seal(0 if self._by_id else self._number, payload)
        record = Record(room, self._number, id, data, fresh)
        outcome: Outcome = asyncio.get_running_loop().create_future()
        self._put(record, outcome)
        try:
            # It is not sent again when the broker may have forgotten the id.
            await asyncio.wait([outcome], timeout=min(seconds, self._options.id_ttl / 2))
        finally:
            if not outcome.done():
                self._outgoing.give_up(record.number, self._why_not())
                self._update_sent()
        return outcome.result()

    def _why_not(self) -> str:
        why = "does not answer" if self.status.connected else f"is away ({self.status.error})"
        return f"{self.status.url} {why}"

    async def _send(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._outgoing or self._notes:
                await self._in_time(self._send_some())
                self._update_sent()

    async def _send_some(self) -> None:
        if records := self._outgoing.take():
            # If it fails, `_resync` finds out how far it came.
            if self._by_id:
                added = zip(records, await self._broker.add(records), strict=True)
                self._outgoing.confirm({r.number: found and found[0] for r, found in added})
            else:
                await self._broker.append(records)
                self._outgoing.confirm()
        while self._notes:
            await self._broker.note(*self._notes.popleft())

    def _update_sent(self) -> None:
        if self.status.connected and self.status.queued:
            self._sent.clear()
        else:
            self._sent.set()

    async def wait_sent(self) -> None:
        await self._sent.wait()

    @property
    def is_behind(self) -> bool:
        return self.status.connected and self._outgoing.is_long

    # --- receiving ----------------------------------------------------------------------------

    def _deliver(self, room: str, position: Any, data: bytes) -> None:
        followed = self._rooms.get(room)
        if followed is None:
            return
        if position is not None:
            followed.position = position
        stored = self._read(room, data)
        if stored is None or stored[0] == self._subscriber.origin:
            return
        origin, number, payload = stored
        if position is not None:
            if not followed.is_new(origin, number):
                self.status.repeated += 1
                return
            self.status.received += 1
        self._subscriber.receive(room, payload)

    def _read(self, room: str, data: bytes) -> Envelope | None:
        if len(data) > self._options.max_message_bytes:
            self._faults.add("a message", room, "it is too large")
            return None
        return self._faults.read("a message", room, DECODER, data)

    async def open(self, room: str, history: int) -> list[bytes]:
        followed = self._rooms[room] = _Followed(self._number)
        async with self._lock(room):
            if self.status.connected:
                try:
                    return await self._in_time(self._open(room, followed, history))
                except Exception as error:
                    self._on_lost(error)
        return self._own(room, followed, history)

    async def _open(self, room: str, followed: _Followed, history: int) -> list[bytes]:
        mine, payloads = self._subscriber.origin, []
        for position, data in await self._broker.tail(room, max(history, 1)):
            followed.position = position
            if (stored := self._read(room, data)) is None:
                continue
            origin, number, payload = stored
            if followed.is_new(origin, number) and (origin != mine or number <= followed.since):
                payloads.append(payload)
        followed.known = True
        payloads += self._own(room, followed, history)
        await self._broker.follow(room, followed.position)
        followed.connection = self._connection
        return payloads[-history:] if history else []

    def _own(self, room: str, followed: _Followed, history: int) -> list[bytes]:
        """What this process sent before it opened the room, and has not got from the broker."""
        after = followed.seen.get(self._subscriber.origin, 0)
        records = self._outgoing.of(room, after, followed.since)
        return [DECODER.decode(r.data)[2] for r in records[-history:]] if history else []

    async def shut(self, room: str) -> None:
        self._rooms.pop(room, None)
        async with self._lock(room):
            if room not in self._rooms and self.status.connected:
                try:
                    await self._in_time(self._broker.unfollow(room))
                except Exception as error:
                    self._on_lost(error)

    def _lock(self, room: str) -> asyncio.Lock:
        return self._locks.setdefault(room, asyncio.Lock())

    # --- after a reconnection -----------------------------------------------------------------

    async def _resync(self) -> None:
        """Read on where it was interrupted, and send again what the broker has lost."""
        self._notes.clear()
        stored = {
            room: await self._in_time(self._last_own(room)) for room in self._outgoing.rooms()
        }
        self._outgoing.sort_out(stored, self._broker.max_size)
        self._roster.change_all()
        await self._in_time(self._roster.flush())
        while missing := [
            (room, followed)
            for room, followed in self._rooms.items()
            if followed.connection != self._connection
        ]:
            for room, followed in missing:
                await self._in_time(self._follow_again(room, followed))

    async def _last_own(self, room: str) -> int:
        """The last number of ours that the broker has; what was stored by id has no number there,
        but a position."""
        if places := self._outgoing.places(room):
            head = await self._broker.head(room)
            return max((n for n, at in places if head.common(at) == at.number), default=0)
        found = [self._read(room, data) for _, data in await self._broker.tail(room, _TAIL)]
        mine = self._subscriber.origin
        return max((stored[1] for stored in found if stored and stored[0] == mine), default=0)

    async def _follow_again(self, room: str, followed: _Followed) -> None:
        async with self._lock(room):
            if not followed.known:  # it was opened while the broker was away: from now on
                for position, data in await self._broker.tail(room, 1):
                    followed.position = position
                    if stored := self._read(room, data):
                        followed.is_new(*stored[:2])
                followed.known = True
            if self._rooms.get(room) is followed:
                await self._broker.follow(room, followed.position)
            followed.connection = self._connection

    # --- members ------------------------------------------------------------------------------

    async def enter(self, room: str, member: str, info: bytes) -> None:
        await self._put_member(room, member, info)

    async def leave(self, room: str, member: str) -> None:
        await self._put_member(room, member, None)

    async def _put_member(self, room: str, member: str, info: bytes | None) -> None:
        self._roster.put(room, member, info)
        if self.status.connected:
            try:
                await self._in_time(self._roster.flush())
            except Exception as error:
                self._on_lost(error)

    async def members(self, room: str) -> dict[str, bytes]:
        return await self._ask(lambda: self._broker.members(room))

    # --- what is there --------------------------------------------------------------------------

    async def last(self, room: str, count: int) -> list[tuple[Position | None, bytes]]:
        found = await self._ask(lambda: self._broker.tail(room, count)) if count else []
        seen, last = _Followed(0), []
        for position, data in found:
            stored = self._read(room, data)
            if stored is not None and seen.is_new(*stored[:2]):
                last.append((position if self._broker.numbers else None, stored[2]))
        return last

    async def rooms(self, most: int) -> list[str]:
        found = await self._ask(lambda: self._broker.rooms(most))
        return await super().rooms(most) if found is None else found

    async def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if not self.status.connected:
            raise ConnectionError(self._why_not())
        try:
            return await self._in_time(question())
        except Exception as error:
            self._on_lost(error)
            raise ConnectionError(self._why_not()) from error
