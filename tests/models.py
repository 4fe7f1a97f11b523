"""A model for tests: a run directory with real files, made at once from random or given weights."""

import json
from pathlib import Path

import numpy as np

from training import catalogue
from training.rundir import RunDir, write_atomic

CLASSES = tuple(f"class_{index}" for index in range(25))


def make_model(folder: Path, name: str = "basenet", seed: int = 0, calibration: dict | None = None) -> RunDir:
    """The catalogue's `name` with random weights, as a finished run at `folder`."""
    from training import model as networks
    from training import weights

    spec = catalogue.variant(name).spec.replace({"data.name": "drawn"})
    network = networks.build(spec.network, seed)
    values = {key: variable.numpy() for key, variable in networks.variables(network).items()}
    folder.mkdir(parents=True)
    run = RunDir(folder)
    weights.save(run.file("weights.npz"), values, np.full(3, 120.0), np.full(3, 60.0))
    write_atomic(run.file("spec.json"), spec.to_json())
    card = {
        "name": name,
        "spec": json.loads(spec.to_json()),
        "data": {"name": "drawn", "title": "Drawn", "origin": "drawn", "sha256": "", "classes": list(CLASSES),
                 "train": 1, "validation": 1},
        "figures": {"epochs": 1, "validation": {"loss": 2.0, "accuracy": 0.5 + seed / 100}, "test": None},
        "finished": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    run.write_card(card | ({"calibration": calibration} if calibration else {}))
    return run
