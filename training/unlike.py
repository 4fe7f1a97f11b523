"""Is a picture unlike anything the network was trained on?  Measures with one false-alarm rate.

For a network trained from scratch, two (`Unlike`):

The look: colours, contrasts and textures as a few statistics, and how far they lie from those
of the training pictures (Mahalanobis distance).  It finds drawings, noise and blank pictures,
which a small network happily takes for one of its classes.  The classes: the energy score of
the logits (Liu et al. 2020, arXiv:2010.03759), low where no class stands out.

A picture is flagged where either measure is beyond its threshold.  Both thresholds lie at the
same quantile of the validation pictures, chosen so that together they flag 5 % of these.

For a head on a backbone, one (`Subspace`): how much of the picture's features lies outside the
few directions in which those of the training pictures lie (the residual of Wang et al. 2022,
arXiv:2203.10807, without their logits).  It was chosen among nearest neighbours, class means,
Mahalanobis distances and residuals by what each finds at 5 % false alarms on validation birds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.rundir import RunDir, RunError, read_arrays, write_arrays

FALSE_ALARMS = 0.05
LOOK, CLASSES, FEATURES = "look", "classes", "features"
DIRECTIONS = 64  # of features
FILE = "unlike.npz"  # beside the card: a subspace is too large for it


@dataclass(frozen=True)
class Unlike:
    """The fitted measures.  mean: (d,); precision: (d, d), of the statistics of training pictures."""

    mean: np.ndarray
    precision: np.ndarray
    max_distance: float
    min_energy: float

    def flags(self, pixels: np.ndarray, logits: np.ndarray) -> list[str]:
        """For each picture, "" or the measure by which it is unlike: `LOOK` or `CLASSES`.

        pixels: uint8 (n, size, size, 3); logits: (n, classes), of the same pictures.
        """
        far, empty = self.distance(pixels) > self.max_distance, energy(logits) < self.min_energy
        return [LOOK if f else CLASSES if e else "" for f, e in zip(far, empty, strict=True)]

    def distance(self, pixels: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance of each picture's statistics, float64 (n,)."""
        offset = statistics(pixels) - self.mean
        return np.einsum("ni,ij,nj->n", offset, self.precision, offset)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for a card; `from_dict` gives back the same measures."""
        upper = self.precision[np.triu_indices(len(self.mean))]
        return {
            "max_distance": self.max_distance,
            "min_energy": self.min_energy,
            "mean": self.mean.tolist(),
            "precision": upper.tolist(),
        }

    @classmethod
    def from_dict(cls, tree: dict[str, Any]) -> Unlike:
        """Raises KeyError or ValueError for what `to_dict` did not write."""
        mean = np.asarray(tree["mean"], float)
        precision = np.zeros((len(mean), len(mean)))
        precision[np.triu_indices(len(mean))] = tree["precision"]
        precision += np.triu(precision, 1).T
        return cls(mean, precision, float(tree["max_distance"]), float(tree["min_energy"]))


@dataclass(frozen=True)
class Subspace:
    """Where the features of training pictures lie, after scaling each to length 1.

    mean: float32 (c,); directions: float32 (c, d), of length 1 and at right angles.
    """

    mean: np.ndarray
    directions: np.ndarray
    max_residual: float

    def flags(self, features: np.ndarray) -> list[str]:
        """For each picture's features, float (n, c), "" or `FEATURES`."""
        return [FEATURES if far else "" for far in self.residual(features) > self.max_residual]

    def residual(self, features: np.ndarray) -> np.ndarray:
        """Squared distance of each picture's features from the subspace, float32 (n,)."""
        offset = _unit(features) - self.mean
        return (offset**2).sum(1) - ((offset @ self.directions) ** 2).sum(1)

    def save(self, run: RunDir) -> dict[str, Any]:
        """Write the file beside the card; what the card says of it."""
        write_arrays(run.file(FILE), {"mean": self.mean, "directions": self.directions.astype(np.float16)})
        return {"max_residual": self.max_residual}

    @classmethod
    def load(cls, run: RunDir, tree: dict[str, Any]) -> Subspace:
        """What `save` wrote; raises `RunError` where the file is missing or broken."""
        arrays = read_arrays(run.file(FILE))
        try:
            mean, directions = (np.asarray(arrays[name], np.float32) for name in ("mean", "directions"))
        except KeyError:
            raise RunError(f"{run.file(FILE)} is broken: calibrate the model again.") from None
        return cls(mean, directions, float(tree["max_residual"]))


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)


