"""The pytest plugin: fixtures for tests in memory, and transcripts in the report of a failure.

It is registered by installing wsext. Nothing of wsext but this module is imported until a fixture
is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wsext import App
    from wsext.sdk.plugins import Plugins
    from wsext.testing.transcript import Transcript

_key = pytest.StashKey[list["Transcript"]]()


@pytest.fixture
def wsext_app() -> App:
    """An empty `wsext.App`."""
    from wsext import App

    return App()


def _recording(name: str) -> Any:
    """A fixture: a function of `wsext.testing` that records a transcript for the report."""

    def fixture(wsext_transcripts: list[Transcript]) -> Callable[..., Any]:
        from wsext.testing import peers
        from wsext.testing.transcript import Transcript

        opening = getattr(peers, name)

        @wraps(opening)
        def recording(*arguments: Any, **options: Any) -> Any:
            wsext_transcripts.append(Transcript())
            return opening(*arguments, transcript=wsext_transcripts[-1], **options)

        return recording

    fixture.__doc__ = f"`wsext.testing.{name}`; its transcript is in the report of a failure."
    return pytest.fixture(fixture, name=f"wsext_{name}")


wsext_connect = _recording("connect")
wsext_pair = _recording("pair")
wsext_raw_peer = _recording("raw_peer")


@pytest.fixture
def wsext_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Plugins]]:
    """Let only some plugins be found: ``wsext_plugins(Foo, Bar)`` takes classes that need no
    installation; without a call the environment's stay."""
    from importlib.metadata import EntryPoint

    from wsext.sdk import plugins as module

    before = module.default_plugins()

    def use(*kinds: type[Any]) -> Plugins:
        entries = [
            EntryPoint(kind.name, f"{kind.__module__}:{kind.__qualname__}", module.GROUP)
            for kind in kinds
        ]
        made = module.Plugins(entries=entries)
        module.set_default_plugins(made)
        return made

    yield use
    module.set_default_plugins(before)


@pytest.fixture
def wsext_transcripts(request: pytest.FixtureRequest) -> list[Transcript]:
    """The transcripts of this test's connections, in the order of their opening."""
    transcripts: list[Transcript] = []
    request.node.stash[_key] = transcripts
    return transcripts


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Put the transcripts of a failed test into its report."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when != "call" or not report.failed:
        return
    transcripts: list[Transcript] = item.stash.get(_key, [])
    for number, transcript in enumerate(transcripts, 1):
        report.sections.append((f"wsext connection {number}", str(transcript)))
