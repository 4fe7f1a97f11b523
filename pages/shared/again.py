"""Trainings that ship as card and curves, without weights: said, and trained again by a click."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared import controls, present, runs, text
from training import preflight, registry
from training.card import on_gpu
from training.data import DataError
from training.queue import launcher
from training.rundir import RunDir, RunError
from training.spec import RunSpec, SpecError

BEGUN = "again.begun"  # in the session: the run to be shown


def missing(records: Sequence[RunDir]) -> list[RunDir]:
    """Those of the trainings that were not trained again here."""
    done = [spec for run, spec in runs.readable(registry.runs()) if run.status()["state"] == "finished"]
    return [record for record, spec in runs.readable(records) if spec not in done]


def offer(records: Sequence[RunDir]) -> None:
    """A button for each of the trainings; it puts it into the queue."""
    if not records or present.is_on():
        return
    st.caption("These ship as card and curves, not the weights; a training makes the weights again.")
    for record in records:
        try:
            preflight.check(record.spec())
        except (DataError, RunError, SpecError) as error:
            st.caption(f"{record.id} cannot be trained here yet. {text.plain(str(error))}")
            continue
        # A callback: what stands above may take seconds to draw, and a page would pass over a click until it is there.
        st.button(_told(record), key=f"again-{record.id}", type="tertiary", icon=":material/replay:",
                  on_click=begin, args=(record.spec(),))  # fmt: skip
    controls.refusal()


def _told(record: RunDir) -> str:
    """ "Train birds-finetune-fc-resnet50v2 again · 45.3 % of test pictures right · took 1.5 h"."""
    card, spec = record.card() or {}, record.spec()
    test, seconds = (card.get("figures") or {}).get("test"), card.get("wall_seconds")
    parts = [f"Train {record.id} again"]
    parts += [f"{text.percent(test['accuracy'])} of test pictures right"] if test else []
    if seconds and not (spec.data.backbone and spec.fit.fine_tune == "off"):  # its features are not in that time
        parts.append(f"took {text.duration(seconds)}{' on a GPU' * on_gpu(card)}")
    return " · ".join(parts)


def begin(spec: RunSpec) -> None:
    """Put a training of `spec` into the queue; a button's callback, after which `follow` shows the run."""
    try:
        preflight.check(spec)
        st.session_state[BEGUN] = launcher.submit(spec).id
    except (DataError, RunError, SpecError, OSError) as error:
        controls.refuse(f"It could not be started. {error}")


def follow() -> None:
    """Show the run that was just begun, before any page is drawn."""
    if run := st.session_state.pop(BEGUN, ""):
        controls.go("train", {"run": run})
