"""The life of a session, from its first byte to its last reference, as a table.

A session is what the application holds. A connection is one transport with its engine
(`wsext.runtime.link`). A session has one connection at a time, and may get another one. The table
says which stages there are, what may happen in each, and where that leads. What is not in the table
cannot happen.

========= ==========================================================================================
stage     who does what
========= ==========================================================================================
NEW       A server or client has made the session; nothing can be written yet.
OPENING   The connection is attached: what is written from now on is sent. The hook
          `wsext_session_opened`, the listener's constructor and its ``on_open`` run.
OPEN      Messages are delivered, the handler runs.
CLOSING   The closing handshake has begun, or the connection has failed. Nothing more is delivered
          once the peer's Close frame has come.
DETACHED  The connection is gone, and another one is to come. What is sent waits in the outbox, and
          so does a Close frame: the closing handshake begins with the next connection.
ENDED     The last connection is gone: ``on_close``, the hook `wsext_session_closed` and the close
          callbacks have run. The handler may still run.
RELEASED  The handler and all tasks are done. Nothing refers to the session any more.
========= ==========================================================================================
"""

from __future__ import annotations

from enum import Enum

__all__ = ["LIFE", "LifeEvent", "LifeStage"]


class LifeStage(Enum):
    """Where a session stands."""

    __hash__ = object.__hash__  # in C; that of an Enum is Python code, and every life looks here

    NEW = "new"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    DETACHED = "detached"
    ENDED = "ended"
    RELEASED = "released"


class LifeEvent(Enum):
    """What can happen to a session."""

    __hash__ = object.__hash__

    ATTACH = "a connection is attached"
    OPENED = "hooks and listener have run"
    CLOSE = "the end begins"
    DETACH = "the connection is gone, another one is to come"
    LOSE = "the last connection is gone"
    RELEASE = "handler and tasks are done"


# Here the members are at hand: for `LifeStage.OPEN`, Python 3.11 makes a call.
NEW, OPENING, OPEN, CLOSING, DETACHED, ENDED, RELEASED = LifeStage
ATTACH, OPENED, CLOSE, DETACH, LOSE, RELEASE = LifeEvent

LIFE: dict[tuple[LifeStage, LifeEvent], LifeStage] = {
    (NEW, ATTACH): OPENING,
    (NEW, LOSE): ENDED,
    (OPENING, OPENED): OPEN,
    (OPENING, CLOSE): CLOSING,
    (OPENING, LOSE): ENDED,
    (OPEN, CLOSE): CLOSING,
    (OPEN, DETACH): DETACHED,
    (OPEN, LOSE): ENDED,
    (DETACHED, ATTACH): OPEN,
    (DETACHED, CLOSE): DETACHED,
    (DETACHED, LOSE): ENDED,
    (CLOSING, OPENED): CLOSING,
    (CLOSING, CLOSE): CLOSING,
    (CLOSING, DETACH): DETACHED,
    (CLOSING, LOSE): ENDED,
    (ENDED, OPENED): ENDED,
    (ENDED, CLOSE): ENDED,
    (ENDED, RELEASE): RELEASED,
}
