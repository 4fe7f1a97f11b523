"""Runs and shipped models side by side, in words and numbers: what Train and Compare show of them.

A run here is anything with `id`, `spec()`, `status()`, `history()` and `card()` (see
`training.rundir`).  Its curves use validation; test figures appear only where they were taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pages.shared import text
from training import catalogue, toggles
from training.card import on_gpu
from training.describe import describe
from training.rundir import RunDir, RunError
from training.spec import RunSpec, SpecError, difference, flatten
from training.status import whole_epochs
from training.transfer import backbones

Row = Mapping[str, Any]

# Fields that are no toggles, by the words people know.
_LABELS = {
    "data.name": "Pictures",
    "data.backbone": "Backbone",
    "data.backbone_size": "Picture size for the backbone",
    "data.backbone_stage": "Last stage of the backbone",
    "network.classes": "Classes",
    "network.input_shape": "Network's input",
    "fit.minutes": "Time limit in minutes",
    "fit.early_stopping.patience": "Early stopping: patience",
    "fit.early_stopping.max_epochs": "Early stopping: at most epochs",
    "fit.seed": "Seed",
    "fit.nesterov": "Nesterov momentum",
    "fit.decay": "Learning-rate decay",
    "fit.warmup_epochs": "Warm-up epochs",
    "fit.fine_tune": "Fine-tuning of the backbone",
    "fit.precision": "Number format",
}


def readable(found: Iterable[RunDir]) -> Iterator[tuple[RunDir, RunSpec]]:
    """Each run with its spec; broken directories are passed over."""
    for run in found:
        with suppress(RunError):
            yield run, run.spec()


def entry(spec: RunSpec) -> catalogue.Variant | None:
    """The catalogue's entry that the spec started from; None for a person's own name."""
    with suppress(SpecError):
        return catalogue.variant(spec.name)
    return None


def kind(spec: RunSpec) -> tuple[str, str, str | None]:
    """What a run and its parent in the catalogue have alike, behind the name: pictures and backbone."""
    return spec.name, spec.data.name, spec.data.backbone


def best(history: Iterable[Row]) -> Row | None:
    """The epoch with the lowest validation loss; None before the first."""
    measured = [row for row in whole_epochs(history) if row.get("val_loss") is not None]
    return min(measured, key=lambda row: row["val_loss"], default=None)


def kept(spec: RunSpec, history: Iterable[Row]) -> Row | None:
    """The epoch whose weights are kept: with early stopping the one of the lowest validation loss, else the last."""
    rows = list(history)
    measured = [row for row in whole_epochs(rows) if row.get("val_loss") is not None]
    return best(rows) if spec.fit.early_stopping or not measured else measured[-1]


def up_to_now(history: Sequence[Row]) -> list[Row]:
    """The history with the finer points of the unfinished epoch as points of the training curve."""
    whole = whole_epochs(history)
    if len(whole) < 3:  # the chart shows all the fine points there are
        return list(history)
    return [*whole, *({**row, "kind": "epoch"} for row in history if row["epoch"] > whole[-1]["epoch"])]


def layers(spec: RunSpec, whole: bool = False) -> str:
    """The network's blocks in a few words: "Conv 6, 16 · Dense 50"; `whole` tells kernels, padding and places, too."""
    if whole:
        words = {"conv": "Conv {filters} ({kernel}x{kernel}, {padding})", "dense": "Dense {units}", "pool": "Pool {size}",
                 "dropout": "Dropout", "flatten": "Flatten", "global_pool": "Global pool"}  # fmt: skip
        return ", ".join(words[block.kind].format_map(block.model_dump()) for block in spec.network.blocks)
    convolutions = [str(block.filters) for block in spec.network.blocks if block.kind == "conv"]
    dense = [str(block.units) for block in spec.network.blocks if block.kind == "dense"]
    parts = (("Conv", convolutions), ("Dense", dense))
    return " · ".join(f"{kind} {', '.join(sizes)}" for kind, sizes in parts if sizes) or "output layer only"


def settings(spec: RunSpec, paths: Iterable[str]) -> dict[str, str]:
    """{label: value in words} for the dotted `paths` of a spec; the network's blocks are one row."""
    words: dict[str, str] = {}
    for path in paths:
        toggle = next((t for t in toggles.TOGGLES if path == t.path or path.startswith(f"{t.path}.")), None)
        if path.startswith("network.blocks"):
            words["Layers"] = layers(spec)
        elif toggle is not None and toggle.key == "early_stopping":
            stopping = spec.fit.early_stopping
            words[toggle.label] = (
                f"patience {stopping.patience}, at most {stopping.max_epochs} epochs" if stopping else "off"
            )
        elif toggle is not None and toggle.key == "dropout_ramp" and (share := spec.fit.dropout_ramp):
            words[toggle.label] = "over all epochs" if share == 1 else f"over {text.percent(share, 0)} of the epochs"
        elif path == "fit.epochs" and spec.fit.early_stopping:
            words[toggle.label if toggle else path] = "–"  # early stopping has its own
        elif toggle is not None:
            value = toggle.read(spec)
            words[toggle.label] = "off" if toggle.kind == "slider" and value == 0 else toggle.to_text(value)
        else:
            of_none = path in ("data.backbone_size", "data.backbone_stage") and spec.data.backbone is None
            word = _word(None if of_none else flatten(spec).get(path))
            words[_LABELS.get(path, path)] = text.data_title(word) if path == "data.name" else word
    return words


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " x ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(specs: Sequence[RunSpec]) -> list[dict[str, str]]:
    """The settings in which the specs are not all equal, in the spec's order, their names apart.

    One row a setting: {"setting": label, "0": value in the first spec, "1": ...}.
    """
    paths = list(dict.fromkeys(path for spec in specs[1:] for path in difference(specs[0], spec) if path != "name"))
    columns = [settings(spec, paths) for spec in specs]
    if len({column.get("Layers") for column in columns}) == 1 and "Layers" in columns[0]:
        columns = [{**column, "Layers": layers(spec, whole=True)} for column, spec in zip(columns, specs, strict=True)]
    labels = list(dict.fromkeys(label for column in columns for label in column))
    return [
        {"setting": label, **{str(i): column.get(label, "–") for i, column in enumerate(columns)}} for label in labels
    ]


