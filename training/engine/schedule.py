"""What changes in the course of a training, as functions of the step: the learning rate, and how strong dropout is."""

from __future__ import annotations

from math import cos, pi
from typing import Any

from training.spec import Fit


def learning_rate(fit: Fit, step: int, steps_per_epoch: int) -> float:
    """The learning rate of global step `step`, counted from 0.

    inverse-time: lr / (1 + decay * step), Keras's old `decay`; constant; cosine: half a
    cosine from lr to 0 by the end of the last epoch.  The first `warmup_epochs` rise
    linearly to it.
    """
    total = max(1, fit.max_epochs * steps_per_epoch)
    warmup = fit.warmup_epochs * steps_per_epoch
    rate = fit.learning_rate
    if fit.schedule == "inverse-time":
        rate /= 1 + fit.decay * step
    elif fit.schedule == "cosine":
        done = max(0.0, step - warmup) / max(1.0, total - warmup)
        rate *= (1 + cos(pi * min(1.0, done))) / 2
    return rate * min(1.0, (step + 1) / warmup) if warmup else rate


def dropout_share(fit: Fit, step: Any, steps_per_epoch: int) -> Any:
    """Of dropout's rates, the share that acts at global step `step`, a tensor: it rises linearly from 0 to 1 over the
    first `dropout_ramp` of the training ("curriculum dropout": Morerio et al. 2017, arXiv:1703.06229).  None, which
    is all of them, without a ramp.
    """
    if not fit.dropout_ramp:
        return None
    import tensorflow as tf

    return tf.minimum(1.0, tf.cast(step, tf.float32) / (fit.dropout_ramp * fit.max_epochs * steps_per_epoch))
