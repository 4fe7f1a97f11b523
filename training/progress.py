"""How far a training is: what its checkpoint keeps beside the weights, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.spec import Fit

_COUNTS = ("epoch", "step", "validated")
_KEPT = (*_COUNTS, "loss", "accuracy", "epoch_seconds", "elapsed", "best", "best_epoch")


@dataclass
class Progress:
    """How far a training by `fit` is, with epochs of `steps_per_epoch` steps."""

    fit: Fit
    steps_per_epoch: int
    epoch: int = 0  # whole epochs done
    step: int = 0  # steps of the next one
    loss: float = 0.0  # sums over the steps of the unfinished epoch
    accuracy: float = 0.0
    epoch_seconds: float = 0.0
    elapsed: float = 0.0
    validated: int = 0  # the global step of the last validation
    best: float | None = None  # the least validation loss
    best_epoch: float = 0  # its epoch

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave.  Raises KeyError, TypeError or ValueError where it is something else."""
        for name in _COUNTS:
            setattr(self, name, int(kept[name]))
        for name in kept:
            if name in _KEPT and name not in _COUNTS:
                setattr(self, name, _number(name, kept[name]))

    # --- Going on -------------------------------------------------------------------------------

    def add(self, steps: int, loss: float, accuracy: float) -> None:
        """Count `steps` more steps with their mean figures."""
        self.step += steps
        self.loss += loss * steps
        self.accuracy += accuracy * steps

    def begin_epoch(self) -> None:
        """The epoch is done: the next one begins."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss = self.accuracy = self.epoch_seconds = 0.0

    def pass_time(self, seconds: float) -> None:
        """Count `seconds` more of training."""
        self.elapsed += seconds
        self.epoch_seconds += seconds

    # --- What follows ---------------------------------------------------------------------------

    def global_step(self) -> int:
        """Steps done in all."""
        return self.epoch * self.steps_per_epoch + self.step

    def fraction(self) -> float:
        """Epochs done, with the part of the unfinished one."""
        return self.epoch + self.step / self.steps_per_epoch

    def out_of_time(self) -> bool:
        """Whether the minutes are used up."""
        return self.fit.minutes is not None and self.elapsed >= 60 * self.fit.minutes

    def out_of_patience(self) -> bool:
        """Whether early stopping has waited long enough for a lower validation loss."""
        stopping = self.fit.early_stopping
        return stopping is not None and self.epoch - self.best_epoch >= stopping.patience

    def done(self) -> bool:
        """Whether the epochs, the minutes or the patience are used up."""
        return self.epoch >= self.fit.max_epochs or self.out_of_time() or self.out_of_patience()

    def seconds_left(self) -> float | None:
        """To the end of the epochs or the minutes, at the speed so far; None before the first step."""
        fraction = self.fraction()
        left = self.elapsed * (self.fit.max_epochs / fraction - 1) if fraction else None
        if left is not None and self.fit.minutes:
            left = max(0.0, min(left, 60 * self.fit.minutes - self.elapsed))
        return left

    def last_word(self) -> str:
        """Why the run ended where it did; empty where all its epochs were done."""
        fit, done = self.fit, f"{short(self.fraction()):g} of at most {self.fit.max_epochs} epochs"
        kept = f"the weights of epoch {self.best_epoch:g}, the best, are kept"
        if self.epoch >= fit.max_epochs:
            return f"All {fit.max_epochs} epochs done; {kept}." if fit.early_stopping else ""
        if self.out_of_patience() and fit.early_stopping:
            return f"No lower validation loss for {fit.early_stopping.patience} epochs; {kept}."
        minutes = f"{fit.minutes:g} minute{'' if fit.minutes == 1 else 's'}"
        return f"The time, {minutes}, was over after {done}." + (f" {kept.capitalize()}." if fit.early_stopping else "")


def short(epochs: float) -> float:
    """Whole epochs as a whole number, others with four digits."""
    return int(epochs) if float(epochs).is_integer() else round(epochs, 4)


def _number(name: str, value: Any) -> float | None:
    """`value`, where it is a number, or None for the best loss before there is one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if value is None and name == "best":
        return None
    raise TypeError(f"{name} is {value!r}, no number")
