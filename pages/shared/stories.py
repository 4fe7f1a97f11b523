"""Comparisons that are worth a lesson, each one click away on Compare."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import streamlit as st


class Story(NamedTuple):
    """Models that ship, side by side, and what to look at."""

    title: str
    models: tuple[str, ...]
    moral: str


STORIES = (
    Story("What augmentation does", ("basenet-norm", "basenet-norm-aug"),
          "Without augmentation the curves of training and validation part early; with it they stay together."),
    Story("Batch norm and dropout", ("basenet-norm-aug-es", "basenet-bn", "basenet-bn-dropout"),
          "Batch norm learns faster and ends higher. Dropout beside it brings training accuracy, which is taken with "
          "dropout on, below validation accuracy, and here costs test accuracy, as in the report."),
    Story("Cutmix, decay, Muon", ("plumage", "plumage-cutmix", "plumage-decay", "plumage-long", "plumage-muon",
           "plumage-taught"),
          "Plumage's network knows nearly every training picture by heart. Pictures mixed by cutmix it cannot learn so, but in the "
          "same 35 epochs that alone costs a point. Kernels that shrink faster gain; both together, for 70 epochs, gain more. "
          "Muon, with cutmix, comes near that in 35; in 70, taught by plumage-long, it goes beyond it."),
    Story("From BaseNet to beyond the report", ("basenet", "basenet-norm-aug-es", "basenet-avgpool", "final", "plumage-long"),
          "Each ends higher than the one before; what that costs in operations stands among the figures."),
    Story("Fine-tuning: the mistake and the repair",
          ("birds-fc-basic-efficientnet-lite0", "birds-finetune-fc-efficientnet-lite0",
           "birds-finetune-simple-efficientnet-lite0", "birds-finetune-repaired-efficientnet-lite0"),
          "First a head on frozen features. Then the report's way, with two heads: a new head and all pretrained layers "
          "learn at once, at one learning rate, while batch norm follows small batches. Last the repair: the head first, "
          "then the upper layers, slowly, with batch norm at rest; and dropout, mixup, zoom and shifts, without which it only "
          "drew level with the frozen head. What each part adds was not measured."),
)  # fmt: skip


def complete(there: Container[str]) -> list[Story]:
    """The stories whose models are all `there`."""
    return [story for story in STORIES if all(model in there for model in story.models)]


def show(there: Container[str], key: str, chosen: Callable[[], None]) -> None:
    """A button for each complete story: a click sets the session's `key` to its models and calls `chosen`."""
    told = complete(there)
    if not told:
        return

    def tell(story: Story) -> None:
        st.session_state[key] = list(story.models)
        chosen()

    with st.container(horizontal=True):
        for story in told:
            st.button(story.title, type="tertiary", icon=":material/school:", on_click=tell, args=(story,))


def moral(there: Container[str], shown: Sequence[str]) -> None:
    """What the story that is shown has to tell."""
    for story in complete(there):
        if set(shown) == set(story.models):
            st.markdown(story.moral)
