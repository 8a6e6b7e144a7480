"""What exists before a process serves is left out of garbage collections."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.server.apps import echo_app
from wsext.server import running
from wsext.server.collecting import frozen


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    """Whatever others left frozen does not count here."""
    gc.unfreeze()
    yield
    assert gc.get_freeze_count() == 0


def test_what_exists_is_left_out_while_the_block_runs() -> None:
    kept = [[]]  # type: ignore[var-annotated]
    with frozen(True):
        assert not any(found is kept for found in gc.get_objects())
        later = [[]]  # type: ignore[var-annotated]
        assert any(found is later for found in gc.get_objects())
    assert any(found is kept for found in gc.get_objects())


def test_garbage_is_collected_before() -> None:
    class Node:
        ended = 0

        def __del__(self) -> None:
            Node.ended += 1

    node = Node()
    node.itself = node  # type: ignore[attr-defined]
    del node
    gc.disable()
    try:
        with frozen(True):
            assert Node.ended == 1
    finally:
        gc.enable()


def test_it_can_be_turned_off() -> None:
    with frozen(False):
        assert gc.get_freeze_count() == 0


def test_it_ends_with_an_error() -> None:
    with pytest.raises(LookupError), frozen(True):
        raise LookupError


@pytest.mark.parametrize("wanted", [True, False])
def test_an_app_that_runs_goes_by_its_option(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    app = echo_app(gc_freeze=wanted)
    found = []

    async def serve(*args: object) -> None:
        found.append(gc.get_freeze_count() > 0)

    monkeypatch.setattr(running, "serve_until_signal", serve)
    app.run()
    assert found == [wanted]
