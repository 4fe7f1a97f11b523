"""The card of a run: what it was, where it ran, what came out."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import training
from training.describe import describe
from training.rundir import RunDir, RunError
from training.status import whole_epochs

if TYPE_CHECKING:
    from training.data import Dataset
    from training.engine.engine import Engine


COMPUTING = ("tensorflow", "tensorflow-cpu", "keras")


def versions(computing: tuple[str, ...] = COMPUTING) -> dict[str, str]:
    """Versions of Plumage and of what computes the figures."""
    found = {"plumage": training.__version__, "python": platform.python_version()}
    for package in (*computing, "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def on_gpu(card: Mapping[str, Any]) -> bool:
    """Whether a GPU trained the run of a card: its time says nothing about a processor."""
    return str(card.get("device", "")).startswith("GPU")


def elsewhere(card: Mapping[str, Any]) -> bool:
    """Whether `training.portable_fit` trained it, on whatever machine."""
    versions = card.get("versions") or {}
    return bool(versions) and not any(package.startswith("tensorflow") for package in versions)


def make(run: RunDir, dataset: Dataset, engine: Engine, seconds: float) -> dict[str, Any]:
    """The card of a run that has ended.

    "train" is the running mean over the chosen epoch, dropout and augmentation acting, as
    Keras prints it; "validation" is measured after that epoch; "test" waits for `evaluate`.
    The chosen epoch is the one of the least validation loss with early stopping, else the last.
    Raises `RunError` where the history has no epoch.
    """
    spec = run.spec()
    epochs = whole_epochs(run.history())
    if not epochs:
        raise RunError(
            f"{run.file('history.jsonl')} has lost the lines of the epochs: put the old file back, or delete "
            f"{run.file('checkpoint.npz')} and resume, to begin anew."
        )
    best = min(epochs, key=lambda line: line["val_loss"])
    chosen = best if spec.fit.early_stopping else epochs[-1]
    network = describe(spec.network)
    fields: dict[str, Any] = {}
    views = 1
    if spec.data.backbone:
        from training.transfer import heads

        fields = heads.card_fields(spec)
        views = heads.views(spec) if spec.fit.fine_tune == "off" else 1
    return {
        "name": spec.name,
        "spec": spec.model_dump(mode="json"),
        "data": {
            "name": dataset.name, "title": dataset.title, "origin": dataset.origin, "sha256": dataset.sha256,
            "classes": list(dataset.class_names),
            "train": len(dataset.labels) // views, "validation": len(dataset.validation_labels),
        },
        "versions": versions(engine.packages),
        "machine": {"system": platform.system(), "architecture": platform.machine()},
        "device": engine.device,
        "precision": engine.precision,
        "weights": "float32",
        "parameters": network.params,
        "macs": network.macs,
        "figures": {
            "epochs": epochs[-1]["epoch"],
            "best_epoch": best["epoch"],
            "chosen_epoch": chosen["epoch"],
            "train": {"loss": chosen["loss"], "accuracy": chosen["accuracy"]},
            "validation": {"loss": chosen["val_loss"], "accuracy": chosen["val_accuracy"]},
            "test": None,
        },
        "wall_seconds": round(seconds, 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **fields,
        **engine.notes,
    }  # fmt: skip
