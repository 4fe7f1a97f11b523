"""How long a training takes on this machine, estimated from the spec alone, without TensorFlow.

A step's time is modelled as arithmetic, memory traffic, augmentation, a fixed cost a layer, and what Muon adds.  The
four coefficients were fitted to the CPU time of 16 designs trained by the engine with SGD (BaseNet to the provisional
design, batches of 16 to 256), all within 26 % of it; they are relative to what this machine's cores and memory do,
measured once in a fifth of a second.
Trainings that were run here then correct the estimate.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from training import data, hardware, paths, registry
from training.card import COMPUTING, elsewhere
from training.describe import Description, describe
from training.engine import batches, optimizer
from training.files import write_whole
from training.rundir import RunDir, RunError
from training.spec import RunSpec

ARITHMETIC = 0.70  # time of a forward and backward pass, as a share of 6 FLOP a multiply-add at the measured rate
MEMORY = 68.0  # passes over all layer outputs, in a step
AUGMENT_FLOP = 4_400.0  # cost of augmenting a pixel, in FLOP
LAYER_FLOP = 16e6  # cost of a layer in a step whatever its size, in FLOP; it does not spread over cores
PARALLEL = 0.85  # of the cores' sum
# Of a process that trains: TensorFlow, and how often it holds all layer outputs of a batch and all weights.  With AVX2 in
# float32 within 22 % of the peaks of six designs (BaseNet to `final` with batches of 256), the others' are lower.
PROCESS_BYTES, LAYER_OUTPUTS, VARIABLES = 0.8e9, 2.0, 6.0
# The least: bfloat16 (docs/growth.json); of a weight itself, its gradient, its momentum.
LEAST_PROCESS_BYTES, LEAST_LAYER_OUTPUTS, LEAST_VARIABLES = 0.6e9, 0.4, 3.0
SHORTEST = 0.1  # of an epoch, from which on its time says how long one takes
PICTURES, VALIDATION = 11_250, 1_250  # cifar100-25


@dataclass(frozen=True)
class Machine:
    """What was measured: FLOP per second of one core (float32), bytes per second, cores."""

    flops: float
    bandwidth: float
    cores: int


@dataclass(frozen=True)
class Estimate:
    """Seconds of a step, of an epoch's validation, and of an epoch with both.

    `basis` says for people what the estimate rests on.
    """

    step_seconds: float
    validation_seconds: float
    steps_per_epoch: int
    basis: str

    @property
    def epoch_seconds(self) -> float:
        return self.steps_per_epoch * self.step_seconds + self.validation_seconds


def estimate(spec: RunSpec, pictures: int = PICTURES, validation: int = VALIDATION) -> Estimate:
    """The cost of training `spec` on so many pictures on this machine."""
    factor, basis = _correction(spec, _observations(paths.runs_dir()))
    step, picture = _model(spec, machine())
    return Estimate(factor * step, factor * picture * validation, batches.steps_per_epoch(spec.fit, pictures), basis)


def training_bytes(spec: RunSpec) -> tuple[float, float]:
    """The memory that training `spec` takes at its peak, at least and at most: without its pictures, and for a head on a
    backbone the head's training alone."""
    here = describe(spec.network)
    outputs, weights = spec.fit.batch_size * here.activation_bytes, here.weight_bytes
    return (
        LEAST_PROCESS_BYTES + LEAST_LAYER_OUTPUTS * outputs + LEAST_VARIABLES * weights,
        PROCESS_BYTES + LAYER_OUTPUTS * outputs + VARIABLES * weights,
    )


def forward_seconds(macs: int) -> float:
    """Seconds of a forward pass for one picture through a network of `macs` multiply-adds on this machine."""
    rate = machine()
    return ARITHMETIC * 2 * macs / rate.flops / max(1.0, PARALLEL * rate.cores)


def _model(spec: RunSpec, machine: Machine) -> tuple[float, float]:
    """Seconds of a training step, and of a forward pass for one picture."""
    description, batch = describe(spec.network), spec.fit.batch_size
    pixels = spec.network.input_shape[0] * spec.network.input_shape[1] if len(spec.network.input_shape) == 3 else 0
    work = _work(description, machine)
    change = AUGMENT_FLOP * pixels / machine.flops if spec.data.augmentation.on else 0.0
    spread = max(1.0, PARALLEL * machine.cores)
    fixed = LAYER_FLOP * len(description.layers) / machine.flops + _muon_work(spec, description, machine) / spread
    taught = _teacher_work(spec, machine) / 3 if spec.fit.teacher else 0.0
    return fixed + batch * (work + taught + change) / spread, work / 3 / spread


def _work(description: Description, machine: Machine) -> float:
    """Seconds of one core for a forward and backward pass of one picture; forward alone is a third."""
    arithmetic = ARITHMETIC * 6 * description.macs / machine.flops
    return arithmetic + MEMORY * description.activation_bytes / machine.bandwidth


