"""Named option sets: several options under one name that says what they are good for."""

from __future__ import annotations

from wsext import NamedOptionSet, hookimpl

__all__ = ["PRESETS"]

PRESETS = (
    NamedOptionSet(
        "low-memory",
        "Many mostly idle connections: small windows, no context kept between messages.",
        extensions={
            "permessage-deflate": {
                "level": 6,
                "mem_level": 2,
                "server_no_context_takeover": True,
                "client_no_context_takeover": True,
                "server_max_window_bits": 10,
                "client_max_window_bits": 10,
                "threshold": 128,
            }
        },
        websocket={
            "max_message_size": 256 * 1024,
            "incoming_capacity": 32,
            "incoming_bytes": 256 * 1024,
            "outgoing_bytes": 32 * 1024,
        },
    ),
    NamedOptionSet(
        "low-latency",
        "Small messages that must leave at once: light compression, only where it pays.",
        extensions={
            "permessage-deflate": {"level": 1, "mem_level": 8, "threshold": 512},
        },
        websocket={"ping_interval": 5.0, "ping_timeout": 5.0, "outgoing_bytes": 32 * 1024},
    ),
    NamedOptionSet(
        "max-compression",
        "Slow or paid-for networks: the largest windows and the highest level.",
        extensions={
            "permessage-deflate": {
                "level": 9,
                "mem_level": 9,
                "server_max_window_bits": 15,
                "client_max_window_bits": 15,
            }
        },
    ),
    NamedOptionSet(
        "market-data",
        "A feed of small, similar messages: context kept, old messages dropped for slow readers.",
        extensions={
            "permessage-deflate": {"level": 3, "mem_level": 8, "server_max_window_bits": 15}
        },
        websocket={
            "max_message_size": 64 * 1024,
            "outgoing_overflow": "drop-oldest",
            "ping_interval": 10.0,
            "ping_timeout": 10.0,
        },
        rooms={"overflow": "drop-oldest"},
    ),
)


@hookimpl
def wsext_option_sets() -> tuple[NamedOptionSet, ...]:
    """What this distribution brings."""
    return PRESETS
