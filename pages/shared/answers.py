"""Answers of the worker process for the pages: cached, so that a redraw asks nothing twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from training.predict import THUMBNAIL, Choice
from training.worker import Worker, WorkerError


@dataclass(frozen=True)
class Answer:
    """What one model says of one picture: probabilities (classes,), and how the picture is unlike its
    training pictures ("" if it is not, None where the model has no measure of that)."""

    probabilities: np.ndarray
    flag: str | None

    def top(self, count: int = 5) -> list[int]:
        """The `count` likeliest classes, likeliest first."""
        return [int(index) for index in np.argsort(-self.probabilities, kind="stable")[:count]]


@st.cache_resource(show_spinner=False)
def worker() -> Worker:
    """The one worker of the whole app."""
    return Worker()


def prepare(choices: Sequence[Choice]) -> None:
    """Start the worker and have it load these models in the background, so that the first answer finds them there."""
    client = worker()
    try:
        client.start()
    except WorkerError:  # whoever asks for an answer is told
        return
    pid = client.pid
    waiting = [choice.id for choice in choices if (pid, choice.id, choice.changed) not in _asked]
    _asked.update((pid, choice.id, choice.changed) for choice in choices)
    if waiting:
        threading.Thread(target=_load, args=(client, waiting), name="load models", daemon=True).start()


_asked: set[tuple[int | None, str, float]] = set()


def _load(client: Worker, names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(WorkerError):  # whoever asks for an answer is told
            client.request("load", model=name)


def classify(choice: Choice, pictures: list[np.ndarray]) -> list[Answer]:
    """`choice`'s answers to uint8 (size, size, 3) pictures of its own size; raises `WorkerError`."""
    return _classify(choice.id, choice.changed, len(pictures), np.stack(pictures).tobytes())


@st.cache_data(max_entries=200, show_spinner=False)
def _classify(model: str, changed: float, count: int, data: bytes) -> list[Answer]:
    fields, found = worker().request("classify", data, model=model, count=count)
    probabilities = np.frombuffer(found, "<f4").reshape(count, -1)
    flags = fields["flags"] or [None] * count
    return [Answer(row, flag) for row, flag in zip(probabilities, flags, strict=True)]


def explain(choice: Choice, picture: np.ndarray, index: int, method: str) -> np.ndarray:
    """Heat, float32 (size, size), 0 to 1, of what spoke for class `index`; raises `WorkerError`."""
    heat = _explain(choice.id, choice.changed, picture.tobytes(), index, method)
    return np.frombuffer(heat, "<f4").reshape(picture.shape[:2])


@st.cache_data(max_entries=400, show_spinner=False)
def _explain(model: str, changed: float, data: bytes, index: int, method: str) -> bytes:
    return worker().request("explain", data, model=model, count=1, index=index, method=method)[1]


@dataclass(frozen=True)
class Likeness:
    """A training picture that looks like the picture asked for: uint8 (side, side, 3), and its label."""

    pixels: np.ndarray
    label: int


class NotYet(Exception):
    """The features of the training pictures are not all computed: `done` of `pictures` are."""

    def __init__(self, done: int, pictures: int):
        super().__init__(done, pictures)
        self.done, self.pictures = done, pictures


def nearest(choice: Choice, pictures: list[np.ndarray], most: int = 5) -> list[list[Likeness]]:
    """For each picture the training pictures most alike to it, for a head on a backbone.

    Raises `WorkerError`, and `NotYet` until their features are computed.
    """
    try:
        found = _nearest(choice.id, choice.changed, len(pictures), np.stack(pictures).tobytes(), most)
    except NotYet:
        _lacking.add((choice.id, choice.changed))
        raise
    _lacking.discard((choice.id, choice.changed))
    return found


_lacking: set[tuple[str, float]] = set()


def lacks_features(choice: Choice) -> bool:
    """Whether `nearest` was asked and had no features yet."""
    return (choice.id, choice.changed) in _lacking


@st.cache_data(max_entries=200, show_spinner=False)  # keeps no exception
def _nearest(model: str, changed: float, count: int, data: bytes, most: int) -> list[list[Likeness]]:
    fields, found = worker().request("nearest", data, model=model, count=count, most=most)
    if fields["done"] < fields["pictures"]:
        raise NotYet(fields["done"], fields["pictures"])
    thumbnails = np.frombuffer(found, np.uint8).reshape(count, most, THUMBNAIL, THUMBNAIL, 3)
    return [
        [Likeness(pixels, label) for pixels, label in zip(row, labels, strict=True)]
        for row, labels in zip(thumbnails, fields["labels"], strict=True)
    ]
