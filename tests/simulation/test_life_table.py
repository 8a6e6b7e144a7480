"""The life of a session as a table: whatever an application does, wherever it does it, the session
ends as DESIGN.md says ("One life of a session").

Each cell is run on several networks. Besides what is checked here, `simulate` checks that nothing
is left over, that every codec was closed once, and that every counter is at 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.simulation.life import BOUND, LARGE, STREAMED, Boom, Cell, Seen, play
from wsext import InvalidStatus
from wsext.testing import World, seeds, simulate

#: Networks that every cell is tried on.
NETWORKS = 4

SENDS = {"small": ["small"], "large": [LARGE], "stream": [STREAMED]}
DOINGS = [*SENDS, "close", "abort", "raise", "raise mapped", "be cancelled", "return"]

#: Where a session is not there yet, so nothing can be sent or closed.
TOO_EARLY = ("guard", "constructor")

#: (side, kind of handler) → the places in which it can act.
PLACES = {
    ("server", "coroutine"): ["guard", "wsext_session_opened", "handler", "task", "on_close"],
    ("server", "listener"): [
        *("guard", "constructor", "wsext_session_opened", "on_open"),
        *("task", "on_message", "on_close"),
    ],
    ("server", "raw"): ["guard", "wsext_session_opened", "handler", "task", "on_close"],
    ("client", "coroutine"): ["wsext_session_opened", "handler", "task", "on_close"],
}


def cells() -> Iterator[Cell]:
    """Every combination that can happen."""
    for (side, kind), places in PLACES.items():
        for http2 in (False, True):
            for where in places:
                for doing in DOINGS:
                    if _can_be(side, kind, where, doing):
                        yield Cell(side, http2, kind, where, doing)


def _can_be(side: str, kind: str, where: str, doing: str) -> bool:
    if where in TOO_EARLY and doing not in ("raise", "raise mapped", "be cancelled", "return"):
        return False
    if where == "guard" and doing == "raise mapped":
        return False  # there is no session to close yet
    if side == "client" and doing == "raise mapped":
        return False  # a client has no app
    # No task runs these two, so there is nothing to cancel.
    return not (where in ("on_message", "on_close") and doing == "be cancelled")


@dataclass(frozen=True)
class Expected:
    """What has to come of a cell.

    Attributes:
        codes: The close codes that are right, at either side.
        messages: What the observer gets; ``None`` if that is open.
        errors: How many errors are logged: the least and the most.
    """

    codes: frozenset[int]
    messages: list[str] | None
    errors: tuple[int, int] = (0, 0)


def expected(cell: Cell) -> Expected | None:
    """What has to come of a cell; ``None`` for a session that must not come to be."""
    where, doing, raw = cell.where, cell.doing, cell.kind == "raw"
    if where == "guard" and doing != "return":
        return None
    if where == "on_close":  # the observer or the client's block has closed it
        return Expected(frozenset({1000}), [], (0, 1 if doing.startswith("raise") else 0))
    if doing in SENDS:
        return Expected(frozenset({_quiet_end(cell)}), SENDS[doing])
    before = [] if where in TOO_EARLY or (raw and where == "wsext_session_opened") else ["before"]
    match doing:
        case "close":
            return Expected(frozenset({4001}), ["before"])
        case "abort":
            return Expected(frozenset({1006}), None)
        case "raise":
            codes = {1011, 1006} if raw else {1011}  # a raw session writes its own Close frames
            return Expected(frozenset(codes), before, (1 if cell.side == "server" else 0, 1))
        case "raise mapped":
            return Expected(frozenset({4403, 1006} if raw else {4403}), before)
        case "be cancelled" if where == "task":
            return Expected(frozenset({1000}), before)
        case "be cancelled":
            return Expected(frozenset({1006, 1001, 1011}), None)
        case _:
            return Expected(frozenset({_quiet_end(cell)}), before)


def _quiet_end(cell: Cell) -> int:
    """The code of a session that nothing special happens to."""
    return 1006 if cell.kind == "raw" and cell.where == "handler" else 1000


def check(cell: Cell, world: World, seen: Seen) -> None:
    """Compare what was seen with what has to be."""
    wanted = expected(cell)
    logged = [record.getMessage() for record in world.errors]
    assert seen.finished < BOUND, f"over only after {seen.finished} s"
    if wanted is None:
        assert seen.refused is not None
        assert seen.observer is None
        if cell.doing == "raise":
            assert isinstance(seen.refused, InvalidStatus)
            assert seen.refused.status == 500
        assert len(logged) == (cell.doing == "raise"), logged
        return
    if 1006 in wanted.codes and seen.refused is not None and cell.side == "server":
        return  # the connection was dropped before the answer to the handshake arrived
    assert seen.observer is not None, f"the observer has no session: {seen.refused!r}"
    assert seen.observer.code in wanted.codes, seen.observer
    if wanted.messages is not None:
        got = [message[:20] for message in seen.messages]
        assert seen.messages == wanted.messages, f"{got} arrived"
    if seen.actor is not None and cell.kind != "raw":
        assert seen.actor.code == seen.observer.code or 1006 in wanted.codes, (
            f"the actor has {seen.actor}, the observer {seen.observer}"
        )
    least, most = wanted.errors
    assert least <= len(logged) <= most, f"logged: {logged}"
    if cell.side == "client" and cell.where == "handler" and cell.doing == "raise":
        assert isinstance(seen.refused, Boom)


@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_a_session_ends_as_the_table_says(cell: Cell) -> None:
    async def scenario(world: World) -> None:
        check(cell, world, await play(world, cell))

    for seed in seeds(NETWORKS):
        simulate(scenario, seed)
