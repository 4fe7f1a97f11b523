"""`python -m training all`: what is done is skipped, what is unfinished goes on, the budget holds."""

import json
import os
import subprocess
import sys
import time
from threading import Event
from types import SimpleNamespace

import pytest

from tests import small
from tests.waiting import until
from training import catalogue, paths, registry, rundir, ship, sweep, sweep_jobs
from training.process import process_identity
from training.rundir import RunDir, RunError

# What takes the place of `training fit`: an epoch each tenth of a second, four in all, or an end of another kind.
FIT = """
import os, signal, sys, time
from pathlib import Path
from tests import small
from training.process import process_identity
from training.rundir import RunDir
run, end = RunDir(Path(sys.argv[1])), sys.argv[2]
first = run.spec().name == "basenet"
if end == "killed at once" and first:
    os.kill(os.getpid(), signal.SIGKILL)
free = {"a new one waits": run.stop_requested, "waits for the sweep": run.file("go").exists}.get(end, lambda: True)
for epoch in range(run.status()["epoch"], 4):
    run.write_status(state="running", epoch=epoch, **process_identity())
    time.sleep(0.1)
    while epoch == 0 and not free():
        time.sleep(0.02)
    if end == "killed" and first and epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "failed":
        run.write_status(state="failed", message="It diverged.")
        sys.exit(1)
    if run.stop_requested():
        run.write_status(state="stopped", epoch=epoch + 1)
        run.file("stop").unlink()
        sys.exit(1)
    run.append_history({"kind": "epoch", "epoch": epoch + 1, "step": epoch, "loss": 1, "accuracy": .5, "val_loss": 1,
                        "val_accuracy": .5})
figures = {"epochs": 4, "validation": {"loss": 1, "accuracy": .5 + run.spec().fit.seed / 10}}
run.write_card(small.card(figures=figures, spec={"fit": {"seed": run.spec().fit.seed}}))
run.write_status(state="finished", epoch=4)
"""
NAMES = ["basenet", "basenet-norm"]


