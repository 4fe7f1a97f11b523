"""The training loop: plain Keras's losses, resumption to the bit, schedules, order of the pictures."""

import math
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import catalogue
from training.engine.engine import Engine
from training.engine.schedule import dropout_share, learning_rate
from training.hardware import computes_bfloat16
from training.network_spec import Network
from training.spec import RunSpec

SMALL = {"fit.batch_size": 16, "fit.precision": "float32"}


def dataset(count: int = 100, classes: int = 25, shape: tuple[int, ...] = (32, 32, 3)) -> Any:
    """Pictures of noise around a brightness that tells the class."""
    random = np.random.default_rng(1)
    labels = random.integers(0, classes, count).astype(np.int32)
    images = random.integers(0, 128, (count, *shape)) + labels.reshape(-1, 1, 1, 1) * 5
    names = tuple(f"class {k}" for k in range(classes))
    return SimpleNamespace(name="noise", images=images.astype(np.uint8), labels=labels, class_names=names)


def spec(name: str, **changes: Any) -> RunSpec:
    return catalogue.variant(name).spec.replace(SMALL | {k.replace("__", "."): v for k, v in changes.items()})


def run(engine: Engine, steps: int, first: int = 0, chunk: int = 3) -> list[float]:
    losses = []
    for start in range(first, steps, chunk):
        losses.append(engine.train(0, start, min(chunk, steps - start))[0])
    return losses


# --- The same as plain Keras ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["basenet-norm", "basenet-bn", "basenet-avgpool"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_losses_equal_plain_keras_when_dropout_is_0(name, nesterov):
    """`model.compile` and `train_on_batch` on the same batches, float32, seven steps of momentum."""
    chosen = spec(
        name, network__dropout=[], data__augmentation={}, fit__nesterov=nesterov, fit__decay=0, fit__learning_rate=0.002
    )
    engine = Engine(chosen, data := dataset())
    plain = keras.models.clone_model(engine.model)
    plain.set_weights(engine.model.get_weights())
    optimizer = keras.optimizers.SGD(chosen.fit.learning_rate, chosen.fit.momentum, nesterov=nesterov)
    plain.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    for step in range(7):
        batch = engine.batch(step)
        pictures = (data.images[batch].astype(np.float32) - engine.mean) / engine.std
        plain.reset_metrics()
        wanted = plain.train_on_batch(pictures, data.labels[batch])
        # Rounding grows from step to step through batch norm of small batches.
        np.testing.assert_allclose(engine.train(0, step, 1), wanted, rtol=1e-5 if step == 0 else 3e-3)
    for ours, theirs in zip(engine.model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


@pytest.mark.parametrize("avx2", [False, True])
def test_losses_of_wide_layers_equal_plain_keras(avx2, monkeypatch):
    """96 channels and more, where a processor with AVX2 convolves with fewer multiplications."""
    monkeypatch.setattr("training.engine.convolution.has_avx2", lambda: avx2)
    monkeypatch.setattr("training.engine.convolution.MANY", 1)
    wide = [{"kind": "conv", "filters": 96}, {"kind": "conv", "filters": 112, "padding": "valid"}, {"kind": "pool"}]
    network = {
        "input_shape": [9, 9, 3],
        "classes": 25,
        "blocks": [*wide, {"kind": "conv", "filters": 96}, {"kind": "global_pool"}],
    }
    data = dataset(shape=(9, 9, 3))
    chosen = RunSpec.model_validate({"name": "wide", "network": network}).replace(
        SMALL | {"fit.decay": 0, "fit.learning_rate": 0.002}
    )
    engine = Engine(chosen, data)
    plain = keras.models.clone_model(engine.model)
    plain.set_weights(engine.model.get_weights())
    plain.compile(keras.optimizers.SGD(0.002, chosen.fit.momentum), keras.losses.SparseCategoricalCrossentropy())
    for step in range(5):
        batch = engine.batch(step)
        pictures = (data.images[batch].astype(np.float32) - engine.mean) / engine.std
        np.testing.assert_allclose(
            engine.train(0, step, 1)[0], plain.train_on_batch(pictures, data.labels[batch]), rtol=1e-4
        )


def test_a_moving_average_is_what_is_validated_and_kept():
    """The average after each step, by hand from the weights of an engine without one."""
    chosen = spec("basenet-bn", fit__average=0.8)
    engine, plain = Engine(chosen, data := dataset()), Engine(spec("basenet-bn"), data)
    wanted = plain.weights()
    for step in range(20):
        engine.train(0, step, 1)
        plain.train(0, step, 1)
        decay = min(0.8, (step + 1) / (step + 11))
        wanted = {name: decay * wanted[name] + (1 - decay) * value for name, value in plain.weights().items()}
    for name, value in engine.weights().items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-5)
        assert not np.allclose(value, plain.weights()[name], atol=1e-6) or not value.any()
    other = Engine(chosen, data)
    other.restore(engine.state())
    assert other.evaluate(data.images, data.labels) == engine.evaluate(data.images, data.labels)
    assert other.train(1, 0, 2) == engine.train(1, 0, 2)


