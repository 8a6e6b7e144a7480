"""Which session does an id name?"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Hashable
from hashlib import sha256

from wsext import Journal, Session

__all__ = ["Kept", "Store", "worker_in"]

#: Random bytes of an id: 192 bits, which nobody guesses.
_RANDOM = 24

#: What stands between the random part of an id and the worker that made it.
_MARK = "."

_MINUTE = 60.0

#: Later ids than the one that the client has offered, of which it may have any.
_LATER = 3


def worker_in(text: str) -> str:
    """The worker that an id names; empty if it names none. Anybody can write it there."""
    return text.partition(_MARK)[2]


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()


class Kept:
    """One session that can be resumed.

    Args:
        journal: What moves from one of its connections to the next.
        rate: Resumptions that it may have at once.

    Attributes:
        hash: Of the last id.
        before: The hashes of other ids that its client may have, the later ones first.
        peer: Who it counts for while it has no connection; ``None`` is nobody.
        size: Bytes that it keeps, when they were counted last.
    """

    __slots__ = (
        *("_arrived_before", "_since", "_turns"),
        *("before", "hash", "journal", "peer", "size"),
    )

    def __init__(self, journal: Journal, rate: float) -> None:
        self.journal = journal
        self.hash = b""
        self.before: tuple[bytes, ...] = ()
        self.peer: Hashable = None
        self.size = 0
        self._arrived_before = 0  # what had come when the last id was given
        self._turns = rate
        self._since = 0.0

    def give_id(self, worker: str, offered: str | None = None) -> str:
        """A new id.

        Args:
            worker: The worker that has the session; empty without workers.
            offered: The id that the client has come back with. It is forgotten with those before
                it once it comes back with a later one.
        """
        text = secrets.token_urlsafe(_RANDOM) + (_MARK + worker if worker else "")
        if offered is not None:
            # An answer may be lost, and a handshake that the client has given up may be answered
            # after the next one. So it may have any id that it was given since.
            hashes = self.hashes
            at = hashes.index(_hash(offered))
            self.before = (*hashes[:at][:_LATER], hashes[at])
        self.hash = _hash(text)
        self._arrived_before = self._arrived
        return text

    @property
    def session(self) -> Session | None:
        """The session; ``None`` before it has begun, and after it has ended."""
        session: Session | None = self.journal.session
        return session

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Of all ids that its client may have, the last one first."""
        return self.hash, *self.before

    @property
    def is_confirmed(self) -> bool:
        """Whether something has come since the last id was given: then the client has it."""
        return self._arrived > self._arrived_before

    @property
    def _arrived(self) -> int:
        # Whoever has a connection with an old session acknowledges first what it has received.
        return self.journal.acks + self.journal.received

    def take_turn(self, rate: float) -> bool:
        """Count a resumption; ``False`` if there were more than ``rate`` in the last minute."""
        now = asyncio.get_running_loop().time()
        self._turns = min(self._turns + (now - self._since) * rate / _MINUTE, rate)
        self._since = now
        if self._turns < 1:
            return False
        self._turns -= 1
        return True


class Store:
    """The sessions that can be resumed, by the hashes of their ids; no id is kept."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Kept] = {}

    def find(self, text: str) -> Kept | None:
        """The session of an id; ``None`` if there is none.

        Raises:
            LookupError: If the client has got a later id.
        """
        digest = _hash(text)
        kept = self._kept.get(digest)
        if kept is not None and digest != kept.hash and kept.is_confirmed:
            raise LookupError("a later id was given")
        return kept

    def add(self, kept: Kept) -> None:
        """A session can be found from now on."""
        for digest in kept.hashes:
            self._kept[digest] = kept

    def remove(self, kept: Kept) -> None:
        """It has ended."""
        for digest in kept.hashes:
            self._kept.pop(digest, None)

    def renew(self, kept: Kept, worker: str, offered: str) -> str:
        """Give a session that is resumed its next id."""
        self.remove(kept)
        text = kept.give_id(worker, offered)
        self.add(kept)
        return text
