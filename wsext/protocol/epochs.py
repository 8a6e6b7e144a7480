"""What was encoded once for many connections, and how far each of them follows it.

Messages to a group are encoded by a `SharedHistory`, in which each may refer to the ones before.
An *epoch* is the time from its first message, which refers to nothing before, to its last. Who has
had all of an epoch's messages so far, and nothing else that its decoder remembers in between, can
decode the next one. A `Follower` says how far that is. Runs as it is, and compiled.
"""

from __future__ import annotations

from typing import Any

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Encoding", "Follower"]

#: Bytes that one connection may be told privately, without being encoded, between two messages of
#: an epoch: so small answers do not take it out.
_MOST_SPARE = 4096


@cython.final
@cython.cclass
class Encoding:
    """A message as the bytes that travel on every connection with one share key.

    Args:
        wire: The frames.
        size: How many of these bytes are payload.
        passed: The numbers of the stages that it passed.
        beside: Of these, the ones without a history, which encoded it on its own.

    Attributes:
        epoch: The epoch that it belongs to; ``None`` if it refers to nothing before.
        number: Where it stands in its epoch, from 1.
        inside: How many connections have got it that are in the epoch.
        outside: How many would have, had they had all before it.
    """

    __slots__ = (
        "beside",
        "epoch",
        "inside",
        "number",
        "outside",
        "passed",
        "size",
        "wire",
    )

    def __init__(
        self,
        wire: bytes,
        size: int,
        passed: tuple[int, ...],
        beside: tuple[int, ...],
    ) -> None:
        self.wire = wire
        self.size = size
        self.passed = passed
        self.beside = beside
        self.epoch: Any = None
        self.number = 0
        self.inside = self.outside = 0


@cython.final
@cython.cclass
class Follower:
    """How far one connection follows: it was sent an epoch's messages up to a number.

    Attributes:
        epoch: The epoch; ``None`` if it follows none.
        number: The number of the last message.
        spare: Bytes that may be told privately without being encoded.
    """

    __slots__ = ("epoch", "number", "spare")

    def __init__(self) -> None:
        self.epoch: Any = None
        self.number = 0
        self.spare = 0

    def follows(self, encoding: Encoding) -> bool:
        """Whether the connection has had all that a message refers to."""
        return self.epoch is encoding.epoch and self.number + 1 == encoding.number

    def take(self, encoding: Encoding, size: int) -> None:
        """A message of an epoch is sent here: the next one, or the first.

        Args:
            encoding: The message.
            size: Its bytes before it was encoded.
        """
        if encoding.number == 1:
            self.epoch = encoding.epoch
            self.spare = 0
        self.number = encoding.number
        self.spare = min(self.spare + size, _MOST_SPARE)
        encoding.inside += 1

    def spend(self, size: int) -> bool:
        """Whether a private message of so many bytes need not be encoded; it counts then."""
        if size > self.spare:
            return False
        self.spare -= size
        return True
