"""Charts as plain Vega-Lite: dictionaries in, no Altair and no data frames, so a redraw takes milliseconds.

Training is orange and dashed, validation blue and solid: told apart in light, in dark, in
print and by the colour-blind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log2
from typing import Any

import streamlit as st

from pages.shared import present, style
from training.describe import describe
from training.network_spec import Network
from training.status import whole_epochs

Row = Mapping[str, Any]


def show(spec: dict[str, Any], key: str | None = None, alt: str | None = None) -> None:
    """Draw a Vega-Lite spec across the width of its container; larger type in present mode."""
    spec = {"autosize": {"type": "fit", "contains": "padding"}, **spec}
    if present.is_on():
        big = {"labelFontSize": 24, "titleFontSize": 24}
        spec["height"] = round(1.4 * spec.get("height", 300))
        spec["config"] = {**spec.get("config", {}), "axis": big, "legend": big, "title": {"fontSize": 24}}
    st.vega_lite_chart(spec=spec, width="stretch", key=key, alt=alt)


def curve(history: Sequence[Row], measure: str, height: int = 300) -> dict[str, Any]:
    """One chart of `measure` ("loss" or "accuracy") by epoch for one run."""
    epochs = whole_epochs(history)
    values = [{"epoch": row["epoch"], "value": row.get(f"val_{measure}"), "part": "validation"} for row in epochs]
    # The finer in-epoch means show the first epochs live; after them, the epochs' own means are the honest curve.
    source = epochs if len(epochs) >= 3 else _fine(history, epochs)
    values += [{"epoch": row["epoch"], "value": row.get(measure), "part": "training"} for row in source]
    values = [row for row in values if row["value"] is not None]
    color = {
        "field": "part",
        "type": "nominal",
        "scale": {"domain": ["training", "validation"], "range": [style.TRAINING, style.VALIDATION]},
        "legend": None,
    }
    dash = {
        "field": "part",
        "type": "nominal",
        "scale": {"domain": ["training", "validation"], "range": [[5, 4], [1, 0]]},
        "legend": None,
    }
    return _lines(values, measure, height, color, {"strokeDash": dash}, points=len(epochs) <= 30)


def _fine(history: Sequence[Row], epochs: Sequence[Row]) -> list[Row]:
    """The points within epochs; an epoch's own mean only where fewer than two of them lie in it.

    A mean over the whole epoch, drawn at its end, would be a step up in a loss that falls.
    """
    steps = [row for row in history if row.get("kind") == "step"]

    def within(epoch: Row) -> int:
        return sum(epoch["epoch"] - 1 < row["epoch"] <= epoch["epoch"] for row in steps)

    means = [epoch for epoch in epochs if within(epoch) < 2]
    return sorted([*steps, *means], key=lambda row: row["epoch"])


def overlay(runs: Mapping[str, Sequence[Row]], measure: str, height: int = 340) -> dict[str, Any]:
    """Validation curves of several runs over each other, {run's title: history}, training dashed."""
    names = list(runs)
    values = [
        {"epoch": row["epoch"], "value": row.get(field), "run": name, "part": part}
        for name, history in reversed([*runs.items()])  # what comes last is drawn on top: the first one
        for row in whole_epochs(history)
        for field, part in ((measure, "training"), (f"val_{measure}", "validation"))
        if row.get(field) is not None
    ]
    color = {
        "field": "run",
        "type": "nominal",
        "scale": {"domain": names, "range": [style.SERIES[i % len(style.SERIES)] for i in range(len(names))]},
        "legend": None,
    }
    scale = {"domain": ["training", "validation"]}
    extra = {
        "strokeDash": {
            "field": "part",
            "type": "nominal",
            "scale": {**scale, "range": [[5, 4], [1, 0]]},
            "legend": None,
        },
        "opacity": {"field": "part", "type": "nominal", "scale": {**scale, "range": [0.85, 1]}, "legend": None},
    }
    return _lines(values, measure, height, color, extra, points=False)


def _lines(values: list[dict[str, Any]], measure: str, height: int, color: dict[str, Any], extra: dict[str, Any],
           points: bool) -> dict[str, Any]:  # fmt: skip
    accuracy = measure == "accuracy"
    axis: dict[str, Any] = {"title": None}
    if accuracy:  # a place beyond 100 % makes room for points, and is not named
        axis |= {"format": ".0%", "labelExpr": "datum.value > 1.001 ? '' : datum.label"}
    # The padding keeps points at an edge whole.
    scale: dict[str, Any] = {"zero": False, "nice": True, "padding": 6}
    across: dict[str, Any] = {"zero": False, "nice": False, "padding": 8}
    if values and max(row["epoch"] for row in values) < 1:  # of a training cut short: one place is no axis
        across["domain"] = [0, 1]
    points = points or len({row["epoch"] for row in values}) == 1  # of which no line can be drawn
    if not values:  # axes alone, until the first point comes
        scale, across = {"domain": [0, 1 if accuracy else 3]}, {"domain": [0, 1]}
    title: dict[str, Any] = {"text": measure.capitalize(), "anchor": "start"}
    trained = [row["value"] for row in values if row["part"] == "training"]
    top = max(values, key=lambda row: row["value"], default=None)
    if not accuracy and trained and top and top["value"] > 2 * max(trained):
        # Batch norm's moving statistics are far off in the first epochs, and the loss with them: let it leave the chart.
        scale["domainMax"] = 2 * max(trained)
        title["subtitle"] = f"leaves the chart: up to {top['value']:.3g}, at epoch {top['epoch']:.3g}"
    tooltip = [
        {"field": name, "type": kind, **more}
        for name, kind, more in (
            ("run", "nominal", {}),
            ("part", "nominal", {}),
            ("epoch", "quantitative", {"format": ".2~f"}),
            ("value", "quantitative", {"title": measure, "format": ".1%" if accuracy else ".4f"}),
        )
        if name != "run" or any("run" in row for row in values)
    ]
    return {
        "title": title,
        "height": height,
        "data": {"values": values},
        "mark": {
            "type": "line",
            "clip": True,
            "strokeWidth": 2.5,
            "interpolate": "linear",
            "point": {"size": 26} if points else False,
        },
        "encoding": {
            "x": {
                "field": "epoch",
                "type": "quantitative",
                "axis": {"title": "epoch", "tickMinStep": 1, "grid": False, "labelFlush": 14, "format": ".2~f"},
                "scale": across,
            },
            "y": {"field": "value", "type": "quantitative", "axis": axis, "scale": scale},
            "color": color,
            "tooltip": tooltip,
            **extra,
        },
    }


def matrix(names: Sequence[str], right: Sequence[int], taken: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """A confusion matrix, rows what it was and columns what it was taken for: right answers blue, others orange.

    The more of a row's pictures, the stronger the colour; of the others, as a share of the largest there is.
    """
    totals = [right[i] + sum(taken.get((i, j), 0) for j in range(len(names))) for i in range(len(names))]
    counts = {**{(i, i): count for i, count in enumerate(right)}, **taken}
    values = [
        {"it was": names[i], "taken for": names[j], "pictures": count, "of": totals[i],
         "share": count / max(1, totals[i]), "part": "right" if i == j else "wrong"}
        for i in range(len(names)) for j in range(len(names)) for count in [counts.get((i, j), 0)]
    ]  # fmt: skip
    axis = {"labelLimit": 160, "labelOverlap": False, "ticks": False, "domain": False}

    def layer(part: str, color: str) -> dict[str, Any]:
        return {
            "transform": [{"filter": f"datum.part == '{part}'"}],
            "mark": {"type": "rect", "color": color},
            "encoding": {"opacity": {"field": "share", "type": "quantitative", "legend": None,
                                     "scale": {"type": "sqrt", "domainMin": 0, "range": [0.04, 1]}}},
        }  # fmt: skip

    return {
        "height": 22 * len(names) + 120,
        "data": {"values": values},
        "encoding": {
            "y": {"field": "it was", "type": "nominal", "sort": None, "axis": axis},
            "x": {"field": "taken for", "type": "nominal", "sort": None, "axis": {**axis, "labelAngle": -60}},
            "tooltip": [{"field": name, "type": "nominal"} for name in ("it was", "taken for", "pictures", "of")],
        },
        "layer": [layer("right", style.VALIDATION), layer("wrong", style.TRAINING)],
        "resolve": {"scale": {"opacity": "independent"}},
        "config": {"view": {"stroke": None}, "scale": {"bandPaddingInner": 0.06}},
    }


def depth(network: Network, reference: tuple[str, Network] | None = None, height: int = 250) -> dict[str, Any]:
    """The report's figure: channels grow layer by layer as the spatial size shrinks, on a log scale.

    `reference` (its name and network) is drawn behind, broad and faint.
    """
    values = _depth(network, "this design")
    behind = _depth(reference[1], reference[0]) if reference else []
    top = max(row["value"] for row in [*values, *behind])
    domain, colors = ["channels", "spatial size"], [style.LAYER["conv"], style.LAYER["pool"]]
    legend = {"orient": "top", "title": None, "symbolType": "stroke", "symbolStrokeWidth": 3}
    both = ["this design", *([reference[0]] if reference else [])]

    def by_design(here: float, there: float) -> dict[str, Any]:
        return {
            "field": "design",
            "type": "nominal",
            "scale": {"domain": both, "range": [here, there][: len(both)]},
            "legend": None,
        }

    encoding = {
        "x": {"field": "place", "type": "quantitative", "axis": None},
        "y": {"field": "value", "type": "quantitative", "scale": {"type": "log", "base": 2, "domain": [1, 2 ** ceil(log2(top))]}, "axis": {"title": None, "format": "d", "tickCount": 6}},
        "color": {"field": "what", "type": "nominal", "scale": {"domain": domain, "range": colors}, "legend": legend},
    }  # fmt: skip
    tooltip = [{"field": name, "type": "nominal"} for name in ("design", "layer", "what", "value")]
    lines = {
        "mark": {"type": "line", "interpolate": "monotone"},
        "encoding": {
            **encoding,
            "strokeDash": {"field": "what", "type": "nominal", "scale": {"domain": domain, "range": [[1, 0], [5, 4]]}, "legend": legend},
            "opacity": by_design(1, 0.22),
            "strokeWidth": by_design(2.5, 6),
        },
    }  # fmt: skip
    points = {
        "data": {"values": values},
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
        "encoding": {**encoding, "tooltip": tooltip},
    }
    return {"height": height, "data": {"values": [*behind, *values]}, "layer": [lines, points]}


def _depth(network: Network, design: str) -> list[dict[str, Any]]:
    """Channels and side length after the input and after each layer with a shape of its own, before flattening."""
    shapes = [("input", tuple(network.input_shape))]
    shapes += [
        (layer.title, layer.output_shape) for layer in describe(network).layers if layer.kind in ("conv", "pool")
    ]
    rows = []
    for place, (layer, shape) in enumerate(shapes):
        if len(shape) == 3:
            rows.append({"design": design, "place": place, "layer": layer, "what": "channels", "value": shape[2]})
            rows.append({"design": design, "place": place, "layer": layer, "what": "spatial size", "value": shape[0]})
    return rows
