"""Fitting: killed, stopped and resumed, it ends with the weights of a run that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from tests import small
from training import calibration, fit, rundir, supervisor
from training.rundir import RunDir, RunError
from training.spec import RunSpec

ROOT = Path(__file__).resolve().parent.parent
RUNNER = """
import sys
from pathlib import Path
from tests import small
from training import fit, rundir
fit.CHUNK_SECONDS = fit.POINT_SECONDS = 0
fit.CHECKPOINT_SECONDS = 0, 0
fit.fit(rundir.RunDir(Path(sys.argv[1])), True, lambda line: print(line, flush=True), small.dataset())
"""


@pytest.fixture(autouse=True)
def no_test_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training never reads test pictures."""
    from training import data

    def forbidden(name: str) -> None:
        raise AssertionError("fit read the test pictures")

    monkeypatch.setattr(data, "load_test", forbidden)


def make(folder: Path, spec: RunSpec) -> RunDir:
    return rundir.create(spec, folder)


def weights(run: RunDir) -> dict[str, np.ndarray]:
    return rundir.read_arrays(run.file("weights.npz"))


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def epochs(run: RunDir) -> list[dict[str, Any]]:
    return [line for line in run.history() if line["kind"] == "epoch"]


def end_of_training() -> None:
    """Wait for the thread that a stop has left behind."""
    for thread in threading.enumerate():
        if thread.name == "training":
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of the small network with early stopping that nothing disturbed."""
    run = make(
        tmp_path_factory.mktemp("unbroken") / "run", small.spec(fit__early_stopping={"patience": 9, "max_epochs": 3})
    )
    assert fit.fit(run, dataset=small.dataset())["state"] == "finished"
    return run


def test_a_finished_run_has_all_its_files(unbroken: RunDir) -> None:
    lines, card, status = epochs(unbroken), unbroken.card(), unbroken.status()
    assert [line["epoch"] for line in lines] == [1, 2, 3] and [line["step"] for line in lines] == [12, 24, 36]
    assert unbroken.history()[0]["kind"] == "step" and unbroken.history()[0]["step"] == 1  # a curve begins at once
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"} <= lines[0].keys()
    assert card and card["spec"] == unbroken.spec().model_dump(mode="json")
    assert card["figures"]["test"] is None and card["figures"]["epochs"] == 3
    assert card["data"]["sha256"] == "0" * 64 and card["versions"]["keras"] and card["device"]
    assert status["epoch"] == 3 and status["eta_seconds"] == 0 and status["elapsed_seconds"] > 0
    assert unbroken.file("model.keras").is_file()
    left = {file.name for file in unbroken.path.iterdir()}
    assert not left & {"checkpoint.npz", "best.npz", "stop"}


def test_plain_keras_opens_the_model_and_feeds_it_pixels(unbroken: RunDir, tmp_path: Path) -> None:
    import keras

    from training import predict
    from training.calibration import softmax

    averaged = make(tmp_path / "averaged", small.spec(fit__epochs=2, fit__average=0.9))
    fit.fit(averaged, dataset=small.dataset())
    images = small.dataset().validation_images
    for run in (unbroken, averaged):
        plain = keras.saving.load_model(run.file("model.keras")).predict(images.astype(np.float32), verbose=0)
        np.testing.assert_allclose(plain, softmax(predict.load(run).logits(images)), atol=1e-5)


def test_the_weights_are_those_of_the_validation_figures(unbroken: RunDir) -> None:
    from training import predict
    from training.evaluate import figures

    best = min(epochs(unbroken), key=lambda line: line["val_loss"])
    pictures = small.dataset()
    found = figures(predict.load(unbroken).logits(pictures.validation_images), pictures.validation_labels)
    assert found["loss"] == pytest.approx(best["val_loss"], abs=1e-5)
    assert unbroken.card()["figures"]["validation"]["accuracy"] == best["val_accuracy"]  # type: ignore[index]


def test_killed_at_once_it_goes_on_and_ends_with_the_same_weights(unbroken: RunDir, tmp_path: Path) -> None:
    run = make(tmp_path / "run", unbroken.spec())
    command = [sys.executable, "-c", RUNNER, str(run.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        for text in process.stdout:
            if "'step': 17" in text.decode():  # in the middle of the second epoch
                process.kill()
                break
    assert process.wait() == -signal.SIGKILL
    assert run.status()["state"] == "stopped" and run.file("checkpoint.npz").is_file()
    with run.file("history.jsonl").open("a") as file:
        file.write('{"kind": "epo')  # the kill cut a line
    run.file(".checkpoint.npz.abcd1234").write_bytes(b"half")  # and a file
    with pytest.raises(RunError, match="--resume"):
        fit.fit(run, dataset=small.dataset())
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"
    assert same(weights(run), weights(unbroken))
    assert [line["epoch"] for line in epochs(run)] == [1, 2, 3]
    for line, other in zip(epochs(run), epochs(unbroken), strict=True):
        assert line["val_loss"] == other["val_loss"]
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-6)
    steps = [line["step"] for line in run.history()]
    assert steps == sorted(steps)
    assert not list(run.path.glob(".checkpoint*"))


@pytest.mark.parametrize("way", ["file", "signal"])
def test_stopped_in_an_epoch_it_goes_on_and_ends_with_the_same_weights(
    unbroken: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(fit, "CHUNK_SECONDS", 0)
    monkeypatch.setattr(fit, "POINT_SECONDS", 0)
    run = make(tmp_path / "run", unbroken.spec())

    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 15:
            run.request_stop() if way == "file" else os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.03)

    status = fit.fit(run, report=stop, dataset=small.dataset())
    assert status["state"] == "stopped" and "resume" in status["message"]
    assert run.file("checkpoint.npz").is_file() and not run.stop_requested()
    assert len(epochs(run)) == 1
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"
    assert same(weights(run), weights(unbroken))
    assert [line["epoch"] for line in epochs(run)] == [1, 2, 3]


def test_checkpoints_that_take_long_are_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def checkpoints(name: str, share: float) -> int:
        monkeypatch.setattr(fit, "CHECKPOINT_SHARE", share)
        fit.fit(make(tmp_path / name, small.spec()), dataset=small.dataset())
        written = slow.count("checkpoint.npz")
        slow.clear()
        return written

    slow: list[str] = []

    def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
        slow.append(path.name)
        time.sleep(0.02)
        rundir.write_arrays(path, arrays)

    monkeypatch.setattr(fit, "write_arrays", write)
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", (0, 120))
    monkeypatch.setattr(fit, "CHUNK_SECONDS", 0)
    assert checkpoints("often", 1e6) == 36 + 3, "after every step and every epoch"
    assert checkpoints("rare", 0.01) <= 5, "after the epochs, and the first step"
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", (0, 0))
    assert checkpoints("bounded", 0.01) == 36 + 3, "never rarer than the upper bound"


def test_a_stop_does_not_wait_for_a_long_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.engine.engine import Engine

    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.1)
    run, slow, release = make(tmp_path / "run", small.spec()), threading.Event(), threading.Event()

    def train(self: Engine, epoch: int, first: int, steps: int) -> tuple[float, float]:
        slow.set()
        release.wait(30)
        return 1.0, 0.5

    monkeypatch.setattr(Engine, "train", train)

    def ask() -> None:
        slow.wait(60)
        run.request_stop()
        asked.append(time.monotonic())

    asked: list[float] = []
    threading.Thread(target=ask).start()
    status = fit.fit(run, dataset=small.dataset())
    assert time.monotonic() - asked[0] < 15, "it waited for the step"
    assert status["state"] == "stopped"
    release.set()
    end_of_training()
    assert run.history() == [], "what was left behind still wrote"
    monkeypatch.undo()
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"


def test_who_is_left_behind_has_no_word_any_more(tmp_path: Path) -> None:
    """It was about to write when the main thread gave it up: between its look at that and its line."""
    run = make(tmp_path / "run", small.spec())
    begun, release, refused = threading.Event(), threading.Event(), threading.Event()

    class Late(supervisor.Supervised):
        def train(self) -> None:
            begun.set()
            release.wait(30)
            try:
                self.write_status(message="", eta_seconds=55.0)
            except supervisor.Stopped:
                refused.set()
                raise

    threading.Thread(target=lambda: (begun.wait(30), run.request_stop())).start()
    Late(run).supervise()
    release.set()
    assert refused.wait(10)
    status = run.status()
    assert status["message"].startswith("Stopped on request, without waiting") and status["eta_seconds"] is None


@pytest.mark.parametrize("killed", ["before the checkpoint", "after it"])
def test_killed_between_its_best_weights_and_its_checkpoint_a_run_keeps_the_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    from training.engine.engine import Engine

    class Killed(BaseException):
        pass

    losses, kept = [1.0, 0.5, 2.0, 2.0, 2.0], []
    checkpoint, keep = fit.Fitting.checkpoint, fit.Fitting.keep_best

    def evaluate(self: Engine, *_: Any, draw: int, **__: Any) -> tuple[float, float, float]:
        kept.append((draw, self.weights()))
        return losses[draw], 0.5, 1.0

    def stop(self: fit.Fitting) -> None:
        if self.progress.epoch == 2:  # the second is over, and was the best
            raise Killed
        (checkpoint if killed == "before the checkpoint" else keep)(self)

    monkeypatch.setattr(Engine, "evaluate", evaluate)
    run = make(tmp_path / "run", small.spec(fit__early_stopping={"patience": 2, "max_epochs": 5}))
    with monkeypatch.context() as patch:
        patch.setattr(fit.Fitting, "checkpoint" if killed == "before the checkpoint" else "keep_best", stop)
        fitting = fit.Fitting(run, lambda line: None, small.dataset(), None)
        with pytest.raises(Killed):
            fitting.train()
    assert (
        run.file("best.new.npz").is_file() and fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"
    )
    best = [values for draw, values in kept if draw == 1][-1]
    assert all(np.array_equal(weights(run)[name], value) for name, value in best.items())
    assert run.card()["figures"]["chosen_epoch"] == 2 and not run.file("best.new.npz").exists()  # type: ignore[index]


def test_test_figures_that_were_taken_stand_where_a_run_finishes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed after its card and before its last word, measured, and resumed."""

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    tested = {"loss": 1.0, "accuracy": 0.5, "pictures": 30}
    run = make(tmp_path / "run", small.spec(fit__epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr(calibration, "calibrate", kill)
        with pytest.raises(Killed):
            fit.Fitting(run, lambda line: None, small.dataset(), None).train()
    run.change_card(lambda card: card["figures"].update(test=tested))
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"
    assert run.card()["figures"]["test"] == tested  # type: ignore[index]


def test_a_run_that_begins_anew_keeps_no_figures_of_before(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec(fit__epochs=1))
    run.write_card(small.card(figures={"test": {"loss": 1.0, "accuracy": 0.5, "pictures": 30}}))
    run.file("confusions.json").write_text("{}")
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"
    assert run.card()["figures"]["test"] is None  # type: ignore[index]
    assert not run.file("confusions.json").exists()


def test_whoever_reads_along_and_goes_away_ends_no_training(tmp_path: Path) -> None:
    """`training fit ... 2>&1 | head -1`"""
    run = make(tmp_path / "run", small.spec(fit__epochs=2))

    def gone(line: dict[str, Any]) -> None:
        raise BrokenPipeError("nobody reads")

    assert fit.fit(run, report=gone, dataset=small.dataset())["state"] == "finished"
    assert len([line for line in run.history() if line["kind"] == "epoch"]) == 2


def test_early_stopping_goes_back_to_the_best_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.engine.engine import Engine

    losses, kept = [3.0, 1.0, 2.0, 2.5, 0.1], []

    def evaluate(self: Engine, *_: Any, **__: Any) -> tuple[float, float, float]:
        kept.append(self.weights())
        return losses[len(kept) - 1], 0.5, 1.0

    monkeypatch.setattr(Engine, "evaluate", evaluate)
    run = make(tmp_path / "run", small.spec(fit__early_stopping={"patience": 2, "max_epochs": 5}))
    status = fit.fit(run, dataset=small.dataset())
    assert len(kept) == 4 and "No lower validation loss for 2 epochs" in status["message"]
    assert all(np.array_equal(weights(run)[name], value) for name, value in kept[1].items())
    assert run.card()["figures"]["chosen_epoch"] == 2  # type: ignore[index]


def test_without_early_stopping_the_last_weights_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.engine.engine import Engine

    kept: list[dict[str, np.ndarray]] = []
    measure = Engine.evaluate

    def evaluate(self: Engine, *given: Any, **named: Any) -> tuple[float, float, float]:
        kept.append(self.weights())
        return measure(self, *given, **named)[0] + len(kept), 0.5, 1.0  # ever worse

    monkeypatch.setattr(Engine, "evaluate", evaluate)
    run = make(tmp_path / "run", small.spec(fit__epochs=2))
    assert fit.fit(run, dataset=small.dataset())["message"] == ""
    assert all(np.array_equal(weights(run)[name], value) for name, value in kept[1].items())


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 1e12])
def test_a_loss_beyond_measure_ends_the_run_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    from training.engine.engine import Engine

    monkeypatch.setattr(Engine, "train", lambda self, epoch, first, steps: (loss if epoch else 1.0, 0.3))
    run = make(tmp_path / "run", small.spec())
    status = fit.fit(run, dataset=small.dataset())
    assert status["state"] == "failed" and run.card() is None and len(epochs(run)) == 1
    assert "in epoch 2, at step 1: the learning rate 0.01 with momentum 0.9 is too high" in status["message"]


