"""Launch runs as processes of their own: one at a time, the others queue.

A run's process is detached: closing the page, the app or the terminal does not touch it.
The queue is the run directories themselves, in state "queued".  Whenever a run waits, one
process (`training.queue.standby`) waits for its turn (where it ended with an error, the next look at the queue
starts another), which is a file lock that the operating system frees however its holder dies; so the queue goes on when a run crashes and when the
app is closed.  The same process is the warm standby: with nothing to do, it has TensorFlow
loaded, takes a new run at once, and leaves after some minutes.  No TensorFlow here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from training import registry, rundir
from training.files import advice, patiently
from training.paths import runs_dir
from training.process import apart, environment, process_identity
from training.queue import handover
from training.rundir import RunDir, RunError
from training.spec import RunSpec
from training.status import ACTIVE

STOP_SECONDS = 1.8  # a run that has not stopped itself by then is killed; its checkpoint stands
SPAWN_SECONDS = 5.0  # granted to a process to take its place, before whoever looks at the queue starts another
_DELETED = ".deleted-"  # before the names of folders whose runs are being removed

_started: list[subprocess.Popen[bytes]] = []  # so that those that have ended are not left as zombies
_last_start = float("-inf")


def place(name: str) -> Path:
    """A file of the launcher's own in the folder of runs: "launcher.lock", "turn.lock", "standby.lock", "wake", "expected"."""
    return runs_dir() / f".{name}"


def lock(name: str, timeout: float = 10) -> FileLock:
    """ "launcher" guards changes of the queue, "turn" is held while a run trains, "standby" while one waits."""
    try:
        runs_dir().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The folder of runs {runs_dir()} cannot be made: {error.strerror}.") from None
    return FileLock(place(f"{name}.lock"), timeout=timeout)


def held(name: str) -> bool:
    """Whether a process holds that lock."""
    try:
        with lock(name, timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise RunError(f"{place(f'{name}.lock')} cannot be opened: {error.strerror}; {advice(error)}.") from None


def queue() -> list[RunDir]:
    """The runs in progress: the running first, then the queued in their order."""
    active = [(run, run.status()) for run in registry.runs()]
    places = [
        (status["state"] != "running", status.get("queued", 0.0), run)
        for run, status in active
        if status["state"] in ACTIVE
    ]
    places.sort(key=lambda entry: entry[:2])
    if any(waits for waits, *_ in places) and time.monotonic() - _last_start > SPAWN_SECONDS:
        _ensure_standby()  # someone has to wait for them; it may have been killed
    return [run for *_, run in places]


def submit(spec: RunSpec) -> RunDir:
    """A new run of `spec`, started at once or queued; the same one where it is waiting or running already.

    Raises `RunError`.
    """
    with lock("launcher"):
        for run in registry.runs():
            with suppress(RunError):  # a broken one is none
                if (state := run.status()["state"]) in ACTIVE and run.spec() == spec:
                    if state == "queued":  # asked for again, perhaps from an environment that has been put right
                        run.write_status(places=handover.places())
                    return run
        run = rundir.create(spec, queued=True)
        run.write_status(places=handover.places())
    _wake()
    return run


def resume(run: RunDir) -> None:
    """Go on with a stopped, failed or crashed run, from its checkpoint, when its turn comes."""
    with lock("launcher"):
        state = run.status()["state"]
        if state in ACTIVE:
            return
        if state == "finished":
            raise RunError(f"{run.id} is finished; there is nothing to go on with.")
        if run.path.resolve().parent != runs_dir().resolve():
            raise RunError(f"{run.id} lies outside the folder of runs; go on with: fit --resume --run-dir {run.path}")
        run.file("stop").unlink(missing_ok=True)
        run.write_status(state="queued", queued=time.time(), message="", places=handover.places())
    _wake()


def stop(run: RunDir) -> None:
    """Stop a run within 2 seconds, its checkpoint kept; a queued run leaves the queue.

    A run that has its card has been trained, and comes to its end by itself.
    """
    with lock("launcher"):
        if run.status()["state"] == "queued":
            run.write_status(state="stopped", message="Stopped before it began.")
        if run.status()["state"] != "running":
            return
        run.request_stop()
    deadline = time.monotonic() + STOP_SECONDS
    while (status := run.status())["state"] == "running":
        if time.monotonic() > deadline:
            if run.file("card.json").is_file():
                return
            _kill(status["pid"])
            if run.status()["state"] == "stopped":  # it may have come to its end meanwhile
                run.write_status(state="stopped", message=f"Stopped on request; resume goes on from {run.whence}.")
            run.file("stop").unlink(missing_ok=True)
            return
        time.sleep(0.03)


def _kill(pid: int) -> None:
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        process.kill()
        process.wait(1)


def delete(run: RunDir) -> None:
    """Remove a run's directory for good; raises `RunError` while it is active."""
    with lock("launcher"):
        state = run.status()["state"]
        if state in ACTIVE:
            raise RunError(f"{run.id} is {state}; stop it first.")
        if run.path.resolve().parent != runs_dir().resolve():
            raise RunError(f"{run.id} does not lie in the folder of runs and is not deleted.")
        try:
            gone = Path(tempfile.mkdtemp(prefix=_DELETED, dir=runs_dir()))
            patiently(lambda: run.path.rename(gone / run.path.name))  # at once, so that nobody meets half of it
        except OSError as error:
            raise RunError(
                f"{run.id} cannot be deleted: {error.strerror}; see that no program has its files open."
            ) from None
        leftovers = list(runs_dir().glob(f"{_DELETED}*"))  # others' as well, where a deletion was cut short
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)


