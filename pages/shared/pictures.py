"""Pictures on a page: as an address of data, under a frame to drag, with heat over them, with bars beside them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from html import escape

import numpy as np
import streamlit as st
from PIL import Image

from pages.shared import style
from training.pictures import Crop, resize

THUMBNAIL_SIDE = 620  # enough for a frame of 310 CSS pixels on a screen of double density
HEAT_SIDE = 256

CSS = f"""
.whole {{width: 11rem; image-rendering: pixelated; border-radius: .35rem; display: block;}}
.note {{font-size: .85rem; opacity: .75; overflow-wrap: anywhere;}}
.seen {{display: flex; gap: .6rem; margin: .7rem 0 0;}}
.seen figure {{margin: 0; width: calc(50% - .3rem); max-width: 9rem;}}
.seen img {{width: 100%; aspect-ratio: 1; border-radius: .35rem; display: block;}}
.seen .pixels {{image-rendering: pixelated;}}
.seen figcaption {{font-size: .78rem; opacity: .75; line-height: 1.2; margin-top: .2rem;}}
.tops {{list-style: none; margin: 0 !important; padding: 0 !important;}}
.tops li {{position: relative; margin: 0 0 .22rem !important; padding: .12rem .5rem !important; border-radius: .3rem;
  display: flex; justify-content: space-between; gap: .5rem; font-size: .95rem; overflow: hidden;
  background: color-mix(in srgb, currentColor 6%, transparent);}}
.tops li i {{position: absolute; inset: 0 auto 0 0; background: color-mix(in srgb, {style.VALIDATION} 42%, transparent);}}
.tops li span {{position: relative;}}
.tops li:first-child {{font-weight: 650;}}
.tops.doubtful {{opacity: .72;}}
.tops .value {{font-variant-numeric: tabular-nums; white-space: nowrap;}}
.unlike {{border-left: .25rem solid {style.TRAINING}; padding: .1rem .6rem; margin: .5rem 0 .2rem; font-size: .9rem; line-height: 1.3;}}
[class*="st-key-samples"] button {{height: auto; padding: .3rem .6rem .3rem .3rem; border-radius: .6rem;}}
[class*="st-key-samples"] button img {{width: 3.2rem; height: 3.2rem; max-height: none; padding: 0; border-radius: .35rem;
  image-rendering: pixelated; display: block;}}
[class*="st-key-samples"] button p {{display: flex; align-items: center; gap: .5rem;}}
[class*="st-key-frame"] [data-testid="stElementToolbar"] {{display: none;}}
"""


def address(pixels: np.ndarray, kind: str = "PNG") -> str:
    """A uint8 picture as a data address."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def whole(pixels: np.ndarray, alt: str) -> None:
    """Show a small picture, its pixels enlarged."""
    st.html(f'<img class="whole" src="{address(pixels)}" alt="{escape(alt)}"/>')


def note(text: str) -> None:
    """Small print that may hold a file's name: shown as it is, never read as Markdown."""
    st.html(f'<div class="note">{escape(text)}</div>')


def seen(pixels: np.ndarray, heat_over: str = "", spoke_for: str = "", enlarged: int = 0) -> str:
    """HTML: the pixels a network saw and, where there is one, the picture with its heat.

    `enlarged`: the side that a large picture is brought to in front of a backbone, if it is another one.
    """
    size = pixels.shape[0]
    more = f", enlarged to {enlarged}" if size > 64 and enlarged > size else ""
    caption = f"What it saw: {size} × {size} pixels{more}"
    figures = [_figure(address(pixels), caption, "pixels" if size <= 64 else "")]
    if heat_over:
        figures.append(_figure(heat_over, f"Orange spoke for {spoke_for}"))
    return f'<div class="seen">{"".join(figures)}</div>'


def _figure(source: str, caption: str, kind: str = "") -> str:
    text = escape(caption)
    return f'<figure><img class="{kind}" src="{source}" alt="{text}"/><figcaption>{text}</figcaption></figure>'


def bars(rows: Sequence[tuple[str, float]], doubtful: bool = False) -> str:
    """HTML: names with probabilities as bars, pale where they are `doubtful`."""
    items = (
        f'<li><i style="width:{100 * share:.1f}%"></i><span class="name">{escape(name)}</span> '
        f'<span class="value">{100 * share:.1f} %</span></li>'
        for name, share in rows
    )
    return f'<ol class="tops{" doubtful" if doubtful else ""}">{"".join(items)}</ol>'


def heated(pixels: np.ndarray, heat: np.ndarray) -> str:
    """The address of a square picture in grey with its heat (size, size), 0 to 1, in orange over it."""
    side = HEAT_SIDE
    base = resize(pixels, side).mean(-1, keepdims=True) * 0.75 + 40  # grey, so that no colour is taken for heat
    smooth = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
    share = np.clip(smooth, 0, 1)[..., None] ** 1.3 * 0.9
    colour = np.array([255, 120, 0])
    return address((base * (1 - share) + colour * share).clip(0, 255).astype(np.uint8), "JPEG")


