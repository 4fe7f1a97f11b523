"""Fit a run directory: train, write the history line by line, go on from where it was.

Everything that decides the weights is a function of the spec and of (epoch, step), so a run
that was stopped or killed at any instant and is resumed from its checkpoint ends with the
weights of one that never stopped.

The training runs in a thread.  The process's main thread beats, sees signals and requests
to stop at once, and leaves the training behind where one long step would keep it waiting.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from training.data import DataError
from training.process import process_identity
from training.rundir import RunDir, RunError, read_arrays, write_arrays

if TYPE_CHECKING:
    from training.data import Dataset

CHUNK_SECONDS = 0.4  # of training between two looks at the stop request
POINT_SECONDS = 1.0  # between two in-epoch points of the history
CHECKPOINT_SECONDS = 20.0, 120.0  # between two within an epoch: at least, and at most where one takes long
CHECKPOINT_SHARE = 0.05  # of the time, between these bounds
BEAT_SECONDS = 1.0
LARGEST_LOSS = 1e6  # nats; guessing costs ln(classes), about 3
GRACE_SECONDS = 1.4  # after which a stop does not wait for the step in progress

Report = Callable[[dict[str, Any]], None]  # called with every line of the history


class Stopped(Exception):
    """The run was asked to stop."""


class Diverged(Exception):
    """The loss is no longer a number, or beyond all measure."""


def fit(
    run: RunDir, resume: bool = False, report: Report = lambda line: None, dataset: Dataset | None = None
) -> dict[str, Any]:
    """Train the run of `run` to its end; returns its last status.

    With `resume` it goes on from the checkpoint (or starts, where there is none).  `dataset`
    takes the place of the one that the spec names.  However the training ends, the status
    says so: "finished", "stopped" or, with a sentence, "failed".  Raises `RunError` where
    another process holds the run, it is finished, or it has begun and `resume` is not set.

    Where a stop had to leave the training behind in the middle of a step, its thread still
    computes when this returns (and writes nothing any more): end the process with `os._exit`.
    """
    lock = FileLock(run.file(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{run.id} is already being trained by another process.") from None
    except OSError as error:
        raise RunError(f"{run.path} cannot be written: {error.strerror}.") from None
    with lock:
        if run.status()["state"] == "finished":
            raise RunError(f"{run.id} is finished; there is nothing to go on with.")
        if run.file("checkpoint.npz").is_file() and not resume:
            raise RunError(f"{run.id} has begun already; --resume goes on with it.")
        run.forget_old_stop()
        run.clear_partial()
        try:
            fit = _Fit(run, report, dataset)
        except RunError as error:  # a damaged spec: else the queue would say no more than that the process is gone
            run.write_status(state="failed", message=str(error))
            raise
        fit.supervise()
    return run.status()


class _Fit:
    """The state of a fit in progress; `progress` is what the checkpoint keeps beside the weights."""

    def __init__(self, run: RunDir, report: Report, dataset: Dataset | None):
        self.run_dir, self.report, self.spec, self.dataset = run, report, run.spec(), dataset
        self.stopping = threading.Event()
        self.writing = threading.Lock()  # status.json, which both threads write
        self.left_behind = self.ended = False  # one of the two threads has the last word, never both
        self.progress: dict[str, Any] = {
            "epoch": 0, "step": 0,  # whole epochs done, and steps of the next one
            "loss": 0.0, "accuracy": 0.0,  # sums over the steps of the unfinished epoch
            "epoch_seconds": 0.0, "elapsed": 0.0,
            "validated": 0,  # the global step of the last validation
            "best": None, "best_epoch": 0,  # the least validation loss and its epoch
        }  # fmt: skip
        self.next_checkpoint = self.shown = self.status_written = 0.0

    # --- The main thread ----------------------------------------------------------------------

    def supervise(self) -> None:
        """Run the training in its thread until it has ended or is left behind."""
        self.write_status(state="running", started=time.time(), message="Loading the pictures", **process_identity())
        worker = threading.Thread(target=self.work, name="training", daemon=True)
        asked, beaten = None, time.monotonic()
        with _signals(self.stopping):
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
                elif now - beaten > BEAT_SECONDS:
                    beaten = now
                    with suppress(RunError):  # a full disk is the training's matter
                        self.write_status(heartbeat=time.time())

    def extracting(self, done: int, total: int) -> None:
        """Progress of the features that a head learns on; they are kept, so a stop loses none."""
        self.check_stop()
        self.write_status(message=f"Computing features: {done} of {total} pictures")

    def leave_behind(self) -> bool:
        """End the run without its thread, unless that has ended it meanwhile; the last checkpoint stands."""
        with self.writing:
            if self.ended:
                return False
            self.left_behind = True  # from here on the thread writes nothing
        self.end("stopped", "Stopped on request, in the middle of a step; resume goes on from the last checkpoint.")
        return True

    def have_last_word(self) -> None:
        """From here on the thread cannot be left behind; raises `Stopped` where it was."""
        with self.writing:
            if self.left_behind:
                raise Stopped
            self.ended = True

    def write_status(self, **fields: Any) -> None:
        with self.writing:
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
            traceback.print_exc(file=_Log(self.run_dir.file("log.txt")))
            reason = " ".join(str(error).split())[:300]
            told = reason if isinstance(error, ValueError) else f"{type(error).__name__}: {reason}"
            self.settle("failed", f"{told} (log.txt in the run directory has the details.)")

    def settle(self, state: str, message: str) -> None:
        with suppress(Stopped):
            self.have_last_word()
            self.end(state, message)

    def train(self) -> None:
        """Load, train, finish."""
        run, spec = self.run_dir, self.spec
        from training import data
        from training.engine import Engine

        kind: type[Engine] = Engine
        if spec.data.backbone:
            from training.birds import finetune, heads

            if spec.fit.fine_tune != "off":
                kind = finetune.FineTune
                self.dataset = self.dataset or heads.pictures(spec)
            else:  # a head learns on the backbone's features
                self.dataset = self.dataset or heads.dataset(spec, self.extracting)
        self.dataset = self.dataset or data.load(spec.data.name, spec.data.validation)
        self.check_stop()
        self.write_status(message="Building the network")
        self.engine = kind(spec, self.dataset)
        self.engine.warm_up()
        if run.file("checkpoint.npz").is_file():
            self.restore()
        run.truncate_history(self.global_step(), self.progress["validated"])
        self.clock = time.monotonic()
        self.next_checkpoint = self.clock + CHECKPOINT_SECONDS[0]
        while not (self.done() and self.progress["validated"] == self.global_step()):
            self.epoch()
        self.finish()

    def check_stop(self) -> None:
        """Raise `Stopped` if a stop was asked for, with the checkpoint written."""
        if self.left_behind:
            raise Stopped
        if self.stopping.is_set():
            if hasattr(self, "clock"):
                self.checkpoint()
            raise Stopped

    def global_step(self) -> int:
        return self.progress["epoch"] * self.engine.steps_per_epoch + self.progress["step"]

    def fraction(self) -> float:
        """Epochs done, with the part of the unfinished one."""
        return self.progress["epoch"] + self.progress["step"] / self.engine.steps_per_epoch

    def out_of_time(self) -> bool:
        minutes = self.spec.fit.minutes
        return minutes is not None and self.progress["elapsed"] >= 60 * minutes

    def out_of_patience(self) -> bool:
        stopping = self.spec.fit.early_stopping
        return stopping is not None and self.progress["epoch"] - self.progress["best_epoch"] >= stopping.patience

    def done(self) -> bool:
        """Whether the epochs, the minutes or the patience are used up."""
        return self.progress["epoch"] >= self.spec.fit.max_epochs or self.out_of_time() or self.out_of_patience()

    def tick(self) -> None:
        """Add the seconds since the last tick to the run's own clock."""
        now = time.monotonic()
        self.progress["elapsed"] += now - self.clock
        self.progress["epoch_seconds"] += now - self.clock
        self.clock = now

    def epoch(self) -> None:
        """Train to the end of the epoch or of the time, then validate and write the epoch's line."""
        progress, steps = self.progress, self.engine.steps_per_epoch
        chunk, point_loss, point_accuracy, point_steps = 1, 0.0, 0.0, 0
        while progress["step"] < steps and not self.out_of_time():
            count = min(chunk, steps - progress["step"])
            start = time.monotonic()
            loss, accuracy = self.engine.train(progress["epoch"], progress["step"], count)
            seconds = time.monotonic() - start
            if self.left_behind:
                raise Stopped
            self.tick()
            self.check_loss(loss, f"in epoch {progress['epoch'] + 1}, at step {progress['step'] + count}")
            progress["step"] += count
            progress["loss"] += loss * count
            progress["accuracy"] += accuracy * count
            point_loss, point_accuracy = point_loss + loss * count, point_accuracy + accuracy * count
            point_steps += count
            if time.monotonic() - self.shown >= POINT_SECONDS:
                self.line("step", loss=point_loss / point_steps, accuracy=point_accuracy / point_steps)
                self.shown, point_loss, point_accuracy, point_steps = time.monotonic(), 0.0, 0.0, 0
            chunk = max(1, min(4 * chunk, int(CHUNK_SECONDS * count / max(seconds, 1e-6))))
            self.write_progress()
            self.check_stop()
            if time.monotonic() >= self.next_checkpoint:
                self.checkpoint()
        self.validate()

    def check_loss(self, loss: float, where: str) -> None:
        if not loss < LARGEST_LOSS:  # NaN is not, either
            fit = self.spec.fit
            raise Diverged(
                f"The loss became {loss:.3g} {where}: the learning rate {fit.learning_rate:g} with momentum "
                f"{fit.momentum:g} is too high for this network; try a third of it."
            )

    def validate(self) -> None:
        """The epoch's line, early stopping's best weights, and a checkpoint."""
        progress, data, done = self.progress, self.dataset, self.progress["step"]
        assert data is not None
        val_loss, val_accuracy = self.engine.evaluate(
            data.validation_images, data.validation_labels,
            augmented=self.spec.data.validation == "ordered", draw=progress["epoch"],
        )  # fmt: skip
        if self.left_behind:
            raise Stopped
        self.tick()
        self.check_loss(val_loss, f"after {self.fraction():g} epochs, on the validation pictures")
        self.line(
            "epoch", loss=progress["loss"] / done, accuracy=progress["accuracy"] / done,
            val_loss=val_loss, val_accuracy=val_accuracy,
            learning_rate=self.engine.learning_rate(progress["epoch"], done - 1),
        )  # fmt: skip
        if done == self.engine.steps_per_epoch:
            progress.update(epoch=progress["epoch"] + 1, step=0, loss=0.0, accuracy=0.0, epoch_seconds=0.0)
        progress["validated"] = self.global_step()
        if progress["best"] is None or val_loss < progress["best"]:
            progress.update(best=val_loss, best_epoch=_short(self.fraction()))
            if self.spec.fit.early_stopping:
                write_arrays(self.run_dir.file("best.npz"), self.engine.weights())
        self.checkpoint()
        self.write_progress(now=True)

    # --- Files ----------------------------------------------------------------------------------

    def line(self, kind: str, **figures: float) -> None:
        """A line of the history: "epoch" counts whole epochs, or their fraction within one."""
        seconds = self.progress["epoch_seconds"] if kind == "epoch" else self.progress["elapsed"]
        row = {"kind": kind, "epoch": _short(self.fraction()), "step": self.global_step(), **figures,
               "seconds": round(seconds, 3)}  # fmt: skip
        self.run_dir.append_history(row)
        self.report(row)

    def write_progress(self, now: bool = False) -> None:
        """status.json, at most once a second."""
        if not now and time.monotonic() - self.status_written < 1:
            return
        self.status_written = time.monotonic()
        progress, fraction = self.progress, self.fraction()
        left = progress["elapsed"] * (self.spec.fit.max_epochs / fraction - 1) if fraction else None
        if left is not None and self.spec.fit.minutes:
            left = max(0.0, min(left, 60 * self.spec.fit.minutes - progress["elapsed"]))
        self.write_status(
            message="", heartbeat=time.time(), epoch=progress["epoch"], step=progress["step"],
            steps_per_epoch=self.engine.steps_per_epoch, elapsed_seconds=round(progress["elapsed"], 2),
            eta_seconds=left,
        )  # fmt: skip

    def checkpoint(self) -> None:
        """From here a killed run goes on."""
        start = time.monotonic()
        assert self.dataset is not None
        note = np.frombuffer(json.dumps(self.progress | {"pictures": self.dataset.sha256}).encode(), np.uint8)
        write_arrays(self.run_dir.file("checkpoint.npz"), self.engine.state() | {"progress": note})
        end, (least, most) = time.monotonic(), CHECKPOINT_SECONDS
        self.next_checkpoint = end + min(max(least, (end - start) / CHECKPOINT_SHARE), most)

    def restore(self) -> None:
        """Weights, momenta and progress from the checkpoint; raises `RunError` where it is broken."""
        assert self.dataset is not None
        arrays = read_arrays(self.run_dir.file("checkpoint.npz"))
        try:
            progress = json.loads(arrays.pop("progress").tobytes())
            self.dataset.check(progress.pop("pictures", ""), self.run_dir.id)
            for count in ("epoch", "step", "validated"):
                progress[count] = int(progress[count])
            self.progress |= progress
            self.engine.restore(arrays)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise RunError(
                f"The checkpoint of {self.run_dir.id} does not fit its spec ({error}): delete "
                f"{self.run_dir.file('checkpoint.npz')} to begin anew."
            ) from None

    def finish(self) -> None:
        """Early stopping's best weights back, the files of the finished model, and the card."""
        from training import calibration, card, weights
        from training import model as networks

        run, progress = self.run_dir, self.progress
        assert self.dataset is not None
        best = run.file("best.npz")
        if self.spec.fit.early_stopping:
            self.engine.set_weights(read_arrays(best))
        mean, std = self.engine.mean, self.engine.std
        weights.save(run.file("weights.npz"), self.engine.weights(), mean, std)
        if self.spec.data.backbone is None:  # a head without its backbone is of no use to others; `export` joins them
            whole = networks.exportable(self.spec.network, self.engine.model, mean, std)
            weights.save_keras(run.file("model.keras"), whole)
        made = card.make(run, self.dataset, self.engine, progress["elapsed"])
        self.have_last_word()
        run.write_card(made)
        if self.spec.data.backbone is None:
            calibration.calibrate(run, detection=False, pictures=self.dataset)
        self.write_status(
            state="finished", finished=time.time(), message=self.last_word(), epoch=progress["epoch"],
            step=progress["step"], elapsed_seconds=round(progress["elapsed"], 2), eta_seconds=0,
        )  # fmt: skip
        for file in (run.file("checkpoint.npz"), best, run.file("stop")):
            file.unlink(missing_ok=True)  # last: killed before this, the run would finish again

    def last_word(self) -> str:
        """Why the run ended where it did; empty where all its epochs were done."""
        fit, done = self.spec.fit, f"{_short(self.fraction()):g} of at most {self.spec.fit.max_epochs} epochs"
        kept = f"the weights of epoch {self.progress['best_epoch']:g}, the best, are kept"
        if self.progress["epoch"] >= fit.max_epochs:
            return f"All {fit.max_epochs} epochs done; {kept}." if fit.early_stopping else ""
        if self.out_of_patience() and fit.early_stopping:
            return f"No lower validation loss for {fit.early_stopping.patience} epochs; {kept}."
        return f"The {fit.minutes:g} minutes are over after {done}." + (
            f" {kept.capitalize()}." if fit.early_stopping else ""
        )


def _short(epochs: float) -> float:
    """Whole epochs as a whole number, others with four digits."""
    return int(epochs) if float(epochs).is_integer() else round(epochs, 4)


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stopping` meanwhile; only the main thread may do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Log:
    """A file that is opened for each write, so that a disk that is full only loses the log."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, text: str) -> None:
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(text)


def log_to(path: Path) -> None:
    """Send this process's stdout and stderr to a file, for runs without a terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
