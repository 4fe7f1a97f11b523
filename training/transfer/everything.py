"""All of the report's bird systems on one backbone: `python -m training birds --backbone NAME`.

Weights, pictures, features, three frozen heads, fine-tuning, one ordinary run after another, here or
in the queue; killed at any instant, the same command goes on.  The time it will take is said first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from training import catalogue, cost, data, rundir
from training.describe import describe
from training.hardware import computes_bfloat16
from training.paths import runs_dir
from training.queue import launcher
from training.rundir import RunDir, RunError
from training.spec import RunSpec
from training.status import ACTIVE
from training.transfer import folded, heads
from training.transfer.backbones import RESNET50, SIZE, Backbone, get, of

BATCH = 16
BACKWARD = 2.0  # a training step's backward pass costs about two forward passes
# A training step of all layers, in forward passes of the folded backbone in float32: measured for efficientnet-lite0
# (depthwise convolutions have slow gradients) and for resnet50v2 where the processor computes bfloat16; of the upper
# two fifths, 1.7 to 1.9.
DEPTHWISE, BFLOAT16, FLOAT32, UPPER = 7.0, 2.0, 4.0, 2.0


def names() -> list[str]:
    """The catalogue's bird systems on the report's backbone, in its order; each is possible on the others too."""
    return [
        entry.name for entry in catalogue.heads()
        if entry.spec.data.name == "birds" and entry.spec.data.backbone == RESNET50.name
    ]  # fmt: skip


def adapted(name: str, backbone: Backbone) -> RunSpec:
    """The catalogue entry on another backbone: the input follows its map."""
    spec = catalogue.load(name)
    spec = spec.replace({"data.backbone": backbone.name})
    shape = heads.shape(of(spec.data), len(spec.network.input_shape) == 1)
    return spec.replace({"network.input_shape": list(shape)})


def measure(backbone: Backbone) -> tuple[float, float]:
    """(seconds a picture forward, multiply-adds a second) of the backbone here, after a first batch."""
    import tensorflow as tf

    model = backbone.load(backbone.deployed())
    network = folded.forward(model)
    forward = tf.function(lambda pixels: network(backbone.preprocess(pixels)), autograph=False)
    pixels = tf.zeros((BATCH, SIZE, SIZE, 3))
    forward(pixels)
    start = time.perf_counter()
    forward(pixels)
    seconds = (time.perf_counter() - start) / BATCH
    return seconds, macs(model) / seconds


def macs(model: Any) -> int:
    """Multiply-adds of the model's convolutions for one picture."""
    return sum(
        int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        for layer in model.layers if hasattr(layer, "kernel") and len(layer.output.shape) == 4
    )  # fmt: skip


def seconds(spec: RunSpec, forward: float, rate: float, pictures: int) -> float:
    """What a run of `spec` takes, from the measured backbone; its features included once for each kind of map."""
    head = describe(spec.network).macs / rate
    forward *= (spec.data.backbone_size / SIZE) ** 2
    if spec.fit.fine_tune == "off":
        return pictures * heads.views(spec) * (forward + spec.fit.epochs * (1 + BACKWARD) * head)
    if spec.fit.fine_tune == "head first":
        step = UPPER
    elif not get(spec.data.backbone or "").half:
        step = DEPTHWISE
    else:
        step = BFLOAT16 if computes_bfloat16() and spec.fit.precision != "float32" else FLOAT32
    return pictures * spec.fit.epochs * (step * forward + (1 + BACKWARD) * head)


def expected(backbone: Backbone) -> float:
    """Seconds that all systems on `backbone` will take on this machine, estimated without TensorFlow."""
    forward, pictures = cost.forward_seconds(backbone.macs), data.info("birds").train
    return sum(seconds(adapted(name, backbone), forward, backbone.macs / forward, pictures) for name in names())


def active(backbone: Backbone) -> bool:
    """Whether one of the systems on `backbone` is running or in the queue."""
    return any(run.path.exists() and run.status()["state"] in ACTIVE for run in _runs(backbone, names()).values())


def _runs(backbone: Backbone, chosen: list[str]) -> dict[str, RunDir]:
    return {name: RunDir(runs_dir() / f"{name}-{backbone.name}") for name in chosen}


def run(backbone_name: str, chosen: list[str], say: Callable[[str], None], queue: bool = False,
        fetching: Callable[[str, int, int], None] = lambda what, done, total: None) -> bool:  # fmt: skip
    """Fit every chosen system that is not finished, or leave it to the queue; True when all are finished or queued.

    The pictures and the backbone's weights are downloaded where they are missing; fetching(what, bytes done, of how many)
    is told of the pictures.
    Raises `WeightsError`, `DataError` and `RunError`, each with what to do.
    """
    backbone = get(backbone_name)
    say(f"{backbone.title}: {backbone.origin}")
    backbone.deployed()  # the small download first
    info = data.info("birds")
    if not info.available:
        info = data.fetch("birds", fetching)
    forward, rate = measure(backbone)
    todo = {}
    for name, run in _runs(backbone, chosen).items():
        begun = run.file("spec.json").is_file()
        if begun and run.spec() != adapted(name, backbone):
            raise RunError(f"{run.path} holds a run of another {name} than the catalogue's; delete or rename it.")
        if not begun or run.status()["state"] != "finished":
            todo[name] = run
    ahead = 0.0
    for name, run in todo.items():
        ahead += seconds(adapted(name, backbone), forward, rate, info.train)
        say(f"  {run.id:<44} ends after about {ahead / 60:.0f} minutes")
    for name, run in todo.items():
        if not run.file("spec.json").is_file():
            rundir.create(adapted(name, backbone), run.path)
        if queue:
            launcher.resume(run)
            continue
        status = _fit(run, say)
        if status["state"] != "finished":
            say(f"{run.id} is {status['state']}: {status['message']}  The same command goes on from here.")
            return False
    if queue and todo:
        say(f"{len(todo)} trainings are in the queue; all are done after about {ahead / 3600:.1f} hours.")
    return True


def _fit(run: RunDir, say: Callable[[str], None]) -> dict[str, Any]:
    from training.fit import fit

    def report(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch":
            say(f"{run.id}: epoch {line['epoch']}, validation loss {line['val_loss']:.4f}, "
                f"accuracy {line['val_accuracy']:.4f}")  # fmt: skip

    return fit(run, resume=True, report=report)