def frame(pixels: np.ndarray, key: str, alt: str, longer: int) -> Crop:
    """Show a picture, its longer side `longer` CSS pixels, under a frame that can be dragged and drawn anew.

    Gives the square chosen, at first the centred one.  The frame is a selection of Vega-Lite; the
    square round its centre, as large as its longer side, counts.  `frame_by_keys` moves it as well.
    """
    height, width = pixels.shape[:2]
    first, turn = st.session_state.get(f"first-{key}", (Crop(), 0))
    # After another page: Streamlit forgets the chart, not what was drawn.
    if f"chart-{key}-{turn}" not in st.session_state:
        first = st.session_state.get(f"drawn-{key}", first)
        st.session_state[f"first-{key}"] = first, turn
    scale = longer / max(height, width)
    across, down = max(round(width * scale), 24), max(round(height * scale), 24)
    left, top, side = first.box(width, height)
    start = {"x": [left / width, (left + side) / width], "y": [top / height, (top + side) / height]}
    spec = {
        "width": across,
        "height": down,
        "padding": {"left": 0, "top": 0, "right": 0, "bottom": 0},  # for a plain 0 Streamlit puts 20 pixels below
        "autosize": {"type": "none"},
        "config": {"view": {"stroke": None}},
        "data": {"values": [{"x": 0.5, "y": 0.5, "url": _thumbnail(key, pixels)}]},
        "mark": {"type": "image", "width": {"expr": "width"}, "height": {"expr": "height"}, "aspect": False},
        "encoding": {
            "url": {"field": "url", "type": "nominal"},
            "x": {"field": "x", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": None},
            "y": {"field": "y", "type": "quantitative", "scale": {"domain": [1, 0]}, "axis": None},
        },
        "params": [
            {
                "name": "frame",
                # A frame round all of the picture could only be moved: without one, the first drag draws it.
                **({} if whole_picture(first, pixels) else {"value": start}),
                "select": {
                    "type": "interval",
                    "mark": {
                        "fill": "#000",
                        "fillOpacity": 0.08,
                        "stroke": "#FF8A1F",
                        "strokeWidth": 3,
                        "strokeOpacity": 1,
                    },
                },
            }
        ],
    }
    with st.container(key=f"frame-{key}"):
        event = st.vega_lite_chart(spec=spec, on_select="rerun", width="content", key=f"chart-{key}-{turn}", alt=alt)
    crop = _crop(event["selection"].get("frame") or {}, width, height, first)
    st.session_state[f"drawn-{key}"] = crop
    return crop


def whole_picture(crop: Crop, pixels: np.ndarray) -> bool:
    """Whether the square leaves nothing of the picture out."""
    height, width = pixels.shape[:2]
    return crop.box(width, height)[2] == width == height


def frame_by_keys(pixels: np.ndarray, key: str, crop: Crop) -> None:
    """The frame's size and place as sliders, for whoever cannot drag or wants the same frame twice."""
    height, width = pixels.shape[:2]
    left, top, side = crop.box(width, height)
    sliders = (  # a frame as wide or as high as the picture cannot move that way
        ("Size", "size", 10, side / min(width, height), False),
        ("Left to right", "x", 0, (left + side / 2) / width, side == width),
        ("Top to bottom", "y", 0, (top + side / 2) / height, side == height),
    )
    with st.popover("Set the frame by sliders", icon=":material/crop:", type="tertiary"):
        for label, name, least, share, fixed in sliders:
            st.session_state[f"{name}-{key}"] = max(round(100 * share), least)
            st.slider(label, least, 100, key=f"{name}-{key}", format="%d %%", disabled=fixed,
                      on_change=_move, args=(key, name, crop))  # fmt: skip


def _move(key: str, name: str, crop: Crop) -> None:
    """Let the frame begin anew where a slider is: what is selected in a chart cannot be set from here."""
    turn = st.session_state.get(f"first-{key}", (crop, 0))[1]
    moved = replace(crop, **{name: st.session_state[f"{name}-{key}"] / 100})
    st.session_state[f"first-{key}"], st.session_state[f"drawn-{key}"] = (moved, turn + 1), moved


def _crop(chosen: dict[str, list[float]], width: int, height: int, first: Crop) -> Crop:
    """The square for a rectangle in fractions of the picture; the `first` one where there is none."""
    try:
        (left, right), (top, bottom) = sorted(chosen["x"]), sorted(chosen["y"])
    except (KeyError, TypeError, ValueError):
        return first
    side = max((right - left) * width, (bottom - top) * height)
    if side < 4:
        return first
    return Crop((left + right) / 2, (top + bottom) / 2, min(side / min(width, height), 1.0))


@st.cache_data(max_entries=64, show_spinner=False)
def _thumbnail(key: str, _pixels: np.ndarray) -> str:
    image = Image.fromarray(_pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return address(np.asarray(image), "JPEG")
