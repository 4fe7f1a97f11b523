"""The process that trains: started for one run, or warm and waiting for one.

`python -m training.standby [RUN_DIRECTORY]`.  Started by `training.launcher`; it loads
TensorFlow, fits one run, starts the next in the queue and ends.  Waiting, it leaves after
a while, so that it does not hold memory for ever.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from training import fit, launcher
from training.rundir import RunDir, RunError, process_identity, write_atomic

IDLE_SECONDS = 600.0
LOOK_SECONDS = 0.05


def wait_for_run() -> Path | None:
    """Load TensorFlow, then wait for the launcher's word; None when it is time to leave."""
    note = launcher.standby_dir() / f"{os.getpid()}.json"
    order = note.with_suffix(".run")
    try:
        write_atomic(note, json.dumps({"ready": False, **process_identity()}))
        _load()
        write_atomic(note, json.dumps({"ready": True, **process_identity()}))
        deadline = time.monotonic() + IDLE_SECONDS
        while not order.exists() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if not order.exists():
            with launcher.lock():  # a run may be handed over at this very instant
                note.unlink(missing_ok=True)
        return Path(order.read_text(encoding="utf-8")) if order.exists() else None
    except (OSError, RunError):
        return None  # the folder of runs is gone
    finally:
        note.unlink(missing_ok=True)
        order.unlink(missing_ok=True)


def _load() -> None:
    """Import TensorFlow and run one step of a tiny network, so that a run starts at once."""
    import numpy as np

    from training import data, engine, spec

    blocks = [{"kind": "conv", "filters": 2}, {"kind": "pool"}, {"kind": "flatten"}]
    tiny = spec.parse({"network": {"blocks": blocks, "classes": 2}, "fit": {"batch_size": 2}})
    pictures, labels = np.zeros((4, 32, 32, 3), np.uint8), np.zeros(4, np.int32)
    dataset = data.Dataset("drawn", "", "", ("a", "b"), pictures, labels, pictures, labels, "")
    engine.Engine(tiny, dataset).train(0, 0, 1)


def main() -> None:
    """Fit the run named on the command line, or wait for one; then start the next."""
    with suppress(OSError):
        os.nice(5)  # trainings give way to the app and to whoever waits for an answer
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else wait_for_run()
    if path is None:
        return
    run = RunDir(path)
    fit.log_to(run.file("log.txt"))
    try:
        fit.fit(run, resume=True)
    except RunError as error:
        print(error, file=sys.stderr)
    finally:
        with suppress(RunError):
            launcher.dispatch()


if __name__ == "__main__":
    main()
