"""Train conv5 of `resnet50v2` on the training birds: python -m training.transfer.conv5

The published weights at hand end with conv4.  Its 14x14x1024 features are computed once,
for every picture and its mirror image; conv5 (three bottleneck blocks, He initialisation)
and a softmax layer on its pooled output learn on them.  Two things make 2,700 pictures go
further: random cuts of the feature map, small ones first (8x8, then 10x10, then whole:
less than half the work an epoch, and other views of each bird), and a second target beside the
species, the pooled features of EfficientNet-Lite0 (feature distillation: Romero et al.,
"FitNets", 2015), which carry what ImageNet taught that network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from training import data, paths
from training.engine import model as networks
from training.evaluate import figures
from training.hardware import number_format
from training.rundir import RunError
from training.transfer import features, folded, heads, loop
from training.transfer.backbones import CONV4, LITE0
from training.transfer.pretrained import WeightsError

CLASSES = 200
HINT_WEIGHT = 4.0  # of the second target: mean squared error of standardized features


def cut_size(epoch: int, epochs: int) -> int:
    """Side of the feature map that is trained on in this epoch (from 0)."""
    done = epoch / epochs
    return 8 if done < 0.6 else 10 if done < 0.9 else 14


def network(teacher_width: int) -> tuple[Any, Any]:
    """(conv5, trainee): the trainee gives logits and, for the second target, a linear map of the pooled features."""
    import keras
    from keras import layers

    from training.transfer import resnet_v2

    conv5 = resnet_v2.conv5(None)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(conv5.output)
    logits = layers.Dense(CLASSES, name="logits")(pooled)
    return conv5, keras.Model(conv5.input, [logits, layers.Dense(teacher_width, name="teacher")(pooled)])


def batches(views: list[np.ndarray], labels: np.ndarray, teacher: np.ndarray, recipe: loop.Recipe) -> Any:
    """A function that draws an epoch: cut, mixed features, and both targets.

    `views` holds the features of the pictures and of their mirror images.
    """
    targets = loop.one_hot(labels, CLASSES, recipe.label_smoothing)

    def draw(epoch: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, ...]]:
        size = cut_size(epoch, recipe.epochs)
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - recipe.batch_size + 1, recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            mirrored = rng.integers(0, 2, len(chosen))
            rows, columns = rng.integers(0, 14 - size + 1, (2, len(chosen)))
            x = np.stack([
                views[m][i, r : r + size, c : c + size] for i, m, r, c in zip(chosen, mirrored, rows, columns, strict=True)
            ]).astype(np.float32)  # fmt: skip
            hints = teacher[chosen]  # of the whole picture: a cut or mirrored bird is the same bird
            yield loop.mix(rng, recipe.mixup, x, targets[chosen], hints)

    return draw


def fit(folder: Path, views: list[np.ndarray], labels: np.ndarray, teacher: np.ndarray,
        validation: np.ndarray, validation_labels: np.ndarray, recipe: loop.Recipe, sha256: str = "") -> Any:  # fmt: skip
    """Train, or go on training, in `folder`; the trainee.  `sha256` is the pictures'.  Raises `RunError`."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(recipe.seed)
    conv5, model = network(teacher.shape[-1])
    maps = folded.learning(conv5, number_format("auto")[0])
    ends, statistics = [model.get_layer(name) for name in ("logits", "teacher")], networks.variables(conv5)
    optimizer = keras.optimizers.SGD(recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(x: Any, target: Any, hint: Any) -> Any:
        with tf.GradientTape() as tape:
            mapped, moving = maps(x)
            pooled = tf.reduce_mean(tf.cast(mapped, tf.float32), (1, 2))
            logits, guess = (end(pooled) for end in ends)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
            total = loss + HINT_WEIGHT * tf.reduce_mean(tf.square(guess - hint))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(total, variables), variables)
        for name, value in moving.items():
            statistics[name].assign(value)
        return loss

    forward = tf.function(lambda x: model(x, training=False)[0], reduce_retracing=True, autograph=False)

    def validate() -> dict[str, float]:
        logits = np.concatenate([
            forward(np.asarray(validation[i : i + 50], np.float32)).numpy() for i in range(0, len(validation), 50)
        ])  # fmt: skip
        found = figures(logits, validation_labels)
        return {f"val_{name}": found[name] for name in ("loss", "accuracy", "top5")}

    checkpoint = loop.Checkpoint(folder, model.variables + optimizer.variables, {"pictures": sha256})
    loop.train(recipe, checkpoint, optimizer, step, batches(views, labels, teacher, recipe),
               len(labels) // recipe.batch_size, validate, lambda line: print(line, flush=True))  # fmt: skip
    return model


def restore(folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    """(trainee, history) of what was trained in `folder`.  Raises `RunError` where nothing was."""
    if not (folder / "checkpoint.npz").is_file():
        raise RunError(f"No conv5 was trained in {folder}: python -m training.transfer.conv5 does it.")
    _, model = network(LITE0.map_shape[-1])
    checkpoint = loop.Checkpoint(folder, model.variables)
    checkpoint.restore()
    return model, checkpoint.history


def conv4_features(pictures: np.ndarray, validation: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Conv4's maps of the pictures and of their mirror images, and of the validation pictures."""

    def make() -> Any:
        network = folded.forward(CONV4.load())
        return lambda pixels: network(CONV4.preprocess(pixels))

    def maps(pictures: np.ndarray, mirror: bool = False) -> np.ndarray:
        return features.extract(
            pictures, make, CONV4.map_shape, CONV4.key(), mirror=mirror, progress=features.lines("conv4")
        )

    return [maps(pictures), maps(pictures, mirror=True)], maps(validation)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train conv5 of resnet50v2 on the training birds.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=None, help="where the run is kept and goes on")
    options = parser.parse_args()

    folder = options.folder or paths.cache_dir() / "conv5"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            train(folder, options.epochs)
    except (RunError, WeightsError, data.DataError, FloatingPointError) as error:
        print(error, file=sys.stderr)
    except Timeout:
        print(f"Another process trains in {folder}.", file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or folder} cannot be written: {error.strerror}.", file=sys.stderr)
    else:
        return 0
    return 2


def train(folder: Path, epochs: int) -> None:
    """Compute the features, and train in `folder`.  Raises `DataError`, `WeightsError` and `RunError`."""
    birds = data.load("birds")
    views, validation = conv4_features(birds.images, birds.validation_images)
    hints = np.asarray(heads.extract(LITE0, birds.images, pooled=True, progress=features.lines("teacher")), np.float32)
    hints = (hints - hints.mean(0)) / (hints.std(0) + 1e-3)
    fit(folder, views, birds.labels, hints, validation, birds.validation_labels,
        loop.Recipe(epochs=epochs, learning_rate=0.05), birds.sha256)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
