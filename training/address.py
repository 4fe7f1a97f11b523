"""A design in the address of a page: `?from=basenet&pooling=average`, the entry it starts from and what differs from it.

Every toggle is one parameter.  What only a spec can say (other blocks, Nesterov momentum) is in no
address: `in_address` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training import catalogue, switching, toggles
from training.spec import RunSpec, SpecError, difference

FROM = "from"  # the parameter that names the entry
# What a training chooses beside its design: pictures, and with them the classes, its length and its seed.
OF_A_TRAINING = (
    "data.name",
    "network.classes",
    "fit.epochs",
    "fit.minutes",
    "fit.early_stopping.max_epochs",
    "fit.seed",
)


def in_address(spec: RunSpec) -> bool:
    """Whether an address holds the design of `spec` whole, all but what every training chooses anew."""
    return set(difference(from_query(to_query(spec))[0], spec)) <= set(OF_A_TRAINING)


def to_query(spec: RunSpec) -> dict[str, str]:
    """The design as address parameters: the entry it starts from and what differs from it."""
    base = catalogue.variant(spec.name if spec.name in catalogue.names() else "basenet")
    query = {FROM: base.name}
    for toggle in toggles.TOGGLES:
        value = toggle.read(spec)
        if value != toggle.read(base.spec):
            query[toggle.key] = toggle.to_text(value)
    return query


def from_query(query: Mapping[str, str]) -> tuple[RunSpec, dict[str, str]]:
    """The design of an address, and {key: sentence} for what is impossible in it and left out.

    Keys that are no toggle are passed over.
    """
    errors: dict[str, str] = {}
    try:
        base = catalogue.variant(query.get(FROM, "basenet")).spec
    except SpecError as error:
        base, errors[FROM] = catalogue.variant("basenet").spec, str(error)
    values: dict[str, Any] = {}
    for key, text in query.items():
        if key in toggles.BY_KEY:
            try:
                values[key] = toggles.BY_KEY[key].from_text(text, base)
            except SpecError as error:
                errors[key] = str(error)
    spec, refused = switching.settle(base, values)
    return spec, errors | refused
