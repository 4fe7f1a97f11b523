"""Launching: one training at a time, in processes that outlive the app, whatever happens to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import small
from tests.waiting import until
from training import catalogue, paths, registry, rundir, supervisor
from training.process import process_identity
from training.queue import handover, launcher, standby
from training.queue.ahead import Ahead
from training.rundir import RunDir, RunError
from training.spec import RunSpec


def long_spec(seed: int = 0) -> RunSpec:
    """Hours of training on drawn pictures."""
    return catalogue.variant("basenet").spec.replace({"data.name": "drawn", "fit.epochs": 10_000, "fit.seed": seed})


def state(run: RunDir) -> str:
    return str(run.status()["state"])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs of its own; every process that was started for it is ended."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("PLUMAGE_RUNS", str(folder))
    yield folder
    for process in waiting(folder):
        process.kill()
        process.wait(10)


def waiting(folder: Path) -> list[psutil.Process]:
    """The processes that work for this folder of runs."""
    found = []
    for process in psutil.process_iter():
        try:
            theirs = process.environ().get("PLUMAGE_RUNS")
            ours = theirs == str(folder) and "training.queue.standby" in process.cmdline()
        except psutil.Error:
            continue
        if ours and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.fixture
def idle(runs: Path, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Nobody takes the runs of the queue; what would have been started is counted."""
    started: list[None] = []
    monkeypatch.setattr(
        os, "nice", lambda by: by, raising=False
    )  # `standby.main` gives way to the app, the tests do not
    monkeypatch.setattr(launcher, "spawn", lambda: started.append(None))
    return started


# --- The queue, without processes --------------------------------------------------------------


def test_runs_wait_in_their_order(idle: list[None]) -> None:
    first, second, third = (launcher.submit(small.spec(fit__seed=seed)) for seed in range(3))
    assert idle == [None] * 3, "somebody has to wait for each of them"
    assert launcher.queue() == [first, second, third] and launcher.next_queued() == first
    assert [state(run) for run in (first, second, third)] == ["queued"] * 3
    launcher.stop(first)
    assert state(first) == "stopped" and launcher.queue() == [second, third]
    idle.clear()
    launcher.resume(first)
    assert idle == [None], "as well as for one that goes on"
    assert launcher.queue() == [second, third, first]


def test_a_second_click_is_no_second_run(idle: list[None]) -> None:
    first = launcher.submit(small.spec())
    assert launcher.submit(small.spec()) == first
    assert launcher.submit(small.spec(fit__seed=1)) != first
    launcher.stop(first)
    assert launcher.submit(small.spec()) != first, "that one was stopped: this is a new wish"


def test_only_what_was_submitted_is_taken(idle: list[None]) -> None:
    rundir.create(small.spec())  # by the command line, which trains it itself
    assert launcher.queue() == [] and launcher.take_next() is None
    run = launcher.submit(small.spec(fit__seed=1))
    assert launcher.take_next() == run and state(run) == "running" and launcher.take_next() is None


def test_a_run_that_cannot_be_begun_keeps_no_other_waiting(idle: list[None]) -> None:
    broken, other = (launcher.submit(small.spec(fit__seed=seed)) for seed in range(2))
    broken.file("stop").mkdir()
    assert launcher.take_next() == other and state(broken) == "failed"
    assert "could not be begun" in broken.status()["message"] and launcher.queue() == [other]


