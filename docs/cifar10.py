"""The table of docs/speed.md about all of CIFAR-10: networks from scratch beside the yardstick, from their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training import results
from training.files import read_json
from training.results import Row

YARDSTICK = Path(__file__).with_name("resnet18.json")  # what `python -m docs.resnet18` writes
FORWARD_AND_BACKWARD = 6  # operations of a training step for each multiply-add of the network


def table() -> str:
    """A line for each network, from the least accurate on validation to the most."""
    lines = [
        "| network | epochs | floating-point operations of the training | minutes | validation | test | without near-duplicates | with mirror images |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = [(row, card) for row in results.apart() for card in results.cards(row.name)]
    rows = [_network(row, card) for row, card in found if card["data"]["name"] == "cifar10"]
    yardstick = read_json(YARDSTICK)
    if yardstick and yardstick["pictures"] not in {card["data"]["sha256"] for _, card in found}:
        yardstick = {}  # measured on another copy: exact pixels, perhaps
    if yardstick:
        rows.append(_yardstick(yardstick))
    lines += [line for _, line in sorted(rows)]
    if not yardstick:
        lines += ["", "ResNet-18 is not measured yet: `python -m docs.resnet18`."]
    elif yardstick["epochs"] < yardstick["usual_epochs"]:
        lines += [
            "",
            f"ResNet-18's usual recipe has {yardstick['usual_epochs']} epochs: what it reaches with fewer is a lower bound of that.",
        ]
    return "\n".join(lines)


def _network(row: Row, card: dict[str, Any]) -> tuple[float, str]:
    figures, pictures = card["figures"], card["data"]["train"]
    operations = row.macs * FORWARD_AND_BACKWARD * pictures * figures["epochs"]
    test, known = figures["test"], figures["validation"]["accuracy"]
    others = [
        f"{test[key]['accuracy']:.4f}" if key in test else "–" for key in ("without_near_duplicates", "with_flips")
    ]
    cells = [f"`{row.name}`", f"{figures['epochs']}", f"{operations:.1e}", f"{card['wall_seconds'] / 60:.0f}", f"{known:.4f}",
             f"{test['accuracy']:.4f}", *others]  # fmt: skip
    return known, f"| {' | '.join(cells)} |"


def _yardstick(found: dict[str, Any]) -> tuple[float, str]:
    operations = found["macs"] * FORWARD_AND_BACKWARD * found["train"] * found["epochs"]
    cells = ["ResNet-18, usual recipe", f"{found['epochs']}", f"{operations:.1e}", f"{found['seconds'] / 60:.0f} ({found['device']})",
             f"{found['validation']:.4f}", f"{found['test']:.4f}", "–", "–"]  # fmt: skip
    return found["validation"], f"| {' | '.join(cells)} |"
