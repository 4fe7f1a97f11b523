"""Adam and Muon are Keras's; a run with them goes on as one that was never stopped."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import small
from training.engine import optimizer
from training.engine.engine import Engine
from training.keras_code_classes import classes
from training.spec import SpecError


def spec(name, **changes):
    fixed = {"data__augmentation": {}, "network__dropout": [0.0], "fit__decay": 0, "fit__learning_rate": 0.003}
    return small.spec(fit__optimizer=name, **fixed, **changes)


def theirs(fit):
    """Keras's optimizer of a fit, Muon's as the Keras code on Design writes it."""
    if fit.optimizer == "adam":
        return keras.optimizers.Adam(fit.learning_rate, beta_1=fit.momentum)
    [source] = [text for text in classes(small.spec(fit__optimizer="muon")) if "class Muon" in text]
    space = {"keras": keras}
    exec(source, space)
    return space["Muon"](
        fit.learning_rate, momentum=fit.momentum, adam_beta_1=fit.momentum, nesterov=fit.nesterov, weight_decay=0.0,
        adam_weight_decay=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "nesterov"), [("adam", False), ("muon", False), ("muon", True)])
def test_losses_and_weights_equal_keras(name, nesterov):
    chosen = spec(name, fit__nesterov=nesterov)
    engine = Engine(chosen, data := small.dataset())
    plain = keras.models.clone_model(engine.model)
    plain.set_weights(engine.model.get_weights())
    before = [weights.copy() for weights in plain.get_weights()]
    plain.compile(theirs(chosen.fit), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    for step in range(6):
        batch = engine.batch(step)
        pictures = (data.images[batch].astype(np.float32) - engine.mean) / engine.std
        plain.reset_metrics()
        wanted = plain.train_on_batch(pictures, data.labels[batch])
        np.testing.assert_allclose(engine.train(0, step, 1), wanted, rtol=2e-3)
    moved = 0.0
    for ours, other, first in zip(engine.model.get_weights(), plain.get_weights(), before, strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-3)
        moved = max(moved, float(np.abs(ours - first).max()))
    assert moved > 1e-2


def test_what_is_remembered_of_a_variable():
    sgd, adam, muon = (small.spec(fit__optimizer=name).fit for name in ("sgd", "adam", "muon"))
    kernel, output, depthwise = ("conv_1/kernel", (3, 3, 4, 8)), ("output/kernel", (8, 3)), ("d/kernel", (3, 3, 8, 1))
    assert optimizer.slots(sgd, *kernel) == ("momentum",) == optimizer.slots(muon, *kernel)
    for fit, variable in ((adam, kernel), (muon, output), (muon, depthwise), (muon, ("conv_1/bias", (8,)))):
        assert optimizer.slots(fit, *variable) == ("momentum", "velocity")


@pytest.mark.parametrize("shape", [(27, 8), (8, 27), (16, 16)])
def test_muon_moves_equally_far_in_all_directions(shape):
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = optimizer.orthogonal(tf.constant(matrix)).numpy()
    values = np.linalg.svd(found, compute_uv=False)
    assert found.shape == shape and values.min() > 0.6 and values.max() < 1.3
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    assert np.sum(found * (left @ right)) / np.linalg.norm(found) / np.linalg.norm(left @ right) > 0.97


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_an_interrupted_training_ends_with_the_same_weights(name):
    data = small.dataset()
    whole, first, second = (Engine(spec(name), data) for _ in range(3))
    whole.train(0, 0, 8)
    first.train(0, 0, 3)
    second.restore(first.state())
    second.train(0, 3, 5)
    for key, value in whole.state().items():
        np.testing.assert_array_equal(second.state()[key], value)


def test_momentum_of_1_is_refused():
    with pytest.raises(SpecError, match=r"fit.momentum = 1 is not possible with optimizer = adam: it is less than 1"):
        spec("adam", fit__momentum=1)