def test_a_learning_rate_that_is_far_too_high_fails(tmp_path: Path) -> None:
    spec = small.spec(
        fit__learning_rate=10, fit__momentum=1, network__batch_norm="off", network__activation="elu", fit__epochs=60
    )
    run = make(tmp_path / "run", spec)
    status = fit.fit(run, dataset=small.dataset())
    assert status["state"] == "failed" and "try a third of it" in status["message"]


def test_a_network_that_has_fallen_silent_fails(tmp_path: Path) -> None:
    """Steps that large leave every ReLU below 0 for every picture: no gradient will ever move it again."""
    run = make(tmp_path / "run", small.spec(fit__learning_rate=1, network__batch_norm="off", fit__epochs=60))
    status = fit.fit(run, dataset=small.dataset())
    assert status["state"] == "failed" and run.card() is None
    assert (
        "All validation pictures get the same answer after epoch" in status["message"]
        and "try a third" in status["message"]
    )
    assert len(epochs(run)) < 60


@pytest.mark.parametrize("how", ["silent", "no number"])
def test_what_early_stopping_has_kept_is_not_lost_to_a_network_that_falls_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from training.engine.engine import Engine

    kept: list[dict[str, np.ndarray]] = []

    def evaluate(self: Engine, *_: Any, **__: Any) -> tuple[float, float, float]:
        kept.append(self.weights())
        dead = len(kept) == 3
        return (float("nan") if dead and how == "no number" else 1 / len(kept)), 0.5, 0.0 if dead else 1.0

    monkeypatch.setattr(Engine, "evaluate", evaluate)
    run = make(tmp_path / "run", small.spec(fit__early_stopping={"patience": 2, "max_epochs": 9}))
    status = fit.fit(run, dataset=small.dataset())
    assert (
        status["state"] == "finished" and "The weights of epoch 2, the best until then, are kept" in status["message"]
    )
    assert all(np.array_equal(weights(run)[name], value) for name, value in kept[1].items())
    figures = run.card()["figures"]  # type: ignore[index]
    assert figures["chosen_epoch"] == figures["epochs"] == len(epochs(run)) == 2


