"""The Keras code of a design runs, and is the design: layers, parameters and fit settings."""

import ast
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training import catalogue
from training.describe import describe
from training.engine.schedule import learning_rate
from training.keras_code import keras_code
from training.spec import RunSpec


def run(spec: RunSpec, code: str = "") -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "copied"}
    exec(compile(code or keras_code(spec), "copied.py", "exec"), space)
    return space


def pictures(count: int = 192, classes: int = 25) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), random.integers(0, classes, count).astype(
        np.int32
    )


@pytest.mark.parametrize("name", catalogue.names())
def test_the_network_has_the_layers_and_parameters_of_the_design(name: str) -> None:
    network = catalogue.variant(name).spec.network
    model = run(catalogue.variant(name).spec)["build_network"]()
    layers = describe(network).layers
    made = [layer for layer in model.layers if layer.name != "pictures"]  # the input, which only some models list
    assert [layer.name for layer in made] == [layer.name for layer in layers]
    assert [tuple(layer.output.shape[1:]) for layer in made] == [layer.output_shape for layer in layers]
    assert model.count_params() == describe(network).params
    for built, planned in zip(made, layers, strict=True):
        assert getattr(built, "rate", 0) == planned.rate


def test_a_network_with_shortcuts_gives_what_ours_gives() -> None:
    from training.engine.model import build

    spec = catalogue.variant("basenet-bn").spec.replace({"network.depth": 3, "network.residual": True})
    copied, ours = run(spec)["build_network"](), build(spec.network)
    copied.set_weights(ours.get_weights())
    assert [layer.name for layer in copied.layers[1:]] == [layer.name for layer in describe(spec.network).layers]
    x = pictures(4)[0] / 255.0
    assert np.allclose(copied(x), ours(x), atol=1e-6)


def test_a_whitening_layer_is_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from training.engine import whitening
    from training.engine.augment_reference import normalize, statistics

    spec = catalogue.variant("basenet-norm").spec.replace({"network.whitening": True})
    images, labels = pictures(64)
    monkeypatch.setattr(whitening, "PICTURES", 16)  # of more pictures than are asked, those that are evenly spread
    code = keras_code(spec).replace("2000", "16")
    monkeypatch.setattr(keras.Sequential, "fit", lambda self, *args, **kwargs: None)
    network, _ = run(spec, code)["train"](images, labels, images, labels)
    expected = whitening.kernel(normalize(whitening.sample(images), *statistics(images, "featurewise")))
    layer = network.get_layer("whitening")
    assert np.allclose(np.abs(layer.kernel), np.abs(expected), atol=1e-4)  # which sign comes first is left open
    assert not layer.trainable_variables and len(layer.variables) == 1


MIXED = {"data.augmentation.mixup": 0.2, "data.augmentation.cutmix": 1, "data.augmentation.cutout": 0.25}


def test_the_code_is_plain_keras() -> None:
    for entry in catalogue.variants():
        tree = ast.parse(keras_code(entry.spec))
        modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        modules |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
        arrays = entry.spec.data.augmentation.mixes or entry.spec.network.whitening
        assert modules == {"keras", "numpy"} if arrays else {"keras"}
        assert max(map(len, keras_code(entry.spec).splitlines())) <= 120


CHANGES: dict[str, dict[str, Any]] = {
    "basenet": {"fit.momentum": 1.0},
    "basenet-norm-aug-es": {"fit.momentum": 0.5, "fit.learning_rate": 0.1, "fit.seed": 7, "fit.minutes": 2},
    "basenet-bn": {"fit.schedule": "cosine", "fit.early_stopping": None, "fit.epochs": 3, "fit.batch_size": 32},
    "basenet-norm": {"fit.schedule": "constant", "fit.warmup_epochs": 2, "fit.nesterov": True},
    "basenet-norm-aug": {"fit.schedule": "constant", "fit.learning_rate": 1.0, "fit.momentum": 0.0},
    "basenet-bn-dropout": {"fit.schedule": "cosine", "fit.warmup_epochs": 1, "fit.early_stopping.patience": 5},
    "basenet-3x3": {"fit.dropout_ramp": 0.5, "fit.label_smoothing": 0.1},
    "final": {"fit.optimizer": "adam", "fit.weight_decay": 0.01},
    "final-ramp": {"fit.optimizer": "muon"},
    "basenet-avgpool": {"fit.schedule": "cosine", "fit.warmup_epochs": 3, "fit.early_stopping": None, "fit.epochs": 2},
}


