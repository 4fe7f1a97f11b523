"""The Design page's switches, generated from `training.toggles`: one widget a toggle, its help beneath.

A widget's value lives in the session under `design.KEY`.  `seed` sets them all from a
design, `values` reads them back, `show` draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.shared import controls, present, text
from training import catalogue, switching, teacher, toggles
from training.describe import describe
from training.spec import RunSpec
from training.toggles import Toggle

PREFIX = "design."
GROUPS = ("Network", "Fit", "Data", "Augmentation")
_NOT_OFF = PREFIX + "kept."  # a switch's value other than its plain `on`, from an address
_HIGH = PREFIX + "high."  # the end of a slider whose value, from an address, lies beyond its usual end


def seed(spec: RunSpec) -> None:
    """Set every widget to what `spec` holds."""
    for key in [str(key) for key in st.session_state]:
        if key.startswith((_HIGH, *(f"{PREFIX}{toggle.key}." for toggle in toggles.TOGGLES if toggle.kind == "rates"))):
            del st.session_state[key]  # of the design before
    for toggle in toggles.TOGGLES:
        value, key = toggle.read(spec), PREFIX + toggle.key
        match toggle.kind:
            case "switch":
                st.session_state[key] = value != toggle.off
                st.session_state[_NOT_OFF + toggle.key] = toggle.on if value == toggle.off else value
            case "rates":
                st.session_state[key] = bool(value)
                for place, rate in enumerate(value):  # others are set where their sliders are drawn
                    st.session_state[f"{key}.{place}"] = float(rate)
            case _:
                st.session_state[key] = value


def seeded() -> bool:
    """Whether the widgets hold a design (Streamlit forgets them on a page switch)."""
    return all(PREFIX + toggle.key in st.session_state for toggle in toggles.TOGGLES)


def values(base: RunSpec) -> dict[str, Any]:
    """What the widgets say, {toggle key: value of its field}."""
    found: dict[str, Any] = {}
    for toggle in toggles.TOGGLES:
        state = st.session_state[PREFIX + toggle.key]
        match toggle.kind:
            case "switch":
                found[toggle.key] = st.session_state[_NOT_OFF + toggle.key] if state else toggle.off
            case "rates":
                defaults = toggles.default_rates(base)
                rates = [st.session_state.get(f"{PREFIX}{toggle.key}.{i}", rate) for i, rate in enumerate(defaults)]
                found[toggle.key] = rates if state else []
            case _:
                found[toggle.key] = state
    return found


def show(spec: RunSpec, errors: Mapping[str, str]) -> None:
    """All switches, a tab for each group; the sentence of an impossible value stands by its switch."""
    for group, tab in zip(GROUPS, st.tabs(list(GROUPS)), strict=True):
        with tab:
            if group == "Augmentation":
                _all_at_once()
            for toggle in toggles.TOGGLES:
                if toggle.group == group:
                    _widget(toggle, spec)
                    _beneath(toggle, spec, errors.get(toggle.key))


def _widget(toggle: Toggle, spec: RunSpec) -> None:
    key = PREFIX + toggle.key
    match toggle.kind:
        case "switch":
            st.toggle(toggle.label, key=key)
        case "choice":
            options = (
                toggle.options if st.session_state[key] in toggle.options else (*toggle.options, st.session_state[key])
            )
            if sum(len(toggle.to_text(option)) + 4 for option in options) <= 48:  # they fit beside each other
                st.segmented_control(toggle.label, options, key=key, required=True, format_func=toggle.to_text)
            else:
                st.selectbox(toggle.label, options, key=key, format_func=toggle.to_text)
        case "slider":
            kind = int if isinstance(toggle.step, int) else float
            high = _high(key, kind(toggle.high))
            if kind is int and high - toggle.low < 6:  # one click each, and a slider drops keys pressed fast
                st.segmented_control(toggle.label, range(int(toggle.low), high + 1), key=key, required=True)
            else:
                st.slider(toggle.label, kind(toggle.low), high, step=kind(toggle.step), key=key)
        case "number":
            st.number_input(toggle.label, int(toggle.low), _high(key, int(toggle.high)), step=int(toggle.step), key=key)
        case "model":
            known, held = [None, *teacher.candidates(spec)], st.session_state[key]
            st.selectbox(toggle.label, known if held in known else [*known, held], key=key, format_func=toggle.to_text)
        case "rates":
            st.toggle(toggle.label, key=key, disabled=not spec.network.dropout_places)
            if st.session_state[key]:
                rates = toggle.read(spec) or toggles.default_rates(spec)
                for place, where in enumerate(dropout_places(spec)):
                    st.session_state.setdefault(f"{key}.{place}", float(rates[place]))  # not drawn, it is forgotten
                    place_key = f"{key}.{place}"
                    st.slider(
                        f"Share dropped {where}", 0.0, _high(place_key, toggle.high), step=toggle.step, key=place_key
                    )


def _high(key: str, usual: Any) -> Any:
    """The greatest value that a widget takes: an address may ask for more than is usual.

    It stays until another design is chosen: a slider whose end moves is another one to Streamlit, and loses its value.
    """
    st.session_state[_HIGH + key] = max(usual, st.session_state[key], st.session_state.get(_HIGH + key, usual))
    return st.session_state[_HIGH + key]


def _beneath(toggle: Toggle, spec: RunSpec, error: str | None) -> None:
    if error:
        st.error(text.plain(error), icon=":material/block:")
    if not present.is_on():
        st.caption(toggle.help)
    if (told := effect(toggle, spec)) is not None:
        st.markdown(f":small[**{told}**]")
    if toggle.key == "optimizer":
        _rate(spec)


def _rate(spec: RunSpec) -> None:
    """A click to the learning rate that another optimizer wants, so that the two are compared fairly."""
    base = controls.base_of(spec)
    if rate := switching.suited_rate(spec, base.spec):
        told = f"Set the learning rate to {rate:g}, which suits {spec.fit.optimizer}"
        st.button(told, key="suited-rate", icon=":material/tune:", type="tertiary", on_click=_set,
                  args=("learning_rate", rate))  # fmt: skip


def _set(key: str, value: object) -> None:
    st.session_state[PREFIX + key] = value


def _all_at_once() -> None:
    """Two buttons that set the whole group."""

    report = catalogue.variant("basenet-norm-aug").spec

    def set_all(on: bool) -> None:
        for toggle in toggles.TOGGLES:
            if toggle.group == "Augmentation":
                st.session_state[PREFIX + toggle.key] = toggle.read(report) if on else toggle.off

    with st.container(horizontal=True):
        st.button("As in the report", on_click=set_all, args=(True,), key="augment-report")
        st.button("None", on_click=set_all, args=(False,), key="augment-none")


def effect(toggle: Toggle, spec: RunSpec) -> str | None:
    """What a toggle does to this very design where that is nothing, and of the convolutions' toggles what it is, computed."""
    nothing = "It changes nothing in this design"
    if toggle.key == "dropout" and not spec.network.dropout_places:
        return "This network has no place for dropout."
    if toggle.key == "dropout_ramp" and toggle.is_on(spec) and not any(spec.network.dropout):
        return f"{nothing}: no dropout is on."
    shifts = spec.data.augmentation.width_shift or spec.data.augmentation.height_shift
    if toggle.key == "whole_pixels" and toggle.is_on(spec) and not shifts:
        return f"{nothing}: no shift is on."
    on = toggle.key in ("split_5x5", "bottleneck", "residual", "whitening") and toggle.is_on(spec)
    if not on and toggle.read(spec) != "strided":
        return None
    network = describe(spec.network)
    if toggle.key == "residual":
        count = sum(layer.kind == "add" for layer in network.layers)
        return (
            f"{count} shortcut{'s' * (count > 1)}, marked in the drawing."
            if count
            else f"{nothing}: no convolution keeps the shape of what enters it. Depth 2 brings some."
        )
    with_it, without = network.macs, describe(toggle.write(spec, toggle.off).network).macs
    if with_it == without:
        return f"{nothing}."
    return f"Here: {text.change(with_it, without)} multiply-adds ({with_it:,} against {without:,})."


def dropout_places(spec: RunSpec) -> list[str]:
    """Where each dropout rate acts, in words: "after pooling 1", "after convolution 4", "before the last dense"."""
    words, last = {"conv": "convolution", "pool": "pooling", "dense": "dense"}, ""
    counts: dict[str, int] = {}
    places: list[str] = []
    for block in spec.network.blocks:
        if block.kind in words:
            counts[block.kind] = counts.get(block.kind, 0) + 1
            last = f"{words[block.kind]} {counts[block.kind]}"
        elif block.kind == "dropout":
            places.append(f"after {last}")
    if places and spec.network.blocks[-1].kind == "dropout":
        places[-1] = "before the last dense"
    return places
