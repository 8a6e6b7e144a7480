"""How does a simulation fail?"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Deadlock", "SimulationFailed"]


class SimulationFailed(AssertionError):
    """The world was not left as it has to be.

    Attributes:
        findings: What is wrong, one text each.
    """

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = tuple(findings)


class Deadlock(SimulationFailed):
    """Nothing can happen any more, or nothing but going round in circles.

    Attributes:
        why: How the loop noticed.
        tasks: Every task that is not done, with what it waits for.
    """

    def __init__(self, why: str, tasks: Sequence[str]) -> None:
        waiting = tasks or ["no task is left"]
        super().__init__([why, *waiting])
        self.why = why
        self.tasks = tuple(tasks)