def test_a_strided_convolution_and_another_activation() -> None:
    spec = catalogue.variant("basenet-bn").spec.replace({"network.pooling": "strided", "network.activation": "tanh"})
    model = run(spec)["build_network"]()
    assert [tuple(layer.output.shape[1:]) for layer in model.layers] == [
        layer.output_shape for layer in describe(spec.network).layers
    ]
    assert model.get_layer("conv_2").strides == (2, 2)
    assert {layer.activation.__name__ for layer in model.layers if "tanh" in layer.name} == {"tanh"}


@pytest.mark.parametrize("name", CHANGES)
def test_the_fit_settings_are_the_designs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    spec = catalogue.variant(name).spec.replace(CHANGES[name])
    fit, calls = spec.fit, []
    monkeypatch.setattr(keras.Sequential, "fit", lambda self, *args, **kwargs: calls.append((self, args, kwargs)))
    images, labels = pictures()
    run(spec)["train"](images, labels, images[:32], labels[:32])
    [(model, args, kwargs)] = calls
    assert kwargs["epochs"] == fit.max_epochs and kwargs["batch_size"] == fit.batch_size
    assert args[0] is images and (args[1] is labels or (fit.label_smoothing and (args[1].argmax(1) == labels).all()))
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "muon": keras.optimizers.Muon}[fit.optimizer]
    assert isinstance(model.optimizer, kind)
    if fit.optimizer == "adam":
        assert model.optimizer.beta_1 == fit.momentum
    else:
        assert model.optimizer.momentum == fit.momentum and model.optimizer.nesterov == fit.nesterov
    if fit.optimizer != "sgd":
        assert model.optimizer.weight_decay == fit.weight_decay
    rate, steps = model.optimizer._learning_rate, -(-len(images) // fit.batch_size)
    for step in (0, 1, steps, 2 * steps, fit.max_epochs * steps - 1):
        given = rate(step) if callable(rate) else rate
        assert float(given) == pytest.approx(learning_rate(fit, step, steps), rel=2e-3, abs=1e-7)
    stopping = [c for c in kwargs.get("callbacks", []) if isinstance(c, keras.callbacks.EarlyStopping)]
    assert [c.patience for c in stopping] == ([fit.early_stopping.patience] if fit.early_stopping else [])
    watched = "val_plain_loss" if fit.label_smoothing else "val_loss"  # of the true labels, as the engine's
    assert all(c.monitor == watched and c.restore_best_weights for c in stopping)
    assert ("StopAfter" in run(spec)) == (fit.minutes is not None)
    growing = [c for c in kwargs.get("callbacks", []) if type(c).__name__ == "GrowDropout"]
    assert [c.steps for c in growing] == ([fit.dropout_ramp * fit.max_epochs * steps] if fit.dropout_ramp else [])


def test_the_pictures_reach_the_network_as_the_design_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from training.engine.augment_reference import normalize, statistics

    images, labels = pictures(64)
    for name in ("basenet", "basenet-norm-aug"):
        seen: list[Any] = []
        monkeypatch.setattr(keras.Sequential, "fit", lambda self, *args, seen=seen, **kwargs: seen.append(self))
        spec = catalogue.variant(name).spec
        run(spec)["train"](images, labels, images, labels)
        x = images.astype("float32")
        for layer in seen[0].layers[:-1]:  # all but the network
            x = layer(x, training=False) if "random" in layer.name else layer(x)
        expected = normalize(images, *statistics(images, spec.data.normalization))
        assert np.allclose(np.asarray(x), expected, atol=1e-3)
        assert [layer.name.rsplit("_", 1)[0] for layer in seen[0].layers if "random" in layer.name] == (
            [] if name == "basenet" else ["random_translation", "random_zoom", "random_flip"]
        )


def test_augmentation_moves_places_as_the_engine_does() -> None:
    """On a picture whose pixels say where they are, the code's layers, each at one end of its range, one after another."""
    from keras import layers

    from training.engine.augment_reference import Parameters, transform

    places = np.stack(np.meshgrid(np.arange(32.0), np.arange(32.0), indexing="ij"), -1)
    fixed = {
        "Rotation": layers.RandomRotation((1 / 18, 1 / 18), fill_mode="nearest"),
        "Translation": layers.RandomTranslation((0.1, 0.1), (0.05, 0.05), fill_mode="nearest"),
        "Zoom": layers.RandomZoom((0.2, 0.2), (-0.1, -0.1), fill_mode="nearest"),
    }
    spec = catalogue.variant("basenet-norm-aug").spec.replace({"data.augmentation.rotation": 20.0})
    found = np.concatenate([places, 0 * places[..., :1]], -1)[None]
    for name in re.findall(r"layers\.Random(Rotation|Translation|Zoom)\(", keras_code(spec)):
        found = np.asarray(fixed.pop(name)(found, training=True))
    assert not fixed
    turned = Parameters(-np.pi / 9, -3.2, -1.6, 1.2, 0.9, False, False)
    expected = min((transform(places, replace(turned, rotation=sign * np.pi / 9)) for sign in (1, -1)),
                   key=lambda there: abs(there - found[0, ..., :2])[8:24, 8:24].max())  # fmt: skip
    np.testing.assert_allclose(found[0, 8:24, 8:24, :2], expected[8:24, 8:24], atol=0.02)


def test_the_average_is_the_engines() -> None:
    import keras

    code = run(catalogue.variant("final-recipe").spec)
    average = code["AverageWeights"](0.8)
    weights = keras.Variable([1.0, 2.0])
    average.set_model(SimpleNamespace(weights=[weights, keras.Variable([7], dtype="int32")]))
    average.on_train_begin()
    expected = weights.numpy()
    for step in range(50):
        weights.assign(np.random.default_rng(step).normal(size=2))
        average.on_train_batch_end(step)
        share = 1 - min(0.8, (step + 1) / (step + 11))  # as in `Engine._average`
        expected = expected + share * (weights.numpy() - expected)
    last = weights.numpy()
    average.on_test_begin()
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    average.on_epoch_begin(1)
    np.testing.assert_array_equal(weights, last)


@pytest.mark.parametrize("augmentation", [{}, {"horizontal_flip": True}])
def test_a_teachers_answers_to_the_same_pictures_are_most_of_the_loss(augmentation: dict[str, Any]) -> None:
    import keras

    spec = catalogue.variant("basenet").spec.replace(
        {"fit.teacher": "any", "fit.epochs": 1, "fit.batch_size": 64, "fit.learning_rate": 1e-6, "fit.label_smoothing": 0.1,
         "data.augmentation": augmentation, "data.normalization": "featurewise"})  # fmt: skip
    images, labels = pictures(64)
    images = np.concatenate([images[:, :, :16], images[:, :, 15::-1]], 2)  # a flip changes nothing
    pixels = keras.Input((32, 32, 3))
    answers = keras.layers.Dense(25, activation="softmax")(keras.layers.Flatten()(pixels / 255.0))
    teacher = keras.Model(pixels, answers)
    before = [weights.copy() for weights in teacher.get_weights()]
    network, history = run(spec)["train"](images, labels, images, labels, teacher)
    assert all(map(np.array_equal, teacher.get_weights(), before)), "the teacher learns nothing"
    normal = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    said, right = np.asarray(network(normal)), np.eye(25)[labels] * 0.9 + 0.1 / 25
    own, taught = (-(y * np.log(said)).sum(1).mean() for y in (right, np.asarray(teacher(images.astype("float32")))))
    assert history.history["loss"] == [pytest.approx(0.3 * own + 0.7 * taught, rel=1e-3)]
    assert "teacher.keras" in keras_code(spec) and "teacher" not in keras_code(spec.replace({"fit.teacher": None}))


def test_it_trains() -> None:
    changes = {
        "fit.early_stopping": None, "fit.epochs": 6, "fit.label_smoothing": 0.1, "fit.epoch_length": "test set",
        "fit.minutes": 5, "fit.weight_decay": 1e-4, "data.augmentation.rotation": 15, "data.augmentation.vertical_flip": True,
        "data.validation": "ordered", "network.depth": 2, "fit.batch_size": 16, "fit.learning_rate": 0.05,
    }  # fmt: skip
    spec = catalogue.variant("basenet-bn").spec.replace(changes)
    images, labels = pictures()
    labels = (images.mean((1, 2, 3)) > images.mean()).astype(np.int32)
    network, history = run(spec)["train"](images, labels, images[:32], labels[:32])
    losses = history.history["loss"]
    assert len(losses) == 6 and losses[-1] < losses[0]
    growing = {"network.dropout": [0.1, 0.1, 0.25], "fit.dropout_ramp": 0.5}
    mixed = spec.replace(
        MIXED | growing | {"fit.average": 0.9, "network.residual": True, "data.validation": "stratified"}
    )
    code = run(mixed)
    network, history = code["train"](images, labels, images[:32], labels[:32])
    assert float(code["dropout_share"]) == 1
    assert [layer.rate for layer in network.layers if isinstance(layer, code["GrowingDropout"])] == [0.1, 0.1, 0.25]
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert network.count_params() == describe(spec.network).params
