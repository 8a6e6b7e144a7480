"""The bounded queue between a connection and the application that reads it.

Runs as it is, and compiled. A reader that waits is resumed by whoever puts something into the
queue, in the same pass of the event loop: there is no future, and no callback that comes later.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine
from typing import Any

from wsext._step_py import Step, advance
from wsext.errors import ConnectionClosed, ConnectionClosedOK
from wsext.protocol._frames_py import Frame, Message

__all__ = ["DONE", "Drive", "Inbox", "Take", "as_frame"]

# What a reader wants of an item: a message, its data, a frame; or, for an iterator, whose end is no
# error, the data of a message and a raw session's frame as it is.
MESSAGE, DATA, FRAME, NEXT = range(4)


class Waiter:
    """What a waiting task waits for: as much of a future as a task needs."""

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_context",
        "_drive",
        "_loop",
        "_message",
        "done",
    )

    _asyncio_future_blocking: bool
    _callback: Any
    _cancelled: bool
    _context: Any
    _drive: Drive | None
    _loop: asyncio.AbstractEventLoop
    _message: Any
    done: bool

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """As of a future."""
        return self._loop

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """As of a future; there is one callback, the task's."""
        self._callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        """As of a future."""
        if self.done:
            return False
        self.done = True
        self._cancelled = True
        self._message = msg  # anyio tells by it which scope was cancelled
        self._later()
        return True

    def result(self) -> None:
        """As of a future."""
        if self._cancelled:
            message = self._message
            raise asyncio.CancelledError() if message is None else asyncio.CancelledError(message)

    def wake(self) -> None:
        """Resume the task that waits, at once if no other task is running."""
        self.done = True
        drive = self._drive  # held: this may have let go of it by the time it is done
        if drive is not None:
            drive.resume()
            return
        callback = self._callback
        if callback is None:
            return  # it will look again before it waits
        try:
            self._context.run(callback, self)
        except RuntimeError:  # a task cannot be entered while another one is running
            self._later()

    def finish(self) -> None:
        """Resume the task that waits, a little later."""
        self.done = True
        self._later()

    def _later(self) -> None:
        if self._callback is not None:
            self._loop.call_soon(self._callback, self, context=self._context)


def new_waiter(loop: asyncio.AbstractEventLoop) -> Waiter:
    """Something to wait for, in this loop."""
    waiter = Waiter.__new__(Waiter)
    waiter._loop = loop
    waiter._callback = waiter._context = waiter._drive = waiter._message = None
    waiter._cancelled = waiter.done = False
    waiter._asyncio_future_blocking = True  # as a future's __await__ does
    return waiter


