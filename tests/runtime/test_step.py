"""An awaitable that is a coroutine without a frame."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from tests.lives import sources

#: Compiled, only modules that are compiled with it can have steps of their own; those are tested
#: by what they do.
LIVES = [pytest.param(sources("wsext.runtime.step"), id="source")]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def once(life: Any, act: Callable[[Any], Any]) -> Any:
    """A step that does something, which gives what to wait for or the result."""

    class Once(life.Step):  # type: ignore[misc]
        closed = False

        def step(self) -> Any:
            return act(self)

        def close(self) -> None:
            self.closed = True

    return Once()


@pytest.mark.parametrize("life", LIVES)
async def test_one_that_is_ready_at_once_waits_for_nothing(life: Any) -> None:
    def act(step: Any) -> str:
        step.ready = True
        return "result"

    assert await once(life, act) == "result"
    with pytest.raises(StopIteration) as caught:
        once(life, act).send(None)
    assert caught.value.value == "result"


@pytest.mark.parametrize("life", LIVES)
async def test_it_waits_for_what_it_gives_until_it_is_ready(life: Any) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    steps: list[str] = []

    def act(step: Any) -> Any:
        steps.append("step")
        if future.done():
            step.ready = True
            return future.result()
        return next(iter(future.__await__()))

    asyncio.get_running_loop().call_soon(future.set_result, "late")
    assert await once(life, act) == "late"
    assert steps == ["step", "step"]


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("error", [LookupError, LookupError("told")], ids=["kind", "value"])
def test_what_is_thrown_into_it_comes_out_and_it_is_closed(life: Any, error: Any) -> None:
    made = once(life, lambda step: None)
    with pytest.raises(LookupError):
        made.throw(error)
    assert made.closed


@pytest.mark.parametrize("life", LIVES)
def test_a_coroutine_is_advanced_in_a_context(life: Any) -> None:
    async def work() -> str:
        variable.set("inside")
        return variable.get()

    context = contextvars.copy_context()
    with pytest.raises(StopIteration) as caught:
        life.advance(context, work())
    assert caught.value.value == "inside"
    assert (variable.get(), context[variable]) == ("unset", "inside")
