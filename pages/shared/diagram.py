"""The network as a drawing: one SVG for wide screens (a row of boxes), one for narrow (a list).

A box's height is its spatial size and its thickness the logarithm of its channels, so that
the eye sees what the report's figure shows: pictures shrink while channels grow.  Batch
norm, activation and dropout are stripes on the box they act on; a shortcut is an arc from
the box it leaves to the one it joins.  Colours of text follow
the page (currentColor); a box whose layers the entry does not have is outlined.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from functools import lru_cache
from html import escape
from math import log2

from pages.shared import style
from pages.shared.boxes import Box, boxes
from training.describe import Layer
from training.network_spec import Network

WIDTH, TOP, TALL, BOTTOM = 1000, 56, 176, 72  # the row: space above, the input's height, space below
ARCS = 16  # further space below, where there are shortcuts
ROW = 27  # a line of the list

CSS = """
.network {container-type: inline-size; line-height: 1.2; padding-bottom: .8rem;}
.network svg {display: block; width: 100%; height: auto; overflow: visible; font-family: inherit;}
.network text {fill: currentColor;}
.network .quiet {opacity: .7;}
.network .list {display: none;}
@container (max-width: 600px) {.network .row {display: none;} .network .list {display: block;}}
.network-key {display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .82rem; margin-top: .3rem;}
.network-key i {display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .35rem;}
.network-key i.new {background: none; border: 2px solid currentColor;}
"""


def draw(network: Network, base: Network | None = None, name: str = "", large: bool = False) -> str:
    """Both drawings as one line of HTML, for `st.markdown(..., unsafe_allow_html=True)`.

    Layers that `base`, called `name`, does not have are outlined.  `large`: to be read from afar.
    """
    return _draw(network, base if base != network else None, name, large)


@lru_cache(maxsize=128)
def _draw(network: Network, base: Network | None, name: str, large: bool) -> str:
    parts = boxes(network)
    new = _new(parts, boxes(base)) if base else frozenset()
    return f'<div class="network">{_row(parts, new, 1.5 if large else 1.0)}{_list(parts, new)}{_key(parts, name if new else "")}</div>'


def _new(parts: tuple[Box, ...], base: tuple[Box, ...]) -> frozenset[int]:
    matcher = SequenceMatcher(None, [b.key for b in base], [b.key for b in parts], autojunk=False)
    return frozenset(
        i for tag, _, _, lo, hi in matcher.get_opcodes() if tag in ("insert", "replace") for i in range(lo, hi)
    )


# --- The row of boxes ---------------------------------------------------------------------


def _row(parts: tuple[Box, ...], new: frozenset[int], scale: float) -> str:
    largest = max(box.shape[0] for box in parts if len(box.shape) == 3) if len(parts[0].shape) == 3 else 1
    lean = 0.30  # how far a box's depth leads to the right and up, as a share of its height
    stripe = 5.0 if len(parts) < 14 else 3.5 if len(parts) < 24 else 1.6

    def height(box: Box) -> float:
        if len(box.shape) == 3:
            return max(7.0, TALL * box.shape[0] / largest)
        return max(10.0, 13.5 * log2(max(2, box.shape[0])))

    logs = [log2(max(2, box.shape[-1])) if len(box.shape) == 3 else 3.0 for box in parts]
    stripes = [stripe * len(box.stripes) for box in parts]
    deepest = max((height(box) for box in parts[-1:] if len(box.shape) == 3), default=0.0)
    room = WIDTH - 16 - lean * deepest - sum(stripes)
    unit = min(6.0, 0.55 * room / sum(logs))
    gap = (room - unit * sum(logs)) / max(1, len(parts) - 1)
    gap = min(gap, 64.0)
    used = unit * sum(logs) + sum(stripes) + gap * (len(parts) - 1)
    x = (WIDTH - lean * deepest - used) / 2
    middle = TOP + TALL / 2 + 8
    shapes: list[str] = []
    labels: list[str] = []
    spans: list[tuple[str, float, float]] = []
    ends: list[tuple[float, float]] = []  # of each box: where arcs touch it
    before, labelled, behind = -1, 0.0, (0.0, 0.0, 0.0)
    for index, box in enumerate(parts):
        body = unit * logs[index]
        whole, tall = body + stripes[index], height(box)
        flat = len(box.shape) == 1
        deep = 0.0 if flat else lean * tall
        y = middle - tall / 2 + deep / 3
        shapes.append(_box(box, x, y, body, tall, deep, stripe, index in new))
        channels = box.shape[-1]
        spacing = body + stripes[index] + gap
        if channels != before or flat:
            name = f"{channels:,}"
            center, half = x + whole / 2 + deep / 2, 4.8 * scale * len(name)
            if center - half > labelled:  # else it would run into the one before
                labels.append(_text(center, y - deep * 0.75 - 9, name, 17 * scale, bold=True))
                labelled = center + half
        before = channels
        note = _note(box)
        if note and scale == 1 and spacing >= 9 * len(note):
            free = _reach(behind, y + tall + 6) + 3.6 * len(note)  # else it would stand on the box before
            labels.append(_text(max(x + whole / 2, free), y + tall + 17, note, 13, quiet=True))
        behind = (x + whole, deep, y + tall)
        size = "×".join(map(str, box.shape[:2])) if not flat else "vector"
        if spans and spans[-1][0] == size:
            spans[-1] = (size, spans[-1][1], x + whole)
        else:
            spans.append((size, x, x + whole))
        ends.append((x + whole / 2, y + tall))
        if box.source is not None:
            labels.append(_arc(*ends[box.source], *ends[-1]))
        x += whole + gap
    arcs = ARCS if any(box.source is not None for box in parts) else 0
    base = TOP + TALL + 46 + arcs
    for size, start, end in spans:
        room = len(size) * 7.6 * scale
        labels.append(f'<path d="M{start:.1f} {base}H{max(end, start + 6):.1f}" stroke="currentColor" opacity=".45"/>')
        if end - start + gap >= room:
            labels.append(_text((start + end) / 2, base + 18 * scale, size, 14.5 * scale, quiet=True))
    # Later boxes stand in front of the depth of earlier ones, as in the usual figures.
    return (
        f'<svg class="row" viewBox="0 0 {WIDTH} {TOP + TALL + BOTTOM + arcs}" role="img" aria-label="The layers in a row">'
        f"{''.join(shapes)}{''.join(labels)}</svg>"
    )


def _reach(front: tuple[float, float, float], y: float) -> float:
    """How far right a box reaches at height `y`, by its front's right edge, its depth and its front's lower end."""
    right, deep, low = front
    return right + min(deep, (low - y) / 0.75) if deep and y < low else 0.0


def _box(box: Box, x: float, y: float, body: float, tall: float, deep: float, stripe: float, new: bool) -> str:
    up = deep * 0.75
    parts = [f"<title>{escape(box.tip)}</title>"]
    slabs = [(body, box.color), *((stripe, style.LAYER[layer.kind]) for layer in box.stripes)]
    left = x
    for position, (wide, color) in enumerate(slabs):
        opacity = 1.0 if position == 0 or color != style.MUTED else (0.9 if position % 2 else 0.6)
        parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="{color}" fill-opacity="{opacity}"/>'
        )
        if deep:
            top = f"{left:.1f},{y:.1f} {left + deep:.1f},{y - up:.1f} {left + wide + deep:.1f},{y - up:.1f} {left + wide:.1f},{y:.1f}"
            parts.append(f'<polygon points="{top}" fill="{color}" fill-opacity="{0.62 * opacity:.2f}"/>')
        left += wide
    if deep:
        side = f"{left:.1f},{y:.1f} {left + deep:.1f},{y - up:.1f} {left + deep:.1f},{y - up + tall:.1f} {left:.1f},{y + tall:.1f}"
        parts.append(f'<polygon points="{side}" fill="{box.color}" fill-opacity=".3"/>')
    if new:
        outline = (
            f"M{x:.1f} {y:.1f}l{deep:.1f} {-up:.1f}H{left + deep:.1f}v{tall:.1f}l{-deep:.1f} {up:.1f}H{x:.1f}z"
            if deep
            else f"M{x:.1f} {y:.1f}H{left:.1f}v{tall:.1f}H{x:.1f}z"
        )
        parts.append(f'<path d="{outline}" fill="none" stroke="currentColor" stroke-width="1.6"/>')
    return f"<g>{''.join(parts)}</g>"


def _arc(x: float, y: float, to_x: float, to_y: float) -> str:
    """A shortcut, beneath the boxes and their notes."""
    y, to_y = y + 21, to_y + 21
    low = max(y, to_y) + 16
    return (
        f'<path d="M{x:.1f} {y:.1f}C{x:.1f} {low:.1f} {to_x:.1f} {low:.1f} {to_x:.1f} {to_y:.1f}" fill="none" '
        f'stroke="{style.LAYER["add"]}" stroke-width="2"/>'
    )


def _note(box: Box) -> str:
    layer = box.layer
    if layer is None:
        return "input"
    match layer.kind:
        case "conv":
            return f"{layer.kernel}×{layer.kernel}{_stride(layer)}"
        case "pool":
            return f"{'avg' if layer.pooling == 'average' else 'max'} {layer.size}×{layer.size}"
        case "global_pool":
            return "avg"
        case "flatten":
            return "flatten"
    return "output" if layer.name == "output" else "dense"


def _stride(layer: Layer) -> str:
    """ " /2" where a convolution moves by two pixels, as papers write it."""
    return f" /{layer.stride}" if layer.stride > 1 else ""


def _text(
    x: float, y: float, text: str, size: float, bold: bool = False, quiet: bool = False, anchor: str = "middle"
) -> str:
    extra = (' font-weight="600"' if bold else "") + (' class="quiet"' if quiet else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


# --- The list, for narrow screens -----------------------------------------------------------


def _list(parts: tuple[Box, ...], new: frozenset[int]) -> str:
    largest = max((box.shape[0] for box in parts if len(box.shape) == 3), default=1)
    lines = []
    for index, box in enumerate(parts):
        y = ROW * index + ROW / 2
        flat = len(box.shape) == 1
        wide = 12.0 * log2(max(2, box.shape[0])) if flat else max(6.0, 118.0 * box.shape[0] / largest)
        tall = 5.0 if flat else 3.0 + 2.0 * log2(max(2, box.shape[-1]))
        wide = min(wide, 128.0)
        edge = ' stroke="currentColor" stroke-width="1.4"' if index in new else ""
        lines.append(f"<g><title>{escape(box.tip)}</title>{_text(0, y + 4.5, _line(box), 13, anchor='start')}")
        lines.append(
            f'<rect x="{196 - wide / 2:.1f}" y="{y - tall / 2:.1f}" width="{wide:.1f}" height="{tall:.1f}" rx="1.5" fill="{box.color}"{edge}/>'
        )
        for place, stripe in enumerate(s for s in box.stripes if s.kind in ("batch_norm", "add", "dropout")):
            color = style.LAYER[stripe.kind]
            lines.append(
                f'<rect x="{200 + wide / 2 + 6 * place:.1f}" y="{y - 6:.1f}" width="4" height="12" rx="1" fill="{color}"/>'
            )
        size = "×".join(map(str, box.shape))
        lines.append(_text(358, y + 4.5, size, 12.5, quiet=True, anchor="end") + "</g>")
    return (
        f'<svg class="list" viewBox="0 0 360 {ROW * len(parts)}" role="img" aria-label="The layers, one a line">'
        f"{''.join(lines)}</svg>"
    )


def _line(box: Box) -> str:
    layer = box.layer
    if layer is None:
        return "Input"
    match layer.kind:
        case "conv":
            if layer.fixed:
                return f"Whitening {layer.kernel}×{layer.kernel}, {layer.filters}"
            return f"Conv {layer.kernel}×{layer.kernel}{_stride(layer)}, {layer.filters}"
        case "pool":
            return f"{'Avg' if layer.pooling == 'average' else 'Max'} pool"
        case "global_pool":
            return "Global avg"
        case "flatten":
            return "Flatten"
    return "Output" if layer.name == "output" else f"Dense {layer.units}"


def _key(parts: tuple[Box, ...], base: str) -> str:
    kinds = {box.layer.kind for box in parts if box.layer} | {s.kind for box in parts for s in box.stripes}
    names = {
        "conv": "convolution",
        "pool": "pooling",
        "dense": "dense",
        "dropout": "dropout",
        "add": "shortcut",
    }
    marks = [
        f'<span><i style="background:{style.LAYER[kind]}"></i>{name}</span>'
        for kind, name in names.items()
        if kind in kinds
    ]
    grey = {"flatten": "flatten", "batch_norm": "batch norm", "activation": "activation"}
    others = ", ".join(["input", *(name for kind, name in grey.items() if kind in kinds)])
    marks.append(f'<span><i style="background:{style.MUTED}"></i>{others}</span>')
    if base:
        marks.append(f'<span><i class="new"></i>new against {escape(base)}</span>')
    return f'<div class="network-key">{"".join(marks)}</div>'
