"""Present mode: `?present=1` shows every page in large type, without tools or small print.

It holds for the whole visit: page switches drop the address's parameters, so `begin` puts
this one back.  `?present=0` ends it.
"""

from __future__ import annotations

import streamlit as st

from pages.shared import style

_KEY = "present"


def begin() -> None:
    """Called by app.py before each page: settle the mode and give the page its look."""
    asked = st.query_params.get(_KEY)
    if asked is not None:
        st.session_state[_KEY] = asked == "1"
        if asked != "1":
            del st.query_params[_KEY]
    elif is_on():
        st.query_params[_KEY] = "1"
    st.html(f"<style>{style.BASE_CSS}{_PRESENT_CSS if is_on() else ''}</style>")


def finish() -> None:
    """Called by app.py after each page: the way out of a presentation, and into one."""
    if is_on():
        st.button(
            "End the presentation", type="tertiary", icon=":material/close_fullscreen:", on_click=_turn, args=(False,)
        )
    else:
        st.button(
            "Present: large type, no small print",
            type="tertiary",
            icon=":material/slideshow:",
            on_click=_turn,
            args=(True,),
        )


def _turn(on: bool) -> None:
    st.session_state[_KEY] = on
    if on:
        st.query_params[_KEY] = "1"
    else:
        st.query_params.pop(_KEY, None)


def is_on() -> bool:
    """Whether this visit is a presentation: pages then leave out small print and secondary controls."""
    return bool(st.session_state.get(_KEY, False))


def query(parameters: dict[str, str] | None = None) -> dict[str, str]:
    """`parameters` for a page switch, with present mode kept unless they settle it themselves."""
    return {**({_KEY: "1"} if is_on() else {}), **(parameters or {})}


# Streamlit sizes everything in rem, so the root's font size scales the whole page.
_PRESENT_CSS = """
html {font-size: clamp(18px, 1.75vw, 30px) !important;}
.block-container, .stMainBlockContainer {max-width: 96vw; padding: 3.6rem 1.5vw 4rem !important;}
[data-testid="stToolbarActions"],
[data-testid="stMainMenu"], [data-testid="stAppDeployButton"], [data-testid="stStatusWidget"] {display: none;}
[data-testid="stCaptionContainer"] {font-size: 0.95rem;}
.figures {grid-template-columns: repeat(4, minmax(0, 1fr)) !important;}
.figures .value {font-size: 1.2rem !important;}
.layers th:nth-child(3), .layers td:nth-child(3), .layers th:nth-child(7), .layers td:nth-child(7) {display: none;}
"""
