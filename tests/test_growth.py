"""The curves of growth: what is fitted, what is drawn, and one point measured for real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.test_benchmarks import BENCHMARKS, compiler, pytestmark

__all__ = ["compiler", "pytestmark"]


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import growth

    return growth


SIZES = (1, 8, 64, 20_000)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
def test_the_exponent_is_the_power_of_the_size(growth: ModuleType, power: float) -> None:
    costs = [3 * size**power for size in SIZES]
    assert growth.exponent(SIZES, costs) == pytest.approx(power)
    assert growth.steepest(SIZES, costs) == pytest.approx(power)


def test_a_late_rise_is_the_steepest_part(growth: ModuleType) -> None:
    costs = [1, 8, 64, 20_000 * 4]
    assert growth.exponent(SIZES, costs) < growth.steepest(SIZES, costs)


def summary(growth: ModuleType, name: str, costs: dict[int, float]) -> dict[str, object]:
    (curve,) = [curve for curve in growth.CURVES if curve.name == name]
    points = {size: growth.Point(cpu=[cost], memory=[100.0]) for size, cost in costs.items()}
    result: dict[str, object] = growth.summary(curve, points)
    return result


def test_a_message_that_costs_the_same_for_any_number_is_linear(growth: ModuleType) -> None:
    result = summary(growth, "members", {10: 2.5, 100: 2.5, 1000: 2.5})
    assert result["cpu"] == [25, 250, 2500]
    assert result["cpu exponent"] == pytest.approx(1)
    assert result["memory exponent"] == pytest.approx(0)


def test_of_codecs_what_they_add_is_fitted(growth: ModuleType) -> None:
    result = summary(growth, "codecs", {0: 7.0, 1: 7.1, 2: 7.4, 4: 8.6})
    assert result["cpu exponent"] == pytest.approx(2)
    assert "memory exponent" not in result  # they take none


def test_the_chart_is_an_image_of_every_curve(growth: ModuleType) -> None:
    curves = [
        summary(growth, "members", {10: 2.5, 100: 2.5, 1000: 3.5}),
        summary(growth, "codecs", {0: 7.0, 1: 7.1, 2: 7.4}),
    ]
    image = ElementTree.fromstring(growth.growth_page.chart({"curves": curves}))
    words = " ".join(image.itertext())
    for expected in ("members: CPU time", "codecs: CPU time", "too small to fit", "3.5 ms"):
        assert expected in words


def test_points_are_measured(tmp_path: Path) -> None:
    target = tmp_path / "growth.json"
    command = [sys.executable, str(BENCHMARKS / "growth.py"), "--rounds", "1", "--seconds", "0.5"]
    only = ["--only", "rooms", "--largest", "10", "--json", str(target)]
    done = subprocess.run(
        [*command, *only], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(target.read_text())
    assert results["left_out"] == []
    (curve,) = results["curves"]
    assert curve["sizes"] == [1, 10]
    assert all(cost > 0 for cost in curve["cpu"])
    assert all(cost >= 0 for cost in curve["memory"])  # there may have been room enough
    assert "### Rooms" in done.stdout
