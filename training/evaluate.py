"""Test figures: taken once, on request, after everything was chosen on validation pictures.

This module alone calls `training.data.load_test` for a run (`training.drawn_study` does for its own, of drawn
pictures, which choose nothing, and `training.data.duplicates` compares pictures).  The figures of a run's own data set are
kept in its card, and beside it which classes it takes for which and which pictures it recognizes; asked again, they are
computed again and compared with the card's.
"""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from training import confusions
from training.calibration import cross_entropy
from training.rundir import RunDir, RunError


def figures(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Mean cross-entropy in nats (six digits), accuracy and count for logits (n, classes) and labels (n,).

    With 100 classes or more also "top5": how often the right class is among the five likeliest.
    """
    labels, logits = np.asarray(labels), np.asarray(logits)
    found = {
        "loss": round(cross_entropy(logits, labels), 6),
        "accuracy": float((logits.argmax(1) == labels).mean()),
        "pictures": len(labels),
    }
    if logits.shape[1] >= 100:
        found["top5"] = float(((logits > logits[np.arange(len(labels)), labels, None]).sum(1) < 5).mean())
    return found


def evaluate(run: RunDir, flips: bool = False) -> dict[str, Any]:
    """The test figures of a finished run or shipped model.

    Returns {"run", "data", "test": {"loss", "accuracy", "pictures"}, "card": the figures that
    the card held before, or None}.  Where near-duplicates of training pictures are known among
    the test pictures, "test" has the figures "without_near_duplicates", too, and with `flips` those "with_flips": of the
    mean logits of each picture and its mirror image.  Only the first
    figures are stored, and the first count of the run's confusions; what was measured before gets what it
    lacks where the other figures, or counts, come out as they were.
    Raises `RunError` and `training.data.DataError`, also where the first figures would be of another copy of the
    pictures than the card says; the exact pixels and their JPEG copy have one name.
    """
    from training import predict
    from training.data import duplicates, load, load_test

    card = run.finished_card()
    name, sha256, stored = card["data"]["name"], card["data"].get("sha256", ""), card["figures"].get("test")
    if sha256 and not stored:
        here = load(name, run.spec().data.validation)
        here.check(sha256, run.id, "its test figures would be of other pictures than its card says")
    classifier = predict.load(run)
    images, labels = load_test(name)
    size = classifier.picture_size
    if images.shape[1:3] != (size, size):
        raise RunError(
            f"{run.id} takes pictures of {size}x{size}; those of {name} are {images.shape[2]}x{images.shape[1]}."
        )
    logits = classifier.logits(images)
    taken = figures(logits, labels)
    keep = duplicates.kept(name, sha256, images, labels)
    if keep is not None:
        taken["without_near_duplicates"] = figures(logits[keep], labels[keep])
    if flips:
        taken["with_flips"] = figures((logits + classifier.logits(images[:, :, ::-1])) / 2, labels)
    same = all(stored[key] == taken[key] for key in taken if stored and key in stored)
    counted = confusions.read(run)
    if counted is None or not counted.known:
        names, pictures = predict.class_names(card), duplicates.checksum(images, labels)
        again = confusions.Confusions.of(name, names, logits, labels, pictures)
        if counted is None and same:
            confusions.write(run, again)
        elif counted and (counted.right, counted.taken) == (again.right, again.taken):
            with suppress(RunError):  # a model in a folder that is for reading only
                confusions.write(run, again)
    if same and (new := {key: value for key, value in taken.items() if key not in (stored or {})}):
        when = {"taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        # What another evaluation has stored meanwhile stands; a card that may only be read keeps what it has.
        with suppress(RunError) if stored else nullcontext():
            run.change_card(lambda card: card["figures"].update(test=when | new | (card["figures"].get("test") or {})))
    return {"run": run.id, "data": name, "test": taken, "card": stored}
