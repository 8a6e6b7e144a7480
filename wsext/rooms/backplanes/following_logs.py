"""What everybody says in the rooms that are open here, by its position.

This process hears its own messages from the log, too. It has every number of a room, or it says
that some are lost.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from wsext.rooms.backplanes.contract import Incomplete, LogSubscriber
from wsext.rooms.backplanes.following import Line, OpenRoom, OpenRooms
from wsext.rooms.backplanes.positions import LogHead, Position

__all__ = ["FollowingLogs"]

#: How many may read at the same time what they have missed.
_READERS = 4


class _OpenLog(OpenRoom):
    """A room whose messages have numbers.

    Attributes:
        position: Of the last message; ``None`` as long as the broker was never there.
        reading: Where the log ended when it began to be read, while it is read: what is missing up
            to there is lost.
        is_due: Whether it will be read again, because something was missing.
    """

    position: Position | None

    def __init__(self) -> None:
        super().__init__()
        self.reading: LogHead | None = None
        self.is_due = False


class FollowingLogs(OpenRooms[_OpenLog]):
    """Everything that is said, by its position.

    Args:
        line: The connection.
    """

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._subscriber = cast("LogSubscriber", line.subscriber)
        self._readers = asyncio.Semaphore(_READERS)
        self._reading: set[asyncio.Task[None]] = set()

    def _take(self, room: str, open: _OpenLog, position: Any, data: bytes) -> None:
        last = open.position
        if last is None:
            return  # it is not known yet where this process begins to hear the room
        log = open.reading
        if log is not None and position.epoch == log.epoch and position.number <= log.number:
            if position.number <= last.number:
                return
            if position.number > last.number + 1:
                before = Position(position.epoch, position.number - 1)
                self._lose(room, open, before, "expired")
        elif position.epoch == last.epoch and position.number <= last.number:
            self._line.status.repeated += 1
            return
        elif position != (last.epoch, last.number + 1):
            self._read_again(room, open)
            return
        open.position = position
        self._subscriber.hear(room, position, self._payload(room, data))

    def _payload(self, room: str, data: bytes) -> bytes | None:
        stored = self._line.read(room, data)
        if stored is None:
            return None
        origin, _, payload = stored
        if origin != self._line.subscriber.origin:
            self._line.status.received += 1
        return payload

    def _lose(self, room: str, open: _OpenLog, position: Position, why: str) -> None:
        open.position = position
        self._subscriber.lose(room, position, why)

    def _read_again(self, room: str, open: _OpenLog) -> None:
        """A number is missing, or the epoch is another: the log knows more."""
        if open.is_due:
            return
        open.is_due = True
        open.connection = 0  # `go_on` sees to it, if it is at work
        if self._line.status.connected:
            again = self._line.attempt(self._again(room, open), None, room=room)
            reading = asyncio.ensure_future(again)
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)

    async def open(
        self, room: str, history: int
    ) -> tuple[Position | None, list[tuple[Position, bytes]]]:
        """Hear a room from now on: where it is, and its last messages."""
        open = self._rooms[room] = _OpenLog()
        async with self.lock(room):
            found = await self._line.attempt(self._begin(room, open, history), None, room=room)
        return (open.position, []) if found is None else found

    async def _begin(
        self, room: str, open: _OpenLog, history: int
    ) -> tuple[Position, list[tuple[Position, bytes]]] | None:
        head = await self._line.broker.head(room)
        found = await self._line.broker.tail(room, history) if history else []
        messages: list[tuple[Position, bytes]] = []
        expected = head.number
        for position, data in reversed(found):
            if position.number > head.number or head.common(position) < position.number:
                continue
            if position.number != expected:
                break
            expected -= 1
            messages.append((position, data))
        payloads = [(p, self._payload(room, data)) for p, data in reversed(messages)]
        await self._follow_from(room, open, head)
        return head.position, [(p, payload) for p, payload in payloads if payload is not None]

    async def _follow(self, room: str, open: _OpenLog) -> None:
        await self._follow_from(room, open, await self._line.broker.head(room))

    async def _follow_from(self, room: str, open: _OpenLog, head: LogHead) -> None:
        open.is_due = False
        open.connection = self._line.number
        if open.position is None:
            open.position = head.position
            self._subscriber.hear(room, head.position, None)
        elif (common := head.common(open.position)) < open.position.number:
            self._lose(room, open, Position(head.epoch, common), "epoch")
        open.reading = head
        try:
            await self._line.broker.follow(room, open.position)
        finally:
            open.reading = None
        if open.position.number < head.number and not open.is_due:
            self._lose(room, open, head.position, "expired")

    async def last_own(self, room: str) -> int:
        return self._line.outgoing.last_in(await self._line.broker.head(room), room)

    async def replay(
        self, room: str, since: Position, until: Position | None, messages: int, size: int
    ) -> list[tuple[Position, bytes]]:
        """See `Backplane.replay`."""
        async with self._readers:
            replay = self._replay(room, since, until, messages, size)
            found = await self._line.about(room, replay, None)
        if found is None:
            raise Incomplete("expired")
        return found

    async def _replay(
        self, room: str, since: Position, until: Position | None, messages: int, size: int
    ) -> list[tuple[Position, bytes]]:
        broker = self._line.broker
        if until is None:
            until = self._rooms[room].position if room in self._rooms else None
        if until is None:
            raise ConnectionError("the broker was away when the room was opened")
        head = await broker.head(room)
        if head.common(since) < since.number or head.common(until) < until.number:
            epochs = (head.epoch, *(last.epoch for last in head.earlier))
            raise Incomplete("ahead" if since.epoch in epochs else "epoch")
        if since.epoch not in (head.epoch, *(last.epoch for last in head.earlier)):
            raise Incomplete("epoch")
        if until.number - since.number > messages:
            raise Incomplete("too-much")
        found = await broker.read(room, since.number, until.number, size)
        read_until = Position(head.epoch, until.number)
        if (await broker.head(room)).common(read_until) < until.number:
            raise Incomplete("epoch")  # it began anew while it was read
        if sum(len(data) for _, data in found) > size:
            raise Incomplete("too-much")
        if [number for number, _ in found] != list(range(since.number + 1, until.number + 1)):
            raise Incomplete("expired")
        read = [(Position(head.epoch, number), self._line.read(room, d)) for number, d in found]
        return [(position, stored[2]) for position, stored in read if stored is not None]
