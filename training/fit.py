"""Fit a run directory: train, write the history line by line, go on from where it was.

Everything that decides the weights is a function of the spec and of (epoch, step), so a run
that was stopped or killed at any instant and is resumed from its checkpoint ends with the
weights of one that never stopped.

The training runs in a thread, which `training.supervisor` watches.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from training.divergence import Diverged, check_loss, check_spread
from training.files import patiently
from training.progress import Progress, short
from training.queue import handover
from training.rundir import RunDir, RunError, read_arrays, write_arrays
from training.supervisor import Stopped, Supervised

if TYPE_CHECKING:
    from training.data import Dataset
    from training.queue.ahead import Ahead

CHUNK_SECONDS = 0.4  # of training between two looks at the stop request
POINT_SECONDS = 1.0  # between two in-epoch points of the history
CHECKPOINT_SECONDS = 20.0, 300.0  # between two within an epoch: at least, and at most where one takes long
CHECKPOINT_SHARE = 0.05  # of the time, between these bounds
FROM_TRAINING = ("checkpoint.npz", "best.npz", "stop")  # of no use to a run that is finished
BEST_STEP = "validated after step"  # in the file of the best weights

Report = Callable[[dict[str, Any]], None]  # called with every line of the history


def fit(run: RunDir, resume: bool = False, report: Report = lambda line: None, dataset: Dataset | None = None,
        ahead: Ahead | None = None, make: Callable[..., Fitting] | None = None) -> dict[str, Any]:  # fmt: skip
    """Train the run of `run` to its end; returns its last status.

    With `resume` it goes on from the checkpoint (or starts, where there is none).  `dataset`
    takes the place of the one that the spec names; `ahead` may have built the network already; `make` is another
    kind of `Fitting`.
    However the training ends, the status says so: "finished", "stopped" or, with a sentence,
    "failed".  Raises `RunError` where another process holds the run, it is finished, or it has
    begun and `resume` is not set.

    Where a stop had to leave the training behind in the middle of a step, its thread still
    computes when this returns, and may be ending the write of a checkpoint: end the process with `os._exit`.
    """
    lock = FileLock(run.file(".lock"))
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{run.id} is already being trained by another process.") from None
    except OSError as error:
        raise RunError(f"{run.path} cannot be written: {error.strerror}.") from None
    with held:
        if run.status()["state"] == "finished":
            for name in FROM_TRAINING:  # where a kill came before they went
                run.file(name).unlink(missing_ok=True)
            raise RunError(f"{run.id} is finished; there is nothing to go on with.")
        if run.file("checkpoint.npz").is_file() and not resume:
            raise RunError(f"{run.id} has begun already; --resume goes on with it.")
        run.forget_old_stop()
        run.clear_partial()
        try:
            fit = (make or Fitting)(run, report, dataset, ahead)
        except RunError as error:  # a damaged spec: else the queue would say no more than that the process is gone
            run.write_status(state="failed", message=str(error))
            raise
        fit.supervise()
    return run.status()


class Fitting(Supervised):
    """The state of a fit in progress."""

    def __init__(self, run: RunDir, report: Report, dataset: Dataset | None, ahead: Ahead | None):
        super().__init__(run)
        self.ahead = ahead
        self.report, self.spec, self.dataset = report, run.spec(), dataset
        self.next_checkpoint = self.shown = self.status_written = 0.0

    def build(self) -> None:
        """The pictures and the engine, or those that were built ahead."""
        spec = self.spec
        if self.ahead and self.dataset is None:
            self.write_status(message="Building the network")
            if built := self.ahead.take(handover.brought(spec, self.run_dir.status())):
                self.dataset, self.engine = built
                return
            self.write_status(message="Loading the pictures")
        from training import data
        from training.engine.engine import Engine

        make: Callable[..., Engine] = Engine
        if spec.data.backbone:
            from training.transfer import finetune, heads

            if spec.fit.fine_tune != "off":
                make = partial(finetune.FineTune, progress=self.extracting)
                self.dataset = self.dataset or heads.pictures(spec)
            else:  # a head learns on the backbone's features
                self.dataset = self.dataset or heads.dataset(spec, self.extracting)
        self.dataset = self.dataset or data.load(spec.data.name, spec.data.validation)
        self.check_stop()
        self.write_status(message="Building the network")
        self.engine = make(spec, self.dataset)
        self.engine.warm_up()

    def train(self) -> None:
        """Build, train, finish."""
        run, spec = self.run_dir, self.spec
        self.build()
        from training import finish, predict  # noqa: F401 - what its end needs, too: the files may change meanwhile

        self.check_stop()
        self.progress = Progress(spec.fit, self.engine.steps_per_epoch)
        if run.file("checkpoint.npz").is_file():
            self.restore()
        else:
            for name in ("card.json", "confusions.json", "unlike.npz"):  # of other weights, where it begins anew
                run.file(name).unlink(missing_ok=True)
        run.truncate_history(self.progress.global_step(), self.progress.validated)
        self.clock = time.monotonic()
        if self.progress.step:  # the first point after a resumption is a mean over many steps, as its neighbours are
            self.shown = self.clock
        self.next_checkpoint = self.clock + CHECKPOINT_SECONDS[0]
        ended = ""
        while not ended and not (self.progress.done() and self.progress.validated == self.progress.global_step()):
            try:
                self.epoch()
            except Diverged as error:
                if not spec.fit.early_stopping or self.progress.best is None:
                    raise
                ended = f"{error} The weights of epoch {self.progress.best_epoch:g}, the best until then, are kept."
        self.finish(ended or self.progress.last_word())

    def extracting(self, done: int, total: int) -> None:
        """Progress of the features that a head learns on, also one that is fine-tuned; they are kept, so a stop loses none."""
        self.check_stop()
        self.write_status(message=f"Computing features: {done} of {total} pictures")

    def check_stop(self) -> None:
        """Raise `Stopped` if a stop was asked for, with the checkpoint written."""
        if self.left_behind:
            raise Stopped
        if self.stopping.is_set():
            if hasattr(self, "clock"):
                self.checkpoint()
                self.write_progress(now=True)
            raise Stopped

    def tick(self) -> None:
        """Add the seconds since the last tick to the run's own clock."""
        now = time.monotonic()
        self.progress.pass_time(now - self.clock)
        self.clock = now

    def epoch(self) -> None:
        """Train to the end of the epoch or of the time, then validate and write the epoch's line.

        Raises `Diverged`.
        """
        progress, steps = self.progress, self.progress.steps_per_epoch
        chunk, point_loss, point_accuracy, point_steps = 1, 0.0, 0.0, 0
        while progress.step < steps and not progress.out_of_time():
            count = min(chunk, steps - progress.step)
            start = time.monotonic()
            loss, accuracy = self.engine.train(progress.epoch, progress.step, count)
            seconds = time.monotonic() - start
            if self.left_behind:
                raise Stopped
            self.tick()
            check_loss(self.spec.fit, loss, f"in epoch {progress.epoch + 1}, at step {progress.step + count}")
            progress.add(count, loss, accuracy)
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

    def validate(self) -> None:
        """The epoch's line, early stopping's best weights, and a checkpoint."""
        progress, data, done = self.progress, self.dataset, self.progress.step
        assert data is not None
        val_loss, val_accuracy, spread = self.engine.evaluate(
            data.validation_images, data.validation_labels,
            augmented=self.spec.data.validation == "ordered", draw=progress.epoch,
        )  # fmt: skip
        if self.left_behind:
            raise Stopped
        self.tick()
        after = f"after epoch {short(progress.fraction()):g}"
        check_loss(self.spec.fit, val_loss, f"{after}, on the validation pictures")
        check_spread(self.spec.fit, spread, len(data.validation_images), after)
        self.line(
            "epoch", loss=progress.loss / done, accuracy=progress.accuracy / done,
            val_loss=val_loss, val_accuracy=val_accuracy,
            learning_rate=self.engine.learning_rate(progress.epoch, done - 1),
        )  # fmt: skip
        if done == progress.steps_per_epoch:
            progress.begin_epoch()
        progress.validated = progress.global_step()
        if progress.best is None or val_loss < progress.best:
            progress.best, progress.best_epoch = val_loss, short(progress.fraction())
            if self.spec.fit.early_stopping:
                step = {BEST_STEP: np.array(progress.validated)}
                write_arrays(self.run_dir.file("best.new.npz"), self.engine.weights() | step)
        self.checkpoint()
        self.keep_best()
        self.write_progress(now=True)

    # --- Files ----------------------------------------------------------------------------------

    def line(self, kind: str, **figures: float) -> None:
        """A line of the history: "epoch" counts whole epochs, or their fraction within one."""
        seconds = self.progress.epoch_seconds if kind == "epoch" else self.progress.elapsed
        row = {"kind": kind, "epoch": short(self.progress.fraction()), "step": self.progress.global_step(), **figures,
               "seconds": round(seconds, 3)}  # fmt: skip
        with self.may_write():
            self.run_dir.append_history(row)
        with suppress(OSError, ValueError):  # nobody reads any more what it prints: no reason to end a training
            self.report(row)

    def write_progress(self, now: bool = False) -> None:
        """status.json, at most once a second."""
        if not now and time.monotonic() - self.status_written < 1:
            return
        self.status_written = time.monotonic()
        progress = self.progress
        self.write_status(
            message="", epoch=progress.epoch, step=progress.step,
            steps_per_epoch=progress.steps_per_epoch, elapsed_seconds=round(progress.elapsed, 2),
            computing=list(self.engine.packages), eta_seconds=progress.seconds_left(),
        )  # fmt: skip

    def checkpoint(self) -> None:
        """From here a killed run goes on."""
        start = time.monotonic()
        assert self.dataset is not None
        note = np.frombuffer(json.dumps(self.progress.to_json() | {"pictures": self.dataset.sha256}).encode(), np.uint8)
        write_arrays(self.run_dir.file("checkpoint.npz"), self.engine.state() | {"progress": note})
        end, (least, most) = time.monotonic(), CHECKPOINT_SECONDS
        self.next_checkpoint = end + min(max(least, (end - start) / CHECKPOINT_SHARE), most)

    def keep_best(self) -> None:
        """The new best weights take the place of the old ones, once a checkpoint says that they are the best."""
        new = self.run_dir.file("best.new.npz")
        if not new.is_file():
            return
        if int(read_arrays(new).get(BEST_STEP, 0)) <= self.progress.validated:
            patiently(lambda: new.replace(self.run_dir.file("best.npz")))
        else:  # of an epoch that this run, which was killed after it, has still to come to
            new.unlink()

    def restore(self) -> None:
        """Weights, momenta and progress from the checkpoint; raises `RunError` where it is broken."""
        assert self.dataset is not None
        arrays = read_arrays(self.run_dir.file("checkpoint.npz"))
        try:
            kept = json.loads(arrays.pop("progress").tobytes())
            self.dataset.check(kept.pop("pictures", ""), self.run_dir.id)
            self.progress.restore(kept)
            self.engine.restore(arrays)
            self.keep_best()
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            file = self.run_dir.file("checkpoint.npz")
            raise RunError(f"The checkpoint of {self.run_dir.id} does not fit its spec ({error}): delete {file} to begin anew."
                           ) from None  # fmt: skip

    def finish(self, message: str) -> None:
        """Early stopping's best weights back, and the files of the finished model; `message` says why here."""
        from training.finish import write_model

        run, progress = self.run_dir, self.progress
        assert self.dataset is not None
        if self.spec.fit.early_stopping:
            self.engine.set_weights(read_arrays(run.file("best.npz")))
        elif self.spec.fit.average:  # what is validated and kept is the average: of model.keras, too
            self.engine.set_weights(self.engine.weights())
        lacking = write_model(run, self.dataset, self.engine, progress.elapsed, self.have_last_word)
        self.write_status(
            state="finished", finished=time.time(), message=f"{message} {lacking}".strip(), epoch=progress.epoch,
            step=progress.step, elapsed_seconds=round(progress.elapsed, 2), eta_seconds=0,
        )  # fmt: skip
        for name in FROM_TRAINING:
            run.file(name).unlink(missing_ok=True)  # last: killed before this, the run would finish again
