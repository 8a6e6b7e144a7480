"""What a group was told before: histories in which each message may refer to the ones before it.

There is one for each share key, since connections that have agreed on something else need other
bytes. When one begins anew, and who can follow it, is `wsext.protocol.epochs`' matter.
"""

from __future__ import annotations

from collections.abc import Hashable

from wsext.errors import ProtocolError
from wsext.escape import get_logger
from wsext.protocol.boundary import report
from wsext.protocol.contract import HistoryLike
from wsext.protocol.epochs import Encoding
from wsext.protocol.frames import Frame
from wsext.protocol.pipeline import Pipeline

__all__ = ["SharedContext"]

logger = get_logger("wsext.extensions")

#: Share keys with a history of their own: peers choose what they agree to.
_MOST_KEYS = 8

#: What beginning anew costs a connection that was inside, in messages that are encoded on their
#: own. Measured with trades, telemetry, chat and order books: 1 to 5, and up to 9 with a window of
#: 32 KiB.
_COST = 4

#: Messages of an epoch: at least, as long as anybody follows; and at most, if anybody does not.
#: With so many the bytes are 4 % more than without any end.
_LEAST = 25
_MOST = 100


class _Epoch:
    """Histories that have begun together, and how many connections follow them."""

    def __init__(self, histories: dict[int, HistoryLike]) -> None:
        self._histories = histories
        self._last: Encoding | None = None
        self._said = 0  # the number of the last message, as its context counts
        self._outside = 0  # messages that were encoded on their own for somebody

    @property
    def is_over(self) -> bool:
        """Whether it is better to begin anew: those who are not inside get in then.

        That costs everybody inside a few messages, so those outside have to have cost as much.
        """
        last = self._last
        if last is None:
            return False
        if not last.inside:
            return True
        if not last.outside or last.number < _LEAST:
            return False
        outside = self._outside + last.outside
        return outside >= _COST * last.inside or last.number >= _MOST

    def encode(self, frame: Frame, number: int, pipeline: Pipeline) -> Encoding | None:
        """The next message; it is no part of the epoch if no history has seen it.

        A message that was said before one of the epoch is too late: who has had that one never
        gets it, or had it earlier.

        Raises:
            ProtocolError: If a history fails.
        """
        if number <= self._said:
            return None
        self._said = number
        encoding = pipeline.encode_shared(frame, self._histories)
        if any(number in self._histories for number in encoding.passed):
            last, self._last = self._last, encoding
            encoding.epoch = self
            encoding.number = 1
            if last is not None:
                encoding.number = last.number + 1
                self._outside += last.outside
        return encoding

    @property
    def held_bytes(self) -> int:
        """Bytes that the histories hold; 0 where one cannot tell."""
        held = 0
        for history in self._histories.values():
            try:
                held += int(history.held_bytes)
            except BaseException as error:
                report("SharedHistory.held_bytes", error, kind=type(history), first=False)
        return held

    def close(self) -> None:
        """Free the histories."""
        self._last = None
        histories, self._histories = self._histories, {}
        for history in histories.values():
            try:
                history.close()
            except BaseException as error:
                report("SharedHistory.close()", error, kind=type(history))


class SharedContext:
    """What a group of sessions was told together, so that the next message may refer to it.

    A message to many sessions is compressed once for all that have agreed on the same. With a
    context it also refers to those that the group was told before in this context, which makes
    messages that are alike much smaller. Rooms have a context of their own. Elsewhere, keep one for
    each group::

        ticks = SharedContext()
        broadcast(watching, price, context=ticks)

    A session that has not had all the messages of the context so far gets the message compressed
    on its own, as without a context, and follows soon.

    The size of a compressed message tells something of the messages that it refers to. Whoever can
    have a message sent in a context, and watch how large others are on the wire, may learn what
    they say. So keep a context for what all of its sessions may hear, and keep secrets out of it:
    ``hints={"compress": False}``.
    """

    __slots__ = ("_epochs", "said")

    def __init__(self) -> None:
        #: By `Pipeline.history_key`; ``None`` where a history has failed.
        self._epochs: dict[Hashable, _Epoch | None] = {}
        #: How many messages were said in it.
        self.said = 0

    def encode(self, frame: Frame, number: int, pipeline: Pipeline) -> Encoding | None:
        """A message as the bytes for every connection with this one's `history_key`, if it has
        got all that the message refers to; called by `PreparedMessage`.

        Args:
            frame: The message.
            number: `said`, when it was said.
            pipeline: Of the first connection with its key that gets it.

        Returns:
            ``None`` if the message has to be encoded on its own.
        """
        key = pipeline.history_key
        epoch = self._epochs.get(key)
        if epoch is not None and epoch.is_over:
            epoch.close()
            del self._epochs[key]
        if key not in self._epochs:
            if len(self._epochs) >= _MOST_KEYS:
                return None
            histories = pipeline.make_histories()
            self._epochs[key] = None if histories is None else _Epoch(histories)
        epoch = self._epochs[key]
        if epoch is None:
            return None
        try:
            return epoch.encode(frame, number, pipeline)
        except ProtocolError as error:  # the messages go on without
            logger.debug("a shared history has failed: %s", error)
            epoch.close()
            self._epochs[key] = None
            return None

    @property
    def held_bytes(self) -> int:
        """Bytes that the context holds now, as far as the extensions tell."""
        return sum(epoch.held_bytes for epoch in self._epochs.values() if epoch is not None)

    def close(self) -> None:
        """Free what it holds. It may be used again; the next message then refers to none before."""
        epochs, self._epochs = self._epochs, {}
        for epoch in epochs.values():
            if epoch is not None:
                epoch.close()

    def __repr__(self) -> str:
        return f"<SharedContext {self.held_bytes} bytes>"
