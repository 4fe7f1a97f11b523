"""Runs and stored cards made at once, without a training: what pages and tables show of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import small
from training import catalogue, rundir
from training.rundir import RunDir
from training.spec import RunSpec

BASENET = catalogue.variant("basenet").spec
DRAWN = BASENET.replace({"data.name": "drawn"})
MEASURED = {"loss": 1.9, "accuracy": 0.45, "pictures": 2500}


def history(*accuracies: float) -> list[dict]:
    """One line an epoch; the validation loss falls where the accuracy rises."""
    return [
        {"kind": "step", "epoch": 0.5, "step": 88, "loss": 3.0, "accuracy": 0.1, "seconds": 0.5},
        *(
            {"kind": "epoch", "epoch": i + 1, "loss": 2.0, "accuracy": accuracy + 0.1, "val_loss": 3 - accuracy,
             "val_accuracy": accuracy, "learning_rate": 0.01, "seconds": 2.0}
            for i, accuracy in enumerate(accuracies)
        ),
    ]  # fmt: skip


def stored(folder: Path, name: str, seed: int, data: dict[str, Any], figures: dict[str, Any], **fields: Any) -> Path:
    """The card of the catalogue's `name` with a seed, below the `folder` of its model; where it was put."""
    place = folder / (f"seed-{seed}" if seed else "")
    place.mkdir(parents=True, exist_ok=True)
    spec = json.loads(catalogue.load(name).replace({"fit.seed": seed}).to_json())
    (place / "card.json").write_text(json.dumps(small.card(data, figures, spec=spec, **fields)))
    return place


def finished(spec: RunSpec, accuracy: float = 0.4, test: dict | None = None) -> RunDir:
    """A finished run in the folder of runs."""
    run = rundir.create(spec)
    for line in history(accuracy - 0.1, accuracy):
        run.append_history({"step": round(176 * line["epoch"]), **line})
    figures = {"epochs": 2, "test": test and {"pictures": 60, **test}}
    run.write_card(small.card({"name": spec.data.name}, figures, wall_seconds=4.0))
    run.write_status(state="finished", epoch=2, step=0, steps_per_epoch=176, elapsed_seconds=4.0, message="")
    return run