def test_the_minutes_end_it_and_say_how_far_it_got(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "CHUNK_SECONDS", 0)
    run = make(tmp_path / "run", small.spec(fit__epochs=1000, fit__minutes=0.005))
    status = fit.fit(run, report=lambda line: time.sleep(0.02), dataset=small.dataset())
    last = epochs(run)[-1]
    assert status["state"] == "finished" and f"after {last['epoch']:g} of at most 1000 epochs" in status["message"]
    assert run.card()["figures"]["epochs"] == last["epoch"] < 1000  # type: ignore[index]
    assert 0.3 <= status["elapsed_seconds"] < 5


def test_a_training_ends_well_where_it_cannot_be_calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))
    run = make(tmp_path / "run", small.spec())
    status = fit.fit(run, dataset=small.dataset())
    assert status["state"] == "finished" and run.file("weights.npz").is_file()
    assert str(tmp_path / "cache") in status["message"] and "calibrate run" in status["message"]
    with pytest.raises(RunError, match="is finished"):
        fit.fit(run, resume=True)
    with FileLock(run.file(".lock"), timeout=0):  # nobody holds it any more
        pass


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    run = make(tmp_path / "run", small.spec())
    monkeypatch.setattr(os, "fsync", full)
    status = fit.fit(run, dataset=small.dataset())
    assert status["state"] == "failed"
    assert "No space left on device" in status["message"] and "free some space" in status["message"]


