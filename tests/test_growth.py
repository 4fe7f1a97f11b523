"""How the cost grows: each point in a process of its own, tables from what was measured."""

import pytest

from training.bench import growth
from training.spec import SpecError


def test_each_point_changes_one_thing():
    points = growth.plan("final")
    assert [p["what"] for p in points].count("width") == len(growth.POINTS["width"][1])
    wide = next(p for p in points if p["what"] == "width" and p["value"] == 2)
    assert wide["spec"].network.width == 2 and wide["spec"].fit.batch_size == 64
    assert next(p for p in points if p["what"] == "classes" and p["value"] == 1000)["spec"].network.classes == 1000
    with pytest.raises(SpecError, match="final"):
        growth.plan("finl")


def test_a_point_is_measured_in_its_own_process_and_told():
    point = growth.plan("basenet-norm-aug")[0]
    point["measured"] = [growth._process(point["spec"], 0.05)]
    found = point["measured"][0]
    assert found["ms"] > 0 and found["cpu_ms"] > 0 and found["peak_mb"] > found["alone_mb"] > 100
    summary = growth._summary(point)
    assert summary["images_per_second"] == pytest.approx(16e3 / found["ms"])
    lines = growth.tables({"device": found["device"], "rounds": 1, "points": [summary]})
    assert lines[-1].startswith("| batch size 16 |") and lines[-1].count("|") == lines[-2].count("|") == 8
