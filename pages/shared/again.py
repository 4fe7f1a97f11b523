"""Trainings that ship as card and curves, their weights being too large: said, and trained again by a click."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared import controls, present, text
from training import commands
from training.data import DataError
from training.rundir import RunDir, RunError
from training.spec import SpecError


def offer(records: Sequence[RunDir]) -> None:
    """A line for each of the trainings, and a button that puts it into the queue."""
    if not records or present.is_on():
        return
    st.caption("The weights of these are too large to ship; a training makes them again.")
    for record in records:
        if st.button(_told(record), key=f"again-{record.id}", type="tertiary", icon=":material/replay:"):
            _begin(record)


def _told(record: RunDir) -> str:
    """ "Train birds-conv-efficientnet-lite0 again · 58.3 % of test pictures right · took 26 min"."""
    card = record.card() or {}
    test, seconds = (card.get("figures") or {}).get("test"), card.get("wall_seconds")
    parts = [f"Train {record.id} again"]
    parts += [f"{text.percent(test['accuracy'])} of test pictures right"] if test else []
    return " · ".join([*parts, *([f"took {text.duration(seconds)}"] if seconds else [])])


def _begin(record: RunDir) -> None:
    try:
        run = commands.enqueue(record.spec())["run"]
    except (DataError, RunError, SpecError, OSError) as error:
        st.error(f"It could not be started. {error}", icon=":material/error:")
    else:
        controls.go("train", {"run": run})
