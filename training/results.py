"""The results table: the report's figures beside ours, from the cards of stored runs.

`models/NAME/card.json` is the run that ships, `models/NAME/seed-K/card.json` are the other
seeds of the same spec.  Nothing is computed anew and nothing typed in: a figure that no
card holds is missing from the table.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import pi, sqrt, tan
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from training import catalogue
from training.card import on_gpu
from training.describe import describe
from training.paths import models_dir
from training.rundir import RunDir
from training.spec import RunSpec, SpecError, parse


@dataclass(frozen=True)
class Figure:
    """Mean and sample standard deviation (None for one run) over `n` runs."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: list[float]) -> Figure | None:
        return cls(mean(values), stdev(values) if len(values) > 1 else None, len(values)) if values else None

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + (f" ± {self.deviation:.4f}" if self.deviation is not None else " (one seed)")


@dataclass(frozen=True)
class Effect:
    """Difference of two mean accuracies; the interval (95 %, Welch's t) needs two seeds on both sides that differ."""

    difference: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        text = f"{100 * self.difference:+.1f}"
        if self.low is None or self.high is None:
            return f"{text} (no interval)"
        return f"{text} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True)
class Row:
    """One variant on one data set."""

    name: str
    title: str
    data: str  # the data set's title and, where the pictures are not the originals, what they are
    parent: str | None
    report_loss: float | None
    report_accuracy: float | None
    report_epochs: int | None
    loss: Figure | None
    accuracy: Figure | None
    without_near_duplicates: Figure | None  # accuracy on the test pictures that no training picture resembles
    seeds: tuple[int, ...]
    epochs: Figure | None
    minutes: Figure | None  # of the runs on processors, or, where there is none, of those on a GPU
    on_gpu: bool  # whether `minutes` are of a GPU
    seeds_on_gpu: int
    seeds_in_bfloat16: int
    parameters: int
    macs: int
    effect: Effect | None  # test accuracy against the parent's, same data


def cards(name: str, directory: Path | None = None) -> list[dict[str, Any]]:
    """The cards of every stored seed of a variant whose test set was evaluated, in the order of the seeds."""
    return [card for _, card in stored(name, directory)]


def stored(name: str, directory: Path | None = None) -> list[tuple[RunDir, dict[str, Any]]]:
    """The same with their directories.

    A card that is damaged, or being written, is no figure, nor is one of another spec or with the seed of one before.
    """
    folder = (directory or models_dir()) / name
    found: dict[int, tuple[RunDir, dict[str, Any]]] = {}
    first = catalogue.variant(name).spec if name in catalogue.names() else None
    for place in [folder, *sorted(folder.glob("seed-*"))]:
        run = RunDir(place)
        card = run.card()
        if card is None or not card["figures"].get("test"):
            continue
        try:
            spec = parse(card.get("spec", {}))
        except SpecError:
            continue
        first = first or spec
        if spec.with_seed(first.fit.seed) == first:
            found.setdefault(spec.fit.seed, (run, card))
    return [found[seed] for seed in sorted(found)]


@lru_cache(maxsize=256)
def t95(freedom: float) -> float:
    """Two-sided 95 % quantile of Student's t; `freedom` is 1 or more and need not be whole.

    With t = sqrt(freedom) tan(angle), the density is proportional to cos(angle) ** (freedom - 1).
    """
    angle = np.linspace(0, pi / 2, 20_001)
    density = np.cos(angle) ** (freedom - 1)
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return sqrt(freedom) * tan(float(np.interp(0.95 * share[-1], share, angle)))


def effect(child: list[float], parent: list[float]) -> Effect | None:
    """Mean of `child` minus mean of `parent` with Welch's 95 % interval."""
    if not child or not parent:
        return None
    difference = mean(child) - mean(parent)
    if min(len(child), len(parent)) < 2:
        return Effect(difference, None, None)
    parts = [stdev(values) ** 2 / len(values) for values in (child, parent)]
    if not sum(parts):  # equal by chance of so few: no measure of the noise
        return Effect(difference, None, None)
    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (child, parent), strict=True))
    half = t95(freedom) * sqrt(sum(parts))
    return Effect(difference, difference - half, difference + half)


def row(name: str) -> Row:
    """One entry of the catalogue, trained or not."""
    entry = catalogue.variant(name)
    return _row(entry, cards(name), cards(entry.parent) if entry.parent else [])


def rows(directory: Path | None = None) -> list[Row]:
    """Every entry of the catalogue, in its order, trained or not."""
    stored = {entry.name: cards(entry.name, directory) for entry in catalogue.variants()}
    return [_row(entry, stored[entry.name], stored.get(entry.parent or "", [])) for entry in catalogue.variants()]


