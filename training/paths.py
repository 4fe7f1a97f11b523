"""Where Plumage reads and writes: data, cache, runs and models.

Every place can be set through the environment, so that a machine, a test or a second copy
of the app can have its own.  The functions read the environment at each call.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent


def python() -> str:
    """This Python as it is called from Plumage's folder, for commands that are shown."""
    own = Path(sys.executable)
    return str(own.relative_to(ROOT)) if own.is_relative_to(ROOT) else "python"


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser() if value else None


def data_dir() -> Path | None:
    """The folder of data sets that the user has (`PLUMAGE_DATA`), or None."""
    return _from_environment("PLUMAGE_DATA")


def cache_dir() -> Path:
    """What can be made or downloaded again (`PLUMAGE_CACHE`, else the user's cache folder)."""
    return _from_environment("PLUMAGE_CACHE") or Path(platformdirs.user_cache_dir("plumage", appauthor=False))


def runs_dir() -> Path:
    """The run directories (`PLUMAGE_RUNS`, else `runs/` beside this package)."""
    return _from_environment("PLUMAGE_RUNS") or ROOT / "runs"


def models_dir() -> Path:
    """The models that ship (`PLUMAGE_MODELS`, else `models/` beside this package)."""
    return _from_environment("PLUMAGE_MODELS") or ROOT / "models"
