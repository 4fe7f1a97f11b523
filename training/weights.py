"""Weights in a file: full, half precision or int8 by channel, and widened again on load.

A file is an .npz of plain arrays, read without pickle.  A model is loaded by building the
network from its spec and reading the weights into it, never by deserializing a
configuration: Keras's safe mode for that was bypassed three times in 2025 (CVE-2025-1550,
-9905, -9906).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from training.rundir import RunDir, RunError, read_arrays, write_arrays

if TYPE_CHECKING:
    import keras


Format = Literal["float32", "half", "int8"]
Weights = dict[str, np.ndarray]
MEAN, STD, SCALE = "input/mean", "input/std", "@scale"


def save(path: Path, weights: Weights, mean: np.ndarray, std: np.ndarray, form: Format = "float32") -> None:
    """Write {"layer/variable": float32 array} and the input's mean and deviation (pixel units).

    "half" stores kernels as float16; "int8" as whole numbers from -127 to 127 with one
    float32 scale for each output channel.  Vectors (biases, batch norm) stay float32: they
    weigh nothing, and a variance can leave float16's range.  Both are compressed, by a twelfth or so.
    """
    arrays: Weights = {MEAN: np.asarray(mean, np.float32), STD: np.asarray(std, np.float32)}
    for name, value in weights.items():
        if value.ndim < 2 or form == "float32":
            arrays[name] = value.astype(np.float32)
        elif form == "half":
            arrays[name] = value.astype(np.float16)
        else:
            scale = np.abs(value).max(axis=tuple(range(value.ndim - 1))) / 127
            scale = np.where(scale > 0, scale, 1).astype(np.float32)
            arrays[name] = np.rint(value / scale).astype(np.int8)
            arrays[name + SCALE] = scale
    write_arrays(path, arrays, compressed=form != "float32")


def load(path: Path) -> tuple[Weights, np.ndarray, np.ndarray]:
    """What `save` wrote, widened to float32: weights, mean, std.  Raises `RunError`."""
    arrays = read_arrays(path)
    try:
        mean, std = arrays.pop(MEAN), arrays.pop(STD)
    except KeyError:
        raise RunError(f"{path} is not a file of Plumage weights.") from None
    scales = {name: arrays.pop(name) for name in [n for n in arrays if n.endswith(SCALE)]}
    name = ""
    try:
        widened = {name: value.astype(np.float32) for name, value in arrays.items()}
        for name, scale in scales.items():
            widened[name.removesuffix(SCALE)] *= scale
    except (KeyError, ValueError, TypeError):
        what = f"{name} has no weights that it fits" if name else "it holds something else than numbers"
        raise RunError(f"{path} is broken: {what}.") from None
    return widened, mean, std


def into(model: keras.Model, weights: Weights) -> None:
    """Set the variables of `model`; raises `RunError` where a name or a shape does not fit."""
    from training.engine import model as networks

    try:
        networks.assign(networks.variables(model), weights)
    except ValueError as error:
        raise RunError(str(error)) from None


def present(run: RunDir) -> None:
    """Raise `RunError` where a run has no weights: it has not finished, they do not ship, or they were deleted."""
    if run.file("weights.npz").is_file():
        return
    state = run.status()["state"]
    if state != "finished":
        raise RunError(f"{run.id} has no weights yet: it is {state}; let it finish first.")
    raise RunError(f"The weights of {run.id} are not here, only its card and curves; train it again with: "
                   f"python -m training fit {run.file('spec.json')}")  # fmt: skip


def load_model(run: RunDir) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """The trained network of a finished run or shipped model, with its input's mean and std; raises `RunError`."""
    from training.engine import model as networks

    present(run)
    weights, mean, std = load(run.file("weights.npz"))
    model = networks.build(run.spec().network)
    into(model, weights)
    return model, mean, std


def save_keras(path: Path, model: keras.Model) -> None:
    """Write `model`, as `networks.exportable` makes it, as a `.keras` file in one step; raises `RunError`."""
    temporary = path.with_name(f".{path.stem}.partial.keras")
    try:
        model.save(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written: {error.strerror or error}.") from None


def export(run: RunDir, path: Path) -> None:
    """Write a finished run or shipped model as a float32 file that plain Keras opens, its name ending in .keras.

    It takes pixels from 0 to 255 and gives probabilities; a head comes with its backbone, and brings square pictures of
    any size to the backbone's (others it would stretch, where the app cuts a square).
    Raises `RunError`, also where the backbone's weights are missing.
    """
    from training.engine import model as networks

    spec = run.spec()
    model, mean, std = load_model(run)
    whole = networks.exportable(spec.network, model, mean, std)
    if spec.data.backbone:
        from training.transfer.predict import behind_backbone

        whole = behind_backbone(run, whole)
    save_keras(path, whole)
