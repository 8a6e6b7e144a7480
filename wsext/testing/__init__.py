"""Tests without sockets: a simulated world, peers in memory, transcripts, the conformance kit.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: The names of each module, with blanks between; type checkers read the imports below instead.
_NAMES = {
    "wsext.testing.clock": "Clock",
    "wsext.testing.peers": "ClientSession RawPeer connect pair raw_peer",
    "wsext.testing.simulation.conditions": "Conditions calm mild rough",
    "wsext.testing.simulation.errors": "Deadlock SimulationFailed",
    "wsext.testing.simulation.run": "seeds simulate",
    "wsext.testing.simulation.world": "World",
    "wsext.testing.suite": "ExtensionSuite InterceptorSuite",
    "wsext.testing.transcript": "Transcript",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

if TYPE_CHECKING:
    from wsext.testing.clock import Clock as Clock
    from wsext.testing.peers import ClientSession as ClientSession
    from wsext.testing.peers import RawPeer as RawPeer
    from wsext.testing.peers import connect as connect
    from wsext.testing.peers import pair as pair
    from wsext.testing.peers import raw_peer as raw_peer
    from wsext.testing.simulation.conditions import Conditions as Conditions
    from wsext.testing.simulation.conditions import calm as calm
    from wsext.testing.simulation.conditions import mild as mild
    from wsext.testing.simulation.conditions import rough as rough
    from wsext.testing.simulation.errors import Deadlock as Deadlock
    from wsext.testing.simulation.errors import SimulationFailed as SimulationFailed
    from wsext.testing.simulation.run import seeds as seeds
    from wsext.testing.simulation.run import simulate as simulate
    from wsext.testing.simulation.world import World as World
    from wsext.testing.suite import ExtensionSuite as ExtensionSuite
    from wsext.testing.suite import InterceptorSuite as InterceptorSuite
    from wsext.testing.transcript import Transcript as Transcript

__all__ = sorted(_HOMES)  # built from the table above


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wsext.testing' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
