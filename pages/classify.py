"""Classify: drop in pictures or click samples, and see what each model says, and why.

The address names the models: `?model=NAME` (shipped) and `?run=ID`, each as often as wanted.
All computing is the worker's; the page shows what it has and fills in the rest.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import streamlit as st

from pages.shared import answers, controls, models, pictures, present, sources, text
from pages.shared.answers import Answer
from pages.shared.sources import Item
from training import data, predict
from training.explain import METHODS
from training.pictures import Crop, resize, square
from training.predict import Choice
from training.unlike import LOOK
from training.worker import WorkerError

SMALL = 64  # pictures up to this size are shown as they are, larger ones under a frame


# --- Answers ----------------------------------------------------------------------------------


def panel(choice: Choice, item: Item, pixels: np.ndarray, answer: Answer | None, heat: str) -> str:
    """One model's answer to one picture, as HTML."""
    if answer is None:
        return pictures.seen(pixels)
    top = answer.top()
    rows = [(choice.class_names[index], float(answer.probabilities[index])) for index in top]
    return (
        unlike(choice, answer.flag) + pictures.bars(rows, bool(answer.flag)) + pictures.seen(pixels, heat, rows[0][0])
    )


def unlike(choice: Choice, flag: str | None) -> str:
    """The flag of a picture that is unlike the model's training pictures, as HTML."""
    if not flag:
        return ""
    reason = (
        "its colours and textures are not those of the pictures this model was trained on"
        if flag == LOOK
        else f"none of the {len(choice.class_names)} classes that this model knows stands out"
    )
    warning = "This does not look like a bird" if choice.data == "birds" else "Take this with care"
    return f'<div class="unlike"><b>{warning}:</b> {reason}.</div>'


def classify(chosen: list[Choice], items: list[Item], crops: dict[str, Crop], slots: dict[tuple[str, str], Any],
             method: str | None) -> list[dict[str, Any]]:  # fmt: skip
    """Fill the slots: first every answer, then what spoke for it.  The rows of the table to download."""
    seen: dict[tuple[str, str], np.ndarray] = {}
    found: dict[tuple[str, str], Answer] = {}
    for choice in chosen:
        for item in items:
            seen[choice.id, item.key] = resize(square(item.pixels, crops[item.key]), choice.picture_size)
        try:
            given = answers.classify(choice, [seen[choice.id, item.key] for item in items])
        except WorkerError as error:
            for item in items:
                slots[choice.id, item.key].error(str(error), icon=":material/error:")
            continue
        for item, answer in zip(items, given, strict=True):
            found[choice.id, item.key] = answer
            slots[choice.id, item.key].html(panel(choice, item, seen[choice.id, item.key], answer, ""))
    if method is not None:
        for item in items:
            for choice in chosen:
                key = choice.id, item.key
                if key in found:
                    slots[key].html(panel(choice, item, seen[key], found[key],
                                          _heat(choice, item, crops[item.key], seen[key], found[key], method)))  # fmt: skip
    return [row for choice in chosen for item in items if (choice.id, item.key) in found
            for row in _rows(choice, item, found[choice.id, item.key])]  # fmt: skip


def _heat(choice: Choice, item: Item, crop: Crop, pixels: np.ndarray, answer: Answer, method: str) -> str:
    way = (
        "grad-cam" if choice.spec.data.backbone else method
    )  # a deep backbone ends in a mean: Grad-CAM is exact, and quick
    try:
        heat = answers.explain(choice, pixels, answer.top(1)[0], way)
    except WorkerError:
        return ""  # the answer stands without it
    return pictures.heated(square(item.pixels, crop), heat) if heat.any() else ""


def _rows(choice: Choice, item: Item, answer: Answer) -> Iterable[dict[str, Any]]:
    for rank, index in enumerate(answer.top(), 1):
        yield {
            "picture": item.name, "model": choice.id, "trained_on": choice.data, "rank": rank,
            "class": choice.class_names[index], "probability": round(float(answer.probabilities[index]), 6),
            "calibrated": choice.calibration is not None,
            "unlike_training": "" if answer.flag is None else bool(answer.flag),
        }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV text.  Names that a spreadsheet would take for a formula get an apostrophe."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        name = str(row["picture"])
        writer.writerow({**row, "picture": f"'{name}" if name[:1] in "=+-@\t" else name})
    return stream.getvalue()


# --- About the models -------------------------------------------------------------------------


def about(chosen: list[Choice]) -> None:
    """How far the figures can be trusted: calibration, false alarms and detection, for each model."""
    with st.expander("How far to trust these answers", icon=":material/rule:"):
        for choice in chosen:
            st.markdown(f"**{models.title(choice)}** · {models.facts(choice)} · {choice.origin}.")
            st.markdown(trust(choice))
            if choice.calibration is None and not choice.shipped:
                calibrate(choice)
        st.markdown(
            "**Covering parts** hides one square of the picture after the other and measures how much of the answer "
            "is lost. **Grad-CAM** shows where the last convolution is active for the answer: exact where the network "
            "ends in a mean over places, as ResNet heads do, and rough where it ends in Flatten and Dense layers."
        )


