"""The contexts of rooms: who is in a room hears it compressed with what was said there before."""

from __future__ import annotations

from wsext import RSV, Codec, Frame, PreparedMessage, SharedContext, SharedHistory
from wsext.protocol.connection import Connection
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage
from wsext.rooms.contexts import Contexts


class _History(SharedHistory):
    held_bytes = 1000  # type: ignore[assignment]

    def encode(self, frame: Frame) -> Frame:
        return frame


class _Codec(Codec):
    share_key = "key"  # type: ignore[assignment]
    has_history = True

    def encode(self, frame: Frame) -> Frame:
        return frame

    def make_history(self) -> SharedHistory:
        return _History()


def used() -> SharedContext:
    """A context in which something was said."""
    context = SharedContext()
    connection = Connection("server", Pipeline([Stage("x-any", _Codec(), RSV.NONE)]))
    assert connection.share_message(PreparedMessage("hello").within(context)) is not None
    return context


def test_those_go_that_were_used_the_longest_time_ago() -> None:
    contexts, (first, second, third) = Contexts(), (used(), used(), used())
    for context in (first, second, first, third):
        contexts.use(context, 2500)
    assert [context.held_bytes for context in (first, second, third)] == [1000, 0, 1000]
    assert contexts.size == 2000


def test_the_one_that_is_used_stays_however_little_is_allowed() -> None:
    contexts, (first, second) = Contexts(), (used(), used())
    contexts.use(first, 1)
    contexts.use(second, 1)
    assert (first.held_bytes, second.held_bytes, contexts.size) == (0, 1000, 1000)
    contexts.drop(second)
    contexts.drop(second)
    assert (second.held_bytes, contexts.size) == (0, 0)


def test_a_context_that_holds_nothing_counts_nothing() -> None:
    contexts = Contexts()
    contexts.use(SharedContext(), 1)
    contexts.drop_idle()
    assert contexts.size == 0
