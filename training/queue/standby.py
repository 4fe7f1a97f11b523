"""The process that trains: it waits, warm if there is time, takes the next run of the queue, and ends with it.

`python -m training.queue.standby`, started by `training.queue.launcher`.  At most one waits; it leaves
when it had nothing to wait for in some minutes, so that it does not hold memory for ever, and
when its code has been replaced, so that no run is trained by two versions mixed.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from filelock import FileLock, Timeout

from training import fit
from training.files import read_json
from training.paths import runs_dir
from training.process import log_to
from training.queue import handover, launcher
from training.queue.ahead import Ahead
from training.rundir import RunDir, RunError

IDLE_SECONDS = 300.0
LOOK_SECONDS = 0.05  # between two looks at whether the queue was touched
RESCAN_SECONDS = 2.0  # between two looks at all runs, touched or not, and at the code
SETTLED_SECONDS = 0.3  # after which whoever chooses is taken to have chosen

_code = handover.code()  # that this process has loaded, or will load


def wait_for_run(turn: FileLock, ahead: Ahead) -> RunDir | None:
    """The next run, taken, with `turn` held; None when it is time to leave.

    Meanwhile it loads TensorFlow and builds the network of the run that is expected.
    """
    warm, scanned, touched, seen = False, float("-inf"), 0.0, 0.0
    since = time.time()
    while runs_dir().is_dir():
        now, wake = time.monotonic(), _touched("wake")
        if wake != touched or now - scanned > RESCAN_SECONDS:
            scanned, touched = now, wake
            if handover.code() != _code:
                return None
            waiting = launcher.next_queued() is not None
        if _acquired(turn):  # nobody trains
            if waiting and handover.code() != _code:
                turn.release()
                return None
            if waiting and (run := launcher.take_next()) is not None:
                return run
            waiting = False
            turn.release()
            if not warm:
                warm_up()
                warm = True
            chosen = _touched("expected")
            if chosen != seen and SETTLED_SECONDS < time.time() - chosen < IDLE_SECONDS:
                with suppress(OSError):  # it cannot be read now
                    seen = chosen if ahead.expect(read_json(launcher.place("expected"))) else seen
                if ahead.worn:
                    return None
        if not waiting and time.time() - max(since, _touched("expected")) > IDLE_SECONDS:
            return None
        time.sleep(LOOK_SECONDS)
    return None


def _acquired(turn: FileLock) -> bool:
    try:
        turn.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _touched(name: str) -> float:
    try:
        return launcher.place(name).stat().st_mtime
    except OSError:
        return 0.0


def warm_up() -> None:
    """Import TensorFlow and run one step of a tiny network, so that a run starts at once."""
    import numpy as np

    from training import data, spec
    from training.engine import engine

    blocks = [{"kind": "conv", "filters": 2}, {"kind": "pool"}, {"kind": "flatten"}]
    tiny = spec.parse({"network": {"blocks": blocks, "classes": 2}, "fit": {"batch_size": 2}})
    pictures, labels = np.zeros((4, 32, 32, 3), np.uint8), np.zeros(4, np.int32)
    dataset = data.Dataset("drawn", "", "", ("a", "b"), pictures, labels, pictures, labels, "")
    engine.Engine(tiny, dataset).train(0, 0, 1)


def main() -> None:
    """Wait for a run and fit it."""
    with suppress(OSError, AttributeError):
        os.nice(5)  # trainings give way to the app and to whoever waits for an answer
    waits, turn = launcher.lock("standby", timeout=0.5), launcher.lock("turn")
    try:
        waits.acquire()
    except Timeout:
        return  # another waits already
    ahead = Ahead()
    try:
        run = wait_for_run(turn, ahead)
    finally:
        waits.release()
    if ahead.worn or launcher.next_queued() is not None:
        launcher.spawn()  # a fresh one, or for the run after this; not after an error, which it would meet again at once
    if run is None:
        return
    handover.adopt(run.status())
    log_to(run.file("log.txt"))
    try:
        fit.fit(run, resume=True, ahead=ahead)
    except RunError as error:
        print(error, file=sys.stderr)  # another process trains it; what goes wrong in training is in its status
    finally:
        turn.release()


if __name__ == "__main__":
    try:
        main()
    except (RunError, OSError) as error:  # the folder of runs is gone or full
        print(error, file=sys.stderr)
    sys.stderr.flush()
    os._exit(0)  # a stop may have left a step in progress behind (see `fit`); nothing else is to be waited for
