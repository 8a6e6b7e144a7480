"""Every state transition of an open connection, as tables.

Two machines run side by side and know nothing of each other:

1. the **closing handshake** (RFC 6455 §7): which Close frames have travelled;
2. **fragmentation** (RFC 6455 §5.4): which message, if any, is half way, per direction.

A transition that is not in its table is illegal; what the code does with an illegal one
(fail the connection with 1002, or raise to the caller) depends on who asked for it. The opening
handshake is a third machine with two states; it ends before these begin and lives in
``handshake.py``.
"""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["CLOSING", "FRAGMENTS", "Happening", "Kind", "Partial", "State", "kind_of"]


class State(IntEnum):
    """Where the connection stands."""

    OPEN = 0
    CLOSE_SENT = 1  # ours is out, the peer's has not come
    CLOSE_RECEIVED = 2  # the peer's has come, ours is not out
    CLOSED = 3  # both travelled: a clean end
    FAILED = 4  # ended without a closing handshake


class Happening(Enum):
    """What can happen to a connection."""

    __hash__ = object.__hash__  # in C; that of an Enum is Python code

    SEND_DATA = "send data"
    RECEIVE_DATA = "receive data"
    SEND_CLOSE = "send Close"
    RECEIVE_CLOSE = "receive Close"
    FAIL = "fail"
    LOSE = "lose the transport"


S, H = State, Happening

CLOSING: dict[tuple[State, Happening], State] = {
    (S.OPEN, H.SEND_DATA): S.OPEN,
    (S.OPEN, H.RECEIVE_DATA): S.OPEN,
    (S.OPEN, H.SEND_CLOSE): S.CLOSE_SENT,
    (S.OPEN, H.RECEIVE_CLOSE): S.CLOSE_RECEIVED,
    (S.OPEN, H.FAIL): S.FAILED,
    (S.OPEN, H.LOSE): S.FAILED,
    # The peer may finish what it was sending before it answers our Close (RFC 6455 §7.1.2).
    (S.CLOSE_SENT, H.RECEIVE_DATA): S.CLOSE_SENT,
    (S.CLOSE_SENT, H.RECEIVE_CLOSE): S.CLOSED,
    (S.CLOSE_SENT, H.FAIL): S.FAILED,
    (S.CLOSE_SENT, H.LOSE): S.FAILED,
    (S.CLOSE_RECEIVED, H.SEND_CLOSE): S.CLOSED,
    (S.CLOSE_RECEIVED, H.FAIL): S.FAILED,
    (S.CLOSE_RECEIVED, H.LOSE): S.FAILED,
    (S.CLOSED, H.LOSE): S.CLOSED,
    (S.CLOSED, H.FAIL): S.CLOSED,
    (S.FAILED, H.LOSE): S.FAILED,
    (S.FAILED, H.FAIL): S.FAILED,
}


class Partial(IntEnum):
    """Which message is half way in one direction."""

    NONE = 0
    TEXT = 1
    BINARY = 2
    OTHER = 3  # a data opcode that an extension claimed


class Kind(IntEnum):
    """What a data frame is to fragmentation."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    OTHER = 3


#: (message half way, kind of the next data frame, its FIN bit) → message half way after it.
FRAGMENTS: dict[tuple[int, int, bool], Partial] = {
    (Partial.NONE, Kind.TEXT, True): Partial.NONE,
    (Partial.NONE, Kind.TEXT, False): Partial.TEXT,
    (Partial.NONE, Kind.BINARY, True): Partial.NONE,
    (Partial.NONE, Kind.BINARY, False): Partial.BINARY,
    (Partial.NONE, Kind.OTHER, True): Partial.NONE,
    (Partial.NONE, Kind.OTHER, False): Partial.OTHER,
    (Partial.TEXT, Kind.CONTINUATION, True): Partial.NONE,
    (Partial.TEXT, Kind.CONTINUATION, False): Partial.TEXT,
    (Partial.BINARY, Kind.CONTINUATION, True): Partial.NONE,
    (Partial.BINARY, Kind.CONTINUATION, False): Partial.BINARY,
    (Partial.OTHER, Kind.CONTINUATION, True): Partial.NONE,
    (Partial.OTHER, Kind.CONTINUATION, False): Partial.OTHER,
}


def kind_of(opcode: int) -> int:
    """What a data frame with this opcode is to fragmentation: a `Kind`."""
    return opcode if opcode < 3 else Kind.OTHER
