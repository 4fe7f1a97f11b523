"""What the commands of `training.cli.app` do that is more than one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training import preflight, rundir
from training.cli import console
from training.rundir import RunDir, RunError
from training.spec import RunSpec, SpecError
from training.status import whole_epochs


def fit(spec: RunSpec | None, directory: Path | None, resume: bool, quiet: bool) -> dict[str, Any]:
    """Train in this process, to the end or until it is stopped; how the run stands then, as `row`.

    Without a spec, the run in `directory` goes on.  Raises `SpecError`, `RunError`, `DataError`.
    """
    from training import fit as fitting

    run = _run(spec, directory, resume)
    spec = run.spec()
    with (
        console.quiet(run.file("log.txt")),
        console.FitProgress(spec.fit.max_epochs, spec.fit.minutes, run.id, quiet) as progress,
    ):
        fitting.fit(run, resume, progress.show)
    return row(run)


def _run(spec: RunSpec | None, directory: Path | None, resume: bool) -> RunDir:
    """The run directory to train in: the one that is there and goes on, or a new one."""
    if resume and directory is not None and (directory / "spec.json").is_file():
        run = RunDir(directory.resolve())
        if spec is not None and spec != run.spec():
            raise SpecError(f"{directory} holds a run of another spec: leave the spec out to go on with it.")
        if run.status()["state"] == "finished":
            raise RunError(f"{run.id} is finished; there is nothing to go on with.")
        return run
    if spec is None:
        raise RunError(f"{directory} is not a run: it has no spec.json.")
    preflight.check(spec)
    return rundir.create(spec, directory)


def enqueue(spec: RunSpec) -> dict[str, Any]:
    """Leave the training to the queue; how the run stands."""
    from training.queue import launcher

    preflight.check(spec)
    return row(launcher.submit(spec))


def row(run: RunDir) -> dict[str, Any]:
    """A run in plain figures, for `runs` and as the answer of `fit`."""
    status, card = run.status(), run.card()
    try:
        spec: RunSpec | None = run.spec()
    except RunError:
        spec = None
    figures = card["figures"] if card else None
    epochs = whole_epochs(run.history())
    validation = (figures.get("validation") if figures else epochs[-1] if epochs else {}) or {}
    return {
        "run": run.id,
        "directory": str(run.path),
        "name": spec.name if spec else None,
        "data": spec.data.name if spec else None,
        "seed": spec.fit.seed if spec else None,
        "state": status["state"],
        "message": status.get("message") or "",
        "epoch": figures["epochs"] if figures else status.get("epoch", 0),
        "max_epochs": spec.fit.max_epochs if spec else 0,
        "elapsed_seconds": float(status.get("elapsed_seconds") or 0.0),
        "eta_seconds": status.get("eta_seconds"),
        "created": status.get("created"),
        "validation_accuracy": validation.get("accuracy" if figures else "val_accuracy"),
        "test_accuracy": ((figures or {}).get("test") or {}).get("accuracy"),
        "figures": figures,
    }


def predict(run: RunDir, files: list[str], top: int) -> dict[str, Any]:
    """The `top` most likely classes of each picture; raises `PictureError` for a file that is none."""
    import numpy as np

    from training import pictures
    from training import predict as predicting

    card = run.finished_card()
    for file in files:
        _content(file, 0)  # what cannot be opened is said before TensorFlow is loaded
    classifier = predicting.load(run)
    size, names = classifier.picture_size, predicting.class_names(card)
    pixels = np.empty((len(files), size, size, 3), np.uint8)
    for place, file in enumerate(files):  # of a thousand photos, one is held whole at a time
        pixels[place] = pictures.resize(
            pictures.square(pictures.read(_content(file, pictures.MAX_BYTES + 1), file).pixels), size
        )
    probabilities, unlike = classifier.classify(pixels)
    answers = []
    for number, file in enumerate(files):
        order = np.argsort(-probabilities[number], kind="stable")[:top]
        answers.append({
            "file": file,
            "top": [{"class": names[k], "probability": float(probabilities[number, k])} for k in order],
            "unlike": bool(unlike[number]) if unlike is not None else None,
        })  # fmt: skip
    return {"model": run.id, "calibrated": bool(card.get("calibration")), "pictures": answers}


def _content(file: str, size: int) -> bytes:
    """The first `size` bytes of a file; raises `RunError` where it cannot be read."""
    try:
        with Path(file).open("rb") as opened:
            return opened.read(size)
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}.") from None
