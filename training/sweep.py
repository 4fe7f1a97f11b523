"""Train every CIFAR variant in full: `python -m training all`.

Large networks are trained one after another, as each nearly fills the cores.  Small ones do not: as many at once as
there are cores, one thread each (docs/speed.md has what either gives).

Each run is an ordinary run directory with a fixed name, so that the sweep can be killed at
any instant and goes on where it was: what is finished or ships is skipped, an unfinished run
is resumed, and one that still trains, as it outlived a killed sweep, is waited for.  One seed
of every variant comes first, then the next seed of each, those that learn from a teacher last; a variant is published as soon as
all its seeds are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from threading import Event

from training import catalogue, cost, rundir
from training.data import DataError
from training.hardware import cores
from training.paths import models_dir
from training.process import environment
from training.rundir import RunDir, RunError
from training.spec import RunSpec
from training.sweep_jobs import Job, groups, jobs

MEASURED_STEPS = 20
POLL_SECONDS = 2.0
Say = Callable[[str], None]


def cifar_names() -> list[str]:
    """The catalogue's networks that are trained from pixels of 32x32."""
    return [entry.name for entry in catalogue.variants() if entry.spec.network.input_shape == (32, 32, 3)]


def side_by_side(group: list[Job]) -> int:
    """How many of a group, all small or all large, train at once: one a core, as far as memory goes."""
    import psutil

    if not group[0].small:
        return 1
    each = 1.2 * max(cost.training_bytes(job.spec)[1] for job in group)
    return max(1, min(cores(), len(group), int(psutil.virtual_memory().available / each)))


def measure(spec: RunSpec) -> tuple[float, int]:
    """Seconds a step of `spec` takes here (after the first, over 20 steps), and its steps an epoch.

    Where its teacher is still to be trained, it is measured without, which takes less.
    """
    from training import data, teacher
    from training.engine.engine import Engine

    if spec.fit.teacher:
        try:
            teacher.of(spec)
        except RunError:
            spec = spec.replace({"fit.teacher": None})
    engine = Engine(spec, data.load(spec.data.name, spec.data.validation))
    engine.train(0, 0, 2)
    start = time.perf_counter()
    engine.train(0, 2, MEASURED_STEPS)
    return (time.perf_counter() - start) / MEASURED_STEPS, engine.steps_per_epoch


def measure_all(jobs: list[Job]) -> dict[str, tuple[float, int]]:
    """`measure` of each variant, in processes of their own, whose memory is free again afterwards."""
    measured: dict[str, tuple[float, int]] = {}
    for group in ([job for job in jobs if job.small], [job for job in jobs if not job.small]):
        with ProcessPoolExecutor(1, get_context("spawn"), _set, (_threads(group),)) as process:
            measured |= {job.spec.name: process.submit(measure, job.spec).result() for job in group}
    return measured


