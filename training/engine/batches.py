"""Which training pictures each step sees.

Batches run through one random order of all pictures after the other; the last batch of an order is filled from its
beginning, so that every batch is whole.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from training.spec import Fit


def steps_per_epoch(fit: Fit, pictures: int) -> int:
    """`fit.epoch_length` "training set": as many steps as cover the training pictures.  "test set": the report's
    literal formula, int(2500 * 0.9 / batch), 35 steps of 64, scaled to data sets of other sizes as a fifth of the
    training pictures.
    """
    if fit.epoch_length == "test set":
        return max(1, int(pictures / 5 / fit.batch_size))
    return -(-pictures // fit.batch_size)


def batch(fit: Fit, pictures: int, step: int) -> np.ndarray:
    """Indices of the training pictures of global step `step`, which counts from 0; int32 (batch_size,)."""
    batches = -(-pictures // fit.batch_size)
    number, place = divmod(step, batches)
    filled = np.resize(_order(fit.seed, number, pictures), batches * fit.batch_size)
    return filled.reshape(batches, -1)[place]


@lru_cache(maxsize=4)
def _order(seed: int, number: int, count: int) -> np.ndarray:
    """The `number`-th random order of `count` pictures, int32."""
    return np.random.Generator(np.random.Philox([seed, number])).permutation(count).astype(np.int32)
