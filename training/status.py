"""What a run says of itself, `status.json` and `history.jsonl`, without what damage has left in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Line = TypeVar("Line", bound=Mapping[str, Any])

ACTIVE = ("queued", "running")
STATES = (*ACTIVE, "stopped", "finished", "failed")
_NUMBERS = ("created", "queued", "started", "finished", "ended", "epoch", "step", "steps_per_epoch",
            "max_epochs", "minutes", "elapsed_seconds", "eta_seconds")  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= abs(value) < 1e12


def sound(status: dict[str, Any]) -> dict[str, Any]:
    """`status` without what a damaged file may hold in place of a number or a state; {} stays {}."""
    if not status:
        return {}
    nothing = ("minutes", "eta_seconds")  # these two may be None
    kept = {
        name: value
        for name, value in status.items()
        if name not in _NUMBERS or _is_number(value) or (value is None and name in nothing)
    }
    if kept.get("state") not in STATES:
        kept["state"] = "stopped"
    if not isinstance(kept.get("message"), str):
        kept["message"] = ""
    return {"epoch": 0, "step": 0} | kept


def is_line(line: Any) -> bool:
    """Whether a line of the history has the figures of its kind."""
    if not isinstance(line, dict) or line.get("kind") not in ("step", "epoch"):
        return False
    needed = ["epoch", "step", "loss", "accuracy"] + ["val_loss", "val_accuracy"] * (line["kind"] == "epoch")
    return all(_is_number(line.get(name)) for name in needed) and _is_number(line.get("seconds", 0))


def whole_epochs(history: Iterable[Line]) -> list[Line]:
    """The whole epochs of a history, without the finer points within them."""
    return [line for line in history if line.get("kind", "epoch") == "epoch"]
