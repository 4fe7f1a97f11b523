"""What the toggles do to the accuracy on the drawn pictures: `python -m training.drawn_study`.

Trains BaseNet and one change of it at a time, each with three seeds, and logistic
regression on raw pixels, and writes docs/drawn.md.  Every accuracy is kept in
docs/drawn.json as soon as it is there, so the study can be stopped and goes on later.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from training import catalogue, data, results
from training.paths import ROOT
from training.rundir import write_atomic
from training.spec import RunSpec

SEEDS = (0, 1, 2)
DOCS = ROOT / "docs"

BASE = catalogue.variant("basenet").spec.replace({"data.name": "drawn"})
CHANGES: dict[str, dict[str, Any]] = {
    "BaseNet": {},
    "augmentation": {
        "data.augmentation": catalogue.variant("basenet-norm-aug").spec.data.augmentation.model_dump(mode="json")
    },
    "batch normalization": {"network.batch_norm": "all"},
    "average pooling": {"network.pooling": "average"},
}
LINEAR_RATES = (0.01, 0.001, 0.0001)


def linear(rate: float) -> RunSpec:
    """Logistic regression on raw pixels: the output layer alone."""
    return BASE.replace({"network.blocks": [{"kind": "flatten"}], "fit.learning_rate": rate})


def trained(spec: RunSpec, dataset: data.Dataset, test: tuple[data.Images, data.Labels]) -> float:
    """Test accuracy after the last epoch.  Nothing is chosen by it."""
    from training.engine.engine import Engine

    engine = Engine(spec, dataset)
    for epoch in range(spec.fit.epochs):
        engine.train(epoch, 0, engine.steps_per_epoch)
    return engine.evaluate(*test)[1]


def runs() -> list[tuple[str, RunSpec]]:
    """All runs as (name of the change, spec): seed after seed, so that an early look compares."""
    linear_ones = [(f"linear {rate:g}", linear(rate)) for rate in LINEAR_RATES]
    return linear_ones + [
        (name, BASE.replace(change | {"fit.seed": seed})) for seed in SEEDS for name, change in CHANGES.items()
    ]


def specs_sha256() -> str:
    """Of all runs' specs, less what is as by default: figures of others are no figures of these."""
    told = (f"{name} {spec.model_dump_json(exclude_defaults=True)}" for name, spec in runs())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def measure(path: Path) -> dict[str, dict[str, float]]:
    """{change: {seed: test accuracy}}; what `path` has of these pictures and specs is not trained again."""
    dataset, test = data.load("drawn"), data.load_test("drawn")
    of = {"pictures": dataset.sha256, "specs": specs_sha256()}
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    figures = kept["accuracy"] if of.items() <= kept.items() else {}
    for name, spec in runs():
        seed = str(spec.fit.seed)
        if seed not in figures.setdefault(name, {}):
            figures[name][seed] = round(trained(spec, dataset, test), 4)
            write_atomic(path, json.dumps({**of, "accuracy": figures}, indent=1) + "\n")
        print(f"{name}, seed {seed}: {figures[name][seed]:.4f}", flush=True)
    return figures


def report(figures: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown."""
    base = list(figures["BaseNet"].values())
    lines = []
    for name in CHANGES:
        values = list(figures[name].values())
        against = results.effect(values, base) if name != "BaseNet" else None
        lines.append(f"| {name} | {mean(values):.4f} | {stdev(values):.4f} | {against or ''} |")
    pixels = max(figures[f"linear {rate:g}"]["0"] for rate in LINEAR_RATES)
    return TEMPLATE.format(rows="\n".join(lines), pixels=pixels, epochs=BASE.fit.epochs, seeds=len(SEEDS))


TEMPLATE = """\
# The drawn pictures

Written by `python -m training.drawn_study`; the single figures are in `drawn.json`.

25 classes, 5 shapes in 5 textures; 12,500 training and 2,500 test pictures of 32x32, drawn by
`training/data/drawn.py`. Test accuracy after {epochs} epochs of SGD (learning rate 0.01, momentum 0.9,
batches of 64) on the 11,250 pictures that are not kept for validation; mean and standard
deviation of {seeds} seeds; each line changes one thing of BaseNet.

| change | accuracy | deviation | against BaseNet, points |
|---|---|---|---|
{rows}

In brackets Welch's 95 % interval over seeds: where it holds zero, no difference beyond chance is shown.

Logistic regression on raw pixels reaches {pixels:.4f} at most, whichever of three learning rates it is
trained with; guessing reaches 0.0400.
"""


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m training.drawn_study", description=__doc__).parse_args()
    DOCS.mkdir(exist_ok=True)
    figures = measure(DOCS / "drawn.json")
    (DOCS / "drawn.md").write_text(report(figures), encoding="utf-8")
