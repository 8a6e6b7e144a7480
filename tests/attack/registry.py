"""What an attack is, and which there are."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.attack.target import Target

__all__ = ["AREAS", "ATTACKS", "Attack", "attack", "load"]

#: The files with attacks.
AREAS = (
    "accepting",
    "handshake",
    "hosts",
    "frames",
    "compression",
    "http2",
    "rooms",
    "resuming",
    "logs",
    "workers",
    "client",
)

Run = Callable[[Target], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """An attack, and what it may cost.

    Attributes:
        name: In plain words.
        promise: The first cell of the row in SECURITY.md that it attacks.
        run: Does it.
        fronts: Where it applies, of `tests.attack.fronts.FRONTS`.
        sessions: How many sessions it holds at once; each may cost 8 MiB.
        seconds: How long it goes on in a full run.
        at_least: How long it goes on in any run, for what it waits for takes so long.
        options: Options of the server by path, such as ``server.max_connections``.
        args: More arguments of ``wsext serve``.
        descriptors: The server's limit of file descriptors; ``None`` leaves the system's.
        newcomers: Whether new connections have to be served meanwhile.
        ends_sessions: Whether honest sessions may end, as they do with the worker that has them.
        short: Whether it is part of the suite's short form, too.
    """

    name: str
    promise: str
    run: Run
    fronts: tuple[str, ...]
    sessions: int = 1
    seconds: float = 3
    at_least: float = 0
    options: tuple[tuple[str, Any], ...] = ()
    args: tuple[str, ...] = ()
    descriptors: int | None = None
    newcomers: bool = True
    ends_sessions: bool = False
    short: bool = True


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str,
    promise: str,
    *,
    fronts: Iterable[str],
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> Callable[[Run], Run]:
    """Register a function as an attack; see `Attack` for the arguments."""

    def register(run: Run) -> Run:
        assert name not in ATTACKS, f"two attacks are called {name!r}"
        given = tuple(sorted((options or {}).items()))
        ATTACKS[name] = Attack(name, promise, run, tuple(fronts), options=given, **how)
        return run

    return register


def load() -> dict[str, Attack]:
    """Import all areas; the attacks by name."""
    for area in AREAS:
        importlib.import_module(f"tests.attack.{area}")
    return ATTACKS
