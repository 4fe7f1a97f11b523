"""Curves of one run or of several, loss left and accuracy right, under one legend in lines that wrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from pages.shared import charts, runs, style
from training.status import whole_epochs

_CSS = """
.legend {display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; line-height: 1.5;}
.legend span {display: inline-flex; align-items: center; gap: .45rem;}
.legend i {width: 1.6rem; flex: none; border-top: .2rem solid currentColor;}
"""
TRAINING = "Training figures are taken while the weights still change, with dropout and augmentation on where the design has them"


def one(history: Sequence[runs.Row], height: int = 300) -> None:
    """A run's training and validation curves, live up to the last point within the unfinished epoch."""
    _legend([("validation", f"solid {style.VALIDATION}", ""), ("training", f"dashed {style.TRAINING}", TRAINING)])
    rows = runs.up_to_now(history)
    _pair({measure: charts.curve(rows, measure, height) for measure in ("loss", "accuracy")}, "of this run")


def several(histories: Mapping[str, Sequence[runs.Row]], height: int = 340) -> None:
    """The curves of runs over each other, {name: history}; a colour a run."""
    colours = [style.SERIES[i % len(style.SERIES)] for i in range(len(histories))]
    _legend([(name, f"solid {colour}", "") for name, colour in zip(histories, colours, strict=True)])
    _legend([("validation", "solid", ""), ("training", "dashed", TRAINING)])
    specs = {measure: charts.overlay(histories, measure, height) for measure in ("loss", "accuracy")}
    if any(len(whole_epochs(history)) < 3 for history in histories.values()):
        for spec in specs.values():
            spec["mark"]["point"] = {"size": 30}  # a line of one point cannot be seen
    _pair(specs, f"of {', '.join(histories)}")


def _pair(specs: Mapping[str, dict], of: str) -> None:
    for column, (measure, spec) in zip(st.columns(2), specs.items(), strict=True):
        if measure == "accuracy":
            spec["encoding"]["y"]["axis"]["format"] = ".1~%"  # a narrow range has more than whole per cents
        note = spec["title"].pop("subtitle", "")  # under the chart: there it has the page's own colour
        with column:
            charts.show(spec, key=f"curve-{measure}", alt=f"{measure.capitalize()} by epoch {of}")
            if note:
                st.caption(f"{measure.capitalize()} {note}.")


def _legend(entries: Sequence[tuple[str, str, str]]) -> None:
    """Entries of (words, CSS line style, explanation)."""
    parts = (
        f'<span title="{escape(more, quote=True)}"><i style="border-top-style: {line.split()[0]}; '
        f'border-top-color: {line.partition(" ")[2] or "currentColor"}"></i>{escape(words)}</span>'
        for words, line, more in entries
    )
    st.html(f'<style>{_CSS}</style><div class="legend">{"".join(parts)}</div>')
