"""From a design to a training: the spec that will run, and what its time or epochs buy."""

from __future__ import annotations

from math import ceil

from pages.shared import controls, text
from training import catalogue
from training.spec import RunSpec

REPORT_PICTURES = 11_250  # nine tenths of its 12,500; the rest were for validation


def planned(design: RunSpec, data: str, classes: int, seed: int, *, minutes: float | None = None,
            epochs: int | None = None) -> RunSpec:  # fmt: skip
    """`design` on a data set with so many classes, ended by `minutes` or after `epochs`.

    By time, the design's own number of epochs stays its ceiling.
    """
    changes = {"data.name": data, "network.classes": classes, "fit.seed": seed, "fit.minutes": minutes}
    if epochs is not None:
        changes["fit.epochs"] = epochs
        if design.fit.early_stopping:
            changes["fit.early_stopping.max_epochs"] = epochs
    return design.replace(changes)


def steps_in_epoch(spec: RunSpec, pictures: int) -> int:
    """Steps of one epoch over so many training pictures: each once, or the report's literal formula, a fifth."""
    if spec.fit.epoch_length == "test set":
        return max(1, int(pictures / 5 / spec.fit.batch_size))
    return ceil(pictures / spec.fit.batch_size)


def report_training(spec: RunSpec) -> tuple[str, int, int] | None:
    """(entry, epochs, steps) of the report's training of this design.

    Where the report does not say, the nearest entry below it on the ladder that it does say
    it of; None if there is none.
    """
    name: str | None = spec.name if spec.name in catalogue.names() else None
    while name is not None:
        entry = catalogue.variant(name)
        if entry.report.epochs:
            return name, entry.report.epochs, entry.report.epochs * steps_in_epoch(entry.spec, REPORT_PICTURES)
        name = entry.parent
    return None


def outlook(spec: RunSpec, pictures: int, step_seconds: float, overhead: float = 0.0) -> str:
    """What this training will be, in sentences: steps, epochs, time, and the share of the report's training.

    `step_seconds` and `overhead` (per epoch: the validation) are measured on this machine.
    """
    in_epoch = steps_in_epoch(spec, pictures)
    whole = spec.fit.max_epochs * in_epoch
    whole_seconds = whole * step_seconds + spec.fit.max_epochs * overhead
    batch = f"{spec.fit.batch_size} pictures"
    if spec.fit.minutes and 60 * spec.fit.minutes < whole_seconds:
        steps = max(1, round(60 * spec.fit.minutes * whole / whole_seconds))
        told = (
            f"{text.duration(60 * spec.fit.minutes)} buys about {_number(steps)} steps of {batch} on this machine: "
            f"{_number(steps / in_epoch)} epochs of {in_epoch:,} steps"
        )
    else:
        steps = whole
        told = (
            f"{text.plural(spec.fit.max_epochs, 'epoch')} of {in_epoch:,} steps of {batch}, about "
            f"{text.duration(whole_seconds)} on this machine"
        )
        if spec.fit.minutes:
            told += "; the design ends there, before its time is up"
        elif spec.fit.early_stopping:
            told += ", or less: early stopping may end it before"
    reference = report_training(spec)
    if reference is None:
        return f"{told}."
    name, epochs, report_steps = reference
    of = f"the report's training ({text.plural(epochs, 'epoch')}" + (f" of {name})" if name != spec.name else ")")
    share = steps / report_steps
    return f"{told}. That is {text.percent(share, 0) if share < 2 else f'{share:.1f} times'} of {of}."


def apart_from_report(spec: RunSpec, epochs: int) -> list[str]:
    """What sets a run of so many epochs apart from the report's run of its catalogue entry, in words."""
    entry = controls.base_of(spec)
    apart = (
        []
        if spec.data.name == "cifar100-25"
        else [f"the pictures, {spec.data.name} instead of the report's cifar100-25, so the figures are not comparable"]
    )
    if entry.report.epochs and epochs != entry.report.epochs:
        apart.append(f"{text.plural(epochs, 'epoch')} instead of {entry.report.epochs}")
    return [*apart, *(f"{change.replace(': ', ' ', 1)}" for change in controls.changes(spec))]


def _number(value: float) -> str:
    """Two significant digits are as many as an estimate has: 1,400, 27, 3.2."""
    if value < 9.95:
        return f"{value:.1f}"
    digits = len(str(round(value))) - 2
    return f"{round(value, -digits):,.0f}"
