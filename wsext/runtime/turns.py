"""Whose turn is it? Shares the time of an event loop between the connections that it decodes, and
the bytes that may wait in all of them.

What comes is decoded where it arrives, as long as that takes little. A connection with more to do
than fits into its slice queues for another one, and so does everybody once the time of this pass of
the loop is used up. Of those who queue, the one comes first that has used the least so far, with
what it will probably need: as much as last time. So a peer that sends little waits for at most one
pass, however many others send as much as they can, or have just come to do so.

What was received and waits for the application is added up. While that is too much, a session that
has a message waiting gets no other one: its connection waits for room, and who has waited longest
gets it first. A session that has none always gets one, so nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, Protocol

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

if not cython.compiled:  # where it is, it is a call in C
    from time import perf_counter

__all__ = ["SLICE", "Once", "Timed", "Turns", "turns_of"]

#: Seconds in which one connection is decoded in a row.
SLICE = _SLICE = 0.001

#: Seconds that count for who has needed nothing so far, at most.
_GRACE = 0.0002

#: Seconds of decoding in one pass of the event loop, and how many of them who queues may use. The
#: rest is for those who have not had a turn in it yet.
_PASS = 0.006
_QUEUED = 0.003


#: No limit for the bytes that wait.
_ANY = 1 << 62


class Queues(Protocol):
    """What has turns: a link, for example.

    Attributes:
        used: Seconds that it has used. Who has been idle starts like the one who had its turn last.
        last: Seconds of its last turn; of who never had one, what it may be expected to need.
        is_queued: Whether it waits for its turn; it is set here.
    """

    used: float
    last: float
    is_queued: bool

    def go_on(self) -> None:
        """It is its turn."""


@cython.final
@cython.cclass
class Turns:
    """The turns of one event loop.

    Args:
        loop: The event loop.
        clock: What tells how long something takes, in seconds; by default the system's clock.

    Attributes:
        is_spent: Whether the time of this pass is used up: decode nothing, and queue.
        is_full: Whether more waits for the application than may.
        waiting: Bytes that wait for it, in all sessions.
    """

    __slots__ = (
        "_clock",
        "_coming",
        "_floor",
        "_for_room",
        "_is_due",
        "_left",
        "_loop",
        "_most",
        "_number",
        "_queue",
        "is_full",
        "is_spent",
        "waiting",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] | None = None
    ) -> None:
        self._clock = clock
        self.is_spent = False
        self._loop = loop
        self._left = _PASS
        self._queue: list[tuple[float, int, Queues]] = []  # a heap
        self._coming: list[Queues] = []  # who has queued in this pass
        self._number = 0
        self._floor = 0.0  # what the one had used that had its turn last
        self._is_due = False
        self._for_room: dict[Queues, None] = {}  # who has waited longest comes first
        self._most = _ANY
        self.waiting = 0
        self.is_full = False

    def limit(self, most: int | None) -> None:
        """How many bytes may wait for the application; ``None`` for any number."""
        self._most = _ANY if most is None else most
        self.count(0)

    def count(self, more: int) -> None:
        """So many bytes more wait for the application, or less."""
        self.waiting += more
        self.is_full = self.waiting >= self._most
        if self._for_room and not self.is_full:
            self._come_soon()

    def wait_for_room(self, who: Queues) -> None:
        """Have ``who.go_on`` called once there is room. Who waits already keeps its place."""
        self._for_room[who] = None

    def leave(self, who: Queues) -> None:
        """It does not wait for room, or no more."""
        self._for_room.pop(who, None)

    def clock(self) -> float:
        """Some time in seconds, to be compared with others."""
        return perf_counter() if self._clock is None else self._clock()

    def is_over(self, began: float) -> bool:
        """Whether a turn has to end that began at some time of the clock."""
        used = self.clock() - began
        return used >= _SLICE or used >= self._left

    def charge(self, who: Queues, began: float) -> None:
        """A turn that began at some time has ended."""
        used = self.clock() - began
        # The system may have let another process run meanwhile: who has needed little so far
        # is not taken at once for one that needs much.
        counted = min(used, 2 * who.last + _GRACE)
        who.used = max(who.used, self._floor) + counted
        who.last = max(counted, who.last / 2)
        if not self._queue and not self._coming:
            self._floor = max(self._floor, who.used)  # nobody has waited for it
        self.spend(used)

    def spend(self, seconds: float) -> None:
        """So much of this pass is used up, or will be."""
        self._left -= seconds
        if self._left <= 0:
            self.is_spent = True
        self._come_soon()

    def queue(self, who: Queues) -> None:
        """Have ``who.go_on`` called when it is its turn, in the next pass or later."""
        if who.is_queued:
            return
        who.is_queued = True
        self._coming.append(who)
        self._come_soon()

    def _come_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._go_round)

    def _go_round(self) -> None:
        """A new pass of the loop has begun."""
        self._is_due = False
        self.is_spent = False
        self._left = _PASS
        queue = self._queue
        coming, self._coming = self._coming, []  # who queues meanwhile waits for the next pass
        for who in coming:  # the turn in which one has queued has been charged by now
            self._number += 1
            until = max(who.used, self._floor) + min(who.last, _SLICE)
            heappush(queue, (until, self._number, who))
        waiting = len(queue)
        while waiting > 0 and self._left > _PASS - _QUEUED:
            waiting -= 1
            _, _, who = heappop(queue)
            self._floor = max(self._floor, who.used)
            who.is_queued = False
            self._let(who)
        for_room = self._for_room
        while for_room and not self.is_full:
            who = next(iter(for_room))
            del for_room[who]
            self._let(who)
            if self._left <= _PASS - _QUEUED:
                break
        if queue or self._coming or (for_room and not self.is_full):
            self._come_soon()

    def _let(self, who: Queues) -> None:
        try:
            who.go_on()
        except Exception as error:  # of one connection; it is the others' turn, too
            problem = {"message": "decoding failed", "exception": error}
            self._loop.call_exception_handler(problem)


class Once:
    """What takes one turn, and is not known from any other.

    Args:
        go_on: Called when it is its turn.
    """

    __slots__ = ("go_on", "is_queued", "last", "used")

    def __init__(self, go_on: Callable[[], None]) -> None:
        self.go_on = go_on
        self.used, self.last = 0.0, SLICE
        self.is_queued = False


class Timed(Coroutine[Any, Any, None]):
    """A coroutine whose steps count as turns: what it waits for between them does not.

    Args:
        turns: Of its event loop.
        who: Whose turns they are.
        coroutine: Makes the coroutine; it is given this object.

    Attributes:
        began: When the step that runs began, by the clock of the turns.
    """

    __slots__ = ("_coroutine", "_turns", "_who", "began")

    def __init__(
        self,
        turns: Turns,
        who: Queues,
        coroutine: Callable[[Timed], Coroutine[Any, Any, None]],
    ) -> None:
        self.began = 0.0
        self._turns = turns
        self._who = who
        self._coroutine = coroutine(self)

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """As of a coroutine."""
        if self._turns.is_spent:
            return None  # as ``asyncio.sleep(0)`` does: its task goes on in the next pass
        self.began = self._turns.clock()
        try:
            return self._coroutine.send(value)
        finally:
            self._turns.charge(self._who, self.began)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """As of a coroutine."""
        self.began = self._turns.clock()
        return self._coroutine.throw(kind if value is None else value)

    def close(self) -> None:
        """As of a coroutine."""
        self._coroutine.close()


class _Here(threading.local):
    """The turns of the event loop that runs in this thread."""

    loop: Any = None
    turns: Any = None


_here = _Here()


def turns_of(loop: asyncio.AbstractEventLoop) -> Turns:
    """The turns of an event loop. In one with virtual time, work takes none."""
    if _here.loop is not loop:
        _here.loop = loop
        _here.turns = Turns(loop, getattr(loop, "work_time", None))
    turns: Turns = _here.turns
    return turns
