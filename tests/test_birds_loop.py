"""The loop that trains a backbone's last stage: a killed one ends with the weights of an unbroken one."""

import numpy as np
import pytest

from training.birds import loop
from training.rundir import RunError


class Variable:
    """What the loop needs of a Keras variable."""

    def __init__(self) -> None:
        self.value = np.zeros(2, np.float32)

    def assign(self, value: np.ndarray) -> None:
        self.value = np.asarray(value, np.float32)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.value


class Optimizer:
    def __init__(self) -> None:
        self.learning_rate = Variable()


def train(folder, stop_after=None) -> tuple[np.ndarray, list]:
    weights, optimizer = Variable(), Optimizer()
    checkpoint = loop.Checkpoint(folder, [weights])

    def step(x):
        weights.assign(weights.value + optimizer.learning_rate.value * x)
        return float(x.sum())

    def batches(epoch, rng):
        if epoch == stop_after:
            raise KeyboardInterrupt
        yield from ((rng.normal(size=2),) for _ in range(3))

    recipe = loop.Recipe(epochs=4, learning_rate=0.1)
    history = loop.train(recipe, checkpoint, optimizer, step, batches, 3, lambda: {"val_loss": 1.0}, lambda text: None)
    return weights.value, [line["loss"] for line in history]


def test_it_goes_on_after_its_last_whole_epoch(tmp_path):
    unbroken, losses = train(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", stop_after=2)
    weights, again = train(tmp_path / "killed")
    assert np.array_equal(weights, unbroken) and again == losses and len(losses) == 4
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "checkpoint.npz", "history.json", "recipe.json",
    ]  # fmt: skip


def test_a_broken_checkpoint_is_a_sentence(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"PK")
    with pytest.raises(RunError, match="is broken"):
        train(tmp_path)
