"""The ladder as a picture: every variant's test accuracy in the report, and ours where a model is stored.

A circle's size is the network's operations (log scale).  Wide screens get one drawing with
the variants from left to right, narrow ones a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from textwrap import wrap

from pages.shared import style, text
from training.results import Row

WIDTH, MIDDLE, TOP = 1000, 230, 34  # across; down: of the marks, above them
REPORT, OURS = style.SERIES[0], style.SERIES[1]

CSS = """
.ladder {container-type: inline-size; line-height: 1.2; padding-bottom: 1.2rem;}
.ladder svg {display: block; width: 100%; height: auto; overflow: visible; font-family: inherit;}
.ladder text {fill: currentColor; paint-order: stroke; stroke: Canvas; stroke-width: 4px; stroke-linejoin: round;}
.ladder .quiet {opacity: .65;}
.ladder .list {display: none;}
@container (max-width: 640px) {.ladder .row {display: none;} .ladder .list {display: block;}}
.ladder .key {display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; opacity: .9; margin-top: .2rem;}
.ladder .key i {display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem;}
"""


def draw(rows: Sequence[Row], large: bool = False) -> str:
    """Both drawings and their key as one line of HTML.  `large`: to be read from afar."""
    shown = [row for row in rows if row.report_accuracy is not None or row.accuracy is not None]
    ours = any(row.accuracy is not None for row in shown)
    key = f'<span><i style="background:{REPORT};border-radius:50%"></i>the report, test accuracy</span>'
    if ours:
        key += f'<span><i style="background:{OURS};transform:rotate(45deg) scale(.8)"></i>this program, models stored here</span>'
    key += "<span>The larger the circle, the more operations a picture</span>"
    return f'<div class="ladder">{_row(shown, 1.35 if large else 1.0)}{_list(shown)}<div class="key">{key}</div></div>'


def _radius(row: Row) -> float:
    return 6.0 + 4.5 * max(0.0, log10(row.macs / 5e5))


def _scale(rows: Sequence[Row]) -> tuple[float, float]:
    values = [row.report_accuracy for row in rows if row.report_accuracy is not None]
    values += [row.accuracy.mean for row in rows if row.accuracy is not None]
    return max(0.0, min(values) - 0.05), min(1.0, max(values) + 0.04)


def _row(rows: Sequence[Row], scale: float) -> str:
    low, high = _scale(rows)
    step = WIDTH / len(rows)
    names, values = min(scale, 1.2), min(15 * scale, step / 3.9)
    # Names in rows, in turns: each has the room of as many steps.
    turns = 2 if scale == 1 else 3
    titles = [_wrapped(row.title, (1.3 if row is rows[-1] else turns - 0.05) * step / (6.9 * names)) for row in rows]
    deep = [max(len(lines) for lines in titles[turn::turns]) for turn in range(min(turns, len(rows)))]
    height = TOP + MIDDLE + 24 + 16 * names * (sum(deep) + 0.5 * turns)
    y = lambda value: TOP + MIDDLE * (high - value) / (high - low)  # noqa: E731
    parts, path = [], []
    for tenth in range(int(low * 10) + 1, int(high * 10) + 1):
        parts.append(f'<path d="M34 {y(tenth / 10):.1f}H{WIDTH}" stroke="currentColor" opacity=".13"/>')
        parts.append(
            f'<text x="0" y="{y(tenth / 10) + 4:.1f}" font-size="{12.5 * scale:.1f}" class="quiet">{10 * tenth} %</text>'
        )
    marks = []
    for index, row in enumerate(rows):
        x = 34 + (WIDTH - 34) * (index + 0.5) / len(rows)
        marks.append(f"<g><title>{escape(_tip(row))}</title>")
        edges: list[tuple[float, float, str, str]] = []  # a mark's upper and lower edge, its figure and colour
        if row.report_accuracy is not None:
            place, radius = y(row.report_accuracy), _radius(row)
            path.append(f"{x:.1f} {place:.1f}")
            marks.append(f'<circle cx="{x:.1f}" cy="{place:.1f}" r="{radius:.1f}" fill="{REPORT}"/>')
            edges.append((place - radius, place + radius, text.percent(row.report_accuracy), REPORT))
        if row.accuracy is not None:
            place = y(row.accuracy.mean)
            marks.append(
                f'<path d="M{x:.1f} {place - 7:.1f}l7 7l-7 7l-7 -7z" fill="{OURS}" stroke="Canvas" stroke-width="1"/>'
            )
            edges.append((place - 7, place + 7, text.percent(row.accuracy.mean), OURS))
        # Two figures stand above and below both marks, one alone above its own.
        for number, (_, _, figure, colour) in enumerate(sorted(edges, key=lambda edge: edge[0] + edge[1])):
            top, bottom = min(edge[0] for edge in edges) - 7, max(edge[1] for edge in edges) + 4 + 0.85 * values
            marks.append(_text(x, bottom if number else top, figure, values, "600", fill=colour))
        first = TOP + MIDDLE + 34 + 16 * names * (sum(deep[: index % turns]) + 0.5 * (index % turns))
        for number, words in enumerate(titles[index]):
            outside = x + 3.6 * names * len(words) > WIDTH  # the last one, when its words are long
            at, anchor = (WIDTH, "end") if outside else (x, "middle")
            marks.append(_text(at, first + 16 * names * number, words, 13.5 * names, "500", anchor))
        marks.append("</g>")
    line = (
        f'<path d="M{" L".join(path)}" fill="none" stroke="{REPORT}" stroke-width="2" opacity=".45"/>' if path else ""
    )
    label = _label("Test accuracy, step by step from BaseNet", rows)
    return f'<svg class="row" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}">{"".join(parts)}{line}{"".join(marks)}</svg>'


def _wrapped(title: str, characters: float) -> list[str]:
    return wrap(title, int(characters), break_long_words=False)


def _list(rows: Sequence[Row]) -> str:
    low, high = _scale(rows)
    x = lambda value: 8 + 284 * (value - low) / (high - low)  # noqa: E731
    parts = []
    for index, row in enumerate(rows):
        top = 46 * index
        parts.append(
            f'<g><title>{escape(_tip(row))}</title><text x="0" y="{top + 14}" font-size="14" font-weight="500">{escape(row.title)}</text>'
        )
        parts.append(f'<path d="M0 {top + 29}H300" stroke="currentColor" opacity=".15" stroke-width="1.5"/>')
        if row.report_accuracy is not None:
            parts.append(
                f'<circle cx="{x(row.report_accuracy):.1f}" cy="{top + 29}" r="{0.7 * _radius(row):.1f}" fill="{REPORT}"/>'
            )
            parts.append(_text(358, top + 14, text.percent(row.report_accuracy), 14, "600", "end", REPORT))
        if row.accuracy is not None:
            parts.append(f'<path d="M{x(row.accuracy.mean):.1f} {top + 23}l6 6l-6 6l-6 -6z" fill="{OURS}"/>')
            parts.append(_text(358, top + 33, text.percent(row.accuracy.mean), 14, "600", "end", OURS))
        parts.append("</g>")
    return f'<svg class="list" viewBox="0 0 360 {46 * len(rows)}" role="img" aria-label="{_label("Test accuracy of the variants", rows)}">{"".join(parts)}</svg>'


def _label(what: str, rows: Sequence[Row]) -> str:
    """What a screen reader says of the whole picture, which to it is one thing: all figures."""
    return escape(f"{what}. {'; '.join(map(_tip, rows))}.", quote=True)


def _tip(row: Row) -> str:
    parts = [row.name]
    if row.report_accuracy is not None:
        parts.append(f"the report {row.report_accuracy:.4f}")
    if row.accuracy is not None:
        parts.append(f"here {row.accuracy}")
    return ", ".join([*parts, f"{row.macs:,} multiply-adds", f"{row.parameters:,} parameters"])


def _text(x: float, y: float, words: str, size: float, weight: str, anchor: str = "middle", fill: str = "") -> str:
    """`fill`: the colour of the mark that a figure belongs to, nearer to the text's own, so that small type can be read."""
    colour = f' style="fill:color-mix(in srgb, {fill} 70%, currentColor)"' if fill else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"{colour}>'
        f"{escape(words)}</text>"
    )
