"""What a run brings to the process that trains it: the places of whoever submitted it, and which code is meant.

That process may have been waiting since before: started by another app, from another environment, with other code.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import paths

if TYPE_CHECKING:
    from training.spec import RunSpec

PLACES = ("PLUMAGE_DATA", "PLUMAGE_CACHE", "PLUMAGE_MODELS")  # not PLUMAGE_RUNS: a run is where it is
PACKAGE = Path(__file__).resolve().parent.parent


def places() -> dict[str, str | None]:
    """Where this process reads and writes, absolute; None where it has no folder of data of its own.

    What its environment does not name, too: the process that trains may be of another copy of Plumage, with another default.
    """
    found = (paths.data_dir(), paths.cache_dir(), paths.models_dir())
    return {name: str(place.absolute()) if place else None for name, place in zip(PLACES, found, strict=True)}


def brought(spec: RunSpec, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec and the places of a run in that status, or of one that would be submitted here: JSON."""
    return {"spec": spec.model_dump(mode="json"), "places": status.get("places") if status is not None else places()}


def adopt(status: dict[str, Any]) -> None:
    """Let this process read and write where the submitter of the run of `status` does."""
    kept = status.get("places")
    if not isinstance(kept, dict):  # submitted before there were places in a status
        return
    for name in PLACES:
        value = kept.get(name)
        if isinstance(value, str) and value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def code() -> frozenset[tuple[str, int]]:
    """This package's files as they are on the disk now, by the time of their last change."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        with suppress(OSError):  # removed meanwhile
            found.add((str(file), file.stat().st_mtime_ns))
    return frozenset(found)