def test_an_error_of_the_waiting_process_starts_no_other(idle: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    launcher.submit(small.spec())
    idle.clear()

    def fail(*_: object) -> None:
        raise RunError("The disk is full.")

    monkeypatch.setattr(standby, "wait_for_run", fail)
    with pytest.raises(RunError):
        standby.main()
    assert not idle


def test_a_stop_lets_a_run_finish_that_has_its_card(idle: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "STOP_SECONDS", 0.1)
    run = launcher.submit(small.spec())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        run.write_status(state="running", **process_identity() | {"pid": process.pid, "process_birth": None,
                         "process_started": psutil.Process(process.pid).create_time()})  # fmt: skip
        run.write_card(small.card())
        launcher.stop(run)
        assert process.poll() is None and state(run) == "running"
        run.file("card.json").unlink()
        launcher.stop(run)
        process.wait(5)
        assert state(run) == "stopped" and not psutil.pid_exists(process.pid)


def test_delete_is_for_runs_at_rest(idle: list[None], tmp_path: Path) -> None:
    run = launcher.submit(small.spec())
    with pytest.raises(RunError, match="is queued; stop it first"):
        launcher.delete(run)
    launcher.stop(run)
    launcher.delete(run)
    assert not run.path.exists() and registry.runs() == []
    other = rundir.create(small.spec(), tmp_path / "elsewhere")
    with pytest.raises(RunError, match="does not lie in the folder of runs"):
        launcher.delete(other)


def test_a_deletion_that_was_cut_short_is_ended_by_the_next(idle: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = paths.runs_dir() / "all-small-drawn-seed0"  # a sweep's runs have fixed names
    old = folder.with_name(f".deleted-{folder.name}")  # as earlier versions left it
    rundir.create(small.spec(), old)
    with monkeypatch.context() as cut:
        cut.setattr(launcher.shutil, "rmtree", lambda *_, **__: None)
        launcher.delete(rundir.create(small.spec(), folder))
    assert registry.runs() == [] and len(list(folder.parent.glob(".deleted*"))) == 2
    launcher.delete(rundir.create(small.spec(), folder))
    assert not folder.exists() and not list(folder.parent.glob(".deleted*"))


def test_a_run_that_cannot_be_deleted_stays(idle: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    run = rundir.create(small.spec())

    def fail(self: Path, target: Path) -> None:
        raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as busy:
        busy.setattr(Path, "rename", fail)
        with pytest.raises(RunError, match="cannot be deleted: Device or resource busy"):
            launcher.delete(run)
    assert registry.runs() == [run] and run.spec() == small.spec()


def test_a_finished_run_does_not_go_on(idle: list[None]) -> None:
    run = rundir.create(small.spec())
    run.write_status(state="finished")
    with pytest.raises(RunError, match="is finished"):
        launcher.resume(run)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "file" / "runs"))
    with pytest.raises(RunError, match="cannot be made"):
        launcher.submit(small.spec())


def test_the_waiting_process_warms_up_and_leaves_when_idle(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[None] = []
    monkeypatch.setattr(standby, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(standby, "warm_up", lambda: warmed.append(None))
    assert standby.wait_for_run(launcher.lock("turn"), Ahead()) is None
    assert warmed == [None] and not launcher.held("turn")


def test_while_one_trains_the_next_waits_without_loading_anything(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "warm_up", lambda: pytest.fail("it loaded TensorFlow beside a training"))
    monkeypatch.setattr(standby, "IDLE_SECONDS", 0.3)
    with launcher.lock("turn"):
        assert standby.wait_for_run(launcher.lock("turn"), Ahead()) is None


@pytest.mark.parametrize("again", [launcher.submit, launcher.resume])
def test_a_run_is_trained_where_its_submitter_reads_and_writes(
    idle: list[None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: Callable[..., object]
) -> None:
    """The process that takes it was started by an app that knew of no data, and of other models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    monkeypatch.setenv("PLUMAGE_MODELS", "old")
    run = launcher.submit(small.spec())
    if again is launcher.resume:
        launcher.stop(run)
    monkeypatch.setenv("PLUMAGE_DATA", "pictures")  # the app is opened again
    monkeypatch.delenv("PLUMAGE_MODELS")
    again(run if again is launcher.resume else small.spec())
    monkeypatch.delenv("PLUMAGE_DATA")
    monkeypatch.setenv("PLUMAGE_MODELS", "old")
    seen = []
    monkeypatch.setattr(standby.fit, "fit", lambda run, **_: seen.append((paths.data_dir(), paths.models_dir())))
    monkeypatch.setattr(standby, "log_to", lambda path: None)
    standby.main()
    assert seen == [(tmp_path / "pictures", paths.ROOT / "models")]


def test_a_run_brings_places_that_its_environment_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in handover.PLACES:
        monkeypatch.delenv(name, raising=False)
    found = handover.places()
    assert found["PLUMAGE_MODELS"] == str(paths.ROOT / "models") and found["PLUMAGE_DATA"] is None
    assert found["PLUMAGE_CACHE"] == str(paths.cache_dir())


def test_a_run_of_before_there_were_places_is_trained_where_its_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMAGE_DATA", "here")
    for status in ({}, {"places": None}, {"places": ["x"]}):
        handover.adopt(status)
        assert os.environ["PLUMAGE_DATA"] == "here"


@pytest.mark.parametrize("when", ["while it waits", "as it takes the run"])
def test_a_process_whose_code_was_replaced_takes_no_run(
    idle: list[None], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    run, changed = launcher.submit(small.spec()), standby._code | {("new.py", 1)}
    looks = iter([standby._code] * (when == "as it takes the run"))
    monkeypatch.setattr(handover, "code", lambda: next(looks, changed))
    idle.clear()
    standby.main()
    assert state(run) == "queued" and idle == [None], "a fresh one has to take it"
    assert not launcher.held("turn") and not launcher.held("standby")


def test_any_change_of_a_file_is_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "PACKAGE", tmp_path)
    (tmp_path / "birds").mkdir()
    files = tmp_path / "fit.py", tmp_path / "birds" / "loop.py"
    for file in files:
        file.write_text("")
    before = handover.code()
    assert handover.code() == before
    os.utime(files[1], (1, 1))  # an older version is other code, too
    assert handover.code() != before


# --- Real processes ----------------------------------------------------------------------------


def test_a_crash_a_stop_and_a_resume(runs: Path) -> None:
    """One after the other, through everything that may happen to a training."""
    launcher.expect(long_spec(0))
    until(lambda: launcher.held("standby"))
    first, second = launcher.submit(long_spec(0)), launcher.submit(long_spec(1))
    until(first.history)
    assert state(first) == "running" and state(second) == "queued"
    assert launcher.queue() == [first, second]
    with pytest.raises(RunError, match="is running; stop it first"):
        launcher.delete(first)

    trainer = psutil.Process(first.status()["pid"])
    assert trainer.nice() > 0 or sys.platform == "win32"
    assert os.getsid(trainer.pid) != os.getsid(0), "it would end with this terminal"
    trainer.kill()
    until(lambda: state(first) == "stopped", seconds=5)
    assert "resume" in first.status()["message"]
    until(second.history)  # nobody had to be asked: the next one was waiting

    until(lambda: second.status().get("steps_per_epoch"))
    assert supervisor.GRACE_SECONDS < launcher.STOP_SECONDS < 2
    start = time.monotonic()
    launcher.stop(second)
    assert time.monotonic() - start < 15 and state(second) == "stopped"

    launcher.resume(second)
    launcher.resume(second)  # a second click
    until(lambda: state(second) == "running")
    launcher.stop(second)
    assert state(second) == "stopped"
    launcher.delete(second)
    assert registry.runs() == [first]


def test_who_looks_at_the_queue_has_a_killed_process_replaced(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with launcher.lock("turn"):  # as if another run were training
        run = launcher.submit(long_spec())
        until(lambda: launcher.held("standby"))
        for process in waiting(runs):
            process.kill()
        until(lambda: not launcher.held("standby"))
        monkeypatch.setattr(launcher, "SPAWN_SECONDS", 0)
        assert launcher.queue() == [run]
    until(lambda: state(run) == "running")


def test_a_run_outlives_whoever_started_it(runs: Path) -> None:
    code = """
from tests.test_launcher import long_spec
from training.queue import launcher
print(launcher.submit(long_spec()).id)
"""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    run = registry.find(done.stdout.strip())
    until(lambda: state(run) == "running")  # its starter is gone
    launcher.stop(run)
    until(lambda: not waiting(runs), seconds=30)


def test_a_lock_that_cannot_be_opened_is_a_sentence(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(launcher, "lock", refuse)
    with pytest.raises(RunError, match=r"standby\.lock cannot be opened: Permission denied; see who may write there"):
        launcher.held("standby")