def fit_subspace(train: np.ndarray, validation: np.ndarray, false_alarms: float = FALSE_ALARMS) -> Subspace:
    """The subspace of the training pictures' features (n, c), its threshold from those of the validation pictures."""
    unit = _unit(train)
    mean = unit.mean(0)
    _, vectors = np.linalg.eigh(np.cov((unit - mean).T))  # by rising variance
    directions = vectors[:, ::-1][:, :DIRECTIONS].astype(np.float16).astype(np.float32)  # as they are stored
    subspace = Subspace(mean, directions, 0.0)
    return replace(subspace, max_residual=float(np.quantile(subspace.residual(validation), 1 - false_alarms)))


def fit(train: np.ndarray, validation: np.ndarray, logits: np.ndarray, false_alarms: float = FALSE_ALARMS) -> Unlike:
    """Measures for the training pictures `train`, thresholds from the validation pictures and their logits.

    train, validation: uint8 (n, size, size, 3).  Of `validation`, the share `false_alarms` is flagged.
    """
    features = statistics(train)
    mean = _round(features.mean(0))
    covariance = np.cov(features.T) + 1e-6 * np.eye(features.shape[1])
    precision = _round(np.linalg.inv(covariance))
    measures = Unlike(mean, precision, 0.0, 0.0)
    distances, energies = measures.distance(validation), energy(logits)
    low, high = 0.0, false_alarms  # of each measure alone; together they flag at least one and at most both
    for _ in range(30):
        each = (low + high) / 2
        far, least = np.quantile(distances, 1 - each), np.quantile(energies, each)
        together = float(((distances > far) | (energies < least)).mean())
        low, high = (each, high) if together < false_alarms else (low, each)
    return Unlike(mean, precision, float(far), float(least))


def energy(logits: np.ndarray) -> np.ndarray:
    """log(sum(exp(logits))) of each row, float64: the negative energy, high for what is known."""
    top = logits.max(1)
    return top + np.log(np.exp(logits.astype(np.float64) - top[:, None]).sum(1))


def statistics(pixels: np.ndarray) -> np.ndarray:
    """Colours and textures of uint8 (n, size, size, 3) pictures, float64 (n, d); d is 17 for 32x32.

    The means and log deviations of brightness and two colour axes; then on each level of a
    Haar pyramid the log energy of the brightness's edges, how sparse they are (drawings have
    few and sharp ones), and the log energy of the colours' edges.  The finest colours are left
    out: JPEG removes them, and whether a picture was once a JPEG says nothing of what it shows.
    """
    return np.concatenate([_statistics(pixels[i : i + 500]) for i in range(0, len(pixels), 500)])


def _statistics(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(np.float32) / 255, -1, 0)
    y = np.stack([(red + green + blue) / 3, (red - blue) / 2, (2 * green - red - blue) / 4], -1)
    found = [y.mean((1, 2)), _log(y.std((1, 2)))]
    finest = True
    while y.shape[1] >= 4:
        even = y.shape[1] // 2 * 2
        a, b = y[:, :even:2, :even:2], y[:, 1:even:2, :even:2]
        c, d = y[:, :even:2, 1:even:2], y[:, 1:even:2, 1:even:2]
        edges = np.stack([a + b - c - d, a - b + c - d, a - b - c + d], 1) / 4
        light, colour = edges[..., 0], edges[..., 1:]
        strength = _log(np.sqrt((light**2).mean((2, 3))).mean(1))
        found += [strength[:, None], (strength - _log(np.abs(light).mean((1, 2, 3))))[:, None]]
        if not finest:
            found.append(_log(np.sqrt((colour**2).mean((1, 2, 3, 4))))[:, None])
        y, finest = (a + b + c + d) / 4, False
    return np.concatenate(found, 1).astype(np.float64)


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(values + 1e-3)  # a 255th is 4e-3: what is below is no contrast at all


def _round(values: np.ndarray) -> np.ndarray:
    """Six digits, as they are stored, so that thresholds are found with the stored numbers."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values)
