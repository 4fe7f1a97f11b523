"""What models say of pictures, as HTML in the places kept for it: answers first, then what spoke for them, then the like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from pages.shared import answers, jobs, pictures, text
from pages.shared.answers import Answer, Likeness, NotYet
from pages.shared.sources import Item
from training import data
from training.pictures import Crop, resize, square
from training.predict import Choice
from training.unlike import FEATURES, LOOK
from training.worker import WorkerError

Key = tuple[str, str]  # a model's id and a picture's key

CSS = """
.like {margin-top: .7rem;}
.like > div {display: grid; grid-template-columns: repeat(auto-fill, minmax(4.4rem, 1fr)); gap: .35rem; margin-top: .2rem;}
.like figure {margin: 0;}
.like img {width: 100%; max-width: 5.5rem; aspect-ratio: 1; border-radius: .3rem; display: block;}
.like figcaption {font-size: .72rem; line-height: 1.15; opacity: .8; margin-top: .15rem; overflow-wrap: anywhere;}
"""


@dataclass(frozen=True)
class Panel:
    """One model's answer to one picture, as far as it is known."""

    choice: Choice
    pixels: np.ndarray  # what the network sees
    answer: Answer
    heat: str = ""  # address of the picture with its heat
    like: str = ""  # HTML

    def html(self) -> str:
        rows = [
            (self.choice.class_names[index], float(self.answer.probabilities[index])) for index in self.answer.top()
        ]
        return (
            unlike(self.choice, self.answer.flag) + pictures.bars(rows, bool(self.answer.flag))
            + pictures.seen(self.pixels, self.heat, rows[0][0], self.choice.spec.data.backbone_size) + self.like
        )  # fmt: skip


def fill(chosen: list[Choice], items: list[Item], crops: dict[str, Crop], slots: dict[Key, Any],
         method: str | None, with_like: bool) -> dict[Key, Panel]:  # fmt: skip
    """Fill the slots; the panels as they stand at the end.

    method: how to find what spoke for an answer; None: not at all.
    """
    panels: dict[Key, Panel] = {}
    for choice in chosen:
        seen = [resize(square(item.pixels, crops[item.key]), choice.picture_size) for item in items]
        try:
            given = answers.classify(choice, seen)
        except WorkerError as error:
            for item in items:
                slots[choice.id, item.key].error(text.plain(str(error)), icon=":material/error:")
            continue
        for item, pixels, answer in zip(items, seen, given, strict=True):
            panels[choice.id, item.key] = Panel(choice, pixels, answer)

    def show(panel: Panel, item: Item) -> None:
        panels[panel.choice.id, item.key] = panel
        slots[panel.choice.id, item.key].html(panel.html())

    for choice in chosen:
        for item in items:
            if panel := panels.get((choice.id, item.key)):
                show(panel, item)
    if method is not None:
        for item in items:
            for choice in chosen:
                if panel := panels.get((choice.id, item.key)):
                    show(replace(panel, heat=_heat(panel, item, crops[item.key], method)), item)
    if with_like:
        for choice in _backbones(chosen):
            there = [(item, panels[choice.id, item.key]) for item in items if (choice.id, item.key) in panels]
            likes = _like(choice, [panel.pixels for _, panel in there])
            for (item, panel), like in zip(there, likes, strict=True):
                show(replace(panel, like=like), item)
    return panels


def unlike(choice: Choice, flag: str | None) -> str:
    """The flag of a picture that is unlike the model's training pictures, as HTML."""
    if not flag:
        return ""
    reason = {
        LOOK: "the picture's colours and textures are not those of the pictures this model was trained on",
        FEATURES: "it looks unlike all pictures that this model was trained on",
    }.get(flag, f"none of the {len(choice.class_names)} classes that this model knows stands out")
    warning = "This does not look like a bird" if choice.data == "birds" else "Take this with care"
    return f'<div class="unlike"><b>{warning}:</b> {reason}.</div>'


def _heat(panel: Panel, item: Item, crop: Crop, method: str) -> str:
    # Covering parts asks a network 50 times over, which takes a backbone seconds a picture: the page says so.
    way = "grad-cam" if panel.choice.spec.data.backbone else method
    try:
        heat = answers.explain(panel.choice, panel.pixels, panel.answer.top(1)[0], way)
    except WorkerError:
        return ""  # the answer stands without it
    return pictures.heated(square(item.pixels, crop), heat) if heat.any() else ""


# --- The nearest training pictures ------------------------------------------------------------


def _backbones(chosen: list[Choice]) -> list[Choice]:
    """Of the models on a backbone, the first of each: heads on one frozen backbone find the same pictures."""
    first: dict[tuple[str, str, int, str, str], Choice] = {}
    for choice in chosen:
        if name := choice.spec.data.backbone:
            own = "" if choice.spec.fit.fine_tune == "off" else choice.id
            looks = choice.spec.data
            first.setdefault((choice.data, name, looks.backbone_size, looks.backbone_stage, own), choice)
    return list(first.values())


def _like(choice: Choice, seen: list[np.ndarray]) -> list[str]:
    if not seen:
        return []
    if choice.data not in data.NAMES or not data.info(choice.data).available:
        return _once("The nearest training pictures stand here where the data set is on this machine.", len(seen))
    try:
        return [_row(choice, likenesses) for likenesses in answers.nearest(choice, seen)]
    except NotYet as state:
        if jobs.running("features", choice.id):
            text = (
                "The nearest training pictures are being computed; how far stands under the answers. They appear here."
            )
        else:
            text = (
                f"The nearest training pictures need features, of which {state.done:,} of {state.pictures:,} are there: "
                "the button under the answers computes them."
            )
        return _once(text, len(seen))
    except WorkerError as error:
        return _once(str(error), len(seen))


def _once(text: str, count: int) -> list[str]:
    """A line in the first of `count` panels."""
    return [f'<div class="like note">{escape(text)}</div>', *[""] * (count - 1)]


def _row(choice: Choice, likenesses: list[Likeness]) -> str:
    figures = "".join(
        f'<figure><img src="{pictures.address(like.pixels, "JPEG")}" alt="{escape(name)}"/>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for like in likenesses
        for name in [choice.class_names[like.label]]
    )
    return f'<div class="like"><span class="note">Nearest training pictures</span><div>{figures}</div></div>'


def lacking(chosen: list[Choice]) -> list[Choice]:
    """The models whose nearest training pictures could be shown once their features are computed."""
    here = {info.name for info in data.status() if info.available}
    return [choice for choice in _backbones(chosen) if choice.data in here and answers.lacks_features(choice)]
