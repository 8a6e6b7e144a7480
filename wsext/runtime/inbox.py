"""The bounded queue between a connection and the application that reads it.

Runs as it is, and compiled. A reader that waits is resumed by whoever puts something into the
queue, in the same pass of the event loop: there is no future, and no callback that comes later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from sys import getsizeof
from typing import Any

from wsext.errors import ConnectionClosed, ConnectionClosedOK
from wsext.protocol.frames import Frame, Message
from wsext.runtime.drive import Waiter, new_waiter
from wsext.runtime.step import Step
from wsext.runtime.turns import Turns

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["DONE", "Inbox", "Take", "as_frame"]

# What a reader wants of an item: a message, its data, a frame; or, for an iterator, whose end is no
# error, the data of a message and a raw session's frame as it is.
MESSAGE, DATA, FRAME, NEXT = range(4)

#: More readers than ever wait.
_EVERYBODY = 1 << 30

#: Bytes from which on it counts how a text is kept while it waits.
_LARGE = 512


@cython.final
@cython.cclass
class Inbox:
    """Received items, bounded by number and by bytes.

    `put` never waits; it says when the bounds are passed, and what to do then is the caller's.
    Reading is safe to cancel: an item is taken only by a task that runs.

    Args:
        capacity: Items that may wait.
        max_bytes: Bytes that may wait.
        on_room: Called when the queue falls to half of its bounds after it was full, and when it
            is empty after it was held.

    Attributes:
        is_counted: Whether what waits here is in the sum of all sessions, which `pop` then changes.
        is_held: Whether it gets nothing more until there is room in all sessions, or none is left.
        is_watched: Whether ``on_room`` is also called when all that a read had left was taken.
    """

    __slots__ = (
        "_capacity",
        "_counted",
        "_deaf",
        "_end",
        "_head",
        "_idle",
        "_loop",
        "_max_bytes",
        "_on_room",
        "_rest",
        "_turns",
        "_waiter",
        "_waiters",
        "dropped",
        "full",
        "is_counted",
        "is_held",
        "is_watched",
        "quiet",
        "size",
        "undecoded",
    )

    def __init__(
        self,
        capacity: int,
        max_bytes: int,
        on_room: Callable[[], None],
    ) -> None:
        # Mostly one item waits, or one reader: neither needs a list, which would be filled and
        # emptied for every message. (A deque takes 600 bytes when it is empty.)
        self._head: Message | Frame | None = None
        self._rest: list[Message | Frame] = []
        self._waiter: Waiter | None = None
        self._waiters: list[Waiter] | None = None  # those after it
        self._idle: Waiter | None = None  # the last one, if nobody has it any more
        self._loop: asyncio.AbstractEventLoop | None = None
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._on_room = on_room
        self._end: Callable[[], BaseException] | None = None
        self._deaf = False
        self.size = 0  # bytes that wait
        self.full = False
        self.dropped = 0
        #: Whether every end is one for an iterator, whatever came before it.
        self.quiet = False
        self._turns: Turns | None = None
        self._counted = 0  # bytes of this session in the sum
        self.undecoded = 0  # bytes that its connection has not decoded yet
        self.is_counted = False
        self.is_held = False
        self.is_watched = False

    def __len__(self) -> int:
        return 0 if self._head is None else 1 + len(self._rest)

    def __aiter__(self) -> Inbox:
        return self

    def __anext__(self) -> Take:
        return self._take(NEXT)

    def put(self, item: Message | Frame) -> bool:
        """Add an item; ``False`` when there is no room for another one. Tell `wake` afterwards.

        What a reader waits for already does not wait itself, however large it is.
        """
        if self._deaf:
            return True
        is_awaited = self._waiter is not None
        if not is_awaited and type(item) is Message:
            _pack(item)
        self.size += _size(item)
        if self._head is None:
            self._head = item
            if is_awaited:
                return True
        else:
            self._rest.append(item)
        if len(self._rest) >= self._capacity or self.size >= self._max_bytes:
            self.full = True
            return False
        return True

    def join(self, turns: Turns) -> None:
        """Count what waits here together with what waits in the other sessions of the loop."""
        self._turns = turns

    def count(self) -> None:
        """Tell what waits now; needed only if something is left at the end of a read."""
        turns = self._turns
        if turns is None:
            return
        now = self.size + self.undecoded
        if now != self._counted:
            turns.count(now - self._counted)
            self._counted = now
        if self.is_held and self._head is None:
            self.is_held = False
            self._on_room()
        self.is_counted = self.is_held or now > 0

    @property
    def is_over(self) -> bool:
        """Whether more waits than the bounds allow."""
        return len(self._rest) >= self._capacity or self.size > self._max_bytes

    def drop_oldest(self) -> None:
        """Throw away the oldest items until the bounds are kept; the newest one always stays."""
        while self._rest and self.is_over:
            self.size -= _size(self._head)
            self._head = self._rest.pop(0)
            self.dropped += 1
        self.full = False

    def clear(self) -> None:
        """Throw away what waits."""
        self._head = None
        self._rest.clear()
        self.size = 0
        if self.is_counted:
            self.count()
        if self.full:
            self.full = False
            self._on_room()

    def refuse(self) -> None:
        """Take no more items: what is still put in is thrown away."""
        self._deaf = True
        self.full = False

    def end(self, error: Callable[[], BaseException]) -> None:
        """No more items will come: once the queue is empty, readers get the error."""
        self._end = error
        self.wake(_EVERYBODY)

    def end_at_once(self, error: Callable[[], BaseException]) -> None:
        """As `end`, and what is still put in is thrown away."""
        self.refuse()
        self.end(error)

    def close(self, error: Callable[[], BaseException]) -> None:
        """As `end`; nothing more is asked of anybody else either, and what waits is counted no
        more: the application keeps it as long as it wants to."""
        self._on_room = _nothing
        if self._turns is not None:
            self._turns.count(-self._counted)
            self._turns = None
        self.is_counted = self.is_held = False
        self.end(error)

    def is_awaited(self) -> bool:
        """Whether a reader waits for an item."""
        return self._waiter is not None

    def wake(self, count: int) -> None:
        """Resume as many waiting readers as items have come."""
        # A reader that is resumed may wait again by then.
        waiting = 1 if self._waiters is None else 1 + len(self._waiters)
        while count > 0 and waiting > 0 and self._waiter is not None:
            waiter = self._waiter
            self._waiter = self._waiters.pop(0) if self._waiters else None
            waiting -= 1
            if not waiter.done:
                count -= 1
                waiter.wake()

    def leave(self, waiter: Waiter) -> bool:
        """A reader waits no more; ``False`` if it has been resumed."""
        if self._waiter is waiter:
            self._waiter = self._waiters.pop(0) if self._waiters else None
        elif self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)
        else:
            return False
        return True

    def message(self) -> Take:
        """Wait for the next message."""
        return self._take(MESSAGE)

    def message_for(self, taker: Take) -> Take:
        """`message` with a `Take` of a subclass, which the caller has made."""
        return self._begin(taker, MESSAGE)

    def data(self) -> Take:
        """Wait for the data of the next message."""
        return self._take(DATA)

    def frame(self) -> Take:
        """Wait for the next frame; a message is made one."""
        return self._take(FRAME)

    def _take(self, how: int) -> Take:
        return self._begin(Take.__new__(Take), how)

    def _begin(self, taker: Take, how: int) -> Take:
        taker.ready = False
        taker._inbox = self
        taker._how = how
        taker._waiter = None
        return taker

    def pop(self) -> Message | Frame:
        """The next item; there has to be one."""
        item = self._head
        assert item is not None
        self._head = self._rest.pop(0) if self._rest else None
        self.size -= _size(item)
        if self.is_counted:
            self.count()
            if self.is_watched and self._head is None:
                self._on_room()
        if self.full and len(self) <= self._capacity // 2 and self.size <= self._max_bytes // 2:
            self.full = False
            self._on_room()
        return item

    def pop_message(self) -> Message:
        """`pop`, ready for the program."""
        message: Message = _make(self.pop(), MESSAGE)
        return message

    def wait(self) -> Waiter:
        """What to wait for, until there is an item or the end.

        Raises:
            ConnectionClosed: When the end has been.
        """
        if self._end is not None:
            raise self._end()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        waiter = self._idle
        if waiter is None:
            waiter = new_waiter(self._loop)
        else:
            self._idle = None
            waiter.done = False
            waiter._asyncio_future_blocking = True
        if self._waiter is None:
            self._waiter = waiter
        elif self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter


class Take(Step):
    """Takes the next item from an `Inbox`; a coroutine to whoever awaits it."""

    __slots__ = ("_how", "_inbox", "_waiter")

    _inbox: Inbox | None
    _how: int
    _waiter: Waiter | None

    def step(self) -> Any:
        """The item, or what to wait for."""
        inbox = self._inbox
        if inbox is None:
            raise RuntimeError("cannot reuse an awaitable that was awaited")
        if inbox._head is not None:
            waiter = self._waiter
            if waiter is not None and waiter.done and waiter._drive is not None:
                waiter._drive = None
                inbox._idle = waiter  # no task and no callback has it
            self._waiter = None
            self.ready = True
            self._inbox = None
            return _make(inbox.pop(), self._how)
        waiter = self._waiter
        if waiter is not None and not waiter.done and inbox._end is None:
            return waiter  # spurious wake-up; keep waiting
        try:
            self._waiter = waiter = inbox.wait()
        except ConnectionClosed as error:
            self._inbox = self._waiter = None
            if self._how == NEXT and (inbox.quiet or isinstance(error, ConnectionClosedOK)):
                raise StopAsyncIteration from None
            raise
        return waiter

    def close(self) -> None:
        """Give up waiting: a wake-up that was meant for this reader is for the next one."""
        waiter = self._waiter
        inbox = self._inbox
        self._waiter = self._inbox = None
        if waiter is None or inbox is None:
            return
        if not inbox.leave(waiter) and inbox._head is not None:
            inbox.wake(1)
        waiter.done = True


class Done(Step):
    """The awaitable of what has happened already; there is one, `DONE`."""

    __slots__ = ()

    def __init__(self) -> None:
        self.ready = True

    def step(self) -> Any:
        return None


DONE = Done()

Coroutine.register(Step)


def _nothing() -> None:
    """There is nobody to tell of room in the queue."""


def _pack(message: Message) -> None:
    """Keep a text that waits as its UTF-8, where that takes much less: one character may make
    Python take four bytes for each. A ``bytearray`` marks it, for no message has one."""
    data: Any = message.data
    size = message.size
    is_wide = size > _LARGE and type(data) is str and len(data) != size
    if is_wide and getsizeof(data) > 2 * size:
        message.data = bytearray(data, "utf-8")  # type: ignore[assignment]


def _size(item: Any) -> int:
    """Bytes of an item."""
    if type(item) is Message:
        message = item
        return message.size
    return len(item.payload)


def _make(item: Any, how: int) -> Any:
    """What a reader wants of an item."""
    if type(item) is Message:
        message = item
        if isinstance(message.data, bytearray):
            message.data = str(message.data, "utf-8")
        if how in (DATA, NEXT):
            return message.data
        return message if how == MESSAGE else as_frame(message)
    if how in (DATA, MESSAGE):
        raise RuntimeError("a raw session has frames, not messages: use receive_frame()")
    return item


def as_frame(message: Message) -> Frame:
    """A message as one frame."""
    data = message.data
    opcode, payload = (1, data.encode("utf-8")) if isinstance(data, str) else (2, data)
    return Frame(opcode, payload, message.fin, 0, None, message.meta or None)
