"""The one queue of a session's messages that cannot be sent yet, and the policy about too many.

Every message passes it: those of the application and those of rooms, in the order in which they
were said. Each sender has a `Lane`: a bound of its own, and what happens when it is reached. The
queue knows nothing of connections; `wsext.runtime.writing` puts things in and takes them out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["Lane", "Outbox", "Policy", "Waiting", "most_entries"]

#: What happens when too much waits: senders wait, the session is closed with 1013, the oldest
#: messages are dropped, or only the newest message of each key is kept and then the session closed.
Policy: TypeAlias = Literal["suspend", "close", "drop-oldest", "coalesce"]

#: Messages of fewer bytes count as this many: the smallest ones need memory, too. So many may wait
#: in any case.
_LEAST = 128
_FEW = 256


def most_entries(limit: int) -> int:
    """How many messages may wait where so many bytes may."""
    return max(limit // _LEAST, _FEW)


class OutboxWaiter(Protocol):
    """Who waits until a message has left: a future, or what is used like one."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class Waiting:
    """One message that waits.

    Attributes:
        data: A whole message as a `Frame`, a fragment, or a `PreparedMessage`.
        size: Bytes of the payload.
        waiter: Done when the message has been handed to the connection; for who awaits that.
    """

    __slots__ = ("data", "lane", "size", "slot", "waiter")

    def __init__(self, data: Any, size: int) -> None:
        self.data = data
        self.size = size
        self.waiter: OutboxWaiter | None = None
        self.lane: Lane
        self.slot: Hashable = None  # what the lane knows it by, if not by itself

    def settle(self, error: BaseException | None = None) -> None:
        """Tell who waits that the message was handed over, or why it never will be."""
        waiter = self.waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


class Lane:
    """One sender's part of an outbox.

    Args:
        policy: What happens when more than ``limit`` would wait.
        limit: Bytes of this lane that may wait; a single message may be larger. Of tiny messages
            fewer bytes may wait (`most_entries`).
        on_loss: Told of each message that is given up: ``"dropped"`` or ``"coalesced"``.

    Attributes:
        size: Bytes that wait.
        dropped: Messages that were dropped.
    """

    __slots__ = ("dropped", "entries", "limit", "on_loss", "policy", "size")

    def __init__(
        self, policy: Policy, limit: int, on_loss: Callable[[str], None] | None = None
    ) -> None:
        self.policy = policy
        self.limit = limit
        self.on_loss = on_loss
        self.size = self.dropped = 0
        self.entries: OrderedDict[Hashable, Waiting] = OrderedDict()

    def is_over(self, size: int) -> bool:
        """Whether there is no room for so many bytes more; an empty lane always has room."""
        entries = self.entries
        return bool(entries) and (
            self.size + size > self.limit or len(entries) >= most_entries(self.limit)
        )

    def lose(self, how: str) -> None:
        """A message was given up."""
        if how == "dropped":
            self.dropped += 1
        if self.on_loss is not None:
            self.on_loss(how)


class Outbox:
    """A session's messages that wait, in the order in which they will leave.

    Attributes:
        size: Bytes that wait.
    """

    __slots__ = ("_entries", "size")

    def __init__(self) -> None:
        self._entries: OrderedDict[Waiting, None] = OrderedDict()
        self.size = 0

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, lane: Lane, entry: Waiting, key: Hashable | None = None) -> bool:
        """Add a message at the end, by the lane's policy.

        An entry that somebody waits for is always taken: each sender that waits has only one.

        Args:
            lane: Whose message it is.
            entry: The message.
            key: With the policy ``coalesce``, what it replaces: the waiting message of this key.

        Returns:
            ``False`` if there is no room and the policy gives none up. The message is not in then.
        """
        slot: Hashable = None
        if key is not None and lane.policy == "coalesce":
            slot = (key,)
            old = lane.entries.get(slot)
            if old is not None:
                self._remove(old)
                lane.lose("coalesced")
        has_room = entry.waiter is not None or not lane.is_over(entry.size)
        if not has_room and not self._make_room(lane, entry.size):
            return False
        entry.lane = lane
        entry.slot = slot
        lane.entries[slot or entry] = entry
        lane.size += entry.size
        self._entries[entry] = None
        self.size += entry.size
        return True

    def _make_room(self, lane: Lane, size: int) -> bool:
        if lane.policy != "drop-oldest":
            return False
        while lane.is_over(size):
            oldest = next(iter(lane.entries.values()))
            self._remove(oldest)
            oldest.settle()  # the policy has decided about it; nobody waits for it any more
            lane.lose("dropped")
        return True

    def first(self) -> Waiting | None:
        """The message that leaves next, if there is one."""
        return next(iter(self._entries), None)

    def pop(self) -> Waiting:
        """Take out the message that leaves next; there has to be one."""
        entry = next(iter(self._entries))
        self._remove(entry)
        return entry

    def put_back(self, entry: Waiting) -> None:
        """Put a message back to the front that was taken out and could not be sent."""
        lane = entry.lane
        self._entries[entry] = None
        self._entries.move_to_end(entry, last=False)
        slot = entry.slot or entry
        lane.entries[slot] = entry
        lane.entries.move_to_end(slot, last=False)
        lane.size += entry.size
        self.size += entry.size

    def remove(self, entry: Waiting) -> bool:
        """Take out a message whose sender has given up; ``False`` if it is on its way already."""
        if entry not in self._entries:
            return False
        self._remove(entry)
        return True

    def _remove(self, entry: Waiting) -> None:
        del self._entries[entry]
        del entry.lane.entries[entry.slot or entry]
        entry.lane.size -= entry.size
        self.size -= entry.size

    def drop(self, lane: Lane) -> None:
        """Take out every message of a lane."""
        for entry in list(lane.entries.values()):
            self._remove(entry)
            entry.settle()

    def clear(self, error: Callable[[], BaseException]) -> None:
        """Take everything out, for none of it will be sent; who waits gets an error."""
        while self._entries:
            self.pop().settle(error())