class Inbox:
    """Received items, bounded by number and by bytes.

    `put` never waits; it says when the bounds are passed, and what to do then is the caller's.
    Reading is safe to cancel: an item is taken only by a task that runs.

    Args:
        capacity: Items that may wait.
        max_bytes: Bytes that may wait.
        on_room: Called when the queue falls to half of its bounds after it was full.
    """

    __slots__ = (
        "_capacity",
        "_deaf",
        "_end",
        "_head",
        "_idle",
        "_loop",
        "_max_bytes",
        "_on_room",
        "_rest",
        "_waiter",
        "_waiters",
        "dropped",
        "full",
        "quiet",
        "size",
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
        self._waiters: list[Waiter] = []  # those after it
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

    def __len__(self) -> int:
        return 0 if self._head is None else 1 + len(self._rest)

    def __aiter__(self) -> Inbox:
        return self

    def __anext__(self) -> Take:
        return self._take(NEXT)

    def put(self, item: Message | Frame) -> bool:
        """Add an item; ``False`` when the bounds are passed by now. Tell `wake` afterwards."""
        if self._deaf:
            return True
        if self._head is None:
            self._head = item
        else:
            self._rest.append(item)
        self.size += _size(item)
        if len(self._rest) >= self._capacity or self.size > self._max_bytes:
            self.full = True
            return False
        return True

    def drop_oldest(self) -> None:
        """Throw away the oldest items until the bounds are kept; the newest one always stays."""
        while self._rest and (len(self._rest) >= self._capacity or self.size > self._max_bytes):
            self.size -= _size(self._head)
            self._head = self._rest.pop(0)
            self.dropped += 1
        self.full = False

    def end(self, error: Callable[[], BaseException]) -> None:
        """No more items will come: once the queue is empty, readers get the error."""
        self._end = error
        self.wake(1 + len(self._waiters))

    def end_at_once(self, error: Callable[[], BaseException]) -> None:
        """As `end`, and what is still put in is thrown away."""
        self._deaf = True
        self.end(error)

    def is_awaited(self) -> bool:
        """Whether a reader waits for an item."""
        return self._waiter is not None

    def wake(self, count: int) -> None:
        """Resume as many waiting readers as items have come."""
        waiting = 1 + len(self._waiters)  # a reader that is resumed may wait again by then
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
        elif waiter in self._waiters:
            self._waiters.remove(waiter)
        else:
            return False
        return True

    def message(self) -> Take:
        """Wait for the next message."""
        return self._take(MESSAGE)

    def data(self) -> Take:
        """Wait for the data of the next message."""
        return self._take(DATA)

    def frame(self) -> Take:
        """Wait for the next frame; a message is made one."""
        return self._take(FRAME)

    def _take(self, how: int) -> Take:
        taker = Take.__new__(Take)
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
        if self.full and len(self) <= self._capacity // 2 and self.size <= self._max_bytes // 2:
            self.full = False
            self._on_room()
        return item

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
            return waiter  # resumed for nothing: it waits already
        try:
            self._waiter = waiter = inbox.wait()
        except ConnectionClosed as error:
            self._inbox = None
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


class Drive(Step):
    """Runs a coroutine inside the task that awaits this, and resumes it where a message comes.

    While the coroutine waits for messages only, its task waits for one future, and every message
    resumes the coroutine without the task's help: as the task (`asyncio.current_task`,
    cancellation and timeouts work), in one context, but without a future and a callback per
    message. Once it waits for anything else, the task takes over.
    """

    __slots__ = (
        "_context",
        "_coroutine",
        "_error",
        "_loop",
        "_parked",
        "_pending",
        "_task",
    )

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.ready = False
        self._coroutine = coroutine
        # One for all steps: a task's own cannot be had.
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self._task: Any = asyncio.current_task()
        self._parked: Waiter | None = None  # what the task waits for meanwhile
        self._pending: Any = None  # what it has to wait for next, or the coroutine's result
        self._error: BaseException | None = None

    def step(self) -> Any:
        """The result, or what the task has to wait for."""
        if self._parked is not None:  # resumed in the meantime, and left with something to do
            self._parked = None
            return self._hand_over()
        return self._settle(self._coroutine.send, None)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """As of a coroutine: how a task is cancelled."""
        error = value if value is not None else kind
        pending = self._pending
        self._parked = self._pending = None
        if self.ready or self._error is not None:  # it has ended, and the task does not know yet
            raise error
        if pending is not None:
            pending.cancel()  # the task had no time to wait for it
        out = self._settle(self._coroutine.throw, error)
        if self.ready:
            raise StopIteration(out)
        return out

    def _hand_over(self) -> Any:
        if self._error is not None:
            raise self._error
        out = self._pending
        self._pending = None
        return out

    def _settle(self, advance: Any, argument: Any) -> Any:
        """Advance the coroutine as a part of the task's own step."""
        try:
            out = self._context.run(advance, argument)
        except StopIteration as stop:
            self.ready = True
            return stop.value
        if type(out) is not Waiter:
            return out
        waiter = out
        waiter._drive = self
        self._parked = parked = new_waiter(self._loop)
        return parked

    def resume(self) -> None:
        """A message has come: advance the coroutine, in the name of its task."""
        parked = self._parked
        if parked is None or parked.done:  # done: the task is being cancelled
            return
        task = self._task
        loop = self._loop
        try:
            _enter_task(loop, task)
        except RuntimeError:  # another task is running
            loop.call_soon(self.resume)
            return
        try:
            out = advance(self._context, self._coroutine)
        except StopIteration as stop:
            self.ready = True
            self._pending = stop.value
        except BaseException as error:
            self._error = error
        else:
            if type(out) is Waiter:
                waiter = out
                waiter._drive = self
                return
            self._pending = out
        finally:
            _leave_task(loop, task)
        parked.finish()

    def close(self) -> None:
        """As of a coroutine."""
        self._coroutine.close()


class Done(Step):
    """The awaitable of what has happened already; there is one, `DONE`."""

    __slots__ = ()

    def __init__(self) -> None:
        self.ready = True

    def step(self) -> Any:
        return None


DONE = Done()

Coroutine.register(Step)


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
