"""Make `models/NAME` from a finished run: spec, card, curves and one compact weights file."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from training import calibration, catalogue, confusions, data, predict, rundir, unlike, weights
from training.evaluate import evaluate, figures
from training.paths import models_dir
from training.rundir import RunDir, RunError, write_atomic
from training.spec import RunSpec, SpecError, difference
from training.status import whole_epochs

MAY_COST = 0.002  # share of the validation pictures that a compact format may lose
WIDER = {"int8": "half", "half": "float32"}


def ship(run: RunDir, name: str, form: weights.Format = "half", card_only: bool = False) -> dict[str, Any]:
    """Put `run` into models/ as `name` and return its card; raises `SpecError` for the name, `RunError` and `DataError`.

    What ships is what is measured: the compact weights' validation figures replace the run's
    in the card (which keeps those under "compacted"), then they are calibrated, and their
    test figures and confusions are taken, once.  A format that costs more than 0.2 points of validation accuracy,
    and more than one picture, raises `RunError` before that.  With `card_only`, the run's own weights are measured and left
    out: `models/NAME/seed-K` holds the card and curves of a further seed.
    """
    card = run.finished_card()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise SpecError(f"{name!r} is no name for a model: letters, digits, dots and dashes, 64 at most.")
    spec, form = run.spec(), card.get("weights", "float32") if card_only else form
    target = models_dir() / (f"{name}/seed-{spec.fit.seed}" if card_only else name)
    try:
        with RunDir(target).lock(seconds=0):  # two sweeps may end with the same run
            return _ship(run, spec, target, name, form, card_only)
    except OSError as error:  # a timeout is one, too
        reason = error.strerror or "another process is shipping it"
        raise RunError(f"{target} cannot be written: {reason}.") from None


def _ship(run: RunDir, spec: RunSpec, target: Path, name: str, form: weights.Format, card_only: bool) -> dict[str, Any]:
    if (target / "card.json").exists():
        raise RunError(f"{target} is there already; delete it first if it is to be replaced.")
    _check_place(spec, name, card_only)
    made = RunDir(target.with_name(f".{target.name}.partial"), named=name)
    shutil.rmtree(made.path, ignore_errors=True)
    try:
        made.path.mkdir(parents=True)
        trained, mean, std = weights.load(run.file("weights.npz"))
        weights.save(made.file("weights.npz"), trained, mean, std, form)
        write_atomic(made.file("spec.json"), spec.to_json() + "\n")
        epochs = whole_epochs(run.history())
        write_atomic(made.file("history.jsonl"), "".join(json.dumps(line) + "\n" for line in epochs))
        _measure(made, run, form)
        if card_only:
            for part in ("weights.npz", unlike.FILE, confusions.FILE):
                made.file(part).unlink(missing_ok=True)
        target.mkdir(parents=True, exist_ok=True)  # it may hold other seeds
        for file in sorted(made.path.iterdir(), key=lambda file: file.name == "card.json"):
            file.replace(target / file.name)  # the card last: without it, it is no model yet
    finally:
        shutil.rmtree(made.path, ignore_errors=True)
    return rundir.RunDir(target).card() or {}


def _check_place(spec: RunSpec, name: str, card_only: bool) -> None:
    """Raise `RunError` where NAME is of another spec, but for the seed, or, for a further seed, has that one already."""
    folders = (models_dir() / name, *(models_dir() / name).glob("seed-*"))
    stored = [RunDir(folder).spec() for folder in folders if (folder / "card.json").is_file()]
    for other in [*stored, *([catalogue.variant(name).spec] if catalogue.known(name) else [])]:
        if apart := difference(spec, other.with_seed(spec.fit.seed)):
            told = ", ".join(f"{path} is {own!r} and not {theirs!r}" for path, (own, theirs) in list(apart.items())[:3])
            raise RunError(f"This run is no {name}: {told}; ship it under another name.")
    if card_only and any(other.fit.seed == spec.fit.seed for other in stored):
        raise RunError(f"{models_dir() / name} has a run with seed {spec.fit.seed} already.")


def _measure(made: RunDir, run: RunDir, form: weights.Format) -> None:
    """Write the card of `made` with the figures of the weights that it holds, on validation pictures as they are."""
    card = run.finished_card()
    pictures = data.load(card["data"]["name"], card["spec"]["data"]["validation"])
    pictures.check(card["data"]["sha256"], made.id)
    before = card["figures"].get("validation")
    if before is None or card["spec"]["data"]["validation"] == "ordered":  # its own figures are on augmented pictures
        before = _validated(run, pictures)
    figures_now = {**card["figures"], "test": None}
    fresh = {key: value for key, value in card.items() if key != "calibration"}
    made.write_card({**fresh, "weights": form, "figures": figures_now})
    figures_now = figures_now | {"validation": _validated(made, pictures)}
    lost = before["accuracy"] - figures_now["validation"]["accuracy"]
    if form != card.get("weights", "float32") and lost > max(MAY_COST, 1.5 / len(pictures.validation_labels)):
        raise RunError(f"As {form}, {run.id} would lose {100 * lost:.2f} points of validation accuracy, more than "
                       f"{100 * MAY_COST:.1f}; ship it in a wider format: --format {WIDER[form]}.")  # fmt: skip
    compacted = {"bytes": made.file("weights.npz").stat().st_size, "validation_before": before}
    made.write_card({**fresh, "weights": form, "figures": figures_now, "compacted": compacted})
    calibration.calibrate(made, pictures=pictures)
    evaluate(made)


def _validated(run: RunDir, pictures: data.Dataset) -> dict[str, float]:
    """Loss and accuracy of a run's weights on the validation pictures as they are."""
    measured = figures(predict.load(run).logits(pictures.validation_images), pictures.validation_labels)
    return {name: measured[name] for name in ("loss", "accuracy")}