@pytest.fixture
def sweeping(tmp_path, monkeypatch):
    """`sweeping(seeds=1, spent=(), end="finished")` runs a sweep of two variants: (whether all is done, what it said).

    Its budget, a second by a clock that stands still, is used up once it has said all of `spent`.
    """
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(sweep, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(sweep, "measure_all", lambda jobs: {job.spec.name: (0.001, 176) for job in jobs})
    monkeypatch.setattr(sweep, "side_by_side", lambda group: 1)

    def put(run, name, card_only=False):
        folder = tmp_path / "models" / name / (f"seed-{run.spec().fit.seed}" if card_only else "")
        folder.mkdir(parents=True)
        for file in ("spec.json", "card.json"):
            (folder / file).write_text(run.file(file).read_text())

    monkeypatch.setattr(ship, "ship", put)

    def go(seeds=1, spent=(), end="finished"):
        said = []

        def clock():
            return 60.0 * all(any(mark in line for line in said) for mark in spent)

        monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
        monkeypatch.setattr(sweep, "_command", lambda job: [sys.executable, "-c", FIT, str(job.run.path), end])
        return sweep.run(NAMES, seeds, 1 / 60 if spent else None, said.append), "\n".join(said)

    return go


def test_everything_is_trained_published_and_then_skipped(sweeping, tmp_path):
    done, said = sweeping()
    assert done and "2 to do" in said and "[2/2] all-basenet-norm-cifar100-25-seed0: new, about" in said
    assert "epoch 4 of at most 27: validation accuracy 0.5000" in said and "basenet: seed 0 ships" in said
    assert (tmp_path / "models" / "basenet-norm" / "card.json").is_file()
    assert sweeping() == (True, "2 variants x 1 seeds: 2 runs done, 0 to do.")


def test_of_several_seeds_the_best_on_validation_ships(sweeping, tmp_path):
    done, said = sweeping(seeds=2)
    assert done and said.index("[2/4] all-basenet-norm-cifar100-25-seed0") < said.index(
        "[3/4] all-basenet-cifar100-25-seed1"
    )
    assert RunDir(tmp_path / "models" / "basenet").spec().fit.seed == 1
    assert RunDir(tmp_path / "models" / "basenet" / "seed-0").spec().fit.seed == 0


def test_where_the_best_cannot_ship_no_other_does(sweeping, tmp_path, monkeypatch):
    put = ship.ship

    def refuse(run, name, card_only=False):
        if run.spec().fit.seed == 1:  # the best on validation
            raise RunError("As half it would lose 0.30 points; ship it in a wider format.")
        put(run, name, card_only)

    monkeypatch.setattr(ship, "ship", refuse)
    _, said = sweeping(seeds=2)
    assert "basenet: As half it would lose 0.30 points" in said and "ships" not in said
    assert not (tmp_path / "models").exists()


def test_what_ships_is_done_though_its_run_is_elsewhere(sweeping, tmp_path):
    folder = tmp_path / "models" / "basenet"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(catalogue.load("basenet").to_json())
    (folder / "card.json").write_text(json.dumps(small.card()))
    assert "1 runs done, 1 to do" in sweeping()[1]


def test_the_budget_ends_a_run_which_then_goes_on(sweeping):
    done, said = sweeping(spent=["[1/2]"])
    assert (
        not done
        and "The budget is used up" in said
        and "(begun, and resumed next time)" in said
        and "(next time)" in said
    )
    [run] = registry.runs()
    begun = run.status()
    assert begun["state"] == "stopped" and 0 < begun["epoch"] < 4
    done, said = sweeping()
    assert done and ": stopped, about" in said
    epochs = [line["epoch"] for line in run.history()]
    assert epochs == sorted(set(epochs)) and epochs[-1] == 4, "it went on and did not begin anew"


def trained_by_another(end):
    """The sweep's run of `basenet`, and a process that the sweep did not start and that trains it already."""
    [job] = sweep.jobs(["basenet"], 1)
    run = rundir.create(job.spec, job.run.path)
    process = subprocess.Popen([sys.executable, "-c", FIT, str(run.path), end])
    until(lambda: run.status()["state"] == "running")
    return run, process


def test_a_run_that_outlived_a_killed_sweep_is_waited_for(sweeping, monkeypatch):
    run, orphan = trained_by_another("waits for the sweep")
    fit = sweep._fit

    def now(*given):
        run.file("go").touch()
        return fit(*given)

    monkeypatch.setattr(sweep, "_fit", now)
    done, said = sweeping(end="failed")  # whatever it starts fails
    orphan.wait()
    assert "all-basenet-cifar100-25-seed0: running" in said and "basenet: seed 0 ships" in said
    assert not done and "It diverged." in said and "1 of 2 runs failed" in said


def test_small_networks_train_side_by_side(sweeping, monkeypatch):
    monkeypatch.setattr(sweep, "side_by_side", len)
    done, said = sweeping()
    assert done
    starts = [said.index(f"[{number}/2]") for number in (1, 2)]
    assert max(starts) < said.index("epoch 1 of at most"), "the second began before the first had an epoch"
    assert "basenet, seed 0: epoch 4 of at most 27" in said and "basenet-norm, seed 0: epoch 4 of at most 27" in said


def test_the_budget_ends_all_that_train_side_by_side(sweeping, monkeypatch):
    monkeypatch.setattr(sweep, "side_by_side", len)
    done, said = sweeping(spent=["[1/2]", "[2/2]"], end="a new one waits")
    assert not done and said.count("The budget is used up") == 1
    assert sorted(run.status()["state"] for run in registry.runs()) == ["stopped", "stopped"]
    assert sweeping()[0]


@pytest.mark.parametrize("end", ["killed", "killed at once"])
def test_a_run_that_is_killed_from_outside_ends_no_other(sweeping, monkeypatch, tmp_path, end):
    """Out of memory: it failed, as one that diverged, and nobody stopped it."""
    monkeypatch.setattr(sweep, "side_by_side", len)
    done, said = sweeping(end=end)
    assert not done and "1 of 2 runs failed; the same command tries them again." in said
    assert (tmp_path / "models" / "basenet-norm" / "card.json").is_file()
    assert sweeping()[0]


def test_the_budget_does_not_end_a_run_of_another_sweep(sweeping):
    run, other = trained_by_another("a new one waits")
    done, said = sweeping(spent=["[1/2]"])
    assert not done and "basenet, seed 0: goes on in the process that trains it" in said
    assert run.status()["state"] == "running" and not run.stop_requested()
    run.request_stop()
    other.wait()


def test_an_error_stops_what_trains_beside_it(sweeping, monkeypatch):
    monkeypatch.setattr(sweep, "side_by_side", len)

    def publish(name, seeds, say):
        if any(run.status()["state"] == "finished" for run in registry.runs()):
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "publish", publish)
    run = rundir.create((job := sweep.jobs(["basenet"], 1)[0]).spec, job.run.path)
    run.write_status(state="stopped", epoch=3)  # it will be finished, the other not
    with pytest.raises(KeyboardInterrupt):
        sweeping(end="a new one waits")
    other = next(r for r in registry.runs() if r.path != run.path)
    assert other.status()["state"] == "stopped" and other.status()["epoch"] < 4


