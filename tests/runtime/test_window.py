"""A session's window: only time in which the process could run counts."""

from __future__ import annotations

from collections.abc import Callable

from wsext.runtime.window import Window


class Clock:
    """Timers that a test advances, also by leaps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        item = (self.now + delay, callback)
        self.due.append(item)
        return Handle(self, item)

    def advance(self, seconds: float) -> None:
        """Be somewhat later; what is due by then is called now."""
        self.now += seconds
        for item in [item for item in self.due if item[0] <= self.now]:
            self.due.remove(item)
            item[1]()


class Handle:
    def __init__(self, clock: Clock, item: tuple[float, Callable[[], None]]) -> None:
        self.clock = clock
        self.item = item

    def cancel(self) -> None:
        self.clock.due.remove(self.item)


def test_a_window_ends_after_its_seconds() -> None:
    clock, over = Clock(), []
    Window(clock, 2.5, lambda: over.append(clock.now))
    for _ in range(10):
        clock.advance(0.5)
    assert over == [2.5]
    assert clock.due == []


def test_a_process_that_was_stopped_does_not_find_the_window_over() -> None:
    clock, over = Clock(), []
    Window(clock, 10, lambda: over.append(clock.now))
    clock.advance(3600)
    assert not over
    for _ in range(9):
        assert not over
        clock.advance(1)
    assert over == [3609]


def test_a_window_that_is_stopped_never_ends() -> None:
    clock, over = Clock(), []
    window = Window(clock, 3, lambda: over.append(clock.now))
    clock.advance(1)
    window.stop()
    clock.advance(10)
    assert not over
    assert clock.due == []
