"""A yardstick for CIFAR-10: what ResNet-18 reaches with the usual long recipe: `python -m docs.resnet18`.

He et al. 2015 (arXiv:1512.03385) with the stem that is usual for 32x32 pixels: one 3x3 convolution, no pooling; 11.2
million weights, 555 million multiply-adds.  SGD with Nesterov momentum 0.9, batches of 128, 200 epochs, learning rate 0.1
that warms up over a twentieth and falls to 0 as a cosine, weight decay 5e-4 in the gradient, four pixels of padding and a
random cut, mirror images.  In JAX, so that it runs where there is an accelerator.  On processor cores, where two take a day
and a half, `docs.resnet18_processor` does the same: fewer epochs (`--epochs`) give a figure that the long recipe is above.
It trains on the pictures that Plumage's networks train on, validates after the last epoch, then takes the test figures,
once, and writes docs/resnet18.json.  Killed, it goes on from an epoch of a minute ago, or its last.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from training import data
from training.files import read_json
from training.paths import cache_dir
from training.rundir import read_arrays, write_arrays

FILE = Path(__file__).with_suffix(".json")
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels and stride of each two blocks
BLOCKS = tuple(
    (f"{stage}/{block}", stride if block == 0 else 1) for stage, (_, stride) in enumerate(STAGES) for block in (0, 1)
)
RATE, MOMENTUM, DECAY, WARM_UP, PADDING, BATCH = 0.1, 0.9, 5e-4, 0.05, 4, 128
KEPT, EPSILON = 0.9, 1e-5  # of batch norm's moving statistics, a step
LONG = 200  # epochs
KEEP_SECONDS = 60  # at least, between two states that are written: 130 MB each
FORMAT = jnp.bfloat16  # of an accelerator's layers
Arrays = dict[str, np.ndarray]
Tree = Any


def initial(seed: int, classes: int) -> tuple[Arrays, Arrays]:
    """Weights (kernels normal with deviation sqrt(2 / incoming values)) and moving statistics."""
    random = np.random.default_rng(seed)
    weights: dict[str, Any] = {}
    moving: dict[str, Any] = {}

    def add(name: str, size: int, incoming: int, outgoing: int) -> None:
        deviation = (2 / (size * size * incoming)) ** 0.5
        weights[name] = random.normal(0, deviation, (size, size, incoming, outgoing)).astype(np.float32)
        weights[f"{name}/gamma"], weights[f"{name}/beta"] = np.ones(outgoing, "f4"), np.zeros(outgoing, "f4")
        moving[f"{name}/mean"], moving[f"{name}/variance"] = np.zeros(outgoing, "f4"), np.ones(outgoing, "f4")

    add("stem", 3, 3, 64)
    incoming = 64
    for stage, (channels, stride) in enumerate(STAGES):
        for block in range(2):
            name = f"{stage}/{block}"
            add(f"{name}/a", 3, incoming, channels)
            add(f"{name}/b", 3, channels, channels)
            if block == 0 and (stride > 1 or incoming != channels):
                add(f"{name}/short", 1, incoming, channels)
            incoming = channels
    weights["output"] = random.normal(0, incoming**-0.5, (incoming, classes)).astype(np.float32)
    weights["output/bias"] = np.zeros(classes, np.float32)
    return weights, moving


def multiply_adds(classes: int, side: int = 32) -> int:
    """Of one picture, forward: the convolutions and the last layer."""
    total, incoming = side * side * 9 * 3 * 64, 64
    for channels, stride in STAGES:
        side //= stride
        first = 9 * incoming * channels + (incoming * channels if stride > 1 else 0)
        total += side * side * (first + 3 * 9 * channels * channels)
        incoming = channels
    return total + incoming * classes


def forward(weights: Tree, moving: Tree, x: jax.Array, training: bool) -> tuple[jax.Array, Tree]:
    """Logits for normalized pictures (batch, 32, 32, 3), computed in FORMAT, and the new moving statistics."""
    new = dict(moving)

    def convolution(name: str, x: jax.Array, stride: int = 1) -> jax.Array:
        kernel = weights[name].astype(FORMAT)
        size = kernel.shape[0]
        around = [(size // 2, size // 2)] * 2
        y = lax.conv_general_dilated(x, kernel, (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        y = y.astype(jnp.float32)
        mean, variance = moving[f"{name}/mean"], moving[f"{name}/variance"]
        if training:
            mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
            for kind, value in (("mean", mean), ("variance", variance)):
                new[f"{name}/{kind}"] = KEPT * moving[f"{name}/{kind}"] + (1 - KEPT) * value
        scale = weights[f"{name}/gamma"] * lax.rsqrt(variance + EPSILON)
        return (y * scale + weights[f"{name}/beta"] - mean * scale).astype(FORMAT)

    x = jax.nn.relu(convolution("stem", x.astype(FORMAT)))
    for name, stride in BLOCKS:
        short = convolution(f"{name}/short", x, stride) if f"{name}/short" in weights else x
        y = jax.nn.relu(convolution(f"{name}/a", x, stride))
        x = jax.nn.relu(convolution(f"{name}/b", y) + short)
    pooled = x.astype(jnp.float32).mean((1, 2))
    return pooled @ weights["output"] + weights["output/bias"], new


def changed(key: jax.Array, pictures: jax.Array) -> jax.Array:
    """Cut at random from the picture with PADDING pixels of 0 around it; every other one mirrored."""
    side = pictures.shape[1]
    padded = jnp.pad(pictures, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    cuts, flips = jax.random.split(key)
    corners = jax.random.randint(cuts, (len(pictures), 2), 0, 2 * PADDING + 1)
    cut = jax.vmap(lambda picture, at: lax.dynamic_slice(picture, (at[0], at[1], 0), (side, side, 3)))(padded, corners)
    return jnp.where(jax.random.bernoulli(flips, 0.5, (len(pictures), 1, 1, 1)), cut[:, :, ::-1], cut)


@partial(jax.jit, donate_argnums=(0, 1, 2))
def epoch(
    weights: Tree, moving: Tree, momenta: Tree, pictures: jax.Array, labels: jax.Array, order: jax.Array,
    rates: jax.Array, key: jax.Array,
) -> tuple[Tree, Tree, Tree, jax.Array]:  # fmt: skip
    """One pass over normalized `pictures` in batches of indices, `order` (steps, batch); the mean loss last."""

    def step(state: Tree, given: Tree) -> tuple[Tree, jax.Array]:
        weights, moving, momenta = state
        indices, rate, key = given
        x, y = changed(key, pictures[indices]), labels[indices]

        def loss(weights: Tree) -> tuple[jax.Array, Tree]:
            logits, new = forward(weights, moving, x, True)
            return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), new

        (value, moving), slopes = jax.value_and_grad(loss, has_aux=True)(weights)
        slopes = jax.tree.map(lambda slope, weight: slope + DECAY * weight, slopes, weights)
        momenta = jax.tree.map(lambda old, slope: MOMENTUM * old + slope, momenta, slopes)
        moves = jax.tree.map(lambda old, slope: rate * (slope + MOMENTUM * old), momenta, slopes)
        return (jax.tree.map(jnp.subtract, weights, moves), moving, momenta), value

    keys = jax.random.split(key, len(rates))
    (weights, moving, momenta), values = lax.scan(step, (weights, moving, momenta), (order, rates, keys))
    return weights, moving, momenta, values.mean()


class Accelerator:
    """The network in training; takes normalized pictures, float32 (count, 32, 32, 3)."""

    def __init__(self, weights: Arrays, moving: Arrays, momenta: Arrays, pictures: np.ndarray, labels: np.ndarray):
        self._pictures, self._labels = jnp.asarray(pictures), jnp.asarray(labels)  # there once, not in every epoch
        self._state = tuple(jax.tree.map(jnp.asarray, arrays) for arrays in (weights, moving, momenta))
        self._answer = jax.jit(lambda weights, moving, x: forward(weights, moving, x, False)[0])
        self.device = jax.devices()[0].device_kind

    def epoch(self, order: np.ndarray, rates: np.ndarray, seed: int) -> float:
        """One pass in batches of indices, `order` (steps, batch); the mean loss."""
        key = jax.random.PRNGKey(seed)
        *state, loss = epoch(*self._state, self._pictures, self._labels, order, rates, key)
        self._state = tuple(state)
        return float(loss)

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """(count, classes)."""
        weights, moving, _ = self._state
        parts = range(0, len(pictures), 500)
        return np.concatenate([np.asarray(self._answer(weights, moving, pictures[at : at + 500])) for at in parts])

    def state(self) -> list[Arrays]:
        """Weights, moving statistics, momenta."""
        return [{name: np.asarray(value) for name, value in arrays.items()} for arrays in self._state]


def train(
    epochs: int,
    seed: int,
    dataset: data.Dataset,
    load_test: Callable[[], tuple[np.ndarray, np.ndarray]],
    state: Path,
    program: Any = None,
) -> dict[str, Any]:
    """Figures after `epochs` epochs, by which nothing is chosen; `state` is the file from which a killed training goes on."""
    images = np.asarray(dataset.images, np.float32)
    mean, deviation = images.mean((0, 1, 2)), images.std((0, 1, 2))

    def seen(pictures: np.ndarray) -> np.ndarray:
        return (np.asarray(pictures, np.float32) - mean) / deviation

    def accuracy(pictures: np.ndarray, labels: np.ndarray) -> float:
        return float((network.logits(seen(pictures)).argmax(1) == labels).mean())

    weights, moving = initial(seed, len(dataset.class_names))
    arrays, first, seconds = [weights, moving, {name: np.zeros_like(value) for name, value in weights.items()}], 0, 0.0
    if state.is_file():
        kept = read_arrays(state)
        arrays = [{name: kept[f"{part}/{name}"] for name in tree} for part, tree in enumerate(arrays)]
        first, seconds = int(kept["epochs"]), float(kept["seconds"])
    network, written = (program or _program())(*arrays, seen(images), dataset.labels), time.monotonic()
    steps, warm = len(images) // BATCH, WARM_UP
    done = np.arange(epochs * steps) / (epochs * steps)
    rates = RATE * np.where(done < warm, done / warm, 0.5 + 0.5 * np.cos(np.pi * (done - warm) / (1 - warm)))
    for number in range(first, epochs):
        began, own = time.monotonic(), seed * 10_000 + number
        order = np.random.default_rng(own).permutation(len(images))[: steps * BATCH].reshape(steps, BATCH)
        now = np.asarray(rates[number * steps : (number + 1) * steps], np.float32)
        loss = network.epoch(order, now, own)
        seconds += time.monotonic() - began
        print(f"epoch {number + 1} of {epochs}: loss {loss:.4f}, {seconds:.0f} s", flush=True)
        if time.monotonic() - written < KEEP_SECONDS:
            continue
        written = time.monotonic()
        keep = {f"{part}/{name}": value for part, tree in enumerate(network.state()) for name, value in tree.items()}
        write_arrays(state, keep | {"epochs": np.asarray(number + 1), "seconds": np.asarray(seconds)})
    return {"epochs": epochs, "usual_epochs": LONG, "seed": seed, "pictures": dataset.sha256, "train": len(images), "macs": multiply_adds(len(dataset.class_names)), "title": dataset.title, "origin": dataset.origin,
            "validation": accuracy(dataset.validation_images, dataset.validation_labels), "test": accuracy(*load_test()),
            "parameters": sum(value.size for value in weights.values()), "device": network.device,
            "seconds": round(seconds)}  # fmt: skip


def _program() -> Any:
    if jax.default_backend() != "cpu":
        return Accelerator
    from docs.resnet18_processor import Processor

    return Processor


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.resnet18", description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=LONG)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=FILE)
    options = parser.parse_args()
    measured = read_json(options.to)
    if measured and measured["epochs"] > options.epochs:
        parser.error(f"{options.to} holds {measured['epochs']} epochs; name another file for fewer with --to.")
    pictures = data.load("cifar10")  # the JPEG copy is split in another way than the exact pixels: a state is of one
    state = cache_dir() / f"resnet18-{options.epochs}-epochs-seed-{options.seed}-{pictures.sha256[:12]}.npz"
    for file in (state, options.to):
        file.parent.mkdir(parents=True, exist_ok=True)
    found = train(options.epochs, options.seed, pictures, lambda: data.load_test("cifar10"), state)
    options.to.write_text(json.dumps(found, indent=1) + "\n")
    state.unlink(missing_ok=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
