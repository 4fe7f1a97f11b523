"""Probabilities that mean what they say, and a flag for pictures that are no such thing.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599): logits are divided by one number,
fitted on the validation pictures, which changes no answer, only its confidence.  `calibrate`
does this for a run, measures the calibration error before and after, sets the thresholds of
`training.unlike`, and stores all of it in the run's card.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from training import unlike

if TYPE_CHECKING:
    from training.data import Dataset
    from training.rundir import RunDir

BINS = 15
MOST_OTHERS = 1000  # pictures of each other data set on which detection is measured
MOST_LARGE = 300  # where each goes through a backbone
SHRUNK = 32  # pixels
BIRD = "bird"  # the class of CIFAR-10 that every picture of Caltech-UCSD Birds is of


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float64 (n, classes), of logits divided by `temperature`."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """The mean negative log-likelihood of integer `labels`, in nats."""
    scaled = np.asarray(logits, np.float64) / temperature
    return float((unlike.energy(scaled) - scaled[np.arange(len(labels)), labels]).mean())


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, over equal bins of confidence."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence, bins)  # sum over the bin of (right - confidence)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, 0.05 to 20, with the least cross-entropy on these pictures.

    Cross-entropy is convex in 1 / temperature, so a golden-section search finds it.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = 1 / 20, 20.0
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if cross_entropy(logits, labels, 1 / a) < cross_entropy(logits, labels, 1 / b):
            high = b
        else:
            low = a
    return round(2 / (low + high), 4)


def temperature_report(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Temperature, and calibration error and cross-entropy before and after it.

    "After" is measured on each half of every class's pictures with the temperature fitted on the
    other half, so that it is not flattered.  Where that does not lower the cross-entropy, the
    temperature stays 1.
    """
    halves = np.empty(len(labels), bool)
    halves[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % 2 == 0
    scaled = np.empty(np.shape(logits))
    for half in (halves, ~halves):
        scaled[half] = logits[half] / fit_temperature(logits[~half], labels[~half])
    before, after = cross_entropy(logits, labels), cross_entropy(scaled, labels)
    helps = after < before
    kept = scaled if helps else logits
    return {
        "temperature": fit_temperature(logits, labels) if helps else 1.0,
        "ece": {
            "before": calibration_error(softmax(logits), labels),
            "after": calibration_error(softmax(kept), labels),
        },
        "loss": {"before": before, "after": cross_entropy(kept, labels)},
        "pictures": len(labels),
    }


def calibrate(run: RunDir, detection: bool = True, pictures: Dataset | None = None) -> dict[str, Any]:
    """Calibrate a finished run or a shipped model on its validation pictures; stored as card["calibration"].

    `pictures` are the run's own, for a caller that has them in memory already.

    With `detection`, also measures which share of the other data sets' pictures is flagged,
    for every set that is present, and of large pictures which share is once they are shrunk.
    A set that cannot be read is left out, with a word on stderr; so is Caltech-UCSD Birds for a
    network that knows birds as a class.  Reads no test picture.
    Raises `RunError` and `DataError`.
    """
    from training import data, predict
    from training.pictures import resize

    card, spec = run.finished_card(), run.spec()
    pictures = pictures or data.load(spec.data.name, spec.data.validation)
    pictures.check(card["data"].get("sha256", ""), run.id)
    classifier = predict.load(run)
    logits = classifier.logits(pictures.validation_images)
    report = temperature_report(logits, pictures.validation_labels)
    measured = classifier.fit_unlike(pictures.images, pictures.validation_images, logits)

    def flagged(images: np.ndarray, known: np.ndarray | None = None) -> float:
        flags = classifier.flags(images, classifier.logits(images) if known is None else known)
        return float(np.mean([bool(flag) for flag in flags or []]))

    report["unlike"] = {**measured, "false_alarms": flagged(pictures.validation_images, logits), "detection": {}}
    if detection:
        size = classifier.picture_size
        for name in data.NAMES:
            if name == "birds" and BIRD in pictures.class_names:
                continue  # its pictures are no strangers
            if name != spec.data.name and data.info(name).available:
                try:
                    others = _others(name, size, spec.data.name)
                except data.DataError as error:  # of another set: no reason to lose what is measured
                    print(f"Detection is not measured on {name}: {error}", file=sys.stderr)
                    continue
                report["unlike"]["detection"][name] = {"share": flagged(others), "pictures": len(others)}
        if size > 2 * SHRUNK:
            small = np.stack([resize(resize(image, SHRUNK), size) for image in pictures.validation_images[::3]])
            report["unlike"]["shrunk"] = {"share": flagged(small), "pictures": len(small), "size": SHRUNK}
    run.change_card(lambda card: card.update(calibration=report))
    return report


def _others(name: str, size: int, own: str) -> np.ndarray:
    """Validation pictures of data set `name` as a network of `size` sees them, uint8 (n, size, size, 3).

    For a network of birds, without the birds that are in CIFAR-10.
    """
    from training import data
    from training.pictures import resize, square

    found = data.load(name)
    images = found.validation_images
    if own == "birds" and BIRD in found.class_names:
        images = images[found.validation_labels != found.class_names.index(BIRD)]
    most = MOST_LARGE if size > 2 * SHRUNK else MOST_OTHERS
    chosen = images[:: max(1, len(images) // most)][:most]
    return np.stack([resize(square(np.asarray(image)), size) for image in chosen])
