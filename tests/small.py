"""A tiny data set and network, so that tests of training take a moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.data import Dataset
from training.spec import RunSpec, parse

CLASSES = ("circle", "square", "star")


def dataset(count: int = 96, name: str = "drawn") -> Dataset:
    """Pictures of 8x8 whose class is seen in which third is bright."""
    images, labels = pictures(count, seed=1)
    held_out, held_labels = pictures(30, seed=2)
    return Dataset(name, "Small pictures", "made by a test", CLASSES, images, labels, held_out, held_labels, "0" * 64)


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (count, 8, 8, 3) and int32 labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    images = random.integers(0, 160, (count, 8, 8, 3))
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += 60
    return images.astype(np.uint8), labels


def spec(**changes: Any) -> RunSpec:
    """A network with batch norm and dropout, augmentation on; `fit__epochs=3` changes fit.epochs."""
    base = parse({
        "name": "small",
        "network": {
            "input_shape": [8, 8, 3], "classes": 3, "batch_norm": "all", "dropout": [0.2],
            "blocks": [{"kind": "conv", "filters": 4}, {"kind": "pool"}, {"kind": "dropout"}, {"kind": "flatten"},
                       {"kind": "dense", "units": 8}],
        },
        "data": {"name": "drawn", "normalization": "featurewise", "augmentation": {"horizontal_flip": True, "zoom": 0.1}},
        "fit": {"epochs": 3, "batch_size": 8, "precision": "float32"},
    })  # fmt: skip
    return base.replace({path.replace("__", "."): value for path, value in changes.items()})


def card(data: dict[str, Any] | None = None, figures: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A whole card, as short as one can be."""
    asked = fields.get("spec", {}).get("network")
    classes = [f"class {number}" for number in range(asked["classes"])] if asked else list(CLASSES)
    own = {"name": "drawn", "title": "Small pictures", "origin": "made by a test", "classes": classes}
    return {"data": own | (data or {}), "figures": {"epochs": 1, "test": None} | (figures or {}), **fields}
