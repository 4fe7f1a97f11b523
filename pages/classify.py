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

import streamlit as st

from pages.shared import answers, controls, jobs, models, panels, pictures, present, sources, text
from pages.shared.answers import Answer
from pages.shared.sources import Item
from training import catalogue, data, predict
from training.explain import METHODS
from training.pictures import Crop, resize, square
from training.predict import Choice

FIRST = "basenet-norm-aug"  # what a minute is enough for
NAMED = 30  # classes, up to which a model's are listed
SMALL = 64  # pictures up to this size are shown as they are, larger ones under a frame


# --- The answers as a table -------------------------------------------------------------------


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
            if len(choice.class_names) <= NAMED:
                st.markdown(f"It knows only these: {', '.join(choice.class_names)}.")
            if choice.calibration is None and not choice.shipped:
                jobs.offer("Calibrate it now", "calibrate", choice.id, icon=":material/tune:",
                           help="Fits one number, and thresholds, on its validation pictures")  # fmt: skip
            if choice.shipped or choice.test_accuracy is not None:
                controls.link("confusions", "What it takes for what", {"model": choice.id}, ":material/grid_on:")
            else:
                controls.link("train", "Measure it on the test pictures, to see what it takes for what", {"run": choice.id},
                              ":material/fact_check:")  # fmt: skip
        st.markdown(
            "**Covering parts** hides one square of the picture after the other and measures how much of the answer "
            "is lost. **Grad-CAM** shows where the last convolution is active for the answer: faithful where a mean over places and "
            "one dense layer follow, rough where Flatten or several Dense layers do."
        )


def trust(choice: Choice) -> str:
    """Calibration and detection of one model in sentences."""
    report = choice.calibration
    if not report:
        return "Not calibrated: its probabilities are raw, and it cannot tell when a picture is unlike its training pictures."
    ece, loss = report["ece"], report["loss"]
    parts = [
        f"Its confidence is corrected by one number (temperature {report['temperature']:.2f}), fitted on "
        f"{report['pictures']:,} validation pictures: "
        f"the loss goes from {loss['before']:.3f} to {loss['after']:.3f}, the calibration error from "
        f"{text.percent(ece['before'])} to {text.percent(ece['after'])}"
        f"{'; it was small before' if ece['after'] >= ece['before'] else ''}."
    ]
    if measures := report.get("unlike"):
        parts.append(f"Thresholds are set where {text.percent(measures['false_alarms'])} of its own validation pictures "
                     "are flagged by mistake.")  # fmt: skip
        shares = [f"{text.percent(share['share'], 0)} of {data.info(name).title}"
                  for name, share in measures["detection"].items()]  # fmt: skip
        if shares:
            parts.append(f"Of pictures from elsewhere it flags {', '.join(shares)}.")
        if shrunk := measures.get("shrunk"):
            parts.append(f"It also flags {text.percent(shrunk['share'], 0)} of its own kind of pictures once they are "
                         f"shrunk to {shrunk['size']} pixels: use a sharp picture.")  # fmt: skip
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
            knowing = sorted(chosen, key=lambda choice: choice.data != item.data)  # of a sample: its own come first
            for column, choice in zip(columns[1:], knowing, strict=False):
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
            pictures.note(
                "Drag over the picture to draw a frame round the thing."
                if pictures.whole_picture(crop, item.pixels)
                else "Drag the frame to where the thing is, or draw another."
            )
            pictures.frame_by_keys(item.pixels, item.key, crop)
    pictures.note(item.caption)
    return crop


