"""Tests without sockets: a simulated world, peers in memory, transcripts, the conformance kit.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_NAMES = {
    "ExtensionSuite": "wsext.testing.suite",
    "InterceptorSuite": "wsext.testing.suite",
    "Clock": "wsext.testing.clock",
    "Transcript": "wsext.testing.transcript",
    "ClientSession": "wsext.testing.peers",
    "RawPeer": "wsext.testing.peers",
    "connect": "wsext.testing.peers",
    "pair": "wsext.testing.peers",
    "raw_peer": "wsext.testing.peers",
    "Conditions": "wsext.testing.simulation.conditions",
    "calm": "wsext.testing.simulation.conditions",
    "mild": "wsext.testing.simulation.conditions",
    "rough": "wsext.testing.simulation.conditions",
    "Deadlock": "wsext.testing.simulation.errors",
    "SimulationFailed": "wsext.testing.simulation.errors",
    "seeds": "wsext.testing.simulation.run",
    "simulate": "wsext.testing.simulation.run",
    "World": "wsext.testing.simulation.world",
}

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

__all__ = sorted(_NAMES)  # built from the table above


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'wsext.testing' has no attribute {name!r}")
    value = getattr(import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
