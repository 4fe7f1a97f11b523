"""The models that answer on Classify: which there are, which are chosen, what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import product
from math import sqrt

import streamlit as st

from pages.shared import again, controls, jobs, text
from training import data, registry
from training.predict import Choice
from training.rundir import RunError
from training.transfer import backbones, everything
from training.transfer.backbones import RESNET50

MOST = 4  # models side by side
NAMED = 3  # classes of each, so that nobody expects others


def pick(choices: list[Choice], address_moved: bool) -> list[Choice]:
    """The models that shall answer, from the address at first."""
    by_id = {choice.id: choice for choice in choices}
    asked = st.query_params.get_all("model") + st.query_params.get_all("run")
    for name in asked:
        if name not in by_id:
            st.warning(_why_not(name), icon=":material/link_off:")
    start = [name for name in dict.fromkeys(asked) if name in by_id] or _best(choices)
    held = None if address_moved else st.session_state.get("models")
    st.session_state["models"] = [name for name in (start[:MOST] if held is None else held) if name in by_id]
    chosen = st.multiselect(
        "Models, side by side", list(by_id), max_selections=MOST, key="models", select_all=False,
        help="At first one for each kind of pictures: of those that validation cannot tell from the best, the quickest together.",
        format_func=options(choices).__getitem__,
    )  # fmt: skip
    if waiting := sum(run.status()["state"] not in ("finished", "failed") for run in registry.runs()):
        st.caption(
            f"{text.plural(waiting, 'unfinished run')} not in the list. On Train, one that was stopped can be resumed."
        )
    others = {key: st.query_params.get_all(key) for key in st.query_params if key not in ("model", "run")}
    named = {"model": [n for n in chosen if by_id[n].shipped], "run": [n for n in chosen if not by_id[n].shipped]}
    wanted = {**others, **{key: names for key, names in named.items() if names}} if chosen != _best(choices) else others
    if asked != named["model"] + named["run"]:
        st.query_params.from_dict(wanted)
    return [by_id[name] for name in chosen]


def options(choices: Sequence[Choice]) -> dict[str, str]:
    """What each id is called in the list."""
    return text.told_apart({choice.id: f"{title(choice)} · {choice.data_title}" for choice in choices})


def add(name: str) -> None:
    """Choose one more model, once, in place of the last where there is no room."""
    held = [other for other in st.session_state["models"] if other != name]
    st.session_state["models"] = [*held[: MOST - 1], name]


def _best(choices: list[Choice]) -> list[str]:
    """For each data set of photographs the best shipped model, or where none is shipped, the best run; of those
    that validation cannot tell from it, those that together are quickest.  Models of drawn pictures where there are
    no others."""
    of: dict[str, list[Choice]] = {}
    for choice in choices:  # the best come first
        of.setdefault(choice.data, []).append(choice)
    photographs = [source for source in data.NAMES if source in of and source != "drawn"]
    equals = [
        [choice for choice in of[source] if choice.shipped == of[source][0].shipped and _as_good(choice, of[source][0])]
        for source in (photographs or list(of))[:3]
    ]
    return [choice.id for choice in min(product(*equals), key=_operations)]


def _operations(chosen: Sequence[Choice]) -> float:
    """Multiply-adds for one picture; heads on the same frozen backbone share it."""
    return sum({_network(choice): choice.operations for choice in chosen}.values())


def _network(choice: Choice) -> tuple[object, ...]:
    seen = choice.spec.data
    frozen = seen.backbone and choice.spec.fit.fine_tune == "off"
    return (seen.backbone, seen.backbone_size, seen.backbone_stage) if frozen else (choice.id,)


def _as_good(choice: Choice, best: Choice) -> bool:
    """Whether validation accuracy lies within one standard error of the best one's."""
    if choice is best:
        return True
    if choice.validation_accuracy is None or best.validation_accuracy is None or best.data not in data.NAMES:
        return False
    share = best.validation_accuracy
    error = sqrt(share * (1 - share) / data.info(best.data).validation)
    return best.validation_accuracy - choice.validation_accuracy < error


def _why_not(name: str) -> str:
    try:
        state = registry.find(name, paths=False).status()["state"]
    except RunError:
        return f"The address asks for the model {text.plain(repr(name), 80)}, which is not here."
    if state == "finished":
        return f"{name} has no weights on this machine: train it again to classify with it."
    return f"{name} is {state}: it can classify when it has finished, since its weights are chosen and calibrated then."


def title(choice: Choice) -> str:
    """A model's name for people: with its backbone, and for a run with its time, which tells it from its like."""
    name = choice.spec.name
    if choice.spec.data.backbone:
        name += f" on {backbone(choice)}"
    elif controls.changes(choice.spec):
        name = choice.id if choice.shipped else f"{name}, changed"  # "sprint-cifar10-hour" says what is changed
    if choice.shipped:
        return name
    try:
        return f"{name}, {datetime.fromisoformat(choice.finished).astimezone():%d %b %H:%M}"
    except ValueError:
        return f"{name}, {choice.id}"


def backbone(choice: Choice) -> str:
    """The name of a head's backbone for people, with size and stage where they are not the usual ones."""
    backbone = backbones.of(choice.spec.data)
    return f"{backbone.title} {backbone.view}".rstrip()


def facts(choice: Choice) -> str:
    """One line on a model: what it was trained on, and how often it is right."""
    accuracy = (
        f"{text.percent(choice.test_accuracy)} of test pictures right" if choice.test_accuracy is not None
        else f"{text.percent(choice.validation_accuracy)} of validation pictures right"
        if choice.validation_accuracy is not None else "accuracy not measured"
    )  # fmt: skip
    few, rest = choice.class_names[:NAMED], len(choice.class_names) - NAMED
    known = ", ".join(name.replace("_", " ") for name in few) + (f" and {rest} more" if rest > 0 else "")
    return f"{choice.data_title} · {accuracy} · knows only {known}"


def offer_more(choices: list[Choice]) -> None:
    """What could answer here after a training."""
    if stored := again.missing(registry.without_weights()):
        with st.expander("Trained already, but shipped without weights", icon=":material/inventory_2:"):
            again.offer(stored)
    _offer_resnet50(choices)


def _offer_resnet50(choices: list[Choice]) -> None:
    """Where no head on Keras's ResNet50 is here, a button that gets its weights and trains the report's systems."""
    if any(choice.spec.data.backbone == RESNET50.name for choice in choices):
        return
    with st.expander("A ResNet50 with all of its ImageNet weights", icon=":material/add_circle:"):
        if everything.active(RESNET50):
            st.markdown("Its heads are being trained, one after another; each answers here when it has finished.")
            controls.link("train", "See how far they are", icon=":material/play_circle:")
            return
        st.markdown(
            f"The report's bird systems stood on it; no head on it is here yet. One command gets its weights (94 MB), "
            f"and the birds where they are missing, and trains {len(everything.names())} systems on it: about "
            f"{text.duration(everything.expected(RESNET50))} on this machine. They wait in the queue like any training, "
            "can be stopped and resumed, and go on with this page closed."
        )
        jobs.offer("Get the weights and train", "birds", "--backbone", RESNET50.name, "--queue",
                   icon=":material/play_circle:")  # fmt: skip
