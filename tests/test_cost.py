"""The estimate of a training's time: its shape, and how trainings correct it."""

import json
import math
import os
from pathlib import Path

import pytest

from tests import small
from training import catalogue, cost, describe, rundir
from training.card import COMPUTING
from training.engine import batches, optimizer
from training.spec import RunSpec


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(cost, "machine", lambda: cost.Machine(1e11, 5e10, 2))
    return tmp_path


def spec(name: str, **changes: object) -> RunSpec:
    return catalogue.variant(name).spec.replace({key.replace("__", "."): value for key, value in changes.items()})


def trained(folder: Path, spec: RunSpec, seconds: float, pictures: int = 11_250, **fields: object) -> None:
    """A run directory with two epochs that took so long."""
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(spec.to_json())
    (folder / "card.json").write_text(json.dumps(small.card({"train": pictures}, **fields)))
    figures = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    epochs = [{"kind": "epoch", "epoch": n, "step": n, **figures, "seconds": seconds} for n in (1, 2)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in epochs))


def test_more_work_takes_longer() -> None:
    seconds = [
        cost.estimate(s).epoch_seconds
        for s in (spec("basenet"), spec("basenet-norm-aug"), spec("basenet-bn"), spec("final"), spec("provisional"))
    ]
    assert seconds == sorted(seconds) and seconds[-1] > 50 * seconds[0]
    assert cost.estimate(spec("final-bottleneck")).epoch_seconds < cost.estimate(spec("final")).epoch_seconds
    large, small = (cost.estimate(spec("basenet", fit__batch_size=size)).step_seconds for size in (256, 64))
    assert large > 2 * small


def test_muon_costs_the_same_in_a_step_of_any_batch() -> None:
    more = [
        cost.estimate(spec("plumage", fit__batch_size=size, fit__optimizer="muon")).step_seconds
        - cost.estimate(spec("plumage", fit__batch_size=size)).step_seconds
        for size in (32, 128)
    ]
    assert more[0] == pytest.approx(more[1])
    step = cost.estimate(spec("plumage", fit__batch_size=64)).step_seconds
    assert 0.02 * step < more[0] < 0.3 * step
    assert cost.estimate(spec("plumage", fit__optimizer="adam")).step_seconds == step


@pytest.mark.parametrize("name", ["plumage", "sprint", "final"])
def test_muon_s_work_is_counted_for_the_kernels_that_it_moves(name: str) -> None:
    from training.engine import model

    network = spec(name).network
    variables = model.trainable(model.build(network))
    moved = [tuple(v.shape) for key, v in variables.items() if optimizer.is_matrix(key, v.shape)]
    work = sum(optimizer.orthogonal_macs(math.prod(shape[:-1]), shape[-1]) for shape in moved)
    machine = cost.Machine(1e11, 5e10, 2)
    told = cost._muon_work(spec(name, fit__optimizer="muon"), describe.describe(network), machine)
    assert moved and told == pytest.approx(cost.ARITHMETIC * 2 * work / machine.flops)


def test_a_training_by_sgd_says_what_adam_takes_and_less_of_muon(here: Path) -> None:
    trained(here / "runs" / "one", spec("basenet"), seconds=12.0)
    assert cost.estimate(spec("basenet", fit__optimizer="adam")).basis.startswith("measured")
    assert cost.estimate(spec("basenet", fit__optimizer="muon")).basis.startswith("estimated, corrected")


def test_the_work_of_muon_is_that_of_its_products() -> None:
    # Five times x x' (2 rows, 3 columns: 4 x 3 multiply-adds), its square (4 x 2) and the product with x (4 x 3).
    assert optimizer.orthogonal_macs(2, 3) == optimizer.orthogonal_macs(3, 2) == 5 * (12 + 8 + 12)


def test_the_steps_of_an_epoch_are_the_reports_two_readings() -> None:
    assert batches.steps_per_epoch(spec("basenet").fit, cost.PICTURES) == 176
    assert batches.steps_per_epoch(spec("basenet", fit__epoch_length="test set").fit, cost.PICTURES) == 35


def test_a_training_of_the_same_design_is_what_the_estimate_says(here: Path) -> None:
    base = spec("basenet")
    assert "correct" in cost.estimate(base).basis
    trained(here / "runs" / "one", base, seconds=12.0)
    again = cost.estimate(spec("basenet", fit__seed=3, fit__epochs=2))
    assert again.epoch_seconds == pytest.approx(12.0) and again.basis.startswith("measured")
    # Other designs are corrected by the same factor.
    before = cost.Machine(1e11, 5e10, 2)
    modelled = cost._model(spec("final"), before)[0]
    other = cost.estimate(spec("final"))
    assert other.step_seconds / modelled == pytest.approx(again.step_seconds / cost._model(base, before)[0])
    assert "corrected by 1 training here" in other.basis


def test_an_epoch_that_time_cut_short_counts_as_the_part_it_is(here: Path) -> None:
    base = spec("final")
    whole = cost.estimate(base)
    path = here / "runs" / "cut"
    trained(path, base, 0.0)
    line = json.loads((path / "history.jsonl").read_text().splitlines()[0])
    for part in (0.4, 0.01):
        seconds = part * whole.steps_per_epoch * whole.step_seconds + whole.validation_seconds
        line |= {"epoch": part, "seconds": seconds if part > 0.1 else 9 * seconds}  # at first TensorFlow warms up
        (path / "history.jsonl").write_text(json.dumps(line) + "\n")
        os.utime(path / "card.json", (part, part))
        assert cost.estimate(base).epoch_seconds == pytest.approx(whole.epoch_seconds)