def apart(directory: Path | None = None) -> list[Row]:
    """The stored networks from scratch that no entry of the catalogue names: trained on other pictures, say."""
    rows = []
    for name in sorted(folder.name for folder in (directory or models_dir()).glob("[!.]*/")):
        if name in catalogue.names() or not (found := cards(name, directory)):
            continue
        spec, title = parse(found[0]["spec"]), found[0]["data"]["title"]
        if spec.data.backbone is None:
            by = "" if spec.fit.optimizer == "sgd" else f"{spec.fit.optimizer.title()}, "
            title = f"{_network(spec)} on {title}, {by}{spec.fit.epochs} epochs"
            rows.append(_row(catalogue.Variant(name, title, "", spec), found, []))
    return rows


def _network(spec: RunSpec) -> str:
    """The title of the first entry with this network, whatever it learns."""
    for entry in catalogue.variants():
        if entry.spec.network.model_copy(update={"classes": spec.network.classes}) == spec.network:
            return entry.title
    return spec.name


def _row(entry: catalogue.Variant, found: list[dict[str, Any]], parent: list[dict[str, Any]]) -> Row:
    """The row of an entry from its cards and its parent's."""
    network = describe(entry.spec.network)
    tests = [card["figures"]["test"] for card in found]
    timed = [card for card in found if not on_gpu(card)] or found
    rests = [rest["accuracy"] for test in tests if (rest := test.get("without_near_duplicates"))]
    return Row(
        name=entry.name,
        title=entry.title,
        data=" / ".join(sorted({f"{card['data']['title']}, {card['data']['origin']}" for card in found})),
        parent=entry.parent,
        report_loss=entry.report.loss,
        report_accuracy=entry.report.accuracy,
        report_epochs=entry.report.epochs,
        loss=Figure.of([test["loss"] for test in tests]),
        accuracy=Figure.of([test["accuracy"] for test in tests]),
        without_near_duplicates=Figure.of(rests) if len(rests) == len(tests) else None,
        seeds=tuple(card["spec"]["fit"]["seed"] for card in found),
        epochs=Figure.of([card["figures"]["epochs"] for card in found]),
        minutes=Figure.of([card.get("wall_seconds", 0.0) / 60 for card in timed]),
        on_gpu=any(map(on_gpu, timed)),
        seeds_on_gpu=sum(map(on_gpu, found)),
        seeds_in_bfloat16=sum(card.get("precision") == "bfloat16" for card in found),
        parameters=network.params,
        macs=network.macs,
        effect=_effect(found, parent),
    )


def _effect(child: list[dict[str, Any]], parent: list[dict[str, Any]]) -> Effect | None:
    """The effect on test accuracy, where all cards are of the same pictures."""
    if len({card["data"].get("sha256", "") for card in [*child, *parent]}) > 1:
        return None
    return effect(*([card["figures"]["test"]["accuracy"] for card in cards] for cards in (child, parent)))


def to_json(table: list[Row]) -> dict[str, Any]:
    """The table as one JSON object, for `results --json`."""
    return {"rows": [asdict(row) for row in table]}


_COLUMNS = (
    "variant", "report loss", "report accuracy", "test loss", "test accuracy",
    "without near-duplicates", "seeds", "epochs", "minutes",
    "parameters", "M multiply-adds", "effect on parent, points",
)  # fmt: skip


def to_markdown(table: list[Row]) -> str:
    """The table as Markdown, with the data named under it; a variant without a stored run says so."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    blank = "–"
    for row in table:
        cells = [
            f"`{row.name}` {row.title}",
            blank if row.report_loss is None else f"{row.report_loss:.4f}",
            blank if row.report_accuracy is None else f"{row.report_accuracy:.4f}",
            str(row.loss) if row.loss else "not trained yet",
            str(row.accuracy) if row.accuracy else blank,
            f"{row.without_near_duplicates.mean:.4f}" if row.without_near_duplicates else blank,
            str(len(row.seeds)) if row.seeds else blank,
            f"{row.epochs.mean:.0f}" if row.epochs else blank,
            f"{row.minutes.mean:.1f}{' (GPU)' * row.on_gpu}" if row.minutes else blank,
            f"{row.parameters:,}",
            f"{row.macs / 1e6:.2f}",
            str(row.effect) if row.effect else blank,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    named = dict.fromkeys(row.data for row in table if row.data)
    told = [
        "Minutes are wall times of the runs on a processor (of those on a GPU where there are no others). The machines differ "
        "several-fold and did other work: do not compare networks by them.",
        "",
    ]
    if graphics := [f"`{row.name}` ({row.seeds_on_gpu} of {len(row.seeds)})" for row in table if row.seeds_on_gpu]:
        told += [f"Seeds trained on a GPU, all others on processors: {', '.join(graphics)}.", ""]
    counts = [(row.name, row.seeds_in_bfloat16, len(row.seeds)) for row in table]
    if mixed := [f"`{name}` ({some} of {all_} in bfloat16)" for name, some, all_ in counts if 0 < some < all_]:
        told += [f"Computed partly in float32, partly in bfloat16: {', '.join(mixed)}.", ""]
    return "\n".join([*lines, "", *told, *(f"Data: {name}." for name in named)])
