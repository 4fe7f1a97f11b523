"""Confusions: which classes a model takes for which, counted on its test pictures, with pictures where they are here.

The address names the model, `?model=NAME`, and the class shown alone, `&class=NAME`; without a model, the most accurate
bird model comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import streamlit as st

from pages.shared import charts, controls, pictures, present, text
from training import confusions, data, registry
from training.confusions import Confusions, Pair
from training.data import DataError
from training.pictures import resize, square
from training.rundir import RunDir

SHOWN = 12  # pairs with pictures, unless more are asked for
EXAMPLES = 2  # training pictures of a class
SIDE = 112
MATRIX = 30  # classes, up to which the whole matrix is drawn
_KEY = "confusions-model"

CSS = """
.pairs {display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: .8rem;}
.pair {border: 1px solid color-mix(in srgb, currentColor 18%, transparent); border-radius: .5rem; padding: .7rem .8rem;}
.pair .two {display: grid; grid-template-columns: 1fr 1fr; gap: .7rem;}
.pair b {display: block; line-height: 1.2; margin-bottom: .35rem; overflow-wrap: anywhere;}
.pair .row {display: flex; gap: .3rem;}
.pair img {width: calc(50% - .15rem); max-width: 5rem; aspect-ratio: 1; border-radius: .3rem;}
.pair .pixels img {image-rendering: pixelated;}
.pair p {margin: .45rem 0 0 !important; font-size: .88rem; line-height: 1.35;}
@media (max-width: 640px) {.st-key-matrix {display: none;}}
"""


def main(address_moved: bool) -> None:
    st.title("Confusions")
    st.html(f"<style>{CSS}</style>")
    found = {registry.called(run): (run, counted) for run in [*registry.models(), *registry.runs()]
             if run.card() and (counted := confusions.read(run)) and counted.data in data.NAMES}  # fmt: skip
    if not found:
        st.info("Nothing is counted yet: it is when a model is measured on its test pictures, on the run's own page.",
                icon=":material/grid_on:")  # fmt: skip
        controls.link("train", "Train a network", icon=":material/play_circle:")
        return
    run, counted = found[choose(found, address_moved)]
    noun = "species" if counted.data == "birds" else "class"
    chosen = choose_class(registry.called(run), counted, noun, address_moved)
    pairs = counted.pairs(chosen)
    st.markdown(summary(counted, len(pairs)) if chosen is None else of_class(counted, chosen))
    if pairs:
        show_pairs(counted, pairs, chosen, noun)
    if chosen is None:
        show_all(counted, noun)


def show_pairs(counted: Confusions, pairs: list[Pair], chosen: int | None, noun: str) -> None:
    """The pairs as cards, all of them in a table."""
    shown = pairs if chosen is not None else pairs[:SHOWN]
    examples: dict[int, list[str]] = {}
    if data.info(counted.data).available:
        try:
            examples = _examples(counted.data, len(counted.classes))
        except DataError as error:  # never cached, so that pictures that were put right are seen
            st.warning(text.plain(str(error)), icon=":material/folder_off:")
    st.html(cards(counted, shown, examples))
    if not examples:
        st.caption("Pictures of the two stand here where the data set is on this machine.")
    elif not present.is_on():
        st.caption(f"Pictures: training pictures, the first of each {noun}.")
    if len(pairs) > len(shown):
        with st.expander(f"All {len(pairs):,} pairs", icon=":material/table_rows:"):
            st.dataframe(table(counted, pairs), hide_index=True, width="stretch")


def show_all(counted: Confusions, noun: str) -> None:
    """Every class: the whole matrix, where it can be read, and each one's share of right answers."""
    readable = len(counted.classes) <= MATRIX
    if present.is_on() and not readable:
        return  # nothing that a lecture hall could read
    st.subheader(f"Every {noun}", anchor=False)
    if readable:
        with st.container(key="matrix"):
            charts.show(charts.matrix(counted.classes, counted.right, counted.taken), key="matrix-chart",
                        alt="Confusion matrix: rows are what it was, columns what it was taken for")  # fmt: skip
    if not present.is_on():
        share = st.column_config.NumberColumn(format="%.1f %%")  # "percent" has up to two decimals, 25% and 22.22%
        st.dataframe(by_class(counted, noun), hide_index=True, width="stretch", column_config={"right": share})


def choose(found: Mapping[str, tuple[RunDir, Confusions]], address_moved: bool) -> str:
    """The model, from the address at first."""
    titles = {key: _title(run, counted) for key, (run, counted) in found.items()}
    best = sorted(found, key=lambda key: (found[key][1].data != "birds", -_share(found[key][1])))
    asked = st.query_params.get("model")
    if asked is not None and asked not in found:
        st.warning(f"No confusions of {text.plain(repr(asked), 80)} are here: they are counted when it is measured on its test "
                   "pictures.", icon=":material/link_off:")  # fmt: skip
    if address_moved or st.session_state.get(_KEY) not in found:
        st.session_state[_KEY] = asked if asked in found else best[0]
    key: str = st.selectbox("Model", best, format_func=titles.__getitem__, key=_KEY)
    if asked != key:
        st.query_params["model"] = key
    return key


