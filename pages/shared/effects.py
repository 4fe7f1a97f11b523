"""Compare's sentences: what each step between two runs or models did to accuracy and loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import sqrt
from typing import Any

import streamlit as st

from pages.shared import present, runs, text
from training import data
from training.confusions import Paired
from training.results import Effect
from training.spec import RunSpec

Side = tuple[str, RunSpec, Mapping[str, Any]]  # a name, its spec, its `runs.summary`


def show(specs: Mapping[str, RunSpec], summaries: Mapping[str, Mapping[str, Any]],
         over_seeds: Mapping[str, Effect | None], paired: Callable[[str, str], Paired | None]) -> None:  # fmt: skip
    """A sentence for each two that differ in one setting, or are parent and child in the catalogue, and for any two alone.

    `over_seeds`: of models that ship, the effect on their parent's test accuracy over all stored seeds.
    `paired`: which of the same test pictures either of two alone recognized, where that is known.
    """
    sentences = []
    for a, b in combinations(specs, 2):
        if parent_of(specs[a]) == specs[b].name:
            a, b = b, a
        change = runs.one_step(specs[a], specs[b])
        if not change and len(specs) == 2 and specs[a].data.name == specs[b].data.name:
            change = runs.together(runs.differences([specs[a], specs[b]]))
        if change:
            shipped = a in over_seeds and parent_of(specs[b]) == specs[a].name
            known = over_seeds.get(b) if shipped else None
            sides = (a, specs[a], summaries[a]), (b, specs[b], summaries[b])
            sentences.append(sentence(change, *sides, known, paired(a, b)))
    if any(sentences):
        st.subheader("What each step did")
        st.markdown("\n".join(f"- {told}" for told in sentences if told))
        if not present.is_on():
            st.caption("Chance of seeds: what other seeds would do. Chance of pictures: what other pictures would do with "
                       "these two networks. Differences are of figures before rounding; of losses, less is better.")  # fmt: skip


def parent_of(spec: RunSpec) -> str | None:
    """The catalogue's step before the entry that the spec started from."""
    entry = runs.entry(spec)
    return entry.parent if entry else None


def sentence(change: str, before: Side, after: Side, over_seeds: Effect | None, paired: Paired | None) -> str:
    """What `change` did to accuracy and loss, with what may be chance; empty where nothing is measured."""
    (a, first, old), (b, spec, new) = before, after
    if spec.data.name not in data.NAMES:
        return ""
    info, told, losses = data.info(spec.data.name), [], []
    for part, pictures in (("test", info.test), ("validation", info.validation)):
        p, q = old[f"{part}_accuracy"], new[f"{part}_accuracy"]
        if p is None or q is None:
            continue
        pairs, gain, here = paired if part == "test" else None, q - p, ": "
        what, of = f"{part.capitalize()} accuracy", "pictures"
        low, high = pairs.interval if pairs else (None, None)
        if part == "test" and over_seeds and over_seeds.low is not None:
            low, high, gain = over_seeds.low, over_seeds.high, over_seeds.difference
            what, of, here = f"{what} over all stored seeds", "seeds", "; with the seeds here, "
        if low is not None and high is not None:
            chance = f"{'within' if low <= 0 <= high else 'beyond'} the chance of {of}"
            interval = f"{text.signed(100 * low)} to {text.signed(100 * high)}"
        else:
            # As of independent pictures; where both were asked about the same ones, it is less.
            half = 1.96 * sqrt((p * (1 - p) + q * (1 - q)) / pictures)
            same = part == "test" or first.data.validation == spec.data.validation
            chance = f"{'beyond' if abs(gain) > half else 'perhaps'} the chance of pictures"
            interval = f"{'at most' if same else 'about'} ±{100 * half:.1f}"
        counts = ""
        if pairs:
            counts = (
                f"{here}of {pairs.pictures:,} pictures, {pairs.second:,} only {b} recognized, {pairs.first:,} only {a}"
            )
        told.append(f"{what} {text.signed(100 * gain)} points, {chance} (95 % interval {interval}){counts}.")
        losses.append(f"{part} {text.signed(new[f'{part}_loss'] - old[f'{part}_loss'], 3)}")
    if not told:
        return ""
    return f"**{change}** ({b} against {a}). {' '.join(told)} Loss: {', '.join(losses)}.{_reported(before, after)}"


def _reported(before: Side, after: Side) -> str:
    """What the report measured of this step; of another reading of a run it measured nothing."""
    (_, first, old), (_, second, new) = before, after
    entry = runs.entry(second)
    if entry is None or entry.aside or entry.parent != first.name:
        return ""
    if None in (old["report_accuracy"], new["report_accuracy"]):
        return ""
    return (
        f" The report's test accuracy: {text.signed(100 * (new['report_accuracy'] - old['report_accuracy']))} points."
    )
