"""The loop that trains a backbone's last stage: a killed one ends with the weights of an unbroken one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock

from training.rundir import RunError
from training.transfer import conv5, loop, publish


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


def train(folder, stop_after=None, epochs=4) -> tuple[np.ndarray, list]:
    weights, optimizer = Variable(), Optimizer()
    checkpoint = loop.Checkpoint(folder, [weights])

    def step(x):
        weights.assign(weights.value + optimizer.learning_rate.value * x)
        return float(x.sum())

    def batches(epoch, rng):
        if epoch == stop_after:
            raise KeyboardInterrupt
        yield from ((rng.normal(size=2),) for _ in range(3))

    recipe = loop.Recipe(epochs=epochs, learning_rate=0.1)
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


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train(tmp_path, epochs=2)
    kept = (tmp_path / "recipe.json").read_text()
    with pytest.raises(RunError, match="another recipe"):
        train(tmp_path)
    assert (tmp_path / "recipe.json").read_text() == kept


def test_conv5s_commands_say_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["conv5", "--folder", str(tmp_path / "conv5")])
    assert conv5.main() == 2 and "birds" in capsys.readouterr().err
    with FileLock(tmp_path / "conv5" / ".lock"):
        assert conv5.main() == 2
    assert "Another process trains in" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["publish", "resnet50v2", "--folder", str(tmp_path / "conv5")])
    assert publish.main() == 2 and "No conv5 was trained in" in capsys.readouterr().err


def test_conv5_learns_as_keras_would_and_goes_on_after_a_kill(tmp_path):
    """One step an epoch: the same losses, weights and moving statistics as Keras's own training mode gives."""
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(4, 14, 14, 1024)).astype(np.float32)
    labels, hints = np.arange(4), rng.normal(size=(4, 8)).astype(np.float32)
    recipe = loop.Recipe(epochs=2, learning_rate=0.01, batch_size=4, warmup_epochs=0)
    pictures = [maps, maps[:, :, ::-1]], labels, hints, maps[:2], labels[:2]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", killed)  # after the first epoch's checkpoint
        conv5.fit(tmp_path, *pictures, recipe)
    ours = conv5.fit(tmp_path, *pictures, recipe)

    keras.utils.set_random_seed(recipe.seed)
    _, model = conv5.network(8)
    optimizer = keras.optimizers.SGD(recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    optimizer.build(model.trainable_variables)
    draw = conv5.batches(*pictures[:3], recipe)
    for epoch in range(2):
        optimizer.learning_rate.assign(recipe.rate(epoch))
        for x, target, hint in draw(epoch, np.random.default_rng((recipe.seed, epoch))):
            with tf.GradientTape() as tape:
                logits, guess = model(x, training=True)
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
                loss += conv5.HINT_WEIGHT * tf.reduce_mean(tf.square(guess - hint))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    for one, other in zip(ours.variables, model.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-4, err_msg=one.path)
