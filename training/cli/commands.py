"""What the commands of `training.cli.cli` do that is more than one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training import data, rundir, teacher
from training.cli import console
from training.rundir import RunDir, RunError
from training.spec import RunSpec, SpecError
from training.status import whole_epochs
from training.transfer import backbones, pretrained


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
    check_data(spec)
    return rundir.create(spec, directory)


def check_data(spec: RunSpec) -> None:
    """Raise `DataError` or `SpecError` where the run could not begin: its pictures are missing or do not fit."""
    if spec.data.name not in data.NAMES:
        raise SpecError(f"data.name = {spec.data.name!r} is not possible: it is one of {', '.join(data.NAMES)}.")
    info = data.info(spec.data.name)
    if not info.available:
        raise data.DataError(f"{info.title} is not here; get it with: {info.how}")
    if spec.data.backbone is None and tuple(spec.network.input_shape) != tuple(info.picture_size):
        shapes = ["x".join(map(str, shape)) for shape in (info.picture_size, spec.network.input_shape)]
        raise SpecError(f"The pictures of {info.name} are {shapes[0]} and the network takes {shapes[1]}; "
                        "choose other pictures, or set network.input_shape.")  # fmt: skip
    if spec.data.backbone:
        try:
            backbone = backbones.of(spec.data)
            # Where all is trained at once, training begins with the file that ships.
            backbone.check(compact=spec.fit.fine_tune == "all at once")
        except pretrained.WeightsError as error:
            raise data.DataError(str(error)) from None
        map_shape = backbone.map_shape
        if spec.network.input_shape not in (map_shape, map_shape[-1:]):
            raise SpecError(f"network.input_shape = {list(spec.network.input_shape)} is not possible: {spec.data.backbone} "
                            f"gives {list(map_shape[-1:])} pooled, or {list(map_shape)}, of pictures of "
                            f"{spec.data.backbone_size} pixels a side, to the end of {spec.data.backbone_stage}.")  # fmt: skip
    if spec.fit.teacher:
        teacher.of(spec)
    if spec.network.classes != info.classes:
        raise SpecError(f"{info.name} has {info.classes} classes and the network {spec.network.classes}; "
                        f"set network.classes={info.classes}.")  # fmt: skip


def enqueue(spec: RunSpec) -> dict[str, Any]:
    """Leave the training to the queue; how the run stands."""
    from training.queue import launcher

    check_data(spec)
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
    validation = (figures["validation"] if figures else epochs[-1] if epochs else {}) or {}
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
