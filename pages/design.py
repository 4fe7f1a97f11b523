"""Design: switch the parts of a network and see at once what changes.

The whole design is in the address.  Everything runs in one fragment: a switch redraws the
page's body alone.
"""

from __future__ import annotations

import streamlit as st

from pages.shared import charts, controls, diagram, figures, present, preview, runs, switches, text
from training import address, catalogue, registry, switching, toggles
from training.describe import describe
from training.keras_code import keras_code
from training.spec import RunSpec

FROM = "design.from"
WRITTEN = "design.written"  # the parameters as last written to the address
HELD = "design.held"  # what the widgets held then
HEAD = "head"  # among what could not be set: a head on a pretrained network
UNDONE = "design.undone"  # the parameters of the changes that were undone last
RESEED = "design.reseed"  # parameters to start over from, set by callbacks


def current() -> tuple[RunSpec, dict[str, str]]:
    """The design, and {toggle key: sentence} for what is impossible.

    The widgets hold it, unless the address was changed from outside (a link, back and
    forward) or another entry was chosen.  Switches that are moved fast come with an address
    that is older than they are: one that was moved counts before the address.
    """
    query = controls.design_query()
    again = st.session_state.pop(RESEED, None)
    come_to = not switches.seeded() or FROM not in st.session_state
    if again is None and (come_to or (query != st.session_state.get(WRITTEN) and not _moved())):
        again = query or st.session_state.get("design") or {}
    if again is not None:
        spec, errors = address.from_query(again)
        if spec.data.backbone:
            spec, errors = catalogue.variant("basenet").spec, {HEAD: spec.name}
        st.session_state[FROM] = controls.base_of(spec).name
        switches.seed(spec)
    else:
        entry = catalogue.variant(st.session_state[FROM]).spec
        spec, errors = switching.settle(entry, switches.values(entry))
    # Before the address is written, since the next click may end this run there.
    st.session_state[HELD] = switches.values(catalogue.variant(st.session_state[FROM]).spec)
    st.session_state[WRITTEN] = address.to_query(spec)
    controls.remember(spec)
    return spec, errors


def _moved() -> bool:
    """Whether a switch was moved since the address was written."""
    held = st.session_state.get(HELD)
    return held is not None and held != switches.values(catalogue.variant(st.session_state[FROM]).spec)


def _start_over() -> None:
    st.session_state[RESEED] = {address.FROM: st.session_state[FROM]}


def _undo(query: dict[str, str]) -> None:
    st.session_state[UNDONE] = query
    _start_over()


def _redo() -> None:
    st.session_state[RESEED] = st.session_state.pop(UNDONE)


def _reference(spec: RunSpec) -> catalogue.Variant | None:
    """What a design is compared with: the entry it started from, or that entry's parent where it equals it."""
    entry = controls.base_of(spec)
    if controls.changes(spec):
        return entry
    return catalogue.variant(entry.parent) if entry.parent else None


def header(spec: RunSpec) -> None:
    entry, changed = controls.base_of(spec), controls.changes(spec)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        st.selectbox(
            "Start from", catalogue.names(), key=FROM, on_change=_start_over,
            format_func=lambda name: f"{name}  ·  {catalogue.variant(name).title}",
            help="Networks that learn from pixels. Heads on pretrained networks, the report's for birds among them, are on "
            "Compare and Classify; `python -m training birds` trains them.",
        )  # fmt: skip
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        if changed:
            st.button(
                "Undo all changes",
                on_click=_undo,
                args=(address.to_query(spec),),
                icon=":material/undo:",
                type="tertiary",
            )
        elif st.session_state.get(UNDONE, {}).get(address.FROM) == entry.name:  # before and after, a press each
            st.button("Redo all changes", on_click=_redo, icon=":material/redo:", type="tertiary")
        figures.copy_link()
        if st.button("Train this design", type="primary", icon=":material/play_arrow:"):
            controls.go("train", address.to_query(spec))
    st.markdown(entry.why)
    if changed:
        st.markdown(f"Changed from {entry.name}: {' · '.join(changed)}.")
    else:
        st.markdown(" ".join(filter(None, (figures.step(entry), figures.report(entry), figures.ours(entry)))))


def refused(errors: dict[str, str]) -> None:
    """What could not be set; each reason stands by its switch as well, which may be in another tab."""
    if name := errors.get(HEAD):
        st.info(f"{controls.a_head(name)} Here is BaseNet in its place.", icon=":material/link_off:")
        with st.container(horizontal=True):
            controls.link("train", "How it is trained", {address.FROM: name}, icon=":material/terminal:")
            if model := next(
                (registry.called(m) for m, spec in runs.readable(registry.models()) if spec.name == name), ""
            ):
                controls.link("classify", "Classify with it", {"model": model}, icon=":material/image_search:")
                controls.link("confusions", "What it takes for what", {"model": model}, icon=":material/grid_on:")
    if sentence := errors.get(address.FROM):
        st.warning(text.plain(sentence), icon=":material/link_off:")
    if labels := [toggles.BY_KEY[key].label for key in errors if key in toggles.BY_KEY]:
        st.warning(
            f"Not possible, and left out: {', '.join(labels)}. The reason stands by the switch.",
            icon=":material/block:",
        )


def drawing(spec: RunSpec, reference: catalogue.Variant | None) -> None:
    base = reference.spec if reference else None
    figures.show(figures.of(spec, base, reference.name if reference else ""))
    drawn = diagram.draw(
        spec.network, base.network if base else None, reference.name if reference else "", large=present.is_on()
    )
    st.markdown(drawn, unsafe_allow_html=True)
    behind = (reference.name, reference.spec.network) if reference and reference.spec.network != spec.network else None
    charts.show(charts.depth(spec.network, behind), key="depth", alt="Channels and spatial size by layer, log scale")
    if behind:
        st.caption(f"Channels and spatial size after each layer, log scale. Faint: {behind[0]}.")


def details(spec: RunSpec) -> None:
    """Layers, pictures and code; only the open tab is computed."""
    layers, pictures, code = st.tabs(["Layers", "Pictures", "Keras code"], key="design-tab", on_change="rerun")
    if layers.open:
        layers.markdown(figures.layer_table(describe(spec.network)), unsafe_allow_html=True)
    if pictures.open:
        with pictures:
            preview.show(spec)
    if code.open:
        code.caption("The same network and fit as plain Keras, ready to copy.")
        code.code(keras_code(spec, controls.title(spec, limit=3)), language="python", height=420)


@st.fragment
def body() -> None:
    spec, errors = current()
    header(spec)
    refused(errors)
    # On a wide screen the switches stand beside drawing and details, on a narrow one between them.
    with st.container(key="bench"):
        with st.container(key="bench-drawing"):
            drawing(spec, _reference(spec))
        with st.container(key="bench-switches"):
            switches.show(spec, errors)
        with st.container(key="bench-details"):
            details(spec)


CSS = """
.st-key-bench {display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.2rem 2.6rem;}
@media (min-width: 900px) {
  .st-key-bench {grid-template-columns: minmax(0, 2.15fr) minmax(17rem, 1fr); grid-template-rows: auto 1fr;}
  .st-key-bench > :has(> .st-key-bench-switches) {grid-column: 2; grid-row: 1 / span 2;
    position: sticky; top: 4.5rem; align-self: start; max-height: calc(100vh - 5.5rem); overflow-y: auto;}
}
.st-key-bench-switches [data-testid="stCaptionContainer"] {margin-top: -.75rem;}
"""

st.html(f"<style>{CSS}{diagram.CSS}{figures.CSS}</style>")
st.title("Design")
body()
