"""What a server's processes spend, by the kernel: memory, processor time, descriptors, log."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MIB", "Cost", "Meter", "machine", "tree"]

MIB = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _status(pid: int, name: str) -> int:
    """A line of ``/proc/PID/status``, in bytes; 0 if the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


def _processor(pid: int) -> float:
    """Seconds of a process and of its children that have ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0


def _descriptors(pid: int) -> int:
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


@dataclass(frozen=True)
class Cost:
    """What a server spent between two moments; bytes are above those at the first."""

    memory: int
    processor: float
    descriptors: int
    log_bytes: int
    log_lines: int
    seconds: float


class Meter:
    """Watches a server's processes.

    Args:
        pid: The first of them.
        log: The file that they log to.
    """

    EVERY = 0.1

    def __init__(self, pid: int, log: Path) -> None:
        self._pid = pid
        self._log = log

    def memory(self) -> int:
        """Resident bytes of all processes."""
        return sum(_status(pid, "VmRSS:") for pid in tree(self._pid))

    def descriptors(self) -> int:
        return sum(_descriptors(pid) for pid in tree(self._pid))

    def processor(self) -> float:
        return sum(_processor(pid) for pid in tree(self._pid))

    def begin(self) -> None:
        """Begin to watch; what is spent from now on counts."""
        for pid in tree(self._pid):
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # peaks begin anew
        self.memory_before = self._peak = self.memory()
        self.descriptors_before = self._most = self.descriptors()
        self._processor_before = self.processor()
        self._log_before = self._log.stat().st_size
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> Cost:
        """Stop watching."""
        self._stop.set()
        self._thread.join()
        peaks = sum(_status(pid, "VmHWM:") for pid in tree(self._pid))
        said = self.said()
        return Cost(
            max(self._peak, peaks) - self.memory_before,
            self.processor() - self._processor_before,
            self._most - self.descriptors_before,
            len(said),
            said.count(b"\n"),
            time.monotonic() - self._began,
        )

    def said(self) -> bytes:
        """What was logged since the beginning."""
        with self._log.open("rb") as file:
            file.seek(self._log_before)
            return file.read()

    def _watch(self) -> None:
        while not self._stop.wait(self.EVERY):
            self._peak = max(self._peak, self.memory())
            self._most = max(self._most, self.descriptors())


def machine() -> Iterator[str]:
    """Facts about this machine, in plain words."""
    yield f"{os.cpu_count()} cores"
    yield f"{platform.system()} {platform.release().partition('-')[0]}"
    yield f"Python {platform.python_version()}"