def test_broken_run_directories_are_passed_over(here: Path) -> None:
    fresh = cost.estimate(spec("basenet"))
    trained(here / "runs" / "cut", spec("basenet"), 9.0)
    (here / "runs" / "cut" / "history.jsonl").write_text('{"kind": "epoch", "seco')
    trained(here / "runs" / "odd", spec("basenet"), 9.0)
    (here / "runs" / "odd" / "spec.json").write_text("[]")
    trained(here / "runs" / "new", spec("basenet"), 9.0)
    card = (here / "runs" / "new" / "card.json").read_text()
    (here / "runs" / "new" / "card.json").unlink()
    assert cost.estimate(spec("basenet")) == fresh
    (here / "runs" / "new" / "card.json").write_text(card)
    assert cost.estimate(spec("basenet")).epoch_seconds == pytest.approx(9.0)


def test_a_training_that_has_not_ended_says_what_it_took_so_far(here: Path) -> None:
    path = here / "runs" / "stopped"
    trained(path, spec("basenet"), 9.0)
    (path / "card.json").unlink()
    (path / "checkpoint.npz").write_bytes(b"")
    for told in ({}, {"computing": ["jax"]}):  # on another machine, perhaps
        (path / "status.json").write_text(json.dumps({"state": "stopped", **told}))
        os.utime(path / "checkpoint.npz", (len(told) + 2, 2))
        assert "will correct it" in cost.estimate(spec("basenet")).basis
    (path / "status.json").write_text(json.dumps({"state": "stopped", "computing": list(COMPUTING)}))
    os.utime(path / "checkpoint.npz", (9, 9))
    assert cost.estimate(spec("basenet")).epoch_seconds == pytest.approx(9.0)
    lines = (path / "history.jsonl").read_text().replace("9.0", "6.0")
    (path / "history.jsonl").write_text(lines)  # it goes on
    os.utime(path / "checkpoint.npz", (1, 1))
    assert cost.estimate(spec("basenet")).epoch_seconds == pytest.approx(6.0)


def test_the_machine_is_measured_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PLUMAGE_CACHE", str(here / "cache"))
    cost.machine.cache_clear()
    try:
        first = cost.machine()
        assert 1e8 < first.flops < 1e13 and 1e8 < first.bandwidth < 1e13
        cost.machine.cache_clear()
        monkeypatch.setattr(cost, "measure", lambda cores: pytest.fail("measured again"))
        assert cost.machine() == first
        (here / "cache" / "machine.json").write_text('{"flops": 1}')
        cost.machine.cache_clear()
        monkeypatch.setattr(cost, "measure", lambda cores: first)
        assert cost.machine() == first
    finally:
        cost.machine.cache_clear()


def test_a_run_that_jax_fitted_on_another_machine_says_nothing_of_this_one(here: Path) -> None:
    before = cost.estimate(spec("basenet"))
    for name, versions in (("elsewhere", {"jax": "0.10.2"}), ("unnamed", {"numpy": "2.5.2"})):
        trained(here / "runs" / name, spec("basenet"), 0.01, versions=versions, device="GPU: NVIDIA H200")
    assert cost.estimate(spec("basenet")) == before
    trained(here / "runs" / "here", spec("basenet"), 0.01, versions={"tensorflow": "2.21.0"})
    assert cost.estimate(spec("basenet")).step_seconds < before.step_seconds / 10


def test_a_head_s_training_corrects_no_network_on_pictures(here: Path) -> None:
    """A head on a backbone's map takes what a picture does, three dimensions, and much more time than is modelled."""
    before, tuned = cost.estimate(spec("basenet")), spec("birds-finetune-repaired")
    trained(here / "runs" / "map", spec("birds-conv"), 900.0)
    trained(here / "runs" / "tuned", tuned, 900.0)
    assert cost.estimate(spec("basenet")) == before
    frozen = cost.estimate(spec("birds-fc-basic"))
    assert "here will correct it" in frozen.basis, "what trains its backbone, too, says nothing of one that does not"


# Peaks of processes that trained two steps and validated, measured on Linux with AVX2.
@pytest.mark.parametrize(
    ("name", "changes", "megabytes"),
    [("basenet", {}, 844), ("final", {}, 1307), ("plumage", {}, 1306), ("plumage-taught", {}, 1619),
     ("final", {"fit.batch_size": 256}, 2195), ("basenet", {"network.width": 2}, 844)],
)  # fmt: skip
def test_the_memory_of_a_training_is_near_what_was_measured(name: str, changes: dict, megabytes: int) -> None:
    least, most = (told / 1e6 for told in cost.training_bytes(catalogue.variant(name).spec.replace(changes)))
    assert 0.95 * megabytes < most < 1.25 * megabytes and least < 0.85 * megabytes


def test_the_least_memory_of_a_training_is_less_than_it_takes_in_bfloat16() -> None:
    points = json.loads((Path(__file__).parent.parent / "docs" / "growth.json").read_text())["points"]
    measured = [point for point in points if point["what"] == "batch size"]
    for point in measured:
        least, _ = cost.training_bytes(spec(point["network"], fit__batch_size=point["value"]))
        assert 0.6 * point["peak_mb"] < least / 1e6 < point["peak_mb"], point
    assert len(measured) > 8


def test_a_teacher_costs_its_forward_pass(here: Path) -> None:
    spec, teacher = catalogue.load("final"), catalogue.load("provisional")
    rundir.create(teacher, here / "runs" / "teacher")
    alone, taught, lost = (
        cost.estimate(spec.replace({"fit.teacher": name})).step_seconds for name in (None, "teacher", "nobody")
    )
    forward = cost.estimate(teacher, validation=64).validation_seconds
    assert taught - alone == pytest.approx(forward, rel=1e-6) and lost == alone