def test_weight_decay_and_label_smoothing_equal_keras():
    chosen = spec("basenet", fit__weight_decay=0.1, fit__label_smoothing=0.2, fit__schedule="constant")
    engine = Engine(chosen, data := dataset())
    plain = keras.models.clone_model(engine.model)
    plain.set_weights(engine.model.get_weights())
    optimizer = keras.optimizers.SGD(0.01, 0.9, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    plain.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.2))
    for step in range(4):
        batch = engine.batch(step)
        wanted = plain.train_on_batch(
            data.images[batch] / np.float32(255), keras.utils.to_categorical(data.labels[batch], 25)
        )
        np.testing.assert_allclose(engine.train(0, step, 1)[0], wanted, rtol=2e-4)
    for ours, theirs in zip(engine.model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_evaluation_equals_plain_keras():
    engine = Engine(spec("basenet-bn-dropout"), data := dataset(300))
    run(engine, 6)
    pictures = (data.images.astype(np.float32) - engine.mean) / engine.std
    probabilities = engine.model.predict(pictures, verbose=0)
    loss, accuracy, spread = engine.evaluate(data.images, data.labels)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(300), data.labels]).mean(), rel=1e-4)
    assert accuracy == pytest.approx((probabilities.argmax(1) == data.labels).mean(), abs=0.005)
    logits = np.log(probabilities)
    assert spread == pytest.approx((logits.max(0) - logits.min(0)).max(), rel=0.5) and spread > 0.1


# --- Reproducible -----------------------------------------------------------------------------------


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_ends_with_the_same_weights(precision):
    """To the bit, with dropout, augmentation, batch norm and momentum, and whatever the size of the calls."""
    chosen = spec("basenet-bn-dropout", fit__precision=precision)
    unbroken, broken = Engine(chosen, dataset()), Engine(chosen, dataset())
    run(unbroken, 7, chunk=7)
    run(broken, 3, chunk=1)
    state = {name: value.copy() for name, value in broken.state().items()}
    resumed = Engine(chosen, dataset())
    resumed.restore(state)
    run(resumed, 7, first=3, chunk=2)
    assert same(resumed.state(), unbroken.state())
    assert not same(resumed.state(), state)


def test_another_seed_another_run():
    first, second = (Engine(spec("basenet", fit__seed=k), dataset()) for k in (1, 2))
    assert not (first.batch(0) == second.batch(0)).all()
    assert not (first.weights()["conv_1/kernel"] == second.weights()["conv_1/kernel"]).all()


def test_a_state_of_another_network_is_refused():
    engine = Engine(spec("basenet"), dataset())
    with pytest.raises(ValueError, match="another network: conv_1_bn/gamma is missing"):
        Engine(spec("basenet-bn"), dataset()).restore(engine.state())
    wrong = engine.state() | {"dense_1/kernel": np.zeros((2, 2))}
    with pytest.raises(ValueError, match=r"dense_1/kernel is \(2, 2\)"):
        engine.restore(wrong)


def test_best_weights_come_back():
    engine = Engine(spec("basenet-bn"), data := dataset())
    run(engine, 3)
    best, figures = engine.weights(), engine.evaluate(data.images, data.labels)
    run(engine, 6, first=3)
    assert engine.evaluate(data.images, data.labels) != figures
    engine.set_weights(best)
    assert engine.evaluate(data.images, data.labels) == figures


# --- Epochs, batches and the learning rate -------------------------------------------------------------


def test_every_picture_once_an_epoch_and_the_last_batch_filled():
    engine = Engine(spec("basenet"), dataset(100))
    assert engine.steps_per_epoch == 7  # 100 pictures in batches of 16
    epoch = np.concatenate([engine.batch(step) for step in range(7)])
    assert sorted(epoch[:100]) == list(range(100))
    assert (epoch[100:] == epoch[:12]).all()
    second = np.concatenate([engine.batch(step) for step in range(7, 14)])
    assert (epoch != second).any()


def test_both_readings_of_the_reports_epoch():
    few = dataset(2)
    few.images, few.labels = np.zeros((11250, 32, 32, 3), np.uint8), np.zeros(11250, np.int32)
    lengths = {
        reading: Engine(spec("basenet", fit__batch_size=64, fit__epoch_length=reading), few)
        for reading in ("training set", "test set")
    }
    assert {reading: engine.steps_per_epoch for reading, engine in lengths.items()} == {
        "training set": 176,
        "test set": 35,
    }
    short = lengths["test set"]
    seen = np.concatenate([short.batch(step) for step in range(176)])  # its epochs run on through one order
    assert len(set(seen.tolist())) == 11250


def test_fewer_pictures_than_a_batch():
    engine = Engine(spec("basenet"), dataset(5))
    assert engine.steps_per_epoch == 1
    assert math.isfinite(engine.train(0, 0, 1)[0])


