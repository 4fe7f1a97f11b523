"""Fit a run with the programs that `training.portable` wrote, by JAX, without TensorFlow.

    python -m training.portable_fit FOLDER RUN_DIR [--seed K]

The fit is `training.fit`'s: the same run directory, history, checkpoints and card, and a run that was stopped goes
on, with other random numbers also under TensorFlow.  What needs TensorFlow is left to where it is: `model.keras`
and the calibration, which `ship` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training import data, teacher
from training import fit as fitting
from training.data import DataError
from training.engine import model
from training.engine.engine import EVALUATION_BATCH, Engine
from training.engine.optimizer import slots
from training.fit import Report
from training.portable import STEPS
from training.rundir import RunDir, RunError, create, read_arrays
from training.spec import RunSpec, SpecError, parse

if TYPE_CHECKING:
    from training.data import Dataset


class Program:
    """One program of a folder."""

    def __init__(self, path: Path):
        import jax
        from jax import export

        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.names: list[str] = told["names"]
        self._outputs = {int(place): name for place, name in told["outputs"].items()}
        given = [told["arguments"] + self.names.index(name) for name in self._outputs.values()]
        exported = export.deserialize(bytearray(path.with_suffix(".jax").read_bytes()))
        self._call = jax.jit(exported.call, donate_argnums=given)
        constants = read_arrays(path.with_suffix(".npz"))
        self._constants = {name: jax.device_put(value) for name, value in constants.items()}

    def __call__(self, arguments: list[Any], arrays: dict[str, Any]) -> list[Any]:
        """What it computes from its arguments and from `arrays` by name, whose new values it sets."""
        known = arrays | self._constants
        results = self._call(*arguments, *(known[name] for name in self.names))
        arrays.update({name: results[place] for place, name in self._outputs.items()})
        return [value for place, value in enumerate(results) if place not in self._outputs]


class PortableEngine(Engine):
    """An `Engine` whose every computation is one of the programs in `folder`.

    Raises `RunError` where they are another spec's, and `DataError` where they were written for other pictures,
    whose mean and deviation they hold.
    """

    packages = ("jax", "jaxlib")

    def __init__(self, spec: RunSpec, dataset: Dataset, folder: Path):
        import jax

        told = read(folder)
        if parse(told["spec"]).with_seed(spec.fit.seed) != spec:
            raise RunError(f"The programs in {folder} are of another spec than the run's.")
        dataset.check(told["pictures"], f"the programs in {folder}", "they would be normalized in another way")
        images = self._take(spec, dataset)
        self.model = None
        self.precision, self.device = told["precision"], _device(jax.devices()[0])
        self._notes, self._names = told["notes"], told["variables"]
        self._steps_program, self._logits_program = Program(folder / "train"), Program(folder / "logits")
        initial = Program(folder / "initial")([np.int32(spec.fit.seed)], {})
        state = dict(zip(self._names, map(np.asarray, initial), strict=True))
        state |= {
            f"{slot}/{name}": np.zeros_like(state[name])
            for name in told["trainable"]
            for slot in slots(spec.fit, name, state[name].shape)
        }
        if spec.fit.average:
            state |= {f"average/{name}": state[name] for name in self._names}
        self._state_names = list(state)
        self._arrays = {name: jax.device_put(value) for name, value in state.items()}
        self._arrays |= {"images": jax.device_put(images), "labels": jax.device_put(np.int32(dataset.labels))}

    def _train(self, indices: np.ndarray, rates: np.ndarray, first: np.int32) -> tuple[float, float]:
        total, batch_size = np.zeros(2), self.spec.fit.batch_size
        for begin in range(0, max(1, len(rates)), STEPS):  # once also for no step: `warm_up`
            count = len(rates[begin : begin + STEPS])
            whole, padded = np.zeros((STEPS, batch_size), np.int32), np.zeros(STEPS, np.float32)
            whole[:count], padded[:count] = indices[begin : begin + STEPS], rates[begin : begin + STEPS]
            arguments = [whole, padded, np.int32(first + begin), np.int32(count), np.int32(self.spec.fit.seed)]
            found = self._steps_program(arguments, self._arrays)
            if count:
                total += np.multiply([float(value) for value in found], count / len(rates))
        loss, accuracy = total
        return loss, accuracy

    def _infer(self, images: np.ndarray, seed: np.ndarray, augmented: bool) -> np.ndarray:
        """Logits of at most EVALUATION_BATCH pictures; `training.portable` refuses a spec that has them augmented."""
        whole = np.zeros((EVALUATION_BATCH, *images.shape[1:]), np.uint8)
        whole[: len(images)] = images
        return np.asarray(self._logits_program([whole], self._arrays)[0])[: len(images)]

    def state(self) -> dict[str, np.ndarray]:
        kept = {name: np.asarray(self._arrays[name]) for name in self._state_names}
        return kept | teacher.signature(self._notes)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        import jax

        teacher.check(self._notes, state)
        model.check({name: self._arrays[name] for name in self._state_names}, state)
        self._arrays |= {name: jax.device_put(state[name]) for name in self._state_names}

    def weights(self) -> dict[str, np.ndarray]:
        kind = "average/" if self.spec.fit.average else ""
        return {name: np.asarray(self._arrays[kind + name]) for name in self._names}

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        import jax

        for name in self._state_names:
            if (variable := name.removeprefix("average/")) in weights:
                self._arrays[name] = jax.device_put(weights[variable])

    @property
    def notes(self) -> dict[str, Any]:
        return self._notes


def fit(
    run: RunDir, folder: Path, report: Report = lambda line: None, dataset: Dataset | None = None
) -> dict[str, Any]:
    """`training.fit.fit`, or its resumption, with the programs in `folder`."""
    return fitting.fit(run, True, report, dataset, make=partial(_PortableFitting, folder))


class _PortableFitting(fitting.Fitting):
    def __init__(self, folder: Path, *arguments: Any):
        super().__init__(*arguments)
        self.folder = folder

    def build(self) -> None:
        self.dataset = self.dataset or data.load(self.spec.data.name, self.spec.data.validation)
        self.engine = PortableEngine(self.spec, self.dataset, self.folder)
        self.engine.warm_up()

    def checkpoint(self) -> None:
        """Not after every epoch, which takes less time than to write one, but for early stopping's best weights, which
        it must fit."""
        if self.spec.fit.early_stopping or self.stopping.is_set() or time.monotonic() >= self.next_checkpoint:
            super().checkpoint()


def _device(device: Any) -> str:
    """In words, as in every card: "GPU: NVIDIA H200"."""
    return f"{'CPU' if device.platform == 'cpu' else device.platform.upper()}: {device.device_kind}"


def read(folder: Path) -> dict[str, Any]:
    """What `training.portable` says of the programs in `folder`; raises `RunError`."""
    try:
        told = json.loads((folder / "programs.json").read_text(encoding="utf-8"))
        parse(told["spec"])
        return told
    except (OSError, ValueError, TypeError, KeyError):
        raise RunError(
            f"{folder} holds no programs of this version: write them with python -m training.portable"
        ) from None


def main(arguments: list[str] | None = None) -> int:
    """Fit, or go on with, one run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.portable_fit", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        spec = parse(read(options.folder)["spec"]).replace({"fit.seed": options.seed})
        run = RunDir(options.run_dir)
        if not run.file("spec.json").is_file():
            run = create(spec, options.run_dir)
        elif run.spec() != spec:
            raise RunError(f"{run.path} holds a run of another spec or seed; give another directory.")
        status = fit(run, options.folder, lambda line: print(run.id, json.dumps(line), flush=True))
    except (RunError, SpecError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    print(run.id, status["state"], status.get("message", ""))
    return 0 if status["state"] == "finished" else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a step in progress may have been left behind (see `training.fit.fit`)