def test_the_figures_of_an_epoch_are_on_the_disk_before_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss of power, the card could else state another epoch's figures than that of the weights."""
    run, synced, safe, fsync = make(tmp_path / "run", small.spec()), {}, [], os.fsync

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        synced[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
        if path.name == "checkpoint.npz":
            history = run.file("history.jsonl")
            kept = history.read_bytes()[: synced.get(history.stat().st_ino, 0)]
            safe.append(sum(json.loads(line)["kind"] == "epoch" for line in kept.splitlines()))
        rundir.write_arrays(path, arrays)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(fit, "write_arrays", write)
    fit.fit(run, dataset=small.dataset())
    assert safe == [1, 2, 3]


def test_a_history_that_is_lost_is_told_in_a_sentence(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec())
    status = fit.fit(run, report=lambda line: run.file("history.jsonl").unlink(), dataset=small.dataset())
    assert status["state"] == "failed" and "history.jsonl has lost the lines of the epochs" in status["message"]
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "failed"
    run.file("checkpoint.npz").unlink()
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"


def test_pictures_of_another_size_are_told_in_a_sentence(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec(network__input_shape=[16, 16, 3]))
    status = fit.fit(run, dataset=small.dataset())
    assert status["state"] == "failed" and "8x8x3" in status["message"]


def test_a_checkpoint_of_another_network_is_told_in_a_sentence(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec())
    note = np.frombuffer(json.dumps({"epoch": 1}).encode(), np.uint8)
    rundir.write_arrays(run.file("checkpoint.npz"), {"progress": note, "x": np.zeros(3)})
    status = fit.fit(run, resume=True, dataset=small.dataset())
    assert status["state"] == "failed" and "does not fit its spec" in status["message"]


def test_two_processes_cannot_train_the_same_run(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec())
    with FileLock(run.file(".lock")), pytest.raises(RunError, match="already being trained"):
        fit.fit(run, resume=True, dataset=small.dataset())


def test_a_finished_run_is_not_trained_again(unbroken: RunDir) -> None:
    unbroken.file("best.npz").write_bytes(b"left by a kill at the very end")
    with pytest.raises(RunError, match="is finished"):
        fit.fit(unbroken, resume=True, dataset=small.dataset())
    assert not unbroken.file("best.npz").exists()


def test_a_run_does_not_go_on_with_other_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another copy is split otherwise: the run would be validated on pictures that it has learned from."""
    from dataclasses import replace

    monkeypatch.setattr(fit, "CHUNK_SECONDS", 0)
    run = make(tmp_path / "run", small.spec())
    fit.fit(run, report=lambda line: run.request_stop(), dataset=small.dataset())
    assert run.status()["state"] == "stopped" and run.file("checkpoint.npz").is_file()
    before = run.file("checkpoint.npz").read_bytes()
    status = fit.fit(run, resume=True, dataset=replace(small.dataset(), sha256="1" * 64))
    assert status["state"] == "failed" and "not those of run" in status["message"]
    assert run.file("checkpoint.npz").read_bytes() == before, "with the old pictures it goes on"
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"


@pytest.mark.parametrize("slow", ["card", "finished"])
def test_a_stop_at_the_very_end_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    """Left behind before its last word, the run can go on; after it, it is finished.  Nothing in between."""
    from training import card

    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.1)
    run, make_card, write_status = make(tmp_path / "run", small.spec()), card.make, RunDir.write_status
    leave_behind, given_up = fit.Fitting.leave_behind, threading.Event()

    def tell(self: fit.Fitting) -> bool:
        if slow == "finished":  # the training holds the lock for which the main thread is about to wait
            given_up.set()
        left = leave_behind(self)
        given_up.set()
        return left

    def wait() -> None:
        run.request_stop()
        assert given_up.wait(60)

    def slow_card(*given: Any) -> dict[str, Any]:
        if slow == "card":
            wait()
        return make_card(*given)

    def slow_status(self: RunDir, **fields: Any) -> None:
        if slow == "finished" and fields.get("state") == "finished":
            wait()
        write_status(self, **fields)

    monkeypatch.setattr(fit.Fitting, "leave_behind", tell)
    monkeypatch.setattr(card, "make", slow_card)
    monkeypatch.setattr(RunDir, "write_status", slow_status)
    status = fit.fit(run, dataset=small.dataset())
    if slow == "finished":
        assert status["state"] == "finished" and not run.file("checkpoint.npz").exists()
        return
    assert status["state"] == "stopped" and run.file("checkpoint.npz").is_file()
    end_of_training()  # it writes nothing
    assert run.status()["state"] == "stopped" and run.card() is None
    monkeypatch.setattr(card, "make", make_card)
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished"


def test_a_refused_fit_leaves_a_stop_request_to_the_run_it_is_meant_for(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec())
    run.request_stop()
    os.utime(run.file("stop"), (0, 0))
    with FileLock(run.file(".lock")), pytest.raises(RunError, match="already being trained"):
        fit.fit(run, resume=True)
    assert run.stop_requested()
    assert fit.fit(run, resume=True, dataset=small.dataset())["state"] == "finished", (
        "an old request is not meant for it"
    )


def test_a_damaged_spec_fails_with_its_sentence(tmp_path: Path) -> None:
    run = make(tmp_path / "run", small.spec())
    run.file("spec.json").write_text("{")
    with pytest.raises(RunError):
        fit.fit(run)
    assert run.status()["state"] == "failed" and "spec.json is broken" in run.status()["message"]
