"""Launch runs as processes of their own: one at a time, the others queue.

A run's process is detached: closing the page, the app or the terminal does not touch it.
The queue is the run directories themselves, in state "queued"; whoever submits, and every
run at its end, starts the next.  A warm standby process (`training.standby`), which has
TensorFlow loaded, takes a run at once.  No TensorFlow here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from training import rundir
from training.paths import ROOT, runs_dir
from training.rundir import ACTIVE, RunDir, RunError, alive, write_atomic
from training.spec import RunSpec

STOP_SECONDS = 1.5  # a run that has not stopped itself by then is killed; its checkpoint stands
TWIN_SECONDS = 2.0  # the same spec submitted again within this time is a second click


def lock() -> FileLock:
    """The lock under which runs change hands."""
    try:
        runs_dir().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The folder of runs {runs_dir()} cannot be made: {error.strerror}.") from None
    return FileLock(runs_dir() / ".launcher.lock", timeout=10)


def queue() -> list[RunDir]:
    """The runs in progress: the running first, then the queued in their order."""
    active = [(run, run.status()) for run in rundir.runs()]
    waiting = [
        (status["state"] != "running", status.get("queued", 0), run)
        for run, status in active
        if status["state"] in ACTIVE
    ]
    return [run for *_, run in sorted(waiting, key=lambda entry: entry[:2])]


def submit(spec: RunSpec) -> RunDir:
    """A new run of `spec`, started at once or queued; a second click gives the first one's run.  Raises `RunError`."""
    with lock():
        for run in queue():
            if time.time() - run.status().get("created", 0) < TWIN_SECONDS and run.spec() == spec:
                return run
        run = rundir.create(spec)
        run.write_status(queued=time.time())
        _start_next()
    return run


def resume(run: RunDir) -> None:
    """Go on with a stopped, failed or crashed run, from its checkpoint, when its turn comes."""
    with lock():
        if run.status()["state"] in ACTIVE:
            return
        if run.status()["state"] == "finished":
            raise RunError(f"{run.id} is finished; there is nothing to go on with.")
        run.write_status(state="queued", queued=time.time(), message="")
        _start_next()


def stop(run: RunDir) -> None:
    """Stop a run within 2 seconds, its checkpoint kept; a queued run leaves the queue."""
    status = run.status()
    if status["state"] == "queued":
        run.write_status(state="stopped", message="Taken out of the queue.")
    elif status["state"] == "running":
        run.request_stop()
        deadline = time.monotonic() + STOP_SECONDS
        while run.status()["state"] == "running" and time.monotonic() < deadline:
            time.sleep(0.03)
        status = run.status()
        if status["state"] == "running":
            with suppress(ProcessLookupError):
                os.kill(status["pid"], signal.SIGKILL)
            run.write_status(state="stopped", message="Stopped on request; resume goes on from the last checkpoint.")
            run.file("stop").unlink(missing_ok=True)
    dispatch()


def delete(run: RunDir) -> None:
    """Remove a run's directory for good; raises `RunError` while it is active."""
    if run.status()["state"] in ACTIVE:
        raise RunError(f"{run.id} is {run.status()['state']}; stop it first.")
    if run.path.resolve().parent != runs_dir().resolve():
        raise RunError(f"{run.id} does not lie in the folder of runs and is not deleted.")
    shutil.rmtree(run.path, ignore_errors=True)


def dispatch() -> None:
    """Start the next queued run if none is running."""
    with lock():
        _start_next()


def _start_next() -> None:
    active = queue()
    if not active or active[0].status()["state"] == "running":
        return
    run = active[0]
    standby = _standby()
    if standby is None:
        process = _spawn(str(run.path))
        import psutil

        run.write_status(state="running", pid=process.pid, process_started=psutil.Process(process.pid).create_time())
        return
    path, identity = standby
    run.write_status(state="running", message="", **identity)
    write_atomic(path.with_suffix(".run"), str(run.path))


# --- The warm standby ------------------------------------------------------------------------


def standby_dir() -> Path:
    return runs_dir() / ".standby"


def keep_warm() -> None:
    """Have a process with TensorFlow loaded ready, if no run is running and none is ready."""
    with lock():
        if not queue() and _standby(ready=False) is None:
            standby_dir().mkdir(exist_ok=True)
            _spawn()


def _standby(ready: bool = True) -> tuple[Path, dict[str, Any]] | None:
    """The note and identity of a living standby that has no run yet; `ready`: with TensorFlow loaded."""
    for path in standby_dir().glob("*.json"):
        try:
            note = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if not alive(note):
            path.unlink(missing_ok=True)
        elif not path.with_suffix(".run").exists() and (note["ready"] or not ready):
            return path, {"pid": note["pid"], "process_started": note["process_started"]}
    return None


def _spawn(*arguments: str) -> subprocess.Popen[bytes]:
    """A detached training process; it waits for a run unless one is given."""
    log = runs_dir() / ".standby.log"
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "training.standby", *arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        )  # fmt: skip
