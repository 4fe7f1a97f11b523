"""Pictures to classify: dropped in by a person, or samples of the data sets on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from pages.shared import pictures, present, text
from training import data
from training.data import DataError
from training.pictures import MAX_BYTES, PictureError, read, resize, square

MOST = 12  # pictures at a time
SAMPLES = 8
_LATEST, _BEFORE = "latest uploads", "uploads of before"  # in the session: all that are shown; those of the last visit
_CLICKED = "clicked samples"  # in the session: of each data set, the keys of those that were clicked


@dataclass(frozen=True)
class Item:
    """A picture to classify, and the data set it is from, if it is a sample."""

    key: str
    name: str
    pixels: np.ndarray
    caption: str
    data: str = ""


def any_chosen() -> bool:
    """Whether a picture was dropped in or a sample clicked, as of the last click."""
    state = st.session_state
    shown = {name: state.get(f"sample-{name}", clicked) for name, clicked in state.get(_CLICKED, {}).items()}
    dropped = state["uploads"] or state[_BEFORE] if "uploads" in state else state.get(_LATEST)
    return bool(dropped) or any(shown.values())


def uploads() -> list[Item]:
    """The pictures that were dropped in, `MOST` at most; a file that is none gets its sentence.

    Streamlit's uploader forgets its files on a visit to another page: they stand beside it then, until they are removed.
    """
    state = st.session_state
    if "uploads" not in state:  # the page has just been come to
        state[_BEFORE] = state.get(_LATEST, [])
    files = st.file_uploader(
        "Pictures to classify: JPEG, PNG, WebP, GIF or BMP", accept_multiple_files=True, key="uploads",
        max_upload_size=MAX_BYTES // 2**20, help="Several at a time. They stay on this machine.",
    )  # fmt: skip
    if before := state[_BEFORE]:
        kept = "the picture" if len(before) == 1 else f"the {len(before)} pictures"
        st.button(f"Remove {kept} from before", icon=":material/close:", key="remove-before", on_click=_remove)
    state[_LATEST] = every = [*files, *before]  # at once: a click on another page ends this run anywhere
    found: list[Item] = []
    for file in every:
        if len(found) == MOST:
            break
        problem, item = _read(file.file_id, file.name, file)
        if item is None:
            st.error(text.plain(problem), icon=":material/broken_image:")
        else:
            found.append(item)
    return found


def _remove() -> None:
    st.session_state[_BEFORE] = []


def with_samples(uploaded: list[Item], first: str | None = None) -> list[Item]:
    """The pictures that were dropped in and, behind them, the samples that were clicked, `MOST` in all.

    Samples of the data set `first` are offered until another one is chosen.
    """
    found = uploaded + samples(first)
    if len(found) > MOST or len(st.session_state[_LATEST]) > MOST:
        st.warning(f"The first {MOST} pictures are shown.", icon=":material/filter_9_plus:")
    return found[:MOST]


@st.cache_data(max_entries=2 * MOST, show_spinner=False)
def _read(file_id: str, name: str, _file: Any) -> tuple[str, Item | None]:
    try:
        picture = read(_file.getvalue(), name)
    except PictureError as error:
        return str(error), None
    notes = "".join(f", {note}" for note in picture.notes)
    caption = f"{picture.name}: {picture.width} × {picture.height} pixels{notes}"
    return "", Item(f"u{file_id}", picture.name, picture.pixels, caption)


def samples(first: str | None) -> list[Item]:
    """The samples that were clicked, from any data set on this machine; those of `first` are offered at first."""
    here = [info for info in data.status() if info.available]
    names = [info.name for info in here]
    titles = {info.name: info.title for info in here}
    with st.container(key="samples"):
        if st.session_state.get("source") not in names:
            st.session_state["source"] = first if first in names else names[0]
        source = str(st.segmented_control(
            "Or click samples", names, format_func=titles.__getitem__, key="source", required=True,
        ))  # fmt: skip
        try:
            shown = _samples(source)
        except DataError as error:
            st.warning(text.plain(str(error)), icon=":material/folder_off:")
            return []
        labels = {item.key: f"![{item.name}]({pictures.address(resize(square(item.pixels), 64))}) {item.name}"
                  for item in shown}  # fmt: skip
        clicked = st.session_state.setdefault(_CLICKED, {})  # stands while another data set's are looked at
        clicked[source] = st.pills("Samples", list(labels), selection_mode="multi", format_func=labels.__getitem__,
                                   default=[key for key in clicked.get(source, ()) if key in labels],
                                   label_visibility="collapsed", key=f"sample-{source}")  # fmt: skip
    if not present.is_on():
        origin = "drawn by this program, free to use" if source == "drawn" else "training pictures on this machine"
        st.caption(f"{titles[source]}: {origin}.")
    return [item for name in names if clicked.get(name) for item in _samples(name) if item.key in clicked[name]]


@st.cache_data(max_entries=8, show_spinner=False)
def _samples(source: str) -> list[Item]:
    title = data.info(source).title
    return [
        Item(f"s{source}{number}", (name := sample.class_name.replace("_", " ")), np.asarray(sample.image),
             f"{name}, from {title}", source)
        for number, sample in enumerate(data.samples(source, SAMPLES))
    ]  # fmt: skip
