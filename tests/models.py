"""Models for tests: a run directory with real files, made at once from random or given weights; a filled network."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from training import catalogue
from training.rundir import RunDir, write_atomic

CLASSES = tuple(f"class_{index}" for index in range(25))


def make_model(folder: Path, name: str = "basenet", seed: int = 0, calibration: dict | None = None,
               changes: dict[str, Any] | None = None) -> RunDir:  # fmt: skip
    """The catalogue's `name` with random weights, as a finished run at `folder`; `changes` are made to its spec."""
    from training import weights
    from training.engine import model as networks

    spec = catalogue.variant(name).spec.replace({"data.name": "drawn"} | (changes or {}))
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


def fill(model: Any) -> Any:
    """Weights that are a function of their names alone, about as large as trained ones."""
    for layer in model.layers:
        values = []
        for variable in layer.variables:
            seed = int(hashlib.sha256(f"{layer.name}/{variable.name}".encode()).hexdigest()[:8], 16)
            noise = np.random.default_rng(seed).standard_normal(variable.shape)
            if variable.name == "kernel":
                incoming = 1 if "depthwise" in layer.name else variable.shape[2]
                noise *= np.sqrt(2 / np.prod((*variable.shape[:2], incoming)))
            elif variable.name in ("gamma", "moving_variance"):
                noise = 1 + 0.1 * np.tanh(noise)
            else:
                noise *= 0.1
            values.append(noise.astype(np.float32))
        if values:
            layer.set_weights(values)
    return model