# --- The process that waits ------------------------------------------------------------------


def expect(spec: RunSpec) -> None:
    """Have a process ready that could begin the run of `spec` at once, its network built, unless one is training now."""
    lock("launcher")  # makes the folder
    rundir.write_atomic(place("expected"), json.dumps(handover.brought(spec)), durable=False)
    if not held("turn"):
        _ensure_standby()


def _wake() -> None:
    """Have the waiting process look at the queue at once."""
    with suppress(OSError):
        place("wake").touch()
    _ensure_standby()


def _ensure_standby() -> None:
    if not held("standby"):
        spawn()


def spawn() -> None:
    """Start a detached process that waits; it ends at once where another waits already."""
    global _last_start
    _last_start = time.monotonic()
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        with place("standby.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "training.queue.standby"], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment(TF_CPP_MIN_LOG_LEVEL="3"), **apart(),
            )  # fmt: skip
    except OSError as error:
        raise RunError(f"A process for the training cannot be started: {error.strerror}.") from None
    _started.append(process)


def next_queued() -> RunDir | None:
    """The run whose turn is next."""
    return next(iter(_queued()), None)


def _queued() -> list[RunDir]:
    """The runs that wait, in their order."""
    states = [(run, run.status()) for run in registry.runs()]
    # One whose directory cannot be written can be neither begun nor noted as failed.
    waiting = [(status.get("queued", 0.0), run) for run, status in states
               if status["state"] == "queued" and os.access(run.path, os.W_OK)]  # fmt: skip
    return [run for _, run in sorted(waiting, key=lambda entry: entry[0])]


def take_next() -> RunDir | None:
    """Mark the next queued run as this process's own; it then runs until this process ends it or dies.

    One that cannot be begun, as its directory cannot be written, fails if even that can be noted, and keeps no other waiting.
    """
    with lock("launcher"):
        for run in _queued():
            try:
                run.file("stop").unlink(missing_ok=True)
                run.write_status(state="running", message="", **process_identity())
            except (RunError, OSError) as error:
                with suppress(RunError, OSError):
                    run.write_status(state="failed", message=f"It could not be begun: {error}")
                continue
            with suppress(OSError):  # whoever expects another says so again
                place("expected").unlink(missing_ok=True)
            return run
        return None
