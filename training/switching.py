"""Switching: toggles set in a design, from text, from widgets, and what one asks of another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log
from typing import Any

from training import spelling
from training.spec import RunSpec, SpecError, flatten
from training.toggles import BY_KEY

RATE_WANTED = {"sgd": 1.0, "adam": 0.1, "muon": 0.3}  # about: an optimizer's learning rate in sgd's


def apply(spec: RunSpec, settings: Mapping[str, str]) -> RunSpec:
    """`spec` with settings made, each {toggle key or dotted field: text}.

    Raises `SpecError` for an unknown key or an impossible value.
    """
    changes: dict[str, Any] = {}
    known = flatten(spec)
    for key, text in settings.items():
        if key in BY_KEY:
            toggle = BY_KEY[key]
            changes[toggle.path] = toggle.from_text(text, spec)
        elif "." in key or key == "name":
            try:
                changes[key] = json.loads(text)
            except (ValueError, RecursionError):
                changes[key] = text
        else:
            told = spelling.advice(key, [*BY_KEY, *known], "docs/toggles.md lists them.")
            raise SpecError(f"There is no setting {key!r}. {told}")
    return spec.replace(changes)


def settle(base: RunSpec, values: Mapping[str, Any]) -> tuple[RunSpec, dict[str, str]]:
    """`base` with all values set that are possible, and {key: sentence} for the others.

    A design is judged as a whole first; only if that fails are the values tried one by one.
    """
    changes = {BY_KEY[key].path: value for key, value in values.items() if BY_KEY[key].read(base) != value}
    try:
        return (base.replace(changes) if changes else base), {}
    except SpecError:
        spec, errors = base, {}
        for key, value in values.items():
            try:
                spec = BY_KEY[key].write(spec, value)
            except SpecError as error:
                errors[key] = str(error)
        return spec, errors


def suited_rate(spec: RunSpec, base: RunSpec) -> float | None:
    """The learning rate that suits the optimizer of `spec`, where it still has that of `base`, made for another one."""
    if spec.fit.optimizer == base.fit.optimizer or spec.fit.learning_rate != base.fit.learning_rate:
        return None
    wanted = base.fit.learning_rate * RATE_WANTED[spec.fit.optimizer] / RATE_WANTED[base.fit.optimizer]
    rate = min(BY_KEY["learning_rate"].options, key=lambda rate: abs(log(rate / wanted)))
    return rate if rate != spec.fit.learning_rate else None
