"""The birds' part of the results table: the report's figures beside ours, the backbone named in every row."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training import catalogue
from training.paths import models_dir


@dataclass(frozen=True)
class HeadRow:
    """One head on one backbone; without a stored run, `backbone` is the catalogue's and the figures are None."""

    name: str
    title: str
    backbone: str
    report_loss: float | None
    report_accuracy: float | None
    report_epochs: int | None
    loss: float | None = None
    accuracy: float | None = None
    top5: float | None = None
    epochs: int | None = None
    seed: int | None = None
    model: str = ""  # the directory under models/
    data: str = ""


def rows(directory: Path | None = None) -> list[HeadRow]:
    """Every head of the catalogue, in its order: one row for each stored card with test figures."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((directory or models_dir()).glob("*/card.json")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            _ = card["backbone"]["title"], card["figures"]["test"]["accuracy"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of a network from scratch, not tested yet, or damaged: no figure of a head
        found.setdefault(card["spec"]["name"], []).append(card | {"model": path.parent.name})
    table = []
    for entry in catalogue.heads():
        report = (entry.report.loss, entry.report.accuracy, entry.report.epochs)
        for card in found.get(entry.name, []):
            test, fitted = card["figures"]["test"], card["spec"]["fit"]
            data = f"{card['data']['title']}, {card['data']['origin']}"
            table.append(HeadRow(
                entry.name, entry.title, card["backbone"]["title"], *report, test["loss"], test["accuracy"],
                test.get("top5"), card["figures"]["epochs"], fitted["seed"], card["model"], data,
            ))  # fmt: skip
        if entry.name not in found:
            table.append(HeadRow(entry.name, entry.title, entry.spec.data.backbone or "", *report))
    return table


def to_json(table: list[HeadRow]) -> list[dict[str, Any]]:
    """The rows as plain figures, for `results --json`."""
    return [asdict(row) for row in table]


_COLUMNS = ("head", "backbone", "report loss", "report accuracy", "test loss", "test top-1", "test top-5", "epochs")


def to_markdown(table: list[HeadRow]) -> str:
    """The table as Markdown, with the pictures named under it."""

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for row in table:
        ours = [cell(row.loss) if row.model else "not trained yet", *map(cell, (row.accuracy, row.top5, row.epochs))]
        cells = [f"`{row.name}` {row.title}", row.backbone, cell(row.report_loss), cell(row.report_accuracy), *ours]
        lines.append("| " + " | ".join(cells) + " |")
    named = dict.fromkeys(row.data for row in table if row.data)
    return "\n".join([*lines, "", *(f"Data: {name}. The report's figures are on its own pictures." for name in named)])
