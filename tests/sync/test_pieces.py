"""Messages in fragments that are made in the thread that sends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from wsext import ConnectionClosedError
from wsext.sync import BlockingSession


def test_messages_in_fragments(session: BlockingSession) -> None:
    thread = []

    def parts() -> Iterator[str]:
        for part in ("one ", "two ", "three"):
            thread.append(threading.current_thread())
            yield part

    fins: list[bool] = []
    end = session.trace(
        lambda direction, stage, frame: (
            (direction, stage) == ("out", "app") and fins.append(frame.fin)
        )
    )
    session.send(parts())
    end()
    assert fins == [False, False, False, True]
    assert session.receive() == "one two three"
    assert set(thread) == {threading.current_thread()}
    session.send(["a list", " of parts"])
    assert session.receive() == "a list of parts"
    session.send([])  # is no message
    with pytest.raises(TypeError, match="dict"):
        session.send({"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        session.send(["text", b"bytes"])
    with pytest.raises(ConnectionClosedError):  # nothing can take back the first part
        session.receive()


@pytest.mark.parametrize("is_over", [False, True])
def test_a_message_whose_parts_cannot_be_made_ends_the_session(
    session: BlockingSession, is_over: bool
) -> None:
    def parts() -> Iterator[str]:
        yield "one"
        if is_over:
            session.abort()
        raise LookupError("there is no other")

    with pytest.raises(LookupError):
        session.send(parts())
    assert not session.wait_closed(timeout=10).ok
    with pytest.raises(ConnectionClosedError):
        session.send(["more"])
