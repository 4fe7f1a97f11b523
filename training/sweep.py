"""Train every CIFAR variant in full, one run after another: `python -m training all`.

Each run is an ordinary run directory with a fixed name, so that the sweep can be killed at
any instant and goes on where it was: finished runs are skipped, unfinished ones resumed.
One seed of every variant comes first, then the next seed of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training import catalogue, rundir
from training.paths import ROOT, models_dir, runs_dir
from training.rundir import RunDir
from training.spec import RunSpec

MEASURED_STEPS = 20
POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Job:
    """One variant with one seed, and the run directory that is its own."""

    spec: RunSpec

    @property
    def path(self) -> Path:
        return runs_dir() / f"all-{self.spec.name}-{self.spec.data.name}-seed{self.spec.fit.seed}"

    @property
    def state(self) -> str:
        """The run's state, or "new"."""
        return RunDir(self.path).status()["state"] if (self.path / "status.json").is_file() else "new"

    @property
    def epochs(self) -> int:
        """Epochs to expect: the report's where early stopping decides and the report names them, else the most."""
        report = catalogue.variant(self.spec.name).report.epochs
        return report if self.spec.fit.early_stopping and report else self.spec.fit.max_epochs


def jobs(names: list[str], seeds: int) -> list[Job]:
    """The runs of a sweep, all variants with seed 0 first."""
    return [
        Job(catalogue.load(name).replace({"fit.seed": seed})) for seed in range(seeds) for name in names
    ]  # fmt: skip


def cifar_names() -> list[str]:
    """The catalogue's networks that are trained from pixels of 32x32."""
    return [entry.name for entry in catalogue.variants() if entry.spec.network.input_shape == (32, 32, 3)]


def measure(spec: RunSpec) -> tuple[float, int]:
    """Seconds a step of `spec` takes here (after the first, over 20 steps), and its steps an epoch."""
    from training import data
    from training.engine import Engine

    engine = Engine(spec, data.load(spec.data.name, spec.data.validation))
    engine.train(0, 0, 2)
    start = time.perf_counter()
    engine.train(0, 2, MEASURED_STEPS)
    return (time.perf_counter() - start) / MEASURED_STEPS, engine.steps_per_epoch


def estimate(job: Job, measured: dict[str, tuple[float, int]]) -> float:
    """Seconds that the rest of the job will take, from the measured step."""
    seconds, steps = measured[job.spec.name]
    done = RunDir(job.path).status().get("epoch", 0) if job.state != "new" else 0
    return max(1, job.epochs - done) * steps * seconds


def run(names: list[str], seeds: int, budget_minutes: float | None, say: Callable[[str], None]) -> bool:
    """Run the sweep; True when every run is finished.  A run that the budget ends is kept to be resumed."""
    todo = [job for job in jobs(names, seeds) if job.state != "finished"]
    say(f"{len(names)} variants x {seeds} seeds: {len(names) * seeds - len(todo)} runs done, {len(todo)} to do.")
    measured = {name: measure(catalogue.load(name)) for name in dict.fromkeys(job.spec.name for job in todo)}
    deadline = time.monotonic() + 60 * budget_minutes if budget_minutes else float("inf")
    ahead = 0.0
    for job in todo:
        ahead += estimate(job, measured)
        step = measured[job.spec.name][0]
        late = (
            "" if ahead <= deadline - time.monotonic() else "  (not within the budget: begun, then resumed next time)"
        )
        say(f"  {job.path.name:<48} {1e3 * step:8.1f} ms a step, ends after about {_clock(ahead)}{late}")
    for number, job in enumerate(todo, 1):
        if time.monotonic() >= deadline:
            say("The budget is used up; the same command goes on from here.")
            return False
        say(f"[{number}/{len(todo)}] {job.path.name}: {job.state}")
        if not _fit(job, deadline, say):
            return False
    for name in names:
        publish(name, seeds, say)
    return True


def publish(name: str, seeds: int, say: Callable[[str], None]) -> None:
    """Put the finished seeds of a variant into models/: the best on validation with its weights, the others' cards.

    A model that ships already stays; further seeds join it as cards.
    """
    from training.ship import ship

    finished = [RunDir(job.path) for job in jobs([name], seeds) if job.state == "finished"]
    cards = {run: run.card() or {} for run in finished}
    finished.sort(key=lambda run: -cards[run]["figures"]["validation"]["accuracy"])
    for run in finished:
        seed = cards[run]["spec"]["fit"]["seed"]
        shipped = RunDir(models_dir() / name).card()
        if shipped is None:
            ship(run, name)
            say(f"{name}: seed {seed} ships, the best of {len(finished)} on validation")
        elif shipped["spec"]["fit"]["seed"] != seed and not (models_dir() / name / f"seed-{seed}").exists():
            ship(run, name, card_only=True)
            say(f"{name}: the card of seed {seed} is stored")


def _fit(job: Job, deadline: float, say: Callable[[str], None]) -> bool:
    """Fit one job in a process of its own, low priority; False when the budget ended it."""
    if job.state == "new":
        rundir.create(job.spec, job.path)
    fit = [sys.executable, "-m", "training", "fit", str(job.path / "spec.json"), "--run-dir", str(job.path), "--resume"]
    process = subprocess.Popen(
        fit, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.nice(10)
    )
    directory, shown = RunDir(job.path), -1
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            status = directory.status()
            if status.get("epoch", 0) != shown:
                shown = status.get("epoch", 0)
                last = next((line for line in reversed(directory.history()) if line["kind"] == "epoch"), None)
                if last:
                    say(
                        f"    epoch {shown} of at most {job.spec.fit.max_epochs}: validation accuracy "
                        f"{last['val_accuracy']:.4f}, {_clock(status.get('eta_seconds') or 0)} left"
                    )
            if time.monotonic() >= deadline:
                directory.request_stop()
                process.wait()
                say("The budget is used up; the same command goes on from here.")
                return False
    except KeyboardInterrupt:
        directory.request_stop()
        process.wait()
        raise
    status = directory.status()
    if status["state"] != "finished":
        say(f"    {status['state']}: {status.get('message') or 'see log.txt in the run directory'}")
    return status["state"] != "stopped"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
