"""The kernel of a whitening layer: computed from the training pictures, not learned.

A patch of 2x2 pixels has 12 values that say nearly the same.  The layer turns them into as many that are
uncorrelated and equally strong, each with both signs, so that what follows can learn from fine differences as fast as
from brightness (Jordan 2024, arXiv:2404.00498, after Page's and tysam-code's).
"""

from __future__ import annotations

import numpy as np

from training.describe import WHITENING_SIZE

PICTURES = 2000  # from which the correlations are taken: two million patches
EPSILON = 5e-4  # added to the variances, so that what hardly varies is not blown up


def sample(pictures: np.ndarray) -> np.ndarray:
    """At most `PICTURES` of them, evenly spread."""
    return pictures[:: max(1, len(pictures) // PICTURES)][:PICTURES]


def kernel(pictures: np.ndarray) -> np.ndarray:
    """The kernel for `pictures`, float32 (n, height, width, channels) as the network sees them.

    float32 (2, 2, channels, filters): first the whitening directions, the strongest first, then their negatives.
    """
    size, channels = WHITENING_SIZE, pictures.shape[-1]
    height, width = (length - size + 1 for length in pictures.shape[1:3])
    places = [(y, x) for y in range(size) for x in range(size)]
    patches = np.concatenate([pictures[:, y : y + height, x : x + width] for y, x in places], -1)
    variances, directions = np.linalg.eigh(np.cov(patches.reshape(-1, patches.shape[-1]), rowvar=False))
    directions = directions[:, ::-1] / np.sqrt(np.maximum(variances[::-1], 0) + EPSILON)
    strongest = np.abs(directions).argmax(0)  # an eigenvector's sign is the library's whim
    directions = directions * np.sign(directions[strongest, np.arange(len(strongest))])
    both = np.concatenate([directions, -directions], 1)
    return both.reshape(size, size, channels, -1).astype(np.float32)
