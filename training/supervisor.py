"""A training in a thread of its process, and the main thread that watches over it.

The main thread sees signals and requests to stop at once, and leaves the training
behind where one long step would keep it waiting.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from training.data import DataError
from training.divergence import Diverged
from training.process import Log, process_identity, signals
from training.rundir import RunDir, RunError

GRACE_SECONDS = 1.4  # after which a stop does not wait for the step in progress


class Stopped(Exception):
    """The run was asked to stop."""


class Supervised:
    """What both threads share; `train` is the training itself."""

    def __init__(self, run: RunDir):
        self.run_dir = run
        self.stopping = threading.Event()
        self.writing = threading.Lock()  # status.json, which both threads write
        self.left_behind = self.ended = False  # one of the two threads has the last word, never both
        self.worker: threading.Thread | None = None

    def train(self) -> None:
        """Raises `Stopped`, `Diverged` or another exception where it does not come to its end."""
        raise NotImplementedError

    # --- The main thread ----------------------------------------------------------------------

    def supervise(self) -> None:
        """Run the training in its thread until it has ended or is left behind."""
        self.write_status(state="running", started=time.time(), message="Loading the pictures", **process_identity())
        self.worker = worker = threading.Thread(target=self.work, name="training", daemon=True)
        asked = None
        with signals(self.stopping):
            worker.start()
            while True:
                worker.join(0.05)
                if not worker.is_alive():
                    return
                now = time.monotonic()
                if self.run_dir.stop_requested():
                    self.stopping.set()
                if self.stopping.is_set():
                    asked = asked or now
                    if now - asked > GRACE_SECONDS and self.leave_behind():
                        return

    def leave_behind(self) -> bool:
        """End the run without its thread, unless that has ended it meanwhile; the last checkpoint stands."""
        with self.writing:
            if self.ended:
                return False
            self.left_behind = True  # from here on the thread begins to write nothing
        self.end(
            "stopped",
            "Stopped on request, without waiting for what was being computed; Resume goes on from "
            f"{self.run_dir.whence}.",
        )
        return True

    def have_last_word(self) -> None:
        """From here on the thread cannot be left behind; raises `Stopped` where it was."""
        with self.writing:
            if self.left_behind:
                raise Stopped
            self.ended = True

    @contextmanager
    def may_write(self) -> Iterator[None]:
        """One of the two threads writes; raises `Stopped` in the training's where it was left behind."""
        with self.writing:
            if self.left_behind and threading.current_thread() is self.worker:
                raise Stopped
            yield

    def write_status(self, **fields: Any) -> None:
        with self.may_write():
            self.run_dir.write_status(**fields)

    def end(self, state: str, message: str, **fields: Any) -> None:
        """The last word on a run that has not finished."""
        with suppress(RunError):  # where even this cannot be written, the process's end says it
            self.write_status(state=state, message=message, ended=time.time(), eta_seconds=None, **fields)
        with suppress(OSError):
            self.run_dir.file("stop").unlink(missing_ok=True)

    # --- The training's thread ------------------------------------------------------------------

    def work(self) -> None:
        """Train, and note how it ended."""
        try:
            self.train()
        except Stopped:
            self.settle("stopped", "Stopped on request; resume goes on from here.")
        except (Diverged, RunError, DataError) as error:
            self.settle("failed", str(error))
        except Exception as error:
            traceback.print_exc(file=Log(self.run_dir.file("log.txt")))
            reason = " ".join(str(error).split())[:300]
            told = reason if isinstance(error, ValueError) else f"{type(error).__name__}: {reason}"
            self.settle("failed", f"{told} (log.txt in the run directory has the details.)")

    def settle(self, state: str, message: str) -> None:
        with suppress(Stopped):
            self.have_last_word()
            self.end(state, message)