def calibrate(choice: Choice) -> None:
    """A button that calibrates a run."""
    if st.button("Calibrate it now", key=f"calibrate-{choice.id}", icon=":material/tune:",
                 help="Fits one number, and two thresholds, on its validation pictures; takes some seconds"):  # fmt: skip
        try:
            with st.spinner("Calibrating on the validation pictures"):
                answers.calibrate(choice)
        except WorkerError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()


def trust(choice: Choice) -> str:
    """Calibration and detection of one model in sentences."""
    report = choice.calibration
    if not report:
        return "Not calibrated: its probabilities are raw, and it cannot tell when a picture is unlike its training pictures."
    ece, loss = report["ece"], report["loss"]
    parts = [
        f"Logits are divided by {report['temperature']:.2f}, fitted on {report['pictures']:,} validation pictures: "
        f"the calibration error goes from {text.percent(ece['before'])} to {text.percent(ece['after'])}, the loss from "
        f"{loss['before']:.3f} to {loss['after']:.3f}."
    ]
    if measures := report.get("unlike"):
        parts.append(f"{text.percent(measures['false_alarms'])} of its own validation pictures are flagged by mistake.")
        shares = [f"{text.percent(share['share'], 0)} of {data.info(name).title}"
                  for name, share in measures["detection"].items()]  # fmt: skip
        if shares:
            parts.append(f"Of pictures from elsewhere it flags {', '.join(shares)}.")
    return " ".join(parts)


# --- The page ---------------------------------------------------------------------------------


def layout(items: list[Item], chosen: list[Choice]) -> tuple[dict[str, Crop], dict[tuple[str, str], Any]]:
    """A box for each picture: the picture with its frame, and a place for each model's answer."""
    crops: dict[str, Crop] = {}
    slots: dict[tuple[str, str], Any] = {}
    for item in items:
        with st.container(border=True):
            columns = st.columns([1.0] + [_WIDTHS[len(chosen)][0]] * max(len(chosen), 1), gap="medium")
            with columns[0]:
                crops[item.key] = _source(item, _WIDTHS[len(chosen)][1])
            for column, choice in zip(columns[1:], chosen, strict=False):
                with column:
                    st.markdown(f"**{models.title(choice)}**")
                    pictures.note(models.facts(choice))
                    slots[choice.id, item.key] = st.empty()
            if not chosen:
                columns[1].html(pictures.seen(resize(square(item.pixels, crops[item.key]), 32)))
    return crops, slots


# For each number of models: the width of an answer as a multiple of the picture's, and the picture's side in pixels.
_WIDTHS = {0: (1.8, 310), 1: (1.8, 310), 2: (1.15, 280), 3: (1.0, 230), 4: (1.0, 180)}


def _source(item: Item, side: int) -> Crop:
    if max(item.pixels.shape[:2]) <= SMALL:  # a sample of the data: nothing to cut from it
        pictures.whole(item.pixels, item.name)
        crop = Crop()
    else:
        crop = pictures.frame(item.pixels, item.key, item.name, side)
        if not present.is_on():
            pictures.note("Drag the frame to where the thing is, or draw another.")
    pictures.note(item.caption)
    return crop


def no_model(choices_empty: bool) -> None:
    """What to do where nothing can answer."""
    if not choices_empty:
        st.info("Choose at least one model above.", icon=":material/model_training:")
        return
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.info("No model is trained yet. A first training takes a minute; then its network answers here.",
              icon=":material/model_training:")  # fmt: skip
    with right:
        controls.link("train", "Train a first network", icon=":material/play_circle:")


def controls_of_the_page() -> tuple[list[Item], list[Choice], str, bool]:
    """Pictures, models, the way of explaining, and whether there is any model."""
    choices = predict.choices()
    left, right = st.columns(2, gap="medium")
    with left:
        items = sources.uploads()
    with right:
        chosen = models.pick(choices) if choices else []
        answers.prepare(chosen)
        method = "occlusion"
        if chosen and not present.is_on():
            method = st.segmented_control(
                "What spoke for the answer", [*METHODS, "off"], default=method, key="method", required=True,
                format_func=lambda name: METHODS.get(name, "Off"),
            )  # fmt: skip
    return (items + sources.samples())[: sources.MOST], chosen, method, bool(choices)


def page() -> None:
    """Pictures, models, answers."""
    answers.prepare([])
    st.html(f"<style>{pictures.CSS}</style>")
    st.title("Classify")
    if present.is_on():  # the answers are what the last row came for
        with st.expander("Pictures and models", expanded=not sources.any_chosen()):
            items, chosen, method, any_model = controls_of_the_page()
    else:
        items, chosen, method, any_model = controls_of_the_page()
    if not chosen:
        no_model(not any_model)
    if not items:
        st.markdown("Drop in a picture, or click a sample.")
        if chosen and not present.is_on():
            about(chosen)
        return
    crops, slots = layout(items, chosen)
    if not chosen:
        return
    wait = "The classifier is starting; the first answer takes some seconds."
    with contextlib.nullcontext() if answers.worker().ready else st.spinner(wait):
        rows = classify(chosen, items, crops, slots, None if method == "off" else method)
    if not present.is_on():
        if rows:
            st.download_button("Download the answers (CSV)", table(rows), "plumage-answers.csv", "text/csv",
                               icon=":material/download:", on_click="ignore")  # fmt: skip
        about(chosen)


page()