def test_learning_rates():
    fit = spec("basenet", fit__epochs=10).fit
    assert learning_rate(fit, 0, 100) == 0.01
    assert learning_rate(fit, 1000, 100) == 0.01 / 1.001  # Keras's lr / (1 + decay * step)
    constant = fit.model_copy(update={"schedule": "constant"})
    assert learning_rate(constant, 999, 100) == 0.01
    cosine = fit.model_copy(update={"schedule": "cosine"})
    assert learning_rate(cosine, 0, 100) == 0.01
    assert learning_rate(cosine, 500, 100) == pytest.approx(0.005)
    assert learning_rate(cosine, 999, 100) < 1e-6
    warm = cosine.model_copy(update={"warmup_epochs": 2.0})
    assert [learning_rate(warm, step, 100) for step in (0, 99, 199)] == pytest.approx([0.00005, 0.005, 0.01])
    assert learning_rate(warm, 600, 100) == pytest.approx(0.005)


def test_dropout_grows():
    """At the first step nothing is dropped: the loss is that of the network without dropout.  Later it is not."""
    losses, weights = {}, {}
    for name, changes in {"none": {"network__dropout": []}, "grows": {"fit__dropout_ramp": 0.5}, "full": {}}.items():
        engine = Engine(
            spec("basenet-bn-dropout", **{"fit__epochs": 4, "fit__early_stopping": None} | changes), dataset()
        )
        weights = weights or engine.weights()
        engine.set_weights(weights)
        losses[name] = [engine.train(0, step, 1)[0] for step in range(2)]
    assert losses["grows"][0] == pytest.approx(losses["none"][0], rel=1e-5)
    assert losses["full"][0] != pytest.approx(losses["none"][0], rel=1e-3)
    assert losses["grows"][1] != pytest.approx(losses["none"][1], rel=1e-3)
    fit = spec("basenet-bn-dropout", fit__epochs=4, fit__early_stopping=None, fit__dropout_ramp=0.5).fit
    assert [float(dropout_share(fit, step, 10)) for step in (0, 5, 20, 39)] == [0, 0.25, 1, 1]


def test_the_rate_reaches_the_optimizer():
    """Without momentum the first step moves by the rate: half the rate, half the way."""
    moved = []
    for rate in (0.01, 0.005):
        engine = Engine(spec("basenet", fit__learning_rate=rate, fit__momentum=0, fit__schedule="constant"), dataset())
        before = engine.weights()["output/kernel"]
        engine.train(0, 0, 1)
        moved.append(engine.weights()["output/kernel"] - before)
    np.testing.assert_allclose(moved[0], 2 * moved[1], atol=1e-6)


# --- What a person sees --------------------------------------------------------------------------------


def test_it_learns():
    engine = Engine(spec("basenet-bn", fit__learning_rate=0.05), dataset(200, classes=5))
    first = engine.train(0, 0, 1)
    for epoch in range(6):
        last = engine.train(epoch, 0, engine.steps_per_epoch)
    assert last[0] < first[0]
    assert last[1] > 0.6


def test_nan_is_told():
    engine = Engine(spec("basenet"), dataset())
    engine.set_weights(engine.weights() | {"output/bias": np.full(25, np.nan)})
    assert math.isnan(engine.train(0, 0, 5)[0])


def test_augmented_validation_changes_with_the_draw_only():
    engine = Engine(spec("basenet-norm-aug"), data := dataset())
    run(engine, 3)
    plain = engine.evaluate(data.images, data.labels)
    first = engine.evaluate(data.images, data.labels, augmented=True, draw=1)
    assert first == engine.evaluate(data.images, data.labels, augmented=True, draw=1)
    assert math.isfinite(
        engine.evaluate(data.images, data.labels, augmented=True, draw=9999)[0]
    )  # the last epoch of all
    assert len({plain, first, engine.evaluate(data.images, data.labels, augmented=True, draw=2)}) == 3


def test_features_in_place_of_pictures():
    """A head on features of a backbone: float32 vectors, taken as they are."""
    network = Network(input_shape=(12,), blocks=[{"kind": "dense", "units": 8}], classes=3)
    random = np.random.default_rng(2)
    features = SimpleNamespace(
        name="features", images=random.normal(size=(40, 12)).astype(np.float32),
        labels=random.integers(0, 3, 40), class_names=("a", "b", "c"),
    )  # fmt: skip
    engine = Engine(RunSpec(network=network).replace(SMALL), features)
    losses = [engine.train(epoch, 0, 3)[0] for epoch in range(20)]
    assert losses[-1] < losses[0]


def test_pictures_and_classes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"takes 32x32x3 and .* noise are 16x16x3"):
        Engine(spec("basenet"), dataset(shape=(16, 16, 3)))
    with pytest.raises(ValueError, match="25 classes and noise 30"):
        Engine(spec("basenet"), dataset(classes=30))


def test_number_format_is_what_the_processor_computes():
    chosen = Engine(spec("basenet", fit__precision="auto"), dataset())
    if not tf.config.list_physical_devices("GPU"):
        assert chosen.precision == ("bfloat16" if computes_bfloat16() else "float32")
        assert chosen.device.startswith("CPU: ")
    assert Engine(spec("basenet"), dataset()).precision == "float32"


def test_bfloat16_trains_nearly_the_same():
    losses = [
        run(Engine(spec("basenet-bn", fit__precision=p), dataset()), 12, chunk=12)[0] for p in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
