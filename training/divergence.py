"""Trainings that have gone wrong for good, told in a sentence with what to do."""

from __future__ import annotations

from training.spec import Fit

LARGEST_LOSS = 1e6  # nats; guessing costs ln(classes), about 3
SMALLEST_SPREAD = 1e-5  # between the logits of different pictures; rounding alone makes less


class Diverged(Exception):
    """The loss is no longer a number, or beyond all measure, or every picture gets the same answer."""


def check_loss(fit: Fit, loss: float, where: str) -> None:
    """Raise `Diverged` for a loss (nats) that no training comes back from; `where` it was, in words."""
    if not loss < LARGEST_LOSS:  # NaN is not, either
        raise Diverged(f"The loss became {loss:.3g} {where}: {_too_high(fit)}.")


def check_spread(fit: Fit, spread: float, pictures: int, where: str) -> None:
    """Raise `Diverged` where the largest difference between two of `pictures`' logits is 0 but for rounding.

    The units of a layer are silent for every picture then: no gradient reaches them, and they stay so.
    """
    if spread < SMALLEST_SPREAD and pictures > 1:
        raise Diverged(
            f"All validation pictures get the same answer {where}, digit for digit: a layer has fallen silent, and "
            f"nothing is learned behind it; {_too_high(fit)}, or batch normalization."
        )


def _too_high(fit: Fit) -> str:
    return (
        f"the learning rate {fit.learning_rate:g} with momentum {fit.momentum:g} is too high for this network; "
        "try a third of it"
    )
