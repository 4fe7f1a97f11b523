"""The runs and the models that ship: listed, and found by name.  No TensorFlow here."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from training import spelling
from training.paths import models_dir, runs_dir
from training.rundir import RunDir, RunError


def runs() -> list[RunDir]:
    """All run directories, newest first."""
    found = [RunDir(path.parent) for path in runs_dir().glob("[!.]*/spec.json")]
    return sorted(found, key=lambda run: run.created, reverse=True)


def models() -> list[RunDir]:
    """The models that ship, by name."""
    return [RunDir(path.parent) for path in sorted(models_dir().glob("[!.]*/card.json"))]


def by_entry() -> dict[str, list[str]]:
    """{entry of the catalogue: the models of it that ship}, by the names in their specs."""
    found: dict[str, list[str]] = {}
    for model in models():
        with suppress(RunError):
            found.setdefault(model.spec().name, []).append(model.id)
    return found


def without_weights() -> list[RunDir]:
    """What ships as card and curves alone: one training a name, its lowest seed's, where no seed's weights ship."""
    first: dict[str, RunDir] = {}
    cards = models_dir().glob("[!.]*/seed-*/card.json")
    for card in sorted(cards, key=lambda card: (card.parent.parent.name, len(card.parent.name), card.parent.name)):
        folder = card.parent.parent
        if not (folder / card.name).is_file():
            first.setdefault(folder.name, RunDir(card.parent, folder.name))
    return list(first.values())


def find(name: str, paths: bool = True) -> RunDir:
    """The run with this id, the shipped model of this name, or, with `paths`, the run directory there; raises `RunError`."""
    with suppress(OSError):  # a name that no file can have, a folder that may not be read
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            for place in (runs_dir() / name, models_dir() / name):
                if (place / "spec.json").is_file():
                    return RunDir(place)
        if found := next((run for run in (*without_weights(), *runs()) if run.id == name), None):
            return found
        if paths and (Path(name) / "spec.json").is_file():
            return RunDir(Path(name).resolve())
    told = spelling.advice(
        name,
        [found.id for found in (*runs(), *models())],
        "`python -m training runs` lists the runs, models/README.md the models.",
    )
    raise RunError(f"There is no run and no shipped model {name!r}. {told}")


def find_fitted(name: str) -> RunDir:
    """As `find`, to use the model; raises `RunError` also where a finished run and a shipped model have one name."""
    run = find(name)
    if not hides_shipped(run) or name != run.id:
        return run
    shipped = RunDir(models_dir() / name)
    if run.status()["state"] == "finished":
        raise RunError(f"A run and a model that ships are both called {name}: say {run.path} or {shipped.path}.")
    return shipped


def hides_shipped(run: RunDir) -> bool:
    """Whether a run has the name of a shipped model that has weights."""
    return run.path == runs_dir() / run.id and (models_dir() / run.id / "weights.npz").is_file()


def called(run: RunDir) -> str:
    """What finds this run or model and no other: its name, or its folder where a run and a model have one name."""
    shipped = run.path == models_dir() / run.id and (runs_dir() / run.id / "spec.json").is_file()
    return str(run.path) if shipped or hides_shipped(run) else run.id
