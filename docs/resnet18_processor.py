"""The training of `docs.resnet18` on a processor, by TensorFlow: JAX takes minutes there for one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from docs.resnet18 import BLOCKS, DECAY, EPSILON, KEPT, MOMENTUM, PADDING, Arrays
from training.engine.convolution import conv2d
from training.engine.layers import batch_norm
from training.hardware import processor

EVALUATION_BATCH = 500


class Processor:
    """The network in training, in float32; takes normalized pictures, float32 (count, 32, 32, 3)."""

    def __init__(self, weights: Arrays, moving: Arrays, momenta: Arrays, pictures: np.ndarray, labels: np.ndarray):
        self._pictures, self._labels = pictures, labels.astype(np.int32)
        self._weights, self._moving, self._momenta = (
            {name: tf.Variable(value) for name, value in arrays.items()} for arrays in (weights, moving, momenta)
        )
        self.device = processor().removeprefix("CPU: ")

    def epoch(self, order: np.ndarray, rates: np.ndarray, seed: int) -> float:
        """One pass in batches of indices, `order` (steps, batch); the mean loss."""
        random = np.random.default_rng(seed)
        steps = [
            self._step(changed(random, self._pictures[indices]), self._labels[indices], rate)
            for indices, rate in zip(order, rates, strict=True)
        ]
        return float(np.mean(steps))

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """(count, classes)."""
        parts = range(0, len(pictures), EVALUATION_BATCH)
        return np.concatenate([self._answer(pictures[first : first + EVALUATION_BATCH]) for first in parts])

    def state(self) -> list[Arrays]:
        """Weights, moving statistics, momenta."""
        trees = (self._weights, self._moving, self._momenta)
        return [{name: variable.numpy() for name, variable in tree.items()} for tree in trees]

    @tf.function(reduce_retracing=True)
    def _answer(self, x: Any) -> Any:
        return self._forward(x, False)[0]

    @tf.function
    def _step(self, x: Any, labels: Any, rate: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, new = self._forward(x, True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        for name, slope in tape.gradient(loss, self._weights).items():
            weight, momentum = self._weights[name], self._momenta[name]
            slope += DECAY * weight
            momentum.assign(MOMENTUM * momentum + slope)
            weight.assign_sub(rate * (slope + MOMENTUM * momentum))
        for name, value in new.items():
            self._moving[name].assign(value)
        return loss

    def _forward(self, x: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        """Logits, and the new moving statistics of a training pass."""
        new: dict[str, Any] = {}

        def convolution(name: str, x: Any, stride: int = 1) -> Any:
            kernel, margin = self._weights[name], self._weights[name].shape[0] // 2
            if stride == 1:
                y = conv2d(x, kernel, "SAME")
            else:  # "SAME" would put all of the margin below and to the right
                x = tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
                y = conv2d(x, kernel, "VALID", stride=stride)
            gamma, beta, mean, variance = (
                source[f"{name}/{kind}"]
                for source, kind in ((self._weights, "gamma"), (self._weights, "beta"), (self._moving, "mean"), (self._moving, "variance"))
            )  # fmt: skip
            if not training:
                return tf.nn.batch_normalization(y, mean, variance, beta, gamma, EPSILON)
            y, *now = batch_norm(y, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta), EPSILON)
            for kind, old, value in zip(("mean", "variance"), (mean, variance), now, strict=True):
                new[f"{name}/{kind}"] = KEPT * old + (1 - KEPT) * value
            return y

        x = tf.nn.relu(convolution("stem", x))
        for name, stride in BLOCKS:
            short = convolution(f"{name}/short", x, stride) if f"{name}/short" in self._weights else x
            y = tf.nn.relu(convolution(f"{name}/a", x, stride))
            x = tf.nn.relu(convolution(f"{name}/b", y) + short)
        return tf.reduce_mean(x, (1, 2)) @ self._weights["output"] + self._weights["output/bias"], new


def changed(random: np.random.Generator, pictures: np.ndarray) -> np.ndarray:
    """As `docs.resnet18.changed`."""
    count, side = pictures.shape[:2]
    around = (PADDING, PADDING)
    windows = sliding_window_view(np.pad(pictures, ((0, 0), around, around, (0, 0))), (side, side), (1, 2))
    rows, columns = random.integers(0, 2 * PADDING + 1, (2, count))
    cut = np.moveaxis(windows[np.arange(count), rows, columns], 1, 3)
    return np.ascontiguousarray(np.where(random.random((count, 1, 1, 1)) < 0.5, cut[:, :, ::-1], cut))
