"""Promises, timers and deadlines on trio."""

from __future__ import annotations

import asyncio
import math

import pytest
import trio

from tests.trio.peers import on_trio
from wsext import Codec, WebSocketOptions
from wsext.protocol.boundary import Boundary
from wsext.trio.waiting import Promise, TrioPatience, TrioTimers, close_rest, codec_deadline


async def pause(seconds: float) -> None:
    await trio.sleep(seconds)


@on_trio
async def test_a_promise_gives_its_value_to_who_waits_for_it() -> None:
    promise: Promise[float] = Promise()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def keep() -> None:
            await trio.testing.wait_all_tasks_blocked()
            assert not promise.done()
            promise.set_result(1.5)

        assert await promise.wait() == 1.5
    assert promise.done()


@on_trio
async def test_a_promise_can_be_an_error() -> None:
    promise: Promise[None] = Promise()
    promise.set_exception(KeyError("gone"))
    with pytest.raises(KeyError, match="gone"):
        await promise.wait()


@on_trio
async def test_timers_call_in_time_and_not_when_they_are_cancelled() -> None:
    timers, called = TrioTimers(), []
    timers.call_later(1, lambda: called.append(("early", timers.time())))
    async with trio.open_nursery() as nursery:
        began = timers.time()
        timers.start(nursery)
        timers.call_later(3, lambda: called.append(("late", timers.time())))
        timers.call_later(2, lambda: called.append(("never", 0))).cancel()
    assert called == [("early", began + 1), ("late", began + 3)]


@on_trio
async def test_timers_that_have_stopped_call_nobody() -> None:
    timers = TrioTimers()
    async with trio.open_nursery() as nursery:
        timers.start(nursery)
        timers.stop()
        timers.call_later(1, lambda: pytest.fail("it was called"))
    assert trio.current_time() < 1


@on_trio
async def test_patience_is_for_all_answers_together() -> None:
    patience = TrioPatience(5)
    await patience.wait(pause(3))
    with pytest.raises(TimeoutError, match="did not answer in time"):
        await patience.wait(pause(3))
    assert trio.current_time() == pytest.approx(5)


@on_trio
async def test_what_cancels_itself_as_on_asyncio_has_failed() -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="nobody has cancelled it"):
        await TrioPatience(math.inf).wait(cancels())


@on_trio
async def test_each_result_of_a_codec_has_a_time_of_its_own() -> None:
    wait = codec_deadline(5)
    for _ in range(2):
        await wait(pause(3), None, "encode")
    with pytest.raises(TimeoutError, match=r"took longer than 5 seconds \(codec_timeout\)"):
        await wait(pause(6), None, "encode")
    await codec_deadline(None)(pause(1000), None, "encode")


class _Slow(Codec):
    """Closes in its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.closed = False

    async def close(self) -> None:  # type: ignore[override]
        await trio.sleep(self.seconds)
        self.closed = True


@on_trio
async def test_codecs_are_closed_together_even_if_who_asks_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codecs = [_Slow(3), _Slow(4), _Slow(50)]
    with trio.CancelScope() as scope:
        scope.cancel()
        left = [Boundary("x-slow", codec) for codec in codecs]
        await close_rest(left, WebSocketOptions(close_timeout=8))
    await close_rest([], WebSocketOptions())
    assert trio.current_time() == pytest.approx(8)
    assert [codec.closed for codec in codecs] == [True, True, False]
    assert "did not answer in time" in caplog.text
