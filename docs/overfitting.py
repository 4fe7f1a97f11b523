"""The section of docs/report.md on overfitting: training against validation accuracy, from the stored histories."""

from __future__ import annotations

import json
from statistics import mean

from training import results

Gaps = dict[tuple[str, str], float]  # {(network, "plain" or "seen"): training less validation accuracy, in points}


def _last(name: str) -> dict[str, float] | None:
    """The last epoch, a mean over the seeds: accuracy in training, and on the validation pictures as they were in training
    ("seen") and as they are ("plain")."""
    found = []
    for run, card in results.stored(name):
        text = run.file("history.jsonl").read_text(encoding="utf-8")
        last = [json.loads(line) for line in text.splitlines()][-1]
        found.append((last["accuracy"], last["val_accuracy"], card["figures"]["validation"]["accuracy"]))
    return dict(zip(("train", "seen", "plain"), map(mean, zip(*found, strict=True)), strict=True)) if found else None


def section() -> str:
    """Training against validation accuracy, with validation pictures plain and augmented."""
    lines = [
        "## Does the overfitting vanish, or do augmented validation pictures only make it seem so?",
        "",
        "With augmentation the report's curves of training and validation run together. Its program augmented the",
        "validation pictures as well. Here are both ways, after the last of 27 epochs, means over the seeds. Training accuracy is a",
        "mean over the epoch, on augmented pictures where there is augmentation.",
        "",
        "| network | validation pictures | training accuracy | validation accuracy | gap, points |",
        "|---|---|---|---|---|",
    ]
    gaps: Gaps = {}
    for name, key, words in (
        ("basenet-norm", "plain", "as they are"),
        ("basenet-norm-aug", "plain", "as they are"),
        ("basenet-norm-aug-ordered", "plain", "the first tenth, as they are"),
        ("basenet-norm-aug-ordered", "seen", "the first tenth, augmented"),
    ):
        figures = _last(name)
        if figures is None:
            lines.append(f"| `{name}` | {words} | not trained yet | – | – |")
            continue
        gaps[name, key] = gap = 100 * (figures["train"] - figures[key])
        lines.append(f"| `{name}` | {words} | {figures['train']:.4f} | {figures[key]:.4f} | {gap:+.1f} |")
    return "\n".join([*lines, "", verdict(gaps)])


def verdict(gaps: Gaps) -> str:
    before, after = (gaps.get((name, "plain")) for name in ("basenet-norm", "basenet-norm-aug"))
    plain, seen = (gaps.get(("basenet-norm-aug-ordered", key)) for key in ("plain", "seen"))
    if before is None or after is None or plain is None or seen is None:
        return "Not decided yet."
    harder = seen - plain
    told = f"With validation pictures as they are, the gap falls from {before:.1f} points to {after:+.1f} and {plain:+.1f}. "
    if harder > 0:
        told += (
            "Training accuracy is taken on augmented pictures, though, which are harder: on validation pictures augmentation "
            f"costs {harder:.1f} points, so about that much more of a gap is left. "
        )
    if max(after, plain) + max(harder, 0.0) < before / 2:
        told += "Most of the overfitting is gone, not all. "
    else:
        told += "Much of the overfitting stays. "
    if harder > 0:
        return told + "Augmenting the validation pictures widens the gap, so it is not what made it vanish."
    return told + "Augmenting the validation pictures narrows the gap, so it is part of the answer."
