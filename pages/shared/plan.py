"""From a design to a training: the spec that will run, and what its time or epochs buy."""

from __future__ import annotations

from pages.shared import runs, text
from training import address, catalogue, cost, hardware, registry, teacher
from training.engine import batches
from training.rundir import RunError
from training.spec import RunSpec


def planned(design: RunSpec, data: str, classes: int, seed: int, *, minutes: float | None = None,
            epochs: int | None = None) -> RunSpec:  # fmt: skip
    """`design` on a data set with so many classes, ended by `minutes` or after `epochs`.

    By time, the design's own number of epochs stays its ceiling.
    """
    changes = {"data.name": data, "network.classes": classes, "fit.seed": seed, "fit.minutes": minutes}
    if epochs is not None:
        changes["fit.early_stopping.max_epochs" if design.fit.early_stopping else "fit.epochs"] = epochs
    return design.replace(changes)


def taught(spec: RunSpec) -> tuple[RunSpec, str]:
    """`spec`, and nothing; or, where its teacher cannot teach it, `spec` without one, and why."""
    name = spec.fit.teacher
    if not name:
        return spec, ""
    try:
        theirs = registry.find_fitted(name).spec().data.name
        if theirs == spec.data.name:
            teacher.of(spec)
            return spec, ""
        why = f"its teacher, {name}, knows only the pictures that it was fitted to, {theirs}."
    except RunError as error:
        why = str(error)
    return spec.replace({"fit.teacher": None}), f"It learns from the labels alone here: {why}"


def query(spec: RunSpec) -> dict[str, str]:
    """The Train page's address with the very training of `spec` prepared: its design, pictures, seed and end."""
    fit = spec.fit
    end = {"minutes": f"{fit.minutes:g}"} if fit.minutes else {"run_epochs": str(fit.max_epochs)}
    return {**address.to_query(spec), "data": spec.data.name, "seed": str(fit.seed), **end}


def report_training(spec: RunSpec) -> tuple[str, int, int] | None:
    """(entry, epochs, pictures seen) of the report's training of this design.

    Where the report does not say, the nearest entry below it on the ladder that it does say
    it of; None if there is none.
    """
    here = runs.entry(spec)
    while here is not None:
        if here.report.epochs:
            pictures = batches.steps_per_epoch(here.spec.fit, cost.PICTURES) * here.spec.fit.batch_size
            return here.name, here.report.epochs, here.report.epochs * pictures
        here = catalogue.variant(here.parent) if here.parent else None
    return None


def outlook(spec: RunSpec, estimate: cost.Estimate) -> str:
    """What this training will be, in sentences: steps, epochs, time, and the share of the report's training."""
    in_epoch, batch = estimate.steps_per_epoch, f"{spec.fit.batch_size} pictures"
    whole, whole_seconds = spec.fit.max_epochs * in_epoch, spec.fit.max_epochs * estimate.epoch_seconds
    if spec.fit.minutes and 60 * spec.fit.minutes < whole_seconds:
        steps = max(1, round(60 * spec.fit.minutes * whole / whole_seconds))
        told = (
            f"{text.duration(60 * spec.fit.minutes)} is enough for about {_steps(steps)} of {batch} on this machine: "
        )
        told += (
            f"{_number(steps / in_epoch)} epochs of {in_epoch:,} steps" if steps >= in_epoch
            else f"less than one epoch of {in_epoch:,} steps, too short to learn much"
        )  # fmt: skip
        told += _falls_too_late(spec, steps // in_epoch)
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
    name, epochs, pictures = reference
    share = steps * spec.fit.batch_size / pictures
    told_share = "less than 1 %" if share < 0.01 else text.percent(share, 0) if share < 2 else f"{share:.1f} times"
    return f"{told}. That is {told_share} of the report's training of {name} ({text.plural(epochs, 'epoch')})."


def memory(spec: RunSpec) -> str:
    """The memory that a training takes, where it may be more than half of this machine's; else nothing."""
    (least, most), there = cost.training_bytes(spec), hardware.memory()
    if 2 * most < there:
        return ""
    return f"It takes {text.size(least)} to {text.size(most)} of this machine's {text.size(there)} of memory."


def _falls_too_late(spec: RunSpec, epochs: int) -> str:
    """What a training that time ends leaves undone of a recipe made for all of its epochs."""
    if spec.fit.schedule == "cosine":
        undone = "the learning rate falls"
    elif spec.fit.dropout_ramp and any(spec.network.dropout):
        undone = "dropout grows"
    else:
        return ""
    instead = f"; ended after {text.plural(epochs, 'epoch')} instead, it would be done" if epochs else ""
    return f". In this recipe {undone} over {spec.fit.max_epochs} epochs, which time cuts short{instead}"


def apart_from_report(spec: RunSpec, epochs: float) -> list[str]:
    """What sets a run of so many epochs apart from the report's run of its entry, on the same pictures, in words."""
    entry, apart = runs.entry(spec), []
    if entry is None:
        return []
    if entry.report.epochs and epochs != entry.report.epochs:
        apart.append(f"{text.epochs(epochs)} epochs instead of {entry.report.epochs}")
    rows = runs.differences([entry.spec, spec])
    return [*apart, *(f"{row['setting']}: {row['1']}" for row in rows if row["setting"] not in _TOLD)]


# Told already, or without a counterpart in the report.
_TOLD = ("Pictures", "Classes", "Epochs", "Early stopping", "Time limit in minutes", "Seed", "Number format")


def _steps(number: int) -> str:
    return text.plural(number, "step") if number < 10 else f"{_number(number)} steps"


def _number(value: float) -> str:
    """Two significant digits are as many as an estimate has: 1,400, 27, 3.2."""
    if value < 9.95:
        return f"{value:.1f}"
    digits = len(str(round(value))) - 2
    return f"{round(value, -digits):,.0f}"
