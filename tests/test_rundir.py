"""Run directories: whole at any instant, readable whatever happened."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests import small
from training import paths, registry, rundir
from training.cli import commands
from training.process import process_identity
from training.rundir import RunDir, RunError
from training.status import STATES
from training.weights import load_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path / "models"))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> RunDir:
    return rundir.create(small.spec())


def test_a_run_does_not_pass_for_a_shipped_model_of_its_name(folder: Path) -> None:
    mine = rundir.create(small.spec(), paths.runs_dir() / "net")
    assert registry.find_fitted("net").path == mine.path  # nothing ships by that name
    shipped = rundir.create(small.spec(), paths.models_dir() / "net")
    shipped.file("weights.npz").write_bytes(b"weights")
    assert registry.find("net").path == mine.path and registry.find_fitted("net").path == shipped.path
    mine.write_status(state="finished")
    with pytest.raises(RunError, match=r"both called net: say .*runs/net or .*models/net"):
        registry.find_fitted("net")
    for either in (mine, shipped):
        assert registry.find_fitted(str(either.path)).path == either.path


def test_a_run_is_found_by_id_and_by_path(run: RunDir) -> None:
    assert run.spec() == small.spec()
    assert run.status()["state"] == "stopped" and run.card() is None and run.history() == []
    assert registry.find(run.id).path == registry.find(str(run.path)).path == run.path


def test_runs_made_in_the_same_second_are_apart_and_newest_first(folder: Path) -> None:
    made = [rundir.create(small.spec(fit__seed=seed)) for seed in range(3)]
    assert len({run.id for run in made}) == 3
    assert [run.id for run in registry.runs()] == [run.id for run in reversed(made)]


def test_a_directory_holds_one_run(run: RunDir) -> None:
    with pytest.raises(RunError, match="already holds a run"):
        rundir.create(small.spec(), run.path)


@pytest.mark.parametrize("name", ["nothing", "../etc", "", "a b", ".hidden", "/", "x" * 300, "\0"])
def test_what_is_no_run_is_told_in_a_sentence(folder: Path, name: str) -> None:
    with pytest.raises(RunError, match="There is no run"):
        registry.find(name)


def test_what_is_listed_is_found_whatever_its_folder_is_called(run: RunDir) -> None:
    copy = run.path.rename(run.path.parent / f"{run.id} (copy)")
    (listed,) = registry.runs()
    assert registry.find(listed.id).path == copy


def test_a_broken_spec_is_told_in_a_sentence(run: RunDir) -> None:
    run.file("spec.json").write_text('{"network": 3}')
    with pytest.raises(RunError, match="is broken"):
        run.spec()


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"x"', "\x00\xff"])
def test_a_broken_status_or_card_is_as_none(run: RunDir, text: str) -> None:
    run.file("status.json").write_text(text)
    run.file("card.json").write_text(text)
    assert run.card() is None
    assert run.status()["state"] in ("stopped", "finished")


FIGURES = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}


@pytest.mark.parametrize("name", ["status.json", "history.jsonl", "card.json"])
@pytest.mark.parametrize(
    "content",
    ["null", "[]", "[" * 200_000, '{"kind":"epoch"}', '{"state":"zzz","created":"x","queued":null,"epoch":NaN}',
     '{"figures":"x","data":{}}', '{"figures":{"test":"x"},"data":{}}', '{"state":"finished","created":1e30}'],
)  # fmt: skip
def test_a_damaged_file_is_passed_over(run: RunDir, name: str, content: str) -> None:
    run.file(name).write_text(content)
    status = run.status()
    assert status["state"] in STATES and status["epoch"] == 0 and status["message"] is not None
    assert run.history() == [] and run.card() is None
    assert [found.id for found in registry.runs()] == [run.id]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"figures": {"test": None}}, "figures.epochs"),
        ({"figures": {"epochs": 1, "test": {"loss": 1.0, "accuracy": 0.5}}}, "figures.test.pictures"),
        ({"figures": {"epochs": 1, "validation": {"loss": float("nan"), "accuracy": 0.5}}}, "figures.validation.loss"),
        ({"figures": {"epochs": 1, "validation": {"loss": 1.0, "accuracy": "high"}}}, "figures.validation.accuracy"),
        ({"data": {"name": "drawn", "title": "", "origin": "", "classes": "abc"}}, "data.classes"),
        ({"data": {"name": "drawn", "title": "", "origin": "", "classes": [], "train": "x"}}, "data.train"),
        ({"spec": {"network": {"classes": 2}}}, "data.classes"),
        (
            {"calibration": {"temperature": 1.0, "loss": {"before": 1.0, "after": 1.0}, "pictures": 9}},
            "calibration.ece",
        ),
        ({"calibration": {"temperature": 0.0}}, "calibration.temperature"),
        ({"picture_size": "32"}, "picture_size"),
        (
            {
                "calibration": {
                    "temperature": 1.0,
                    "ece": {"before": 0.1, "after": 0.1},
                    "loss": {"before": 1.0, "after": 1.0},
                    "pictures": 9,
                    "unlike": {"false_alarms": 0.05, "precision": [1.0], "max_distance": 1.0, "min_energy": 1.0},
                }
            },
            "calibration.unlike",
        ),
    ],
)
def test_a_damaged_card_is_none_and_whoever_needs_it_says_what_is_wrong(run: RunDir, change: dict, told: str) -> None:
    run.write_card(small.card())
    assert run.card() == run.finished_card() == small.card()
    run.write_card(small.card() | change)
    assert run.card() is None
    with pytest.raises(RunError, match=f"card.json is broken \\({told}: "):
        run.finished_card()
    assert commands.row(run)["figures"] is None
    run.file("card.json").write_text("{")
    with pytest.raises(RunError, match="it is not whole"):
        run.finished_card()
    run.file("card.json").unlink()
    with pytest.raises(RunError, match="is stopped: let it finish first"):
        run.finished_card()


def test_changes_of_a_card_by_two_at_once_are_both_kept(run: RunDir) -> None:
    run.write_card(small.card())

    def note(number: int) -> None:
        for _ in range(20):
            run.change_card(lambda card: card.setdefault("notes", []).append(number))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(note, range(2)))
    assert sorted(run.finished_card()["notes"]) == [0] * 20 + [1] * 20


def test_a_line_that_a_kill_cut_is_not_read(run: RunDir) -> None:
    run.append_history({"kind": "epoch", "epoch": 1, "step": 8, **FIGURES})
    with run.file("history.jsonl").open("a") as file:
        file.write('{"kind": "epoch", "epo')
    assert [line["epoch"] for line in run.history()] == [1]


def test_history_goes_back_to_the_checkpoint(run: RunDir) -> None:
    lines = [("step", 3), ("step", 8), ("epoch", 8), ("step", 12), ("epoch", 16), ("step", 17)]
    for kind, step in lines:
        run.append_history({"kind": kind, "epoch": step / 8, "step": step, **FIGURES})
    run.truncate_history(16, 8)  # the checkpoint was written at step 16, before that epoch was validated
    assert [(line["kind"], line["step"]) for line in run.history()] == lines[:4]


def test_a_full_disk_leaves_the_old_file(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = run.file("checkpoint.npz")
    rundir.write_arrays(path, {"a": np.arange(3)})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot be written: No space left on device"):
        rundir.write_arrays(path, {"a": np.arange(4)})
    assert len(rundir.read_arrays(path)["a"]) == 3
    assert not list(run.path.glob(".checkpoint*")), "a part of the new file was left"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """`refused("replace", 3)`: as on Windows while others have a file open, the next three calls are not permitted."""

    def refuse(method: str, times: float) -> None:
        real, left = getattr(Path, method), [times]

        def call(self: Path, *given: object) -> object:
            if left[0] > 0:
                left[0] -= 1
                raise PermissionError(13, "Permission denied")
            return real(self, *given)

        monkeypatch.setattr(Path, method, call)

    return refuse


@pytest.mark.parametrize("method", ["replace", "read_bytes"])
def test_a_file_that_another_process_has_open_is_waited_for(
    run: RunDir, refused: Callable[[str, float], None], method: str
) -> None:
    refused(method, 3)
    run.write_status(elapsed_seconds=1.0)
    status = run.status()
    assert status["elapsed_seconds"] == 1.0 and status["message"] == "Not begun yet."


@pytest.mark.parametrize(("method", "told"), [("replace", "written"), ("read_bytes", "read")])
def test_a_file_that_stays_closed_to_us_is_left_whole_and_told(
    run: RunDir, refused: Callable[[str, float], None], method: str, told: str
) -> None:
    before = run.file("status.json").read_text()
    refused(method, float("inf"))
    with pytest.raises(RunError, match=f"cannot be {told}: Permission denied; see who may write there"):
        run.write_status(elapsed_seconds=1.0)
    assert run.file("status.json").read_text() == before and not list(run.path.glob(".status*"))


@pytest.mark.parametrize(("number", "frees"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, False)])
def test_only_a_full_disk_is_told_to_be_freed(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, number: int, frees: bool
) -> None:
    def fail(self: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RunError) as caught:
        run.write_status(elapsed_seconds=1.0)
    assert ("free some space" in str(caught.value)) is frees


def test_arrays_come_back_and_pickles_are_refused(run: RunDir, tmp_path: Path) -> None:
    arrays = {"conv_1/kernel": np.ones((3, 3, 3, 4), np.float16), "n": np.array(3)}
    rundir.write_arrays(run.file("a.npz"), arrays)
    back = rundir.read_arrays(run.file("a.npz"))
    assert back.keys() == arrays.keys() and back["conv_1/kernel"].dtype == np.float16
    np.savez(tmp_path / "evil.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(RunError, match="is broken"):
        rundir.read_arrays(tmp_path / "evil.npz")
    run.file("a.npz").write_bytes(run.file("a.npz").read_bytes()[:-30])
    with pytest.raises(RunError, match="is broken"):
        rundir.read_arrays(run.file("a.npz"))


def test_a_run_whose_process_is_gone_is_stopped(run: RunDir) -> None:
    run.write_status(state="running", **process_identity())
    assert run.status()["state"] == "running"
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    run.write_status(pid=process.pid)
    assert run.status()["state"] == "stopped"
    assert "resume" in run.status()["message"]


def test_another_process_with_the_number_of_the_run_s_is_not_the_run_s(run: RunDir) -> None:
    born = process_identity()["process_started"]
    run.write_status(state="running", pid=os.getpid(), process_started=born - 100)
    assert run.status()["state"] == "stopped"


def test_a_model_whose_weights_do_not_ship_is_found_by_its_name(folder: Path) -> None:
    for seed in (10, 2):
        place = folder / "models" / "large" / f"seed-{seed}"
        place.mkdir(parents=True)
        (place / "spec.json").write_text(small.spec().to_json())
        (place / "card.json").write_text(json.dumps({"name": "large"}))
    assert [(run.id, run.path.name) for run in registry.without_weights()] == [("large", "seed-2")]
    assert registry.find("large") == registry.without_weights()[0] and registry.models() == []
    with pytest.raises(
        RunError, match=r"only its card and curves; train it again with: .* fit .*large/seed-2/spec.json"
    ):
        load_model(registry.find("large"))
    (folder / "models" / "large" / "card.json").write_text("{}")
    assert registry.without_weights() == [], "one of its seeds ships whole"


def test_shipped_models_are_read_like_runs(folder: Path) -> None:
    place = folder / "models" / "small"
    place.mkdir(parents=True)
    (place / "spec.json").write_text(small.spec().to_json())
    (place / "card.json").write_text(json.dumps({"name": "small"}))
    (folder / "models" / ".half.partial").mkdir()
    (folder / "models" / ".half.partial" / "card.json").write_text("{}")
    assert [model.id for model in registry.models()] == ["small"]
    assert registry.find("small").status()["state"] == "finished"
