"""The runs and the models that ship: listed, and found by name.  No TensorFlow here."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from training.paths import models_dir, runs_dir
from training.rundir import RunDir, RunError


def runs() -> list[RunDir]:
    """All run directories, newest first."""
    found = [RunDir(path.parent) for path in runs_dir().glob("[!.]*/spec.json")]
    return sorted(found, key=lambda run: run.created, reverse=True)


def models() -> list[RunDir]:
    """The models that ship, by name."""
    return [RunDir(path.parent) for path in sorted(models_dir().glob("[!.]*/card.json"))]


def without_weights() -> list[RunDir]:
    """What ships as card and curves alone: one training a name, its lowest seed's, where no seed's weights ship."""
    first: dict[str, RunDir] = {}
    cards = models_dir().glob("[!.]*/seed-*/card.json")
    for card in sorted(cards, key=lambda card: (card.parent.parent.name, len(card.parent.name), card.parent.name)):
        folder = card.parent.parent
        if not (folder / card.name).is_file():
            first.setdefault(folder.name, RunDir(card.parent, folder.name))
    return list(first.values())


def find(name: str) -> RunDir:
    """The run with this id, the shipped model of this name, or the run directory at this path; raises `RunError`."""
    with suppress(OSError):  # a name that no file can have, a folder that may not be read
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            for place in (runs_dir() / name, models_dir() / name):
                if (place / "spec.json").is_file():
                    return RunDir(place)
        if found := next((run for run in (*without_weights(), *runs()) if run.id == name), None):
            return found
        if (Path(name) / "spec.json").is_file():
            return RunDir(Path(name).resolve())
    raise RunError(f"There is no run and no shipped model {name!r}; `python -m training runs` lists the runs.")


def find_fitted(name: str) -> RunDir:
    """As `find`, to use the model: a run that is not finished does not stand before a shipped model of its name."""
    run, shipped = find(name), models_dir() / name
    if (shipped / "weights.npz").is_file() and run.path == runs_dir() / name and run.status()["state"] != "finished":
        return RunDir(shipped)
    return run
