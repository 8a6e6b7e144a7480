"""What waits for one member of a room that reads slowly."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from wsext.errors import ConnectionClosed, ProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.settings import RoomOverflow
from wsext.runtime.session import Session

__all__ = ["Counters", "Outbox"]


class Counters:
    """Totals of a room, or of all rooms of this process.

    Attributes:
        messages: Broadcasts, from here and from other processes.
        bytes: Their payload bytes, before any extension.
        delivered: Copies that were handed to members.
        dropped: Copies that were given up by the policy ``drop-oldest``.
        coalesced: Copies that a newer one of the same key replaced.
        slow_closed: Members that were closed with 1013 because they read too slowly.
    """

    __slots__ = ("bytes", "coalesced", "delivered", "dropped", "messages", "slow_closed")

    def __init__(self) -> None:
        self.messages = self.bytes = self.delivered = 0
        self.dropped = self.coalesced = self.slow_closed = 0

    def __repr__(self) -> str:
        return f"<Counters {' '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)}>"


class Outbox:
    """A bounded queue with a policy; it has a task only while something waits.

    Args:
        session: Whose queue it is.
        limit: Bytes that may wait; a single message may be larger.
        policy: What happens when more would.
        counters: Where to count.
    """

    __slots__ = ("_counters", "_limit", "_policy", "_queue", "_session", "_task", "size", "waiting")

    def __init__(
        self,
        session: Session,
        limit: int,
        policy: RoomOverflow,
        counters: tuple[Counters, ...],
    ) -> None:
        self._session = session
        self._limit = limit
        self._policy = policy
        self._counters = counters
        self._queue: OrderedDict[Hashable, PreparedMessage] | None = None
        self._task: asyncio.Task[None] | None = None
        self.size = 0  # bytes that wait
        self.waiting = False  # whether a message has to queue behind others

    def put(self, message: PreparedMessage, key: Hashable | None = None) -> None:
        """Queue a message; what is too much goes by the policy."""
        if not self._session.is_open:
            return
        queue = self._queue
        if queue is None:
            queue = self._queue = OrderedDict()
            self.waiting = True
            name = f"slow {self._session.id}"
            self._task = self._session.create_task(self._drain(queue), name=name)
        slot: Hashable = object()
        if key is not None and self._policy == "coalesce":
            slot = key
            if (old := queue.pop(key, None)) is not None:
                self.size -= old.size
                self._count("coalesced")
        if queue and self.size + message.size > self._limit and not self._make_room(message.size):
            return
        queue[slot] = message  # at the end, also in place of an older one: order is kept
        self.size += message.size

    def _make_room(self, size: int) -> bool:
        queue = self._queue or OrderedDict()
        if self._policy == "drop-oldest":
            while queue and self.size + size > self._limit:
                self.size -= queue.popitem(last=False)[1].size
                self._count("dropped")
            return True
        queue.clear()
        self.size = 0
        self._count("slow_closed")
        self._session.close_nowait(CloseCode.TRY_AGAIN_LATER, "reads too slowly")
        return False

    def _count(self, name: str) -> None:
        for counters in self._counters:
            setattr(counters, name, getattr(counters, name) + 1)

    async def _drain(self, queue: OrderedDict[Hashable, PreparedMessage]) -> None:
        try:
            while queue:
                await self._session.wait_writable()
                if queue:  # the policy may have emptied it
                    message = queue.popitem(last=False)[1]
                    self.size -= message.size
                    await self._session.send(message)
        except (ConnectionClosed, ProtocolError):
            pass  # the session has ended, and its membership with it
        finally:
            self._queue = self._task = None
            self.size, self.waiting = 0, False

    async def flush(self) -> None:
        """Wait until nothing waits, or the session has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])
