"""Designs, addresses and names, as every page uses them.

A design travels in the address (see `training.address`).  Streamlit drops the address's
parameters on a page switch, so the session remembers the last design as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import streamlit as st

from pages.shared import present, runs, text
from training import address, catalogue, toggles
from training.spec import RunSpec

_KEY = "design"
_REFUSED = "refused"  # in the session: a sentence to be shown once
SETTLED_SECONDS = 1.5  # after which the browser has the address that a page wrote


def design() -> RunSpec:
    """The design of the address, else the visit's last one, else `basenet`.

    What is impossible in an address is left out, and a warning says why.
    """
    spec, errors = address.from_query(design_query() or st.session_state.get(_KEY) or {})
    for sentence in errors.values():
        st.warning(
            f"One setting in the address is not possible and was left out. {text.plain(sentence)}",
            icon=":material/link_off:",
        )
    return spec


def design_query() -> dict[str, str]:
    """The parameters of the address that describe a design."""
    return {key: value for key, value in st.query_params.items() if key == address.FROM or key in toggles.BY_KEY}


def remember(spec: RunSpec) -> None:
    """Write the design into the address and the session."""
    query = address.to_query(spec)
    st.session_state[_KEY] = query
    if design_query() != query:
        others = {key: value for key, value in st.query_params.items() if key not in design_query()}
        st.query_params.from_dict({**query, **others})


@contextmanager
def kept(widget: str, *parameters: str, others: tuple[str, ...] = ()) -> Iterator[bool]:
    """A page's choices, which are these `parameters` of the address, come back when the page does.

    Streamlit drops them on a page switch, and forgets `widget`, the key of one of the page's: that tells a page
    that has just been come to.  An address that has any of them, a link, is left as it is.

    Yields whether they were changed from outside since the page's last run, as by the browser's Back, while neither
    `widget` nor one of the `others` that write them was moved: then the page sets it to what they say.  An address that is older than what was just chosen
    comes with a click that is quick, not with Back.
    """
    memory = f"kept.{widget}"
    last, held, written = st.session_state.get(memory, ({}, {}, 0.0))
    outside = False
    if widget in st.session_state:
        settled = time.monotonic() - written > SETTLED_SECONDS
        moved = widget not in held or any(st.session_state.get(name, value) != value for name, value in held.items())
        outside = settled and _asked(parameters) != last and not moved
    elif not _asked(parameters):
        here = {name: st.query_params.get_all(name) for name in st.query_params}
        if last:  # at once: each change of the address is a message of its own
            st.query_params.from_dict(here | last)
    try:
        yield outside
    finally:
        now = _asked(parameters)
        written = written if now == last else time.monotonic()
        standing = {name: st.session_state[name] for name in (widget, *others) if name in st.session_state}
        st.session_state[memory] = (now, standing, written)


def _asked(parameters: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in parameters if name in st.query_params}


def link(page: str, label: str, query: Mapping[str, str] | None = None, icon: str | None = None,
         width: Literal["content", "stretch"] = "content", help: str | None = None) -> None:  # fmt: skip
    """A link to another page ("train"), with parameters, present mode kept."""
    st.page_link(f"pages/{page}.py", label=label, icon=icon, width=width, help=help,
                 query_params=present.query(dict(query or {})))  # type: ignore[arg-type]  # fmt: skip


def go(page: str, query: Mapping[str, str] | None = None) -> None:
    """Switch to another page at once, present mode kept."""
    st.switch_page(f"pages/{page}.py", query_params=present.query(dict(query or {})))


def refuse(sentence: str) -> None:
    """Keep why a click's callback could not do what it was for, for `refusal`."""
    st.session_state[_REFUSED] = sentence


def refusal() -> None:
    """Why the last click could not be followed, if so, once."""
    if refused := st.session_state.pop(_REFUSED, ""):
        st.error(text.plain(refused), icon=":material/error:")


def changes(spec: RunSpec) -> list[str]:
    """What differs from the catalogue entry the design started from: ["Pooling: average", ...]."""
    base = base_of(spec).spec
    changed = [toggle.path for toggle in toggles.TOGGLES if toggle.read(spec) != toggle.read(base)]
    stopping, usual = spec.fit.early_stopping, base.fit.early_stopping
    shorter = []
    if stopping and usual and stopping.patience == usual.patience and stopping != usual:
        changed.remove("fit.early_stopping")
        shorter = [f"at most {text.plural(stopping.max_epochs, 'epoch')}"]
    return [*(f"{label}: {value}" for label, value in runs.settings(spec, changed).items()), *shorter]


def base_of(spec: RunSpec) -> catalogue.Variant:
    """The catalogue entry a design started from (`basenet` where its name is a person's own word)."""
    return catalogue.variant(spec.name if spec.name in catalogue.names() else "basenet")


def a_head(name: str) -> str:
    """What an entry is that no switch of these pages changes."""
    return f"{name}, {catalogue.variant(name).title}, is a head on a pretrained network, not a design of its own."


def title(spec: RunSpec, limit: int = 3) -> str:
    """A design's or run's name for people: "basenet-bn", "basenet-bn (Pooling: average)"."""
    parts = changes(spec) if spec.name in catalogue.names() else []
    if not parts:
        return spec.name
    more = f", {len(parts) - limit} more" if len(parts) > limit else ""
    return f"{spec.name} ({', '.join(parts[:limit])}{more})"


def line(spec: RunSpec, status: Mapping[str, Any]) -> str:
    """A run of this machine in a list: "basenet (Pooling: average) · drawn · seed 0 · 24 Nov 14:03"."""
    when = datetime.fromtimestamp(status.get("created", 0)).strftime("%d %b %H:%M")
    return f"{title(spec)} · {spec.data.name} · seed {spec.fit.seed} · {when}"
