"""Fit a run directory: train, write the history line by line, go on from where it was.

Everything that decides the weights is a function of the spec and of (epoch, step), so a run
that was stopped or killed at any instant and is resumed from its checkpoint ends with the
weights of one that never stopped.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from training.rundir import RunDir, RunError, process_identity, read_arrays, write_arrays

CHUNK_SECONDS = 0.4  # between two looks at the stop request
POINT_SECONDS = 1.0  # between two in-epoch points of the history
CHECKPOINT_SECONDS = 20.0

Report = Callable[[dict[str, Any]], None]  # called with every line of the history


class Stopped(Exception):
    """The run was asked to stop."""


class Diverged(Exception):
    """The loss is no longer a number."""


def fit(run: RunDir, resume: bool = False, report: Report = lambda line: None) -> dict[str, Any]:
    """Train the run of `run` to its end; returns its last status.

    With `resume` it goes on from the checkpoint (or starts, where there is none).  Raises
    `RunError` where another process holds the run, or it has begun and `resume` is not set.
    A problem of the training itself ends in state "failed" with a sentence in the status.
    """
    lock = FileLock(run.file(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{run.id} is already being trained by another process.") from None
    except OSError as error:
        raise RunError(f"{run.path} cannot be written: {error.strerror}.") from None
    with lock:
        state = run.status()["state"]
        if state == "finished":
            raise RunError(f"{run.id} is finished; there is nothing to go on with.")
        if run.file("checkpoint.npz").is_file() and not resume:
            raise RunError(f"{run.id} has begun already; --resume goes on with it.")
        run.file("stop").unlink(missing_ok=True)
        try:
            _Fit(run, report).run()
        except Stopped:
            _end(run, "stopped", "Stopped on request; resume goes on from here.")
        except Diverged as error:
            _end(run, "failed", str(error))
        except RunError as error:
            _end(run, "failed", str(error))
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            _end(run, "failed", f"{type(error).__name__}: {reason}. See log.txt in the run directory.")
            raise
        finally:
            run.file("stop").unlink(missing_ok=True)
    return run.status()


def _end(run: RunDir, state: str, message: str) -> None:
    run.write_status(state=state, message=message, ended=time.time(), eta_seconds=None)


class _Fit:
    """The state of a fit in progress; `progress` is what the checkpoint keeps beside the weights."""

    def __init__(self, run: RunDir, report: Report):
        self.run_dir, self.report, self.spec = run, report, run.spec()
        self.interrupted = False
        self.progress: dict[str, Any] = {
            "epoch": 0, "step": 0,  # whole epochs done, and steps of the next one
            "loss": 0.0, "accuracy": 0.0,  # sums over the steps of the unfinished epoch
            "epoch_seconds": 0.0, "elapsed": 0.0,
            "best": None, "best_epoch": 0,  # the least validation loss and its epoch
            "validated": 0,  # global step of the last validation
        }  # fmt: skip
        self.saved = self.shown = self.status_written = 0.0

    def run(self) -> None:
        """Load, train, finish."""
        run, spec = self.run_dir, self.spec
        run.write_status(state="running", started=time.time(), message="Loading the pictures", **process_identity())
        handlers = {number: signal.signal(number, self._interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            from training import data
            from training.engine import Engine

            self.dataset = data.load(spec.data.name, spec.data.validation)
            self.check_stop()
            run.write_status(message="Building the network")
            self.engine = Engine(spec, self.dataset)
            if run.file("checkpoint.npz").is_file():
                self.restore()
            run.truncate_history(self.global_step(), self.progress["validated"])
            self.clock = time.monotonic()
            while not self.done():
                self.epoch()
            self.finish()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True

    def check_stop(self) -> None:
        """Raise `Stopped` if a stop was asked for, with the checkpoint written."""
        if self.interrupted or self.run_dir.stop_requested():
            if hasattr(self, "engine"):
                self.checkpoint()
            raise Stopped

    # --- Training ---------------------------------------------------------------------------

    def global_step(self) -> int:
        return self.progress["epoch"] * self.engine.steps_per_epoch + self.progress["step"]

    def out_of_time(self) -> bool:
        minutes = self.spec.fit.minutes
        return minutes is not None and self.progress["elapsed"] >= 60 * minutes

    def done(self) -> bool:
        """Whether the epochs, the minutes or the patience are used up."""
        stopping = self.spec.fit.early_stopping
        waited = self.progress["epoch"] - self.progress["best_epoch"]
        patient = stopping is None or waited < stopping.patience
        return self.out_of_time() or not patient or self.progress["epoch"] >= self.spec.fit.max_epochs

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
            self.tick()
            if not math.isfinite(loss):
                raise Diverged(
                    f"The loss stopped being a number in epoch {progress['epoch'] + 1}, steps {progress['step'] + 1} to "
                    f"{progress['step'] + count}: the learning rate {self.spec.fit.learning_rate:g} with momentum "
                    f"{self.spec.fit.momentum:g} is too high here; try a third of it."
                )
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
            if time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
                self.checkpoint()
        self.validate()

    def validate(self) -> None:
        """The epoch's line, early stopping's best weights, and a checkpoint."""
        progress, data = self.progress, self.dataset
        done = progress["step"]
        val_loss, val_accuracy = self.engine.evaluate(
            data.validation_images, data.validation_labels,
            augmented=self.spec.data.validation == "ordered", draw=progress["epoch"],
        )  # fmt: skip
        self.tick()
        self.line(
            "epoch", loss=progress["loss"] / done, accuracy=progress["accuracy"] / done,
            val_loss=val_loss, val_accuracy=val_accuracy,
            learning_rate=self.engine.learning_rate(progress["epoch"], done - 1),
        )  # fmt: skip
        progress["validated"] = self.global_step()
        if done == self.engine.steps_per_epoch:
            progress.update(epoch=progress["epoch"] + 1, step=0, loss=0.0, accuracy=0.0, epoch_seconds=0.0)
        if progress["best"] is None or val_loss < progress["best"]:
            progress.update(best=val_loss, best_epoch=progress["epoch"])
            if self.spec.fit.early_stopping:
                write_arrays(self.run_dir.file("best.npz"), self.engine.weights())
        self.checkpoint()
        self.write_progress(now=True)

    # --- Files ------------------------------------------------------------------------------

    def line(self, kind: str, **figures: float) -> None:
        """A line of the history: "epoch" counts whole epochs, or their fraction within one."""
        progress, steps = self.progress, self.engine.steps_per_epoch
        fraction = progress["epoch"] + progress["step"] / steps
        epoch = int(fraction) if fraction.is_integer() else round(fraction, 4)
        seconds = progress["epoch_seconds"] if kind == "epoch" else progress["elapsed"]
        row = {"kind": kind, "epoch": epoch, "step": self.global_step(), **figures, "seconds": round(seconds, 3)}
        self.run_dir.append_history(row)
        self.report(row)

    def write_progress(self, now: bool = False) -> None:
        """status.json, at most once a second."""
        if not now and time.monotonic() - self.status_written < 1:
            return
        self.status_written = time.monotonic()
        progress, steps = self.progress, self.engine.steps_per_epoch
        fraction = progress["epoch"] + progress["step"] / steps
        left = progress["elapsed"] * (self.spec.fit.max_epochs / fraction - 1) if fraction else None
        if left is not None and self.spec.fit.minutes:
            left = max(0.0, min(left, 60 * self.spec.fit.minutes - progress["elapsed"]))
        self.run_dir.write_status(
            state="running", message="", heartbeat=time.time(), epoch=progress["epoch"], step=progress["step"],
            steps_per_epoch=steps, elapsed_seconds=round(progress["elapsed"], 2), eta_seconds=left,
        )  # fmt: skip

    def checkpoint(self) -> None:
        """From here a killed run goes on."""
        note = np.frombuffer(json.dumps(self.progress).encode(), np.uint8)
        write_arrays(self.run_dir.file("checkpoint.npz"), self.engine.state() | {"progress": note})
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Weights, momenta and progress from the checkpoint; raises `RunError` where it is broken."""
        arrays = read_arrays(self.run_dir.file("checkpoint.npz"))
        try:
            self.progress = json.loads(arrays.pop("progress").tobytes())
            self.engine.restore(arrays)
        except (KeyError, ValueError) as error:
            raise RunError(f"The checkpoint of {self.run_dir.id} does not fit its spec: {error}") from None

    def finish(self) -> None:
        """Early stopping's best weights back, the files of the finished model, and the card."""
        from training import card, weights

        run, progress = self.run_dir, self.progress
        best = run.file("best.npz")
        if self.spec.fit.early_stopping and best.is_file():
            self.engine.set_weights(read_arrays(best))
        weights.save(run.file("weights.npz"), self.engine.weights(), self.engine.mean, self.engine.std)
        weights.save_keras(
            run.file("model.keras"), self.spec.network, self.engine.model, self.engine.mean, self.engine.std
        )
        run.write_card(card.make(run, self.dataset, self.engine, progress["elapsed"]))
        for name in ("checkpoint.npz", "best.npz"):
            run.file(name).unlink(missing_ok=True)
        run.write_status(
            state="finished", finished=time.time(), message="", epoch=progress["epoch"], step=progress["step"],
            elapsed_seconds=round(progress["elapsed"], 2), eta_seconds=0,
        )  # fmt: skip


def log_to(path: Path) -> None:
    """Send this process's stdout and stderr to a file, for runs without a terminal."""
    import os

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
