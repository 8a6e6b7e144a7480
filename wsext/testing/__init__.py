"""Tests without sockets: peers in memory, a clock that a test moves, transcripts, the kit.

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
}

if TYPE_CHECKING:
    from wsext.testing.clock import Clock as Clock
    from wsext.testing.peers import ClientSession as ClientSession
    from wsext.testing.peers import RawPeer as RawPeer
    from wsext.testing.peers import connect as connect
    from wsext.testing.peers import pair as pair
    from wsext.testing.peers import raw_peer as raw_peer
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
