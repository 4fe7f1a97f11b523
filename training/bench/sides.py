"""The sides that `training.bench.side_by_side` lets take turns: this engine, parts of it, Keras in three ways, PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from training import hardware
from training.bench import pytorch
from training.describe import describe
from training.engine import augment_reference
from training.spec import RunSpec

if TYPE_CHECKING:
    import keras

PICTURES = 2048  # random ones: speed does not depend on what they show
ENGINE, INPUT, BOUND = "this engine", "its augmentation and normalization alone", "the convolutions alone"
MANY = "this engine, {} networks at once"
FIT, MIXED, FED, TORCH = "Keras fit", "Keras fit, mixed precision", "Keras fit, numpy augmentation", "PyTorch"


@dataclass
class Side:
    """One way to do the work.  `run(n)` does n steps and returns when they are done."""

    name: str
    format: str
    run: Callable[[int], Any]
    steps: int = 1
    wall: list[float] = field(default_factory=list)  # milliseconds a step, one for each round
    cpu: list[float] = field(default_factory=list)

    def measure(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.run(self.steps)
        self.cpu.append(1e3 * (time.process_time() - cpu) / self.steps)
        self.wall.append(1e3 * (time.perf_counter() - wall) / self.steps)

    def warm_up(self, seconds: float) -> None:
        """Trace, then choose the number of steps that takes about `seconds`."""
        self.run(2)
        start = time.perf_counter()
        self.run(2)
        self.steps = max(2, min(500, round(2 * seconds / (time.perf_counter() - start))))

    def close(self) -> None:
        """Free what it holds outside this process."""


def every_side(spec: RunSpec) -> Iterator[Side]:
    """The sides that this machine can run for `spec`."""
    from training.engine import engine

    data = noise(spec)
    images, labels = data.images, data.labels
    formats = ["float32", "bfloat16"] if hardware.computes_bfloat16() else ["float32"]
    for precision in formats:
        trained = engine.Engine(spec.replace({"fit.precision": precision}), data)
        yield Side(ENGINE, precision, partial(trained.train, 0, 0))
        if precision == "float32":
            yield Side(INPUT, precision, _input_alone(trained))
        yield Side(BOUND, precision, _convolutions(spec, precision))
    mean, std = augment_reference.statistics(images, "featurewise")
    normal = augment_reference.normalize(images, mean, std)
    for name, precision in ((FIT, "float32"), (MIXED, "bfloat16")):
        if precision in formats:
            yield Side(name, precision, _keras_fit(spec, precision, normal, labels))
    if spec.data.augmentation.on:
        yield Side(FED, "float32", _keras_fed(spec, images, labels, mean, std))
    try:
        import torch  # noqa: F401
    except ImportError:
        print("PyTorch is not installed: its side is skipped.")
    else:
        yield Side(TORCH, "float32", pytorch.steps(spec, normal, labels))


def noise(spec: RunSpec, pictures: int = PICTURES) -> Any:
    """As much of a data set as an engine reads."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (pictures, *spec.network.input_shape), dtype=np.uint8)
    labels = random.integers(0, spec.network.classes, pictures).astype(np.int32)
    names = tuple(str(k) for k in range(spec.network.classes))
    return SimpleNamespace(name="noise", images=images, labels=labels, class_names=names)


def _input_alone(engine: Any) -> Callable[[int], Any]:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, engine.spec.fit.batch_size], tf.int32)], autograph=False)
    def steps(indices: tf.Tensor) -> tf.Tensor:
        def one(k: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return k + 1, total + tf.reduce_sum(engine.inputs(indices[k], k)[0][0, 0])

        return tf.while_loop(lambda k, _: k < tf.shape(indices)[0], one, (0, 0.0), parallel_iterations=1)[1]

    return lambda n: steps(np.stack([engine.batch(k) for k in range(n)])).numpy()


def _convolutions(spec: RunSpec, precision: str) -> Callable[[int], Any]:
    """Every convolution forward and the gradients that training needs of it, nothing else: the practical bound.

    The inputs are variables, read in every turn of the loop, and one value of each result is
    used, so that TensorFlow can neither leave a convolution out nor do it only once.
    """
    import tensorflow as tf

    cases = []
    for layer in describe(spec.network).layers:
        if layer.kind == "conv":
            kernel = (layer.kernel, layer.kernel, layer.input_shape[-1], layer.filters)
            shapes = (spec.fit.batch_size, *layer.input_shape), kernel, (spec.fit.batch_size, *layer.output_shape)
            cases.append((layer, [tf.Variable(tf.cast(tf.random.normal(s), precision)) for s in shapes]))

    first = next(number for number, (layer, _) in enumerate(cases) if not layer.fixed)

    def once() -> tf.Tensor:
        results: list[tf.Tensor] = []
        for number, (layer, case) in enumerate(cases):
            padding, stride = layer.padding.upper(), layer.stride
            x, kernel, y = (variable.read_value() for variable in case)
            options: Any = {"out_backprop": y, "strides": [1, stride, stride, 1], "padding": padding}
            results.append(tf.nn.conv2d(x, kernel, stride, padding))
            if not layer.fixed:
                results.append(tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **options))
            if number > first:  # nothing that learns is before
                results.append(tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **options))
        return tf.cast(tf.add_n([result[0, 0, 0, 0] for result in results]), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)], autograph=False)
    def steps(count: tf.Tensor) -> tf.Tensor:
        turn = lambda k, total: (k + 1, total + once())  # noqa: E731
        return tf.while_loop(lambda k, _: k < count, turn, (0, 0.0), parallel_iterations=1)[1]

    return lambda n: steps(n).numpy()


def _keras_model(spec: RunSpec, precision: str = "float32") -> keras.Model:
    """The plain Keras model, compiled as anyone would."""
    import keras

    from training.engine import model

    keras.mixed_precision.set_global_policy("float32" if precision == "float32" else "mixed_bfloat16")
    try:
        plain = model.build(spec.network)
        plain.compile(
            keras.optimizers.SGD(spec.fit.learning_rate, spec.fit.momentum),
            keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"], jit_compile=False,
        )  # fmt: skip
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return plain


def _keras_fit(spec: RunSpec, precision: str, images: np.ndarray, labels: np.ndarray) -> Callable[[int], Any]:
    """`fit` on an array that is already normalized, without augmentation."""
    plain, size = _keras_model(spec, precision), spec.fit.batch_size

    def run(steps: int) -> None:
        some = np.resize(np.arange(len(images)), steps * size)
        plain.fit(images[some], labels[some], batch_size=size, verbose=0)

    return run


def _keras_fed(
    spec: RunSpec, images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> Callable[[int], Any]:
    """`fit` fed by augmentation in numpy, a picture at a time, as `ImageDataGenerator` does."""
    import keras

    size, random, augmentation = spec.fit.batch_size, np.random.default_rng(0), spec.data.augmentation
    plain, (height, width) = _keras_model(spec), images.shape[1:3]

    class Batches(keras.utils.PyDataset):
        def __init__(self, steps: int):
            super().__init__()
            self.steps = steps

        def __len__(self) -> int:
            return self.steps

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = random.integers(0, len(images), size)
            draws = random.random((size, augment_reference.DRAWS))
            changed = [
                augment_reference.transform(image, augment_reference.parameters(augmentation, draw, height, width))
                for image, draw in zip(images[chosen], draws, strict=True)
            ]
            return augment_reference.normalize(np.array(changed), mean, std), labels[chosen]

    return lambda n: plain.fit(Batches(n), verbose=0)
