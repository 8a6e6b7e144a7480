"""The table of a session's life."""

from __future__ import annotations

from wsext.runtime.stages import LIFE, LifeEvent, LifeStage


def test_every_stage_but_the_first_is_reached_and_every_stage_but_the_last_is_left() -> None:
    reached = {LifeStage.NEW, *LIFE.values()}
    left = {stage for stage, _ in LIFE}
    assert reached == set(LifeStage)
    assert left == set(LifeStage) - {LifeStage.RELEASED}
    assert {event for _, event in LIFE} == set(LifeEvent)
