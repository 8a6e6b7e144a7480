"""The pytest plugin: fixtures for tests in memory, and transcripts in the report of a failure.

It is registered by installing wsext. Nothing of wsext but this module is imported until a fixture
is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wsext import App
    from wsext.runtime.session import Session
    from wsext.sdk.plugins import Plugins
    from wsext.testing.peers import ClientSession, RawPeer
    from wsext.testing.transcript import Transcript

_key = pytest.StashKey[list["Transcript"]]()


@pytest.fixture
def wsext_app() -> App:
    """An empty `wsext.App`."""
    from wsext import App

    return App()


@pytest.fixture
def wsext_connect(
    wsext_transcripts: list[Transcript],
) -> Callable[..., AbstractAsyncContextManager[ClientSession]]:
    """`wsext.testing.connect`; its transcript is in the report when the test fails."""
    from wsext.testing import peers

    return _recording(peers.connect, wsext_transcripts)


@pytest.fixture
def wsext_pair(
    wsext_transcripts: list[Transcript],
) -> Callable[..., AbstractAsyncContextManager[tuple[ClientSession, Session]]]:
    """`wsext.testing.pair`, with its transcript in the report."""
    from wsext.testing import peers

    return _recording(peers.pair, wsext_transcripts)


@pytest.fixture
def wsext_raw_peer(
    wsext_transcripts: list[Transcript],
) -> Callable[..., AbstractAsyncContextManager[RawPeer]]:
    """`wsext.testing.raw_peer`, with its transcript in the report."""
    from wsext.testing import peers

    return _recording(peers.raw_peer, wsext_transcripts)


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


def _recording(opening: Callable[..., Any], transcripts: list[Transcript]) -> Callable[..., Any]:
    def recording(*arguments: Any, **options: Any) -> Any:
        from wsext.testing.transcript import Transcript

        transcripts.append(Transcript())
        return opening(*arguments, transcript=transcripts[-1], **options)

    recording.__doc__ = opening.__doc__
    return recording


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
