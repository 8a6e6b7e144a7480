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
from typing import Any, TypeVar, cast

from wsext.errors import RoomError
from wsext.escape import escape, get_logger, safe_url
from wsext.protocol.closing import CloseCode
from wsext.rooms.backplanes.broker import Broker, Record
from wsext.rooms.backplanes.contract import Backplane, Incomplete, Subscriber
from wsext.rooms.backplanes.envelope import record_id, seal
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.following import Following, Line
from wsext.rooms.backplanes.following_logs import FollowingLogs
from wsext.rooms.backplanes.options import RemoteOptions
from wsext.rooms.backplanes.outgoing import OutgoingRecords
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

#: Notes that may wait for the broker; without the oldest, members are compared a little later.
_MOST_NOTES = 1000


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
        self._options = RemoteOptions.of(options)
        self.can_recover = broker.numbers
        self._running: asyncio.Task[None] | None = None
        self._faults = broker.faults = Faults(self.status)

    # --- life ---------------------------------------------------------------------------------

    async def start(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._number = 0
        self._outgoing = OutgoingRecords(self.status, self._options.queue_bytes)
        self._notes: deque[tuple[str, bytes]] = deque(maxlen=_MOST_NOTES)
        self._roster = Roster(self._broker)
        self._line = Line(
            *(self._broker, subscriber, self._outgoing, self._faults, self._options, self.status),
            self._on_lost,
        )
        self._following = FollowingLogs(self._line) if self.recovery else Following(self._line)
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._tried = asyncio.Event()
        self._here = asyncio.Event()
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
        backoff = Backoff(_FIRST_DELAY, maximum=self._options.max_backoff, jitter=0.5)
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
                if not self._lost.cancel() and not self._lost.cancelled():
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
        (self._here.set if connected else self._here.clear)()
        self._since = time.monotonic()
        self._update_sent()

    async def _work_connected(self) -> None:
        """Connect, catch up, and work until the connection is lost, which is the error raised."""
        self._lost = asyncio.get_running_loop().create_future()
        self._line.number += 1
        await self._in_time(self._broker.connect(self._following.deliver, self._on_lost))
        await self._in_time(self._beat())
        await self._resync()
        self._set_connected(True)
        if self._line.number > 1:
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
        return await self._line.in_time(work)

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
        record = self._record(room, payload)
        if kept:
            self._put(record)
        elif self.status.connected:
            self._notes.append((room, record.data))
            self._work.set()

    def _put(self, record: Record, outcome: asyncio.Future[Position | None] | None = None) -> None:
        self._outgoing.put(record, outcome)
        self._work.set()
        self._update_sent()

    def _record(
        self, room: str, payload: bytes, id: str | None = None, *, fresh: bool = False
    ) -> Record:
        self._number += 1
        data = seal(self._subscriber.origin, self._number, payload)
        most = min(self._broker.max_size, self._options.max_message_bytes)
        if len(data) > most:
            problem = (
                f"{len(payload)} bytes are too large for {self.status.url}, which takes {most}"
            )
            raise RoomError("too large for the room", CloseCode.MESSAGE_TOO_BIG, problem)
        own = record_id(self._subscriber.origin, self._number)
        return Record(room, self._number, id or own, data, fresh or id is None)

    def submit(
        self, room: str, payload: bytes, id: str | None, outcome: asyncio.Future[Position]
    ) -> None:
        self._put(self._record(room, payload, id), cast("asyncio.Future[Position | None]", outcome))

    async def store(
        self, room: str, payload: bytes, id: str, seconds: float, *, fresh: bool = False
    ) -> Position | None:
        record = self._record(room, payload, id, fresh=fresh)
        outcome: asyncio.Future[Position | None] = asyncio.get_running_loop().create_future()
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
        """If this fails, `_resync` finds out how far it came."""
        if records := self._outgoing.take():
            if self.recovery:
                await self._add(records)
            else:
                await self._broker.append(records)
                self._outgoing.confirm()
        if self._notes:
            await self._roster.flush()  # what notes tell of members is true when they come
        while self._notes:
            await self._broker.note(*self._notes.popleft())

    async def _add(self, records: list[Record]) -> None:
        positions = {}
        for record, placed in zip(records, await self._broker.add(records), strict=True):
            if placed is None:
                problem = f"{self.status.url} cannot use this room"
                self._outgoing.refuse(record, problem)
            else:
                positions[record.number] = placed[0]
                self.status.repeated += placed[1]
        self._outgoing.confirm(positions)

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

    async def open(self, room: str, history: int) -> list[bytes]:
        assert isinstance(self._following, Following)
        return await self._following.open(room, history, self._number)

    async def open_log(
        self, room: str, history: int
    ) -> tuple[Position | None, list[tuple[Position, bytes]]]:
        assert isinstance(self._following, FollowingLogs)
        return await self._following.open(room, history)

    async def replay(
        self, room: str, since: Position, until: Position | None, messages: int, size: int
    ) -> list[tuple[Position, bytes]]:
        try:
            return await self._in_time(self._replay(room, since, until, messages, size))
        except Incomplete:
            raise
        except Exception as error:
            self._on_lost(error)
            raise Incomplete("away") from error

    async def _replay(self, *wanted: Any) -> list[tuple[Position, bytes]]:
        """A broker that goes away just then is asked once more when it is back."""
        assert isinstance(self._following, FollowingLogs)
        await self._here.wait()
        try:
            return await self._following.replay(*wanted)
        except (Incomplete, TimeoutError):
            raise
        except Exception as error:
            self._on_lost(error)
            self._here.clear()
        await self._here.wait()
        return await self._following.replay(*wanted)

    async def shut(self, room: str) -> None:
        await self._following.shut(room)

    async def _resync(self) -> None:
        """Read on where it was interrupted, and send again what the broker has lost."""
        self._notes.clear()
        stored = {
            room: await self._line.about(room, self._following.last_own(room), 0)
            for room in self._outgoing.rooms()
        }
        seconds = self._options.id_ttl if self.recovery else None
        self._outgoing.sort_out(stored, self._broker.max_size, seconds)
        self._roster.change_all()
        await self._in_time(self._roster.flush())
        await self._following.go_on()

    # --- members ------------------------------------------------------------------------------

    async def enter(self, room: str, member: str, info: bytes) -> None:
        await self._put_member(room, member, info)

    async def leave(self, room: str, member: str) -> None:
        await self._put_member(room, member, None)

    async def _put_member(self, room: str, member: str, info: bytes | None) -> None:
        self._roster.put(room, member, info)
        await self._line.attempt(self._roster.flush(), None)

    async def members(self, room: str) -> dict[str, bytes]:
        return await self._ask(lambda: self._line.about(room, self._broker.members(room), {}))

    # --- what is there --------------------------------------------------------------------------

    async def last(self, room: str, count: int) -> list[tuple[Position | None, bytes]]:
        if not count:
            return []
        tail = await self._ask(lambda: self._line.about(room, self._broker.tail(room, count), []))
        return self._following.payloads(room, tail)

    async def rooms(self, most: int) -> list[str]:
        found = await self._ask(lambda: self._in_time(self._broker.rooms(most)))
        return await super().rooms(most) if found is None else found

    async def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if not self.status.connected:
            raise ConnectionError(self._why_not())
        try:
            return await question()
        except Exception as error:
            self._on_lost(error)
            raise ConnectionError(self._why_not()) from error
