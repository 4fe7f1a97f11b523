"""The learning rate as a function of the step."""

from __future__ import annotations

from math import cos, pi

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
