"""What pydantic says of an impossible spec, as a sentence for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

_BLOCK_KINDS = ("conv", "pool", "flatten", "global_pool", "dense", "dropout")


def explain(error: ValidationError) -> str:
    """The first problem of a validation error as a sentence with field, value and rule."""
    problem = error.errors(include_url=False)[0]
    place = problem["loc"]  # of a block also its kind, behind its number; of a choice of types the type
    unnamed = {
        index for index in range(1, len(place))
        if (isinstance(place[index - 1], int) and place[index] in _BLOCK_KINDS) or "[" in str(place[index])
    }  # fmt: skip
    where = ".".join(str(part) for index, part in enumerate(place) if index not in unnamed)
    value, rule, kind = problem.get("input"), problem["msg"], problem["type"]
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        one_of = f"its kind is one of {', '.join(_BLOCK_KINDS)}"
        return f"{where or 'The spec'} = {_short(value)} is not possible: {one_of}."
    if kind == "extra_forbidden":
        owner, _, key = where.rpartition(".")
        return f"{where} is not a field of a spec: {owner or 'the spec'} has no key {key!r}."
    if kind == "missing":
        return f"{where} is missing."
    if kind == "value_error":
        rule = rule.removeprefix("Value error, ")
        if isinstance(value, Mapping | BaseModel):  # a rule over several fields: its text begins with the field
            return f"{where}.{rule}." if where else f"{rule}."
    return f"{where or 'The spec'} = {_short(value)} is not possible: {rule[:1].lower() + rule[1:]}."


def _short(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "what is nested too deep"
    return text if len(text) <= 60 else text[:57] + "..."
