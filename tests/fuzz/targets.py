"""What is fuzzed: a function of bytes each, which returns whatever the bytes are.

A target raises nothing but `AssertionError`, and that only for a fault of wsext: an exception that
is not documented, a limit that is passed, an outcome that depends on how the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.codecs import brotli, deflate, meta, seal, zstd
from tests.fuzz.frames import http2, wire
from tests.fuzz.handshakes import client, handshake, negotiation
from tests.fuzz.operator import broker, toml

__all__ = ["TARGETS"]

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(wire, http2, handshake, client, negotiation),
        *(deflate, zstd, brotli, meta, seal, broker, toml),
    )
}
