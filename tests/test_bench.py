"""The benchmark measures what it says; its figures are never compared with a target here."""

import json
import multiprocessing

import numpy as np
import pytest

from training import catalogue
from training.bench import side_by_side, sides
from training.cli import app
from training.network_spec import Network
from training.spec import RunSpec

NETWORK = Network(
    input_shape=(8, 8, 3),
    blocks=[{"kind": "conv", "filters": 4}, {"kind": "pool"}, {"kind": "conv", "filters": 4}, {"kind": "flatten"}],
    classes=3,
    batch_norm="all",
)
SPEC = RunSpec(name="tiny", network=NETWORK).replace({"fit.batch_size": 4, "data.augmentation.horizontal_flip": True})


def test_all_sides_take_turns(monkeypatch):
    monkeypatch.setattr(sides, "PICTURES", 40)
    monkeypatch.setattr(side_by_side, "AT_ONCE", 2)
    monkeypatch.setattr("training.hardware.computes_bfloat16", lambda: False)  # half the sides, half the time
    result = side_by_side.compare(SPEC, rounds=2, seconds=0.001)
    names = {(figure["side"], figure["format"]) for figure in result["sides"]} - {(sides.TORCH, "float32")}
    assert names == {
        (name, "float32")
        for name in (
            sides.ENGINE, sides.INPUT, sides.BOUND, sides.FIT, sides.FED, sides.MANY.format(2),
        )
    }  # fmt: skip
    assert not multiprocessing.active_children()
    assert {ratio["promise"] for ratio in result["ratios"]} >= {"at least 3.0", "at least 4.0"}
    for figure in result["sides"]:
        assert figure["ms"] > 0
        assert len(figure["all_ms"]) == 2
    lines = "\n".join(side_by_side.table("tiny", result))
    assert "### tiny" in lines
    assert all(f"| {name} | {kind} |" in lines for name, kind in names)
    json.dumps(result)


def test_ratios_are_medians_of_the_rounds():
    spec = catalogue.variant("final").spec
    measured = [
        sides.Side(sides.ENGINE, "float32", print, wall=[10.0, 20.0, 60.0], cpu=[20.0, 20.0, 20.0]),
        sides.Side(sides.BOUND, "float32", print, wall=[10.0, 10.0, 50.0], cpu=[10.0, 16.0, 20.0]),
        sides.Side(sides.FIT, "float32", print, wall=[10.0, 40.0, 120.0], cpu=[1.0, 1.0, 1.0]),
    ]
    found = {(r["of"][0], r["to"][0]): r for r in side_by_side.ratios(spec, measured)}
    bound = found[sides.ENGINE, sides.BOUND]
    assert (bound["ratio"], bound["cpu_ratio"]) == (1.2, 1.25)
    assert side_by_side.met(bound) == (True, True)
    assert found[sides.FIT, sides.ENGINE]["ratio"] == 2.0
    assert side_by_side.verdict(found[sides.FIT, sides.ENGINE]) == "met by wall time alone"
    assert len(found) == 2  # no promise about sides that did not run


def test_promises_depend_on_the_size():
    words = {name: str(side_by_side.promised(catalogue.variant(name).spec)) for name in ("final", "basenet-norm-aug")}
    assert sides.BOUND in words["final"]
    assert sides.FED not in words["final"]
    assert sides.FED in words["basenet-norm-aug"]


def test_a_wrong_name_is_told(capsys):
    assert side_by_side.main(["no-such-network"]) == app.main(["bench", "no-such-network"]) == 2
    assert "no-such-network" in capsys.readouterr().err


def test_a_head_is_refused_before_anything_is_measured(capsys):
    assert side_by_side.main(["birds-fc-basic"]) == 2
    assert "birds-fc-basic is a head on a pretrained network" in capsys.readouterr().err


def test_the_bound_does_every_convolution():
    """Twice the batch, about twice the work: nothing was left out by the graph's optimizer."""
    times = []
    for size in (16, 256):
        spec = catalogue.variant("final-bottleneck").spec.replace({"fit.batch_size": size, "network.width": 0.25})
        run = sides._convolutions(spec, "float32")
        run(1)
        side = sides.Side("", "", run)
        for _ in range(3):
            side.measure()
        times.append(min(side.cpu))
    assert times[1] > 4 * times[0]


@pytest.mark.parametrize("steps", [1, 3])
def test_the_input_side_augments(steps):
    from types import SimpleNamespace

    from training.engine.engine import Engine

    random = np.random.default_rng(0)
    data = SimpleNamespace(
        name="noise", images=random.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8),
        labels=random.integers(0, 3, 20), class_names=("a", "b", "c"),
    )  # fmt: skip
    assert np.isfinite(sides._input_alone(Engine(SPEC, data))(steps))