def test_a_run_that_somebody_stops_ends_the_sweep(sweeping, monkeypatch):
    began = []

    def fit(job, *_):
        began.append(job.spec.name)
        return False

    monkeypatch.setattr(sweep, "_fit", fit)
    assert sweeping(seeds=2)[0] is False
    assert began == ["basenet"]


def threads_of(spec):
    """What takes the place of `sweep.measure` in the measuring process."""
    return float(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)), 0


def test_a_small_network_gets_one_thread(monkeypatch, tmp_path):
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path))
    small, large = sweep.jobs(["basenet", "final"], 1)
    monkeypatch.setattr(sweep, "measure", threads_of)
    assert sweep.measure_all([small, large]) == {"basenet": (1, 0), "final": (0, 0)}
    seen = []
    monkeypatch.setattr(subprocess, "Popen", lambda *_, env, **__: seen.append(env) or SimpleNamespace(pid=os.getpid()))
    monkeypatch.setattr("psutil.Process.nice", lambda *_: None)
    for job in (small, large):
        sweep._start(job)
    assert [env.get("TF_NUM_INTRAOP_THREADS") for env in seen] == ["1", None]


def test_a_training_runs_where_the_sweep_was_called(monkeypatch, tmp_path):
    """Places such as PLUMAGE_DATA=data mean the caller's folder."""
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path))
    asked = {}
    monkeypatch.setattr(
        subprocess, "Popen", lambda *_, **given: asked.update(given) or SimpleNamespace(pid=os.getpid())
    )
    monkeypatch.setattr("psutil.Process.nice", lambda *_: None)
    sweep._start(sweep.jobs(["basenet"], 1)[0])
    assert "cwd" not in asked and str(paths.ROOT) in asked["env"]["PYTHONPATH"]


def test_of_each_seed_the_small_come_first_and_only_they_share_the_time():
    todo = sweep.jobs(["basenet", "final", "basenet-norm"], 2)
    assert [[job.spec.name for job in group] for group in sweep.groups(todo)] == [
        ["basenet", "basenet-norm"],
        ["final"],
    ] * 2
    assert sweep.side_by_side([todo[1]] * 3) == 1
    assert 1 <= sweep.side_by_side(todo[::3]) <= 2


def test_who_learns_from_a_teacher_comes_after_all_others(monkeypatch, tmp_path):
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    ordered = [job for group in sweep_jobs.groups(sweep_jobs.jobs(["final-taught", "plumage-long", "basenet"], 2))
               for job in group]  # fmt: skip
    assert [(job.spec.name, job.spec.fit.seed) for job in ordered] == [
        ("basenet", 0), ("plumage-long", 0), ("basenet", 1), ("plumage-long", 1), ("final-taught", 0), ("final-taught", 1),
    ]  # fmt: skip
    monkeypatch.setattr(sweep, "MEASURED_STEPS", 1)
    seconds, steps = sweep.measure(
        catalogue.variant("basenet").spec.replace({"data.name": "drawn", "fit.teacher": "nobody"})
    )
    assert seconds > 0 and steps > 0


def test_a_run_of_another_spec_in_its_place_is_told_and_never_published(sweeping, tmp_path):
    job = sweep.jobs(["basenet"], 1)[0]
    rundir.create(job.spec.replace({"fit.epochs": 3}), tmp_path / "runs" / job.run.id)
    with pytest.raises(rundir.RunError, match="holds a run of another basenet than the catalogue's"):
        sweeping()
    assert not registry.models()


def test_what_a_resumed_run_has_done_is_not_counted_again(sweeping, tmp_path):
    job = sweep.jobs(["basenet"], 1)[0]
    assert job.seconds({"basenet": (0.5, 10)}) == 27 * 5
    rundir.create(job.spec, tmp_path / "runs" / job.run.id).write_status(epoch=20)
    assert job.seconds({"basenet": (0.5, 10)}) == 7 * 5


@pytest.mark.parametrize(("end", "goes_on"), [("failed", True), ("stopped", False)])
def test_a_fit_that_somebody_stops_is_not_done(sweeping, end, goes_on):
    """Of one that failed, the sweep goes on with the next; of one that was stopped, it ends."""

    class Ends(Event):
        def wait(self, timeout=None):
            run.write_status(state=end)  # while the sweep waits

    [job] = sweep.jobs(["basenet"], 1)
    run = rundir.create(job.spec, job.run.path)
    run.write_status(state="running", **process_identity())
    assert sweep._fit(job, float("inf"), Ends(), lambda said: None) is goes_on
