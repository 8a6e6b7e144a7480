"""The waits between attempts."""

from __future__ import annotations

from wsext.runtime.backoff import Backoff


async def test_backoff_grows_to_its_maximum_with_jitter() -> None:
    delays = Backoff(initial=1, factor=2, maximum=8).delays()
    seen = [next(delays) for _ in range(10)]
    for delay, top in zip(seen, [1, 2, 4, 8, 8, 8, 8, 8, 8, 8], strict=True):
        assert 0 <= delay <= top


async def test_without_jitter_each_wait_is_the_longest() -> None:
    delays = Backoff(initial=1, factor=2, maximum=3, jitter=0).delays()
    assert [next(delays) for _ in range(3)] == [1, 2, 3]