def strangers(items: list[Item], chosen: list[Choice], choices: list[Choice]) -> None:
    """Say it where samples are shown, or offered, that no chosen model has learned; a click has one that does."""
    clicked = [item.data for item in items if item.data]
    for name in dict.fromkeys(clicked if items else [st.session_state["source"]]):
        if all(choice.data != name for choice in chosen):
            st.info(f"None of the chosen models was trained on {data.info(name).title}: their answers to these are guesses.",
                    icon=":material/help:")  # fmt: skip
            if knowing := next((choice for choice in choices if choice.data == name), None):  # the best come first
                st.button(f"Ask {models.title(knowing)}", icon=":material/add:", key=f"ask-{name}",
                          on_click=models.add, args=(knowing.id,))  # fmt: skip
                continue
            if data.info(name).picture_size == catalogue.variant(FIRST).spec.network.input_shape:
                controls.link("train", "Train one for a minute", {"from": FIRST, "data": name}, icon=":material/play_circle:")  # fmt: skip


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


def controls_of_the_page(choices: list[Choice], address_moved: bool) -> tuple[list[Item], list[Choice], str]:
    """Pictures, models, and the way of explaining."""
    left, right = st.columns(2, gap="medium")
    with left:
        items = sources.uploads()
    with right:
        chosen = models.pick(choices, address_moved) if choices else []
        answers.prepare(chosen)
        plain = [choice for choice in chosen if not choice.spec.data.backbone]
        ways = [*METHODS, "off"] if plain else ["grad-cam", "off"]
        held = st.session_state.get("method")  # what was chosen stands with other models, and in a presentation
        method = held if held in ways else "occlusion" if plain else "grad-cam"
        if chosen and not present.is_on():
            key = f"method-{len(ways)}"
            method = st.segmented_control(
                "What spoke for the answer", ways, default=method, key=key, required=True,
                on_change=lambda: st.session_state.update(method=st.session_state[key]),
                format_func=lambda name: METHODS.get(name, "Off"),
                help="Covering parts: hide one square after the other and see how much of the answer is lost. Grad-CAM: "
                "where the last convolution is active for the answer.",
            )  # fmt: skip
            if method == "occlusion" and len(plain) < len(chosen):
                st.caption(
                    f"{METHODS['grad-cam']} for models on a pretrained network: to cover parts, each would be asked 50 times."
                )
    return sources.with_samples(items, chosen[0].data if chosen else None), chosen, method


def page(address_moved: bool) -> None:
    """Pictures, models, answers."""
    answers.prepare([])
    st.html(f"<style>{pictures.CSS}{panels.CSS}</style>")
    st.title("Classify")
    choices = predict.choices()
    if present.is_on():  # the answers are what the last row came for
        with st.expander("Pictures and models", expanded=not sources.any_chosen()):
            items, chosen, method = controls_of_the_page(choices, address_moved)
    else:
        items, chosen, method = controls_of_the_page(choices, address_moved)
    if not chosen:
        no_model(not choices)
    if not items:
        st.markdown("Drop in a picture, or click a sample.")
        if chosen:
            strangers(items, chosen, choices)
        if chosen and not present.is_on():
            about(chosen)
            models.offer_more(choices)
        return
    if chosen:
        strangers(items, chosen, choices)
    crops, slots = layout(items, chosen)
    if not chosen:
        return
    wait = "The classifier is starting; the first answer takes some seconds."
    with contextlib.nullcontext() if answers.worker().ready else st.spinner(wait):
        shown = panels.fill(chosen, items, crops, slots, None if method == "off" else method, not present.is_on())
    if not present.is_on():
        rows = [row for choice in chosen for item in items if (choice.id, item.key) in shown
                for row in _rows(choice, item, shown[choice.id, item.key].answer)]  # fmt: skip
        if rows:
            st.download_button("Download the answers (CSV)", table(rows), "plumage-answers.csv", "text/csv",
                               icon=":material/download:", on_click="ignore")  # fmt: skip
        for choice in panels.lacking(chosen):
            jobs.offer(f"Find the nearest training pictures: {choice.data_title}, on {models.backbone(choice)}", "features", choice.id,
                       icon=":material/search:", help="Computes their features once; takes minutes")  # fmt: skip
        about(chosen)
        models.offer_more(choices)


with controls.kept("models", "model", "run") as moved:
    page(moved)
