"""Home: what this is, what is ready, and what one click does next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared import controls, jobs, ladder, present, text
from training import catalogue, data, registry, results, rundir
from training.cost import estimate
from training.paths import ROOT

Cards = dict[str, dict[str, Any]]  # a model's card under its name

CSS = """
.lead {font-size: 1.15rem; line-height: 1.55; max-width: 62rem; margin-bottom: .4rem;}
"""


def lead() -> None:
    """Three sentences; figures come from the catalogue."""
    first, last = catalogue.variant("basenet").report.accuracy, catalogue.variant("final").report.accuracy
    assert first and last
    st.html(
        '<div class="lead">Plumage shows what each choice in an image classifier does: normalization, '
        "augmentation, batch norm, dropout, pooling, kernels, depth. Switch one and see at once what it does to the "
        "network, then train it on this machine and watch it learn. "
        "It starts from the designs of a course report that climbed from "
        f"{text.percent(first)} to {text.percent(last)} on 25 classes of CIFAR-100, and checks what the report says.</div>"
    )


def next_clicks(ready: list[data.DataInfo], models: int) -> None:
    """The three ways on, each with what one click does."""
    basenet = catalogue.variant("basenet").spec
    fitting = (info for info in ready if info.picture_size == basenet.network.input_shape)
    best = next(fitting, data.info("drawn"))
    seconds = estimate(basenet, best.train, best.validation).epoch_seconds
    ways = [
        ("design", "Design a network", ":material/architecture:", {"from": "basenet"},
         "Start from BaseNet, switch parts on and off, and see layers, operations and time change."),
    ]  # fmt: skip
    if _exists("train"):
        ways.append(
            ("train", "Train for a minute", ":material/play_circle:",
             {"from": "basenet", "data": best.name, "minutes": "1"},
             f"BaseNet on {best.title}: an epoch takes about {text.duration(seconds)} here, with live curves.")
        )  # fmt: skip
    if models and _exists("classify"):
        ways.append(
            ("classify", "Classify a picture", ":material/image_search:", {},
             f"Drop in your own or click a sample: up to four of {text.plural(models, 'trained model')} answer side by side.")
        )  # fmt: skip
    elif _exists("compare"):
        ways.append(
            ("compare", "Compare trainings", ":material/stacked_line_chart:", {},
             "Curves over each other, what differs, and what it changed.")
        )  # fmt: skip
    for column, (page, label, icon, query, told) in zip(st.columns(len(ways)), ways, strict=True):
        with column, st.container(border=True, height="stretch"):
            controls.link(page, f"**{label}**", query, icon)
            st.markdown(told)


def readiness(infos: list[data.DataInfo], models: list[rundir.RunDir], runs: list[rundir.RunDir],
              seeds: Mapping[str, results.Figure]) -> None:  # fmt: skip
    """Data sets and models: what is here, and the command that gets the rest."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Pictures")
        for info in infos:
            if info.available or info.name == "drawn":
                st.markdown(f":material/check_circle: **{info.title}** · {text.pictures(info)}")
            else:
                st.markdown(
                    f":material/download: {info.title} · not here yet; `{info.how}` gets it, and so does the button"
                )
                jobs.download(info)
    with right:
        st.subheader("Models")
        best, others = _by_pictures({model.id: model.card() or {} for model in models})
        if best:
            st.caption("Of each kind of pictures the model that is best on validation pictures.")
        for name, card in best.items():
            st.markdown(_model(name, card, seeds))
        if others:
            with st.expander(text.plural(len(others), "further model")):
                for name, card in others.items():
                    st.markdown(_model(name, card, seeds))
        if not models:
            st.markdown("No trained model is stored here yet: a training on the Train page makes one.")
        finished = sum(run.status().get("state") == "finished" for run in runs)
        if runs:
            st.markdown(f":material/history: {text.plural(len(runs), 'training')} on this machine, {finished} finished")


def _by_pictures(cards: Cards) -> tuple[Cards, Cards]:
    """For each kind of pictures the model that is best on validation pictures; and the others, in the same order."""
    ranked = sorted(cards, key=lambda name: (_title(cards[name]), -_accuracy(cards[name], "validation"), name))
    best: dict[str, str] = {}
    for name in ranked:
        best.setdefault(_title(cards[name]), name)
    first = set(best.values())
    return {n: cards[n] for n in ranked if n in first}, {n: cards[n] for n in ranked if n not in first}


def _title(card: dict[str, Any]) -> str:
    return (card.get("data") or {}).get("title", "")


def _accuracy(card: dict[str, Any], part: str) -> float:
    """Accuracy on the "validation" or "test" pictures, 0 where it was not measured."""
    return ((card.get("figures") or {}).get(part) or {}).get("accuracy", 0.0)


def _model(name: str, card: dict[str, Any], seeds: Mapping[str, results.Figure]) -> str:
    line, accuracy = f":material/check_circle: **{name}**", _accuracy(card, "test")
    if not accuracy:
        return line
    several = seeds.get(name)
    over = f" ({text.percent(several.mean)} over {several.n} seeds)" if several and several.n > 1 else ""
    return f"{line} · test accuracy {text.percent(accuracy)}{over} on {_title(card)}"


def _exists(page: str) -> bool:
    return (Path(__file__).parent / f"{page}.py").is_file()


st.html(f"<style>{CSS}{ladder.CSS}</style>")
st.title("What does an architectural choice really do?")
lead()
infos, models = data.status(), registry.models()
next_clicks([info for info in infos if info.available], len(models))
rows = results.rows()
steps = [row for row in rows if not catalogue.variant(row.name).aside]
st.markdown(ladder.draw(steps, large=present.is_on()), unsafe_allow_html=True)
if not present.is_on():
    st.divider()
    readiness(infos, models, registry.runs(), {row.name: row.accuracy for row in rows if row.accuracy})
    with st.expander("Words used here", icon=":material/menu_book:"):
        st.markdown((ROOT / "docs" / "words.md").read_text(encoding="utf-8").partition("\n")[2])
