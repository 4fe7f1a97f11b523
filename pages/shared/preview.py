"""The same five training pictures as they are, as augmentation changes them, and as the network sees them."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from pages.shared import text
from pages.shared.pictures import address
from training import data
from training.data import DataError
from training.engine.augment_reference import augment, mix, normalize, statistics
from training.spec import RunSpec

COUNT = 5
SAMPLE = 60  # training pictures whose mean and deviation stand for all: exact enough to look at, and quick
MIXED = "Mixed with the next"
SPAN = 2.5  # normalized values from -2.5 to 2.5 are shown as black to white

CSS = """
.preview {display: grid; grid-template-columns: minmax(5.5rem, auto) repeat(5, minmax(0, 7.5rem)); gap: .45rem .5rem; align-items: center;}
.preview img {width: 100%; image-rendering: pixelated; border-radius: .3rem; display: block;}
.preview span {font-size: .85rem; opacity: .8;}
.preview .label {text-align: center; overflow-wrap: anywhere; line-height: 1.15;}
@media (max-width: 640px) {.preview {grid-template-columns: repeat(5, minmax(0, 1fr));} .preview .row {grid-column: 1 / -1;} .preview .corner {display: none;}}
"""


@st.fragment
def show(spec: RunSpec) -> None:
    """The grid, and a button that draws the random changes anew."""
    info = data.info(spec.data.name)
    if not info.available:  # asked every time: it may have been fetched meanwhile
        info = data.info("drawn")
    try:
        pictures, (mean, std) = _samples(info.name), _statistics(info.name, spec.data.normalization)
    except DataError as error:  # its files are there and damaged
        st.warning(text.plain(str(error)), icon=":material/folder_off:")
        return
    on = spec.data.augmentation.on
    why = (
        "Draw the random changes anew, as every epoch does"
        if on
        else "This design changes no picture: augmentation is off"
    )
    if st.button("Draw again", icon=":material/casino:", key="resample", disabled=not on, help=why):
        st.session_state["preview.seed"] = st.session_state.get("preview.seed", 0) + 1
    images = _stack(pictures)
    changed = augment(images, spec.data.augmentation, seed=st.session_state.get("preview.seed", 0))
    rows = [("Training picture", images)]
    if spec.data.augmentation.changes:
        rows.append(("After augmentation", changed))
    elif not spec.data.augmentation.mixes:
        rows.append(("No augmentation", changed))
    labels = ""
    if spec.data.augmentation.mixes:
        changed, shares = mix(changed, spec.data.augmentation, seed=st.session_state.get("preview.seed", 0))
        rows.append((MIXED, changed))
        labels = '<span class="corner"></span>' + "".join(
            f'<span class="label">{text.percent(share, 0)} + {text.percent(1 - share, 0)}</span>' for share in shares
        )
    seen = normalize(changed, mean, std)
    rows.append(("As the network sees it", _visible(seen, spec.data.normalization)))
    cells = ['<span class="corner"></span>']
    cells += [f'<span class="label">{escape(sample.class_name.replace("_", " "))}</span>' for sample in pictures]
    for name, stack in rows:
        cells.append(f'<span class="row">{name}</span>')
        alts = [escape(f"{sample.class_name.replace('_', ' ')}: {name}") for sample in pictures]
        cells += [f'<img src="{address(image)}" alt="{alt}"/>' for image, alt in zip(stack, alts, strict=True)]
        cells.append(labels if name == MIXED else "")
    st.html(f'<style>{CSS}</style><div class="preview">{"".join(cells)}</div>')
    values = f"{seen.min():.1f} to {seen.max():.1f}, mean {seen.mean():.2f}".replace("-", "−")
    fitted = f" Mean and deviation are here those of {SAMPLE} training pictures; a training takes them of all." \
        if spec.data.normalization != "off" else ""  # fmt: skip
    st.caption(f"{info.title}. Values reaching the network: {values}.{fitted}")


def _stack(pictures: list[data.Sample]) -> Any:
    import numpy as np

    return np.stack([sample.image for sample in pictures])


def _visible(seen: Any, normalization: str) -> Any:
    """Values as pixels that can be shown: 0 to 1 as they are, normalized ones around middle grey."""
    share = seen if normalization == "off" else seen / (2 * SPAN) + 0.5
    return (share.clip(0, 1) * 255).astype("uint8")


@st.cache_data(show_spinner=False)
def _samples(name: str) -> list[data.Sample]:
    """Five training pictures of the data set."""
    return data.samples(name, COUNT)


@st.cache_data(show_spinner=False)
def _statistics(name: str, normalization: str) -> tuple[Any, Any]:
    """Mean and deviation of each channel over some of the data set's training pictures."""
    return statistics(_stack(data.samples(name, SAMPLE)), normalization)
