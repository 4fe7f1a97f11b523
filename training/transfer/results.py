"""The birds' part of the results table: the report's figures beside ours, the backbone named in every row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training import catalogue
from training.catalogue import Variant
from training.paths import models_dir
from training.results import Effect, Figure, cards, effect
from training.transfer.backbones import RESNET50, SIZE, WHOLE, Backbone, get
from training.transfer.pretrained import WeightsError

FROZEN = "birds-fc-basic"  # the head that fine-tuning is measured against, on the same backbone and pictures


@dataclass(frozen=True)
class HeadRow:
    """One head on one backbone; without a stored run, `backbone` is the catalogue's and the figures are None."""

    name: str
    title: str
    backbone: str
    report_loss: float | None
    report_accuracy: float | None
    report_epochs: int | None
    loss: Figure | None = None
    accuracy: Figure | None = None
    top5: Figure | None = None
    epochs: Figure | None = None
    seeds: tuple[int, ...] = ()
    effect: Effect | None = None  # of a fine-tuned network: test accuracy against the frozen softmax head's
    model: str = ""  # the directory under models/
    data: str = ""
    teacher: str = ""  # the model whose answers it learned from (`fit.teacher`)
    learning_rate: float | None = None  # where it is not the entry's own

    @property
    def trained(self) -> str:
        """What its training had besides, as the tables tell it after a comma."""
        taught = f", taught by `{self.teacher}`" if self.teacher else ""
        return taught + (f", learning rate {self.learning_rate:g}" if self.learning_rate else "")


def rows(directory: Path | None = None) -> list[HeadRow]:
    """Every head of the catalogue, in its order: one row for each stored model with test figures."""
    found: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {}
    for path in sorted(path for path in (directory or models_dir()).glob("[!.]*") if path.is_dir()):
        seeds = [card for card in cards(path.name, directory) if _of_a_head(card)]
        if seeds:
            found.setdefault(seeds[0]["spec"]["name"], []).append((path.name, seeds))
    frozen = {_same(seeds[0]): _accuracies(seeds) for _, seeds in found.get(FROZEN, [])}
    table = []
    for entry in catalogue.heads():
        report = (entry.report.loss, entry.report.accuracy, entry.report.epochs)
        for model, seeds in found.get(entry.name, []):
            kind, data = _same(seeds[0]), seeds[0]["data"]
            tests = [card["figures"]["test"] for card in seeds]
            table.append(HeadRow(
                entry.name, _title(entry), _seen(seeds[0], entry), *report,
                Figure.of([test["loss"] for test in tests]),
                Figure.of(_accuracies(seeds)),
                Figure.of([test["top5"] for test in tests if "top5" in test]),
                Figure.of([card["figures"]["epochs"] for card in seeds]),
                tuple(card["spec"]["fit"]["seed"] for card in seeds),
                effect(_accuracies(seeds), frozen.get(kind, [])) if entry.spec.fit.fine_tune != "off" else None,
                model, f"{data['title']}, {data['origin']}", (seeds[0].get("teacher") or {}).get("name", ""),
                rate if (rate := seeds[0]["spec"]["fit"]["learning_rate"]) != entry.spec.fit.learning_rate else None,
            ))  # fmt: skip
        if entry.name not in found:
            table.append(HeadRow(entry.name, _title(entry), entry.spec.data.backbone or "", *report))
    return table


def _of_a_head(card: dict[str, Any]) -> bool:
    """Whether a card is of a head."""
    try:
        _same(card)
    except (KeyError, TypeError):
        return False
    return True


def _same(card: dict[str, Any]) -> tuple[str, ...]:
    """What must be alike for two cards to be comparable: the pictures, the backbone and how it looks at them."""
    data = card["data"]
    return (data["title"], data["origin"], data.get("sha256", ""), card["backbone"]["title"], _backbone(card).view)


def _backbone(card: dict[str, Any]) -> Backbone:
    """The backbone of a card; raises KeyError where it is none of ours."""
    data = card["spec"]["data"]
    try:
        return get(data["backbone"], data.get("backbone_size", SIZE), data.get("backbone_stage", WHOLE))
    except WeightsError as error:
        raise KeyError(str(error)) from None


def _title(entry: Variant) -> str:
    """The entry's title without the report's backbone: a row, or a column, names its own."""
    return entry.title.replace("ResNet-50", "the backbone")


def _seen(card: dict[str, Any], entry: Variant) -> str:
    """The backbone in words, and what differs from the entry's own spec: another size, an earlier stage, only the mean."""
    pooled = len(card["spec"]["network"]["input_shape"]) < len(entry.spec.network.input_shape)
    return ", ".join(filter(None, [card["backbone"]["title"], _backbone(card).view, "pooled" if pooled else ""]))


def _accuracies(seeds: list[dict[str, Any]]) -> list[float]:
    return [card["figures"]["test"]["accuracy"] for card in seeds]


def fine_tuning(table: list[HeadRow]) -> str:
    """Test accuracy of the frozen head, the report's two fine-tunings and the repaired ones, by backbone; Markdown."""
    entries = [entry for entry in catalogue.heads() if entry.name == FROZEN or entry.spec.fit.fine_tune != "off"]
    ours: dict[str, dict[str, str]] = {}
    for row in table:
        if row.model and row.name in {entry.name for entry in entries}:
            ours.setdefault(row.backbone, {})[row.name] = f"{row.accuracy}{row.trained}"
    ours = {backbone: cells for backbone, cells in ours.items() if set(cells) - {FROZEN}}
    lines = [
        "| test top-1 | ResNet50, the report, own pictures | " + " | ".join(ours) + " |",
        "|---" * (len(ours) + 2) + "|",
    ]
    for entry in entries:
        theirs = "–" if entry.report.accuracy is None else f"{entry.report.accuracy:.4f}"
        cells = [theirs, *(of.get(entry.name, "–") for of in ours.values())]
        lines.append(f"| `{entry.name}` {_title(entry).removeprefix('Birds: ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def to_json(table: list[HeadRow]) -> list[dict[str, Any]]:
    """The rows as plain figures, for `results --json`."""
    return [asdict(row) for row in table]


_COLUMNS = ("head", "backbone", "report loss", "report accuracy", "test loss", "test top-1", "test top-5", "seeds",
            "epochs", "against frozen, points")  # fmt: skip


def to_markdown(table: list[HeadRow]) -> str:
    """The table as Markdown, with the pictures named under it."""

    def cell(value: Any) -> str:
        return "–" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for row in table:
        ours = [
            cell(row.loss) if row.model else "not trained yet",
            *map(cell, (row.accuracy, row.top5)),
            str(len(row.seeds)) if row.seeds else "–",
            f"{row.epochs.mean:.0f}" if row.epochs else "–",
            cell(row.effect),
        ]
        cells = [
            f"`{row.name}` {row.title}{row.trained}",
            row.backbone,
            cell(row.report_loss),
            cell(row.report_accuracy),
            *ours,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    named = dict.fromkeys(row.data for row in table if row.data)
    told = [f"Data: {name}. The report's figures are on its own pictures." for name in named]
    if not any(row.model and row.backbone.startswith(RESNET50.title) for row in table):
        told.append("No row stands on the report's ResNet50, so none checks its figures.")
    return "\n".join([*lines, "", *told])