def _set(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def _threads(group: list[Job]) -> dict[str, str]:
    """The environment of a process that trains one of `group`: one thread if small, else as many as there are cores."""
    return {"TF_NUM_INTRAOP_THREADS": "1"} if group and group[0].small else {}


def run(names: list[str], seeds: int, budget_minutes: float | None, say: Say) -> bool:
    """Run the sweep; True when every run is finished.

    A run that the budget ends is kept to be resumed, and so is one that somebody stops, which ends the sweep.
    """
    deadline = float("inf") if budget_minutes is None else time.monotonic() + 60 * budget_minutes
    every = jobs(names, seeds)
    todo = [job for job in every if job.state != "finished"]
    say(f"{len(names)} variants x {seeds} seeds: {len(every) - len(todo)} runs done, {len(todo)} to do.")
    for name in names:
        publish(name, seeds, say)
    measured = measure_all(list({job.spec.name: job for job in todo}.values())) if todo else {}
    plan(todo, measured, deadline - time.monotonic(), say)
    halt = Event()
    begun = 0

    def fit(number: int, job: Job) -> bool:
        if halt.is_set() or time.monotonic() >= deadline:
            return False
        left = sum(seconds for _, seconds in _ahead([job for job in todo if job.state != "finished"], measured))
        say(f"[{number}/{len(todo)}] {job.run.id}: {job.state}, about {_clock(left)} left in all")
        if not _fit(job, deadline, halt, say):
            halt.set()
            return False
        return True

    for group in groups(todo):
        with ThreadPoolExecutor(side_by_side(group)) as pool:
            try:
                fits = {pool.submit(fit, begun + place, job): job for place, job in enumerate(group, 1)}
                for ended in as_completed(fits):
                    if ended.result():
                        publish(fits[ended].spec.name, seeds, say)
            except BaseException:  # Ctrl-C, or an error in publishing: what trains beside it keeps a checkpoint
                halt.set()
                raise
        if not all(ended.result() for ended in fits):
            if time.monotonic() >= deadline:
                say(_USED_UP)
            return False
        begun += len(group)
    failed = sum(job.state != "finished" for job in todo)
    if failed:
        say(f"{failed} of {len(todo)} runs failed; the same command tries them again.")
    return not failed


def _ahead(todo: list[Job], measured: dict[str, tuple[float, int]]) -> list[tuple[Job, float]]:
    """Each job in its order with the seconds it adds: those that train side by side share theirs."""
    return [(job, job.seconds(measured) / side_by_side(group)) for group in groups(todo) for job in group]


def plan(todo: list[Job], measured: dict[str, tuple[float, int]], seconds: float, say: Say) -> None:
    """Say when each job will end, and which will not within `seconds`."""
    ahead = 0.0
    for job, own in _ahead(todo, measured):
        begins, ahead = ahead, ahead + own
        late = "" if ahead <= seconds else "  (begun, and resumed next time)" if begins < seconds else "  (next time)"
        step = 1e3 * measured[job.spec.name][0]
        say(f"  {job.run.id:<48} {step:8.1f} ms a step, ends after about {_clock(ahead)}{late}")


def publish(name: str, seeds: int, say: Say) -> None:
    """Once all seeds of a variant are there, put them into models/: the best on validation ships, of others the card.

    A model that ships already stays; further seeds join it as cards.
    """
    from training.ship import ship

    every = jobs([name], seeds)
    if any(job.state != "finished" for job in every):
        return

    def accuracy(job: Job) -> float:
        validation = (job.run.card() or {"figures": {}})["figures"].get("validation")
        return validation["accuracy"] if validation else 0.0

    for job in sorted((job for job in every if not job.stored), key=accuracy, reverse=True):
        shipped = RunDir(models_dir() / name).card()
        try:
            ship(job.run, name, card_only=shipped is not None)
        except (RunError, DataError) as error:
            say(f"{name}: {error}")
            if shipped is None:
                return  # the best ships or none does
            continue
        say(f"{name}: seed {job.spec.fit.seed} {'is stored as a card' if shipped else 'ships'}")


_USED_UP = "The budget is used up; the same command goes on from here."


def _fit(job: Job, deadline: float, halt: Event, say: Say) -> bool:
    """Fit one job in a process of its own, at low priority; False when it was stopped, by the budget or otherwise.

    A run that another process trains already is waited for, and not stopped: it may be another sweep's.
    """
    directory, shown = job.run, -1
    process = None if job.state == "running" else _start(job)
    who = f"    {job.spec.name}, seed {job.spec.fit.seed}"

    def goes_on() -> bool:
        return process.poll() is None if process else directory.status()["state"] == "running"

    while goes_on():
        halt.wait(POLL_SECONDS)
        status = directory.status()
        if status.get("epoch", 0) != shown:
            shown = status.get("epoch", 0)
            last = next((line for line in reversed(directory.history()) if line["kind"] == "epoch"), None)
            if last:
                left = status.get("eta_seconds")
                say(
                    f"{who}: epoch {shown} of at most {job.spec.fit.max_epochs}: validation accuracy "
                    f"{last['val_accuracy']:.4f}{f', {_clock(left)} left' if left is not None else ''}"
                )
        if (time.monotonic() >= deadline or halt.is_set()) and goes_on():
            if process is None:
                say(f"{who}: goes on in the process that trains it")
                return False
            directory.request_stop()
            while goes_on():
                time.sleep(0.1)
            return False
    status = directory.status()
    if status["state"] != "finished":
        say(f"{who}: {status['state']}: {status.get('message') or 'see log.txt in the run directory'}")
    killed = status.get("crashed") or (process is not None and process.returncode == -9)  # or before it said a word
    return status["state"] != "stopped" or bool(killed)


def _start(job: Job) -> subprocess.Popen[bytes]:
    import psutil

    if job.state == "new":
        rundir.create(job.spec, job.run.path)
    process = subprocess.Popen(
        _command(job), env=environment(**_threads([job])),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with suppress(psutil.Error):  # it has ended already
        psutil.Process(process.pid).nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 10)
    return process


def _command(job: Job) -> list[str]:
    return [sys.executable, "-m", "training", "fit", "--run-dir", str(job.run.path.resolve()), "--resume"]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
