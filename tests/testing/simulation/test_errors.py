"""How a simulation fails reads as a list of what is wrong."""

from __future__ import annotations

from wsext.testing.simulation.errors import Deadlock, SimulationFailed


def test_every_finding_is_a_line_and_stays_at_hand() -> None:
    error = SimulationFailed(["a task still runs", "a timer is still set"])
    assert str(error) == "a task still runs\na timer is still set"
    assert error.findings == ("a task still runs", "a timer is still set")
    assert isinstance(error, AssertionError)


def test_a_standstill_names_the_tasks_or_says_that_there_is_none() -> None:
    assert str(Deadlock("nothing is ready", ["task 'a' waits"])) == (
        "nothing is ready\ntask 'a' waits"
    )
    error = Deadlock("nothing is ready", [])
    assert str(error) == "nothing is ready\nno task is left"
    assert (error.why, error.tasks) == ("nothing is ready", ())
