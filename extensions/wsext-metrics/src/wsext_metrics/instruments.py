"""What is counted: the instruments, made once per process, and the page that shows them.

With several workers prometheus-client keeps the values in files of ``PROMETHEUS_MULTIPROC_DIR``,
which ``wsext serve --workers`` sets; any worker can then answer for all.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

__all__ = ["Instruments", "instruments", "is_shared", "page"]

_DURATIONS = (0.1, 1, 10, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600)
_ABSENCES = (0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Instruments:
    """Everything that is counted."""

    def __init__(self) -> None:
        self.build = Gauge(
            "wsext_build_info", "What serves; always 1.", ["version", "python", "codec", "loop"],
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.sessions = Gauge(
            "wsext_sessions", "Sessions now.", ["route"], multiprocess_mode="livesum"
        )
        self.handshakes = Counter("wsext_handshakes", "Answered requests.", ["route", "status"])
        self.limits = Counter(
            "wsext_limits", "How often a peer reached a limit, by the option's name.", ["limit"]
        )
        self.closes = Counter(
            "wsext_closes", "Sessions that ended, by close code and who closed.",
            ["route", "code", "by"],
        )  # fmt: skip
        self.duration = Histogram(
            "wsext_session_duration_seconds", "How long sessions lasted.", ["route"],
            buckets=_DURATIONS,
        )  # fmt: skip
        self.detached = Gauge(
            "wsext_detached_sessions", "Sessions without a connection, which can be resumed.",
            ["route"], multiprocess_mode="livesum",
        )  # fmt: skip
        self.away = Histogram(
            "wsext_detached_seconds", "How long resumed sessions had no connection.", ["route"],
            buckets=_ABSENCES,
        )  # fmt: skip
        self.replayed = Counter(
            "wsext_replayed_messages", "Messages that were written again on a new connection.",
            ["route"],
        )  # fmt: skip
        self.replayed_bytes = Counter(
            "wsext_replayed_bytes", "Their bytes, as applications see them.", ["route"]
        )
        self.events = Counter(
            "wsext_extension_events", "What extensions count themselves.", ["extension", "event"]
        )
        self.messages = Counter("wsext_messages", "Whole messages.", ["route", "direction"])
        self.app_bytes = Counter(
            "wsext_app_bytes", "Payload as applications see it.", ["route", "direction"]
        )
        self.wire_bytes = Counter(
            "wsext_wire_bytes", "Payload as it travels, encoded.", ["route", "direction"]
        )
        self.dropped = Counter(
            "wsext_dropped_messages", "Messages dropped by an overflow policy.",
            ["route", "direction"],
        )  # fmt: skip
        self.slow = Counter(
            "wsext_slow_consumers", "Sessions closed, or robbed of messages, for reading slowly.",
            ["route"],
        )  # fmt: skip
        self.outgoing = Gauge(
            "wsext_outgoing_bytes", "Bytes that wait for peers to read.", ["route"],
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.incoming = Gauge(
            "wsext_incoming_messages", "Messages that wait for the application.", ["route"],
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.held = Gauge(
            "wsext_held_bytes", "Bytes in memory, by what holds them.", ["share"],
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.said = Counter("wsext_room_messages", "Broadcasts in rooms.")
        self.copies = Counter(
            "wsext_room_copies", "What became of a broadcast's copies for members.", ["outcome"]
        )
        self.recovered = Counter(
            "wsext_room_recovered", "Members that came back and missed nothing."
        )
        self.missed = Counter("wsext_room_missed", "Members that have missed messages.", ["reason"])
        self.room_replayed = Counter(
            "wsext_room_replayed_messages", "Messages that were sent again."
        )
        self.room_replayed_bytes = Counter("wsext_room_replayed_bytes", "Bytes of these.")
        self.kept = Gauge(
            "wsext_room_history_bytes", "What the last messages of rooms take.",
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.connected = Gauge(
            "wsext_backplane_connected", "Whether every worker reaches the broker.",
            multiprocess_mode="livemin",
        )  # fmt: skip
        self.reconnects = Counter("wsext_backplane_reconnects", "Connections made again.")
        self.between = Counter(
            "wsext_backplane_messages", "Messages between processes.", ["outcome"]
        )
        self.queued = Gauge(
            "wsext_backplane_queued_messages", "Messages that wait for the broker.",
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.sampled = Counter("wsext_sampled_sessions", "Sessions whose extensions are measured.")
        self.extension_bytes = Counter(
            "wsext_extension_bytes", "Payload at both sides of an extension; sampled sessions.",
            ["extension", "direction", "side"],
        )  # fmt: skip
        self.extension_seconds = Counter(
            "wsext_extension_seconds", "Time spent in an extension; sampled sessions.",
            ["extension", "direction"],
        )  # fmt: skip


@cache
def instruments() -> Instruments:
    """The instruments of this process, whatever number of apps it has."""
    return Instruments()


def is_shared() -> bool:
    """Whether other processes count, too."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def page(is_open_metrics: bool) -> tuple[bytes, str]:
    """All metrics of all workers, as OpenMetrics or as Prometheus' own text, and the content type.

    Reads files and takes its time: call it in a thread.
    """
    wanted = "application/openmetrics-text; version=1.0.0" if is_open_metrics else ""
    encoder, content_type = choose_encoder(wanted)
    registry: CollectorRegistry = REGISTRY
    if is_shared():
        _forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return encoder(registry), content_type


def _forget_the_dead(folder: Path) -> None:
    """Workers that were killed have no sessions any more."""
    for path in folder.glob("gauge_live*.db"):
        found = re.search(r"_(\d+)\.db$", path.name)
        if found is not None and not _is_alive(int(found[1])):
            with suppress(FileNotFoundError):  # another worker was faster
                mark_process_dead(int(found[1]))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