def one_step(a: RunSpec, b: RunSpec) -> str:
    """The step that leads from `a` to `b`, in words; empty where it is not one, or the pictures differ.

    Either the catalogue's step from parent to child, with nothing else changed, or one setting.
    """
    if a.data.name != b.data.name:
        return ""
    rows = differences([a, b])
    here = entry(b)
    if here is not None and here.parent == a.name:
        step = differences([catalogue.variant(a.name).spec, here.spec])
        if {row["setting"] for row in rows} <= {row["setting"] for row in step}:
            told = title(here, b)
            return told if told.startswith("+") and len(rows) == 1 else f"{told} ({together(rows)})"
    return together(rows) if len(rows) == 1 else ""


def together(rows: Sequence[Mapping[str, str]]) -> str:
    """The `differences` of two specs in words: one setting with its values, or the names of several."""
    if len(rows) == 1:
        return f"{rows[0]['setting']}: {rows[0]['0']} to {rows[0]['1']}"
    return f"{', '.join(row['setting'] for row in rows)} changed together" if rows else ""


def title(here: catalogue.Variant, spec: RunSpec) -> str:
    """The entry's title for a run of it: the heads' titles name the report's backbone, and a run may have another."""
    if spec.data.backbone in (None, here.spec.data.backbone):
        return here.title
    return here.title.replace("ResNet-50", backbones.of(spec.data).title)


def names(runs: Mapping[str, RunSpec]) -> dict[str, str]:
    """A short name for each run id, all different: the entry, and the settings that tell it from its namesakes.

    >>> names({"a": basenet, "b": basenet_with_average_pooling})
    {'a': 'basenet (Pooling: max)', 'b': 'basenet (Pooling: average)'}

    Equal specs are told apart by the rest of their ids.
    """
    result: dict[str, str] = {}
    for name in dict.fromkeys(spec.name for spec in runs.values()):
        group = {key: spec for key, spec in runs.items() if spec.name == name}
        told: dict[str, tuple[str, ...]] = dict.fromkeys(group, ())
        for row in differences(list(group.values())):
            more = {key: (*told[key], f"{row['setting']}: {row[str(i)]}") for i, key in enumerate(group)}
            if len(set(more.values())) > len(set(told.values())):  # it tells some apart that were not yet
                told = more
        for key, words in told.items():
            twins = list(told.values()).count(words) > 1
            parts = [*words, *([key.removeprefix(f"{name}-")] if twins else [])]
            result[key] = f"{name} ({', '.join(parts)})" if parts else name
    return {key: result[key] for key in runs}


def summary(spec: RunSpec, history: Iterable[Row], card: Mapping[str, Any] | None) -> dict[str, Any]:
    """A run's figures as plain numbers, None where they are not known.

    Losses are cross-entropies in nats, accuracies shares from 0 to 1, both of the epoch whose weights are
    kept, `gap` the training accuracy less the validation accuracy there.  `report_accuracy` is of the
    catalogue's entry, whatever was changed since, but the pictures and the backbone.  `head_only`: parameters and operations are without the
    backbone.
    """
    rows = list(history)
    top, least, figures = kept(spec, rows), best(rows), (card or {}).get("figures") or {}
    test = figures.get("test") or {}
    description = describe(spec.network)
    here = entry(spec)
    same = here and (here.spec.data.name, here.spec.data.backbone) == (spec.data.name, spec.data.backbone)
    report = here.report if here and same else catalogue.Report()
    training = (top or {}).get("accuracy")
    return {
        "data": spec.data.name,
        "epochs": max((row["epoch"] for row in whole_epochs(rows)), default=figures.get("epochs")),
        "kept_epoch": top["epoch"] if top else figures.get("chosen_epoch"),
        "best_epoch": least["epoch"] if least else figures.get("best_epoch"),
        "validation_loss": top["val_loss"] if top else None,
        "validation_accuracy": top["val_accuracy"] if top else None,
        "training_accuracy": training,
        "gap": training - top["val_accuracy"] if top and training is not None else None,
        "test_loss": test.get("loss"),
        "test_accuracy": test.get("accuracy"),
        "report_accuracy": report.accuracy,
        "head_only": bool(spec.data.backbone),
        "parameters": description.params,
        "operations": description.macs,
        "on_gpu": on_gpu(card or {}),
        "seconds": (card or {}).get("wall_seconds") or sum(row.get("seconds") or 0 for row in whole_epochs(rows)),
    }
