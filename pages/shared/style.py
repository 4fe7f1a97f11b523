"""Colours and the few CSS rules the app needs.  Light and dark come from .streamlit/config.toml.

The hues are Okabe and Ito's, told apart by the colour-blind, shifted so that each has a
contrast of at least 3:1 against both the white and the dark background.
"""

TRAINING = "#D9730D"  # orange, drawn dashed where it stands beside validation
VALIDATION = "#2E86C1"  # blue, drawn solid
SERIES = ("#2E86C1", "#D9730D", "#1E9E77", "#B8579B", "#8A7A12", "#6B6ECF", "#C0504D", "#5F7F8F")  # runs and models

# One colour a kind of layer, in the network diagram and wherever layers are named.
LAYER = {
    "conv": "#2E86C1",
    "pool": "#D9730D",
    "dense": "#1E9E77",
    "batch_norm": "#838F9B",
    "activation": "#838F9B",
    "add": "#8A7A12",
    "dropout": "#B8579B",
    "flatten": "#838F9B",
    "global_pool": "#D9730D",
    "softmax": "#1E9E77",
}
MUTED = "#838F9B"

# No colour holds white text and is text itself on a dark page: where Streamlit writes in the primary colour, half of it is
# the text's own colour (which currentColor is here).
_SELECTED = ", ".join((
    '[data-testid="stTab"][aria-selected="true"]', '[data-variant][aria-checked="true"]',
    '[data-variant][aria-pressed="true"]', '[data-testid="stSliderThumbValue"]',
))  # fmt: skip
_SELECTED_CSS = f"""
:is({_SELECTED}) {{color: color-mix(in srgb, {VALIDATION}, currentColor) !important;}}
:is({_SELECTED}) * {{color: inherit !important;}}
"""

_LAYOUT_CSS = """
.block-container, .stMainBlockContainer {max-width: 1240px; padding-top: 4.5rem; padding-bottom: 3rem;}
@media (max-width: 640px) {.stMainBlockContainer {padding-left: 1rem; padding-right: 1rem;}}
[data-testid="stMultiSelect"] [role="group"] {height: auto; max-height: none;}
[data-testid="stMultiSelectTagsContainer"] {overflow: visible; mask-image: none; -webkit-mask-image: none;}
[data-testid="stMultiSelectTagsContainer"], [data-testid="stMultiSelectTagsContainer"] > [role="group"] {flex-wrap: wrap; max-width: 100%;}
[data-testid="stMultiSelectTagsContainer"] [data-tag] {height: auto; max-width: 100%;}
[data-testid="stMultiSelectTagsContainer"] [data-tag] > span {white-space: normal; overflow-wrap: anywhere; max-width: none;}
/* A table that goes on to the right fades out there until it is scrolled to its end; browsers without
   scroll-driven animations show it cut off. */
@keyframes unfade {from, 85% {mask-size: 100% 100%;}}
[data-testid="stTable"] > div, .layers {
  mask: linear-gradient(to left, transparent, #000 3rem) no-repeat left / calc(100% + 3rem) 100%;
  animation: unfade linear; animation-timeline: scroll(self inline);
}
"""

BASE_CSS = _SELECTED_CSS + _LAYOUT_CSS
