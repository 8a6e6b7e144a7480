"""How many bytes does a session hold, what holds them, and how many may it be?

Every part of a session knows its own bytes. Nothing is added up beforehand: it costs nothing while
nobody asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wsext.runtime.life import life_of
from wsext.runtime.outbox import most_entries
from wsext.runtime.read_path import READ_SIZE
from wsext.runtime.session_path import SessionPath
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.extension import Installable

__all__ = ["Held"]

#: What one message takes beside its bytes, at most: in the inbox and in the outbox.
_ITEM = 2048
_ENTRY = 512


class Held(NamedTuple):
    """Bytes that one session holds, by what holds them. Ask with `Held.of`.

    What the application has in its own hands is not in it.

    Attributes:
        inbox: Received messages that wait for the application.
        undecoded: What was read and is not decoded yet.
        partial: The frame and the message that are not complete.
        codecs: The state of the extensions, as far as they tell.
        outbox: Messages that wait to be sent or acknowledged, also those of rooms; one that waits
            in several sessions is in memory once, and counts in each.
        transport: What was written and the operating system has not taken.
    """

    inbox: int
    undecoded: int
    partial: int
    codecs: int
    outbox: int
    transport: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    @classmethod
    def of(cls, session: SessionPath) -> Held:
        """What a session holds now; once it has ended, that is what nobody has received."""
        life = life_of(session)
        if life.info is not None:
            return cls(session._inbox.size, 0, 0, 0, 0, 0)
        connection = session._connection
        return cls(
            session._inbox.size,
            connection.undecoded_bytes,
            connection.partial_bytes,
            connection.pipeline.held_bytes,
            life.outbox_bytes + (0 if life.journal is None else life.journal.kept_bytes),
            life.link.unwritten,
        )

    @classmethod
    def at_most(
        cls, options: WebSocketOptions, extensions: Iterable[Installable] = (), *, rooms: int = 0
    ) -> Held:
        """The most that a peer can make a session hold, whatever it sends, and if it never reads.

        An extension that does not tell (`Extension.memory_estimate`) counts as one message. What
        the application sends by itself may be larger than what it receives; that is not in it.

        Args:
            options: Of the session.
            extensions: Those that may be agreed, as they are installed.
            rooms: Bytes that may wait for it in rooms: ``queue_bytes`` of each room that it is in.
        """
        message = options.max_message_size
        estimates = [kind.memory_estimate() for kind in extensions]
        # What is encoded may be larger than what it stands for.
        wire = message + (message >> 2) + 1024 if estimates else message
        codecs = [wire if estimate is None else estimate for estimate in estimates]
        waiting = options.outgoing_bytes + rooms
        return cls(
            options.incoming_bytes + message + (options.incoming_capacity + 1) * _ITEM,
            2 * READ_SIZE,
            min(wire, options.max_frame_size or wire) + message + (message >> 3),
            sum(codecs),
            waiting + message + most_entries(waiting) * _ENTRY,
            options.outgoing_bytes + message,
        )
