"""The training loop of the bird networks: resumable, each draw a function of (seed, epoch).

One epoch is: batches -> step -> validation -> checkpoint -> a line of history.  A run that
was killed goes on after its last whole epoch.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.rundir import RunError, read_arrays, write_arrays, write_atomic

Batches = Callable[[int, np.random.Generator], Iterator[tuple[Any, ...]]]  # (epoch, rng) -> arrays of a step


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with momentum, linear warm-up and cosine to 0."""

    epochs: int
    learning_rate: float
    batch_size: int = 32
    momentum: float = 0.9
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    mixup: float = 0.2  # both parameters of the Beta distribution; 0 switches it off
    seed: int = 0

    def rate(self, epochs_done: float) -> float:
        """Learning rate after `epochs_done` epochs."""
        warm = min(1.0, (epochs_done + 1e-3) / self.warmup_epochs) if self.warmup_epochs else 1.0
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, epochs_done / self.epochs)))


def mix(rng: np.random.Generator, alpha: float, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mixup (Zhang et al., 2018): the batch plus itself in another order, in a random proportion."""
    if not alpha:
        return arrays
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(arrays[0]))
    return tuple(share * array + (1 - share) * array[other] for array in arrays)


def one_hot(labels: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """(n,) labels to (n, classes) float32 targets that sum to 1."""
    return np.eye(classes, dtype=np.float32)[labels] * np.float32(1 - smoothing) + np.float32(smoothing / classes)


class Checkpoint:
    """All variables and the history in one folder; `about` says what of, such as the pictures."""

    def __init__(self, folder: Path, variables: list[Any], about: dict[str, Any] | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.variables, self.about = folder, variables, about
        self.history: list[dict[str, Any]] = []

    def save(self) -> None:
        """Write every variable and the history; the history's last epoch belongs to the variables."""
        arrays = {f"v{index}": np.asarray(variable) for index, variable in enumerate(self.variables)}
        arrays |= {"history": np.array(json.dumps(self.history)), "about": np.array(json.dumps(self.about))}
        write_arrays(self.folder / "checkpoint.npz", arrays)
        self.note("history", self.history)

    def restore(self) -> int:
        """Read what is there; the number of finished epochs.

        Raises `RunError` for a broken file, and for one about something else where `about` is known.
        """
        path = self.folder / "checkpoint.npz"
        if path.is_file():
            arrays = read_arrays(path)
            if self.about is not None and json.loads(str(arrays.get("about", "null"))) != self.about:
                raise RunError(
                    f"{self.folder} holds a training with another recipe or on other pictures: delete it to begin anew, "
                    "or name another folder."
                )
            for index, variable in enumerate(self.variables):
                variable.assign(arrays[f"v{index}"])
            self.history = json.loads(str(arrays["history"]))
        return len(self.history)

    def note(self, name: str, value: Any) -> None:
        """Keep `value` for people, as JSON."""
        write_atomic(self.folder / f"{name}.json", json.dumps(value, indent=1))


def train(recipe: Recipe, checkpoint: Checkpoint, optimizer: Any, step: Callable[..., Any], batches: Batches,
          steps_per_epoch: int, validate: Callable[[], dict[str, float]],
          log: Callable[[str], None] = print) -> list[dict[str, Any]]:  # fmt: skip
    """Train to the recipe's last epoch; the history, one record an epoch.

    `step(*arrays)` makes one update and returns its loss.  Raises FloatingPointError where the
    loss is no longer a number.
    """
    checkpoint.about = {**(checkpoint.about or {}), "recipe": asdict(recipe)}
    begun = checkpoint.restore()
    checkpoint.note("recipe", asdict(recipe))
    for epoch in range(begun, recipe.epochs):
        rng = np.random.default_rng((recipe.seed, epoch))
        started, losses = time.monotonic(), []
        for number, arrays in enumerate(batches(epoch, rng)):
            optimizer.learning_rate.assign(recipe.rate(epoch + number / steps_per_epoch))
            losses.append(float(step(*arrays)))
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(f"The loss is no number in epoch {epoch + 1}; try a lower learning rate.")
        record = {"epoch": epoch + 1, "loss": float(np.mean(losses)), **validate(),
                  "learning_rate": recipe.rate(epoch + 1), "seconds": time.monotonic() - started}  # fmt: skip
        checkpoint.history.append(record)
        checkpoint.save()
        log("  ".join(f"{key} {value:.4g}" for key, value in record.items()))
    return checkpoint.history