def choose_class(model: str, counted: Confusions, noun: str, address_moved: bool) -> int | None:
    """The class to be shown alone, if any, from the address at first; another model shows the same one."""
    names, asked, key = counted.classes, st.query_params.get("class"), f"class-{model}"
    if address_moved or (key not in st.session_state and asked in names):
        st.session_state[key] = names.index(asked) if asked in names else None  # an `index` could not be cleared
    chosen = st.selectbox(
        f"One {noun} alone", range(len(names)), index=None, format_func=names.__getitem__,
        placeholder=f"All {len(names)}: type to search", key=key,
    )  # fmt: skip
    if chosen is not None:
        st.query_params["class"] = names[chosen]
    elif asked is not None:
        del st.query_params["class"]
    return chosen


def _title(run: RunDir, counted: Confusions) -> str:
    card = run.card() or {}
    # On a narrow screen the end is cut off.
    return f"{run.id} · {text.percent(_share(counted))} right · {(card.get('data') or {}).get('title', counted.data)}"


def _share(counted: Confusions) -> float:
    return sum(counted.right) / max(1, sum(counted.totals))


def summary(counted: Confusions, pairs: int) -> str:
    """How many test pictures were right, and over how many pairs the others spread."""
    total, right = sum(counted.totals), sum(counted.right)
    return (
        f"Of {total:,} test pictures, **{right:,}** were recognized. The other {total - right:,} spread over "
        f"{text.plural(pairs, 'pair')} of classes; the most confused come first."
    )


def of_class(counted: Confusions, index: int) -> str:
    """One class in sentences: what its pictures were taken for, and what was taken for it."""
    name, total, right = counted.classes[index], counted.totals[index], counted.right[index]
    others = sum(count for (_, said), count in counted.taken.items() if said == index)
    return (
        f"Of {text.plural(total, 'test picture')} of **{name}**, {right} were recognized and {total - right} taken for "
        f"others. {text.plural(others, 'picture')} of others {'was' if others == 1 else 'were'} taken for it."
    )


def cards(counted: Confusions, pairs: Sequence[Pair], examples: Mapping[int, Sequence[str]]) -> str:
    """The pairs as HTML, each with its counts and pictures of both."""
    small = "pixels" if data.info(counted.data).picture_size[0] <= 64 else ""
    return f'<div class="pairs {small}">{"".join(_card(counted, pair, examples) for pair in pairs)}</div>'


def _card(counted: Confusions, pair: Pair, examples: Mapping[int, Sequence[str]]) -> str:
    names = {index: escape(counted.classes[index]) for index in (pair.first, pair.second)}
    halves = "".join(
        f'<div><b>{names[index]}</b><div class="row">'
        + "".join(f'<img src="{source}" alt="{names[index]}"/>' for source in examples.get(index, ()))
        + "</div></div>"
        for index in names
    )
    ways = [(pair.first, pair.second, pair.forth), (pair.second, pair.first, pair.back)]
    lines = "<br/>".join(
        f"{count:,} of {counted.totals[a]:,} pictures of {names[a]} taken for {names[b]}"
        for a, b, count in ways
        if count
    )
    return f'<div class="pair"><div class="two">{halves}</div><p>{lines}</p></div>'


def table(counted: Confusions, pairs: Sequence[Pair]) -> dict[str, list[object]]:
    """All pairs as columns; Streamlit's table can be searched, sorted and downloaded."""
    names, totals = counted.classes, counted.totals
    rows = [(a, b, count) for pair in pairs
            for a, b, count in ((pair.first, pair.second, pair.forth), (pair.second, pair.first, pair.back)) if count]  # fmt: skip
    return {
        "It was": [names[a] for a, _, _ in rows],
        "taken for": [names[b] for _, b, _ in rows],
        "pictures": [count for _, _, count in rows],
        "of": [totals[a] for a, _, _ in rows],
    }


def by_class(counted: Confusions, noun: str) -> dict[str, list[object]]:
    """Each class, the hardest first: what per cent was recognized, and what it was most often taken for."""
    shares = [right / max(1, total) for right, total in zip(counted.right, counted.totals, strict=True)]
    order = sorted(range(len(shares)), key=lambda index: shares[index])
    most: dict[int, tuple[int, int]] = {}  # of each class: how often, and which other
    for (a, said), count in counted.taken.items():
        most[a] = max(most.get(a, (0, 0)), (count, -said))
    return {
        noun.capitalize(): [counted.classes[index] for index in order],
        "right": [100 * shares[index] for index in order],
        "of": [counted.totals[index] for index in order],
        "most often taken for": [f"{counted.classes[-most[i][1]]} ({most[i][0]})" if i in most else "" for i in order],
    }


@st.cache_data(max_entries=4, show_spinner="Reading pictures")
def _examples(name: str, classes: int) -> dict[int, list[str]]:
    """For each class, the addresses of its first training pictures; raises `DataError`."""
    found: dict[int, list[str]] = {}
    for sample in data.samples(name, EXAMPLES * classes):
        pixels = square(np.asarray(sample.image))
        small = resize(pixels, SIDE) if len(pixels) > SIDE else pixels
        found.setdefault(sample.label, []).append(pictures.address(small, "PNG" if len(small) <= 64 else "JPEG"))
    return found


with controls.kept(_KEY, "model", "class") as moved:
    main(moved)