def _muon_work(spec: RunSpec, description: Description, machine: Machine) -> float:
    """Seconds of one core for what Muon adds to a step, whatever the batch."""
    if spec.fit.optimizer != "muon":
        return 0.0
    kernels = [k for k in description.layers if k.kernel_weights and k.name != "output" and not k.fixed]
    columns = [layer.filters or layer.units for layer in kernels]
    macs = sum(optimizer.orthogonal_macs(k.kernel_weights // n, n) for k, n in zip(kernels, columns, strict=True))
    return ARITHMETIC * 2 * macs / machine.flops


def _teacher_work(spec: RunSpec, machine: Machine) -> float:
    try:
        return _work(describe(registry.find_fitted(spec.fit.teacher or "").spec().network), machine)
    except RunError:
        return 0.0  # it is not here, so there will be no training


# --- What this machine does -----------------------------------------------------------------


MEASURED_AGAIN_SECONDS = 3600.0


@lru_cache(maxsize=1)
def machine() -> Machine:
    """This machine's rates, kept in the cache folder: the best of the measurements, as other work only lowers them.

    A process measures once, and only an hour or more after the last one that did.
    """
    file, cores = paths.cache_dir() / "machine.json", hardware.cores()
    kept = None
    try:
        found = Machine(**json.loads(file.read_text()))
        if found.cores == cores and min(found.flops, found.bandwidth) > 0:
            kept = found
            if time.time() - file.stat().st_mtime < MEASURED_AGAIN_SECONDS:
                return kept
    except (OSError, ValueError, TypeError):
        pass  # not measured yet, or unreadable: measure
    measured = measure(cores)
    if kept is not None:
        measured = Machine(max(kept.flops, measured.flops), max(kept.bandwidth, measured.bandwidth), cores)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(asdict(measured)))
    except OSError:
        pass  # a cache that cannot be written only costs a fifth of a second next time
    return measured


def measure(cores: int, seconds: float = 0.1) -> Machine:
    """The best of many short runs, so that other work on the machine hardly matters."""
    import numpy as np

    a = np.full((64, 64), 0.5, np.float32)  # small enough that BLAS stays on one core
    b = np.empty_like(a)
    x = np.ones(2_000_000, np.float32)
    y = np.empty_like(x)
    product = _best(lambda: np.matmul(a, a, out=b), seconds)
    scaled = _best(lambda: np.multiply(x, 1.5, out=y), seconds)
    return Machine(2 * 64**3 / product, 2 * x.nbytes / scaled, cores)


def _best(work: Any, seconds: float) -> float:
    # This thread's own processor time, where it is told finely enough: not that of the machine's other work.
    clock = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        start = clock()
        work()
        best = min(best, max(clock() - start, 1e-9))
    return best


# --- What trainings here took -----------------------------------------------------------------


@dataclass(frozen=True)
class Observation:
    """One training of this machine: its spec, and how much longer than modelled its epochs took."""

    spec: RunSpec
    ratio: float


def _correction(spec: RunSpec, seen: tuple[Observation, ...]) -> tuple[float, str]:
    """The factor for an estimate, from trainings of the same design if there are any, else from all of its kind."""
    seen = tuple(o for o in seen if _kind(o.spec) == _kind(spec))
    same = [o.ratio for o in seen if _costs_alike(o.spec, spec)]
    if same:
        return statistics.median(same), "measured: this design was trained here"
    if seen:
        ratio = statistics.median(o.ratio for o in seen)
        return ratio, f"estimated, corrected by {len(seen)} training{'s' if len(seen) > 1 else ''} here"
    return 1.0, "estimated; a training here will correct it"


def _kind(spec: RunSpec) -> tuple[bool, str, int]:
    """What is modelled alike: networks on pictures, heads on a backbone's vector or map, what trains the backbone, too."""
    return bool(spec.data.backbone), spec.fit.fine_tune, len(spec.network.input_shape)


def _costs_alike(a: RunSpec, b: RunSpec) -> bool:
    return (
        a.network == b.network
        and all(
            getattr(a.data, field) == getattr(b.data, field)
            for field in ("backbone", "backbone_size", "backbone_stage")
        )
        and (a.fit.fine_tune, bool(a.fit.teacher)) == (b.fit.fine_tune, bool(b.fit.teacher))
        and a.fit.batch_size == b.fit.batch_size
        and (a.fit.optimizer == "muon") == (b.fit.optimizer == "muon")
        and a.data.augmentation.on == b.data.augmentation.on
    )


def _observations(runs: Path) -> tuple[Observation, ...]:
    """The latest trainings under `runs`, at most 20: those that came to their end, and what others have done so far."""
    files: dict[Path, float] = {}
    for name in ("checkpoint.npz", "card.json"):  # the latter in the former's place
        for file in runs.glob(f"[!.]*/{name}"):
            with suppress(OSError):  # gone meanwhile
                files[file.parent] = file.stat().st_mtime
    latest = sorted(files, key=files.__getitem__, reverse=True)[:100]
    found = (_observe(folder, files[folder]) for folder in latest)
    return tuple(islice(filter(None, found), 20))  # of many stopped at once none had an epoch


@lru_cache(maxsize=256)
def _observe(folder: Path, modified: float) -> Observation | None:
    """What a training says; `modified` makes one that went on be read again."""
    run = RunDir(folder)
    try:
        spec, card = run.spec(), run.card()
    except RunError:
        return None
    if card is not None:
        pictures = 0 if elsewhere(card) else card["data"].get("train", 0)
    elif run.file("card.json").is_file() or run.status().get("computing") != list(COMPUTING):
        pictures = 0  # a broken card, or a training by `training.portable_fit`
    else:
        pictures = data.info(spec.data.name).train if spec.data.name in data.NAMES else 0
    if not pictures:
        return None
    step, picture = _model(spec, machine())
    ratios, before = [], 0.0
    for line in run.history():
        if line["kind"] == "epoch" and line.get("seconds"):
            done, before = line["epoch"] - before, line["epoch"]
            if SHORTEST <= done <= 1:  # less than 1 where the training's time was over
                ratios.append(
                    line["seconds"]
                    / (done * step * batches.steps_per_epoch(spec.fit, pictures) + picture * pictures / 9)
                )
    return Observation(spec, statistics.median(ratios)) if ratios else None
