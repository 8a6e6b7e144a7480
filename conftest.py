"""What a run of the tests prints at its end, which event loops the tests run on, and what the
garbage collector need not look at."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests import tools


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Iterator[None]:
    """Say in one line, behind all else, what was left out and what brings it."""
    gc.unfreeze()  # Hypothesis, if it is imported only now, looks for what refers to trio's random
    yield
    reports = terminalreporter.stats.get("skipped", [])
    line = tools.left_out([report.longrepr[2] for report in reports])
    if line:
        terminalreporter.write_line(line, yellow=True)


def pytest_collection(session: pytest.Session) -> None:
    """While thousands of tests are found, next to nothing becomes garbage."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """They stay until the end, so that no collection of garbage has to look at them."""
    gc.freeze()
    gc.enable()


def _debugging() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]

#: The event loops on which the tests can be asked to run.
LOOPS: Loops = {
    "asyncio": asyncio.new_event_loop,
    "debug": _debugging,
    "eager": _eager,
    "uvloop": _uvloop,
}


class _Loops:
    """Gives each asynchronous test the loop that was asked for."""

    def __init__(self, name: str) -> None:
        self._chosen = {name: LOOPS[name]}

    def pytest_asyncio_loop_factories(
        self,
    ) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        return self._chosen


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--loop NAME``."""
    names = [name for name in LOOPS if name != "eager" or sys.version_info >= (3, 12)]
    parser.addoption("--loop", choices=names, help="the event loop that the tests run on")


def pytest_configure(config: pytest.Config) -> None:
    """Take the loop that was asked for."""
    name = config.getoption("loop")
    if name:
        config.pluginmanager.register(_Loops(name))
