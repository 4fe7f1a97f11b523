"""Mixup and cutmix: each picture of a batch joined with another one, and their labels by share.

Mixup (Zhang et al. 2017, arXiv:1710.09412) blends the two; cutmix (Yun et al. 2019,
arXiv:1905.04899) pastes a square of the second into the first.  Where both are on, half of
the pictures get the one and half the other.  The second picture is the batch in reverse
order, which chance has ordered already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.engine.augment import fork, square
from training.spec import Augmentation

if TYPE_CHECKING:
    import tensorflow as tf


def beta(alpha: float, count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`count` draws of Beta(alpha, alpha), float32: for a small alpha nearly all near 0 or 1."""
    import tensorflow as tf

    # Beta is a ratio of two Gamma(alpha); of a small alpha, float32 holds only their logarithms:
    # Gamma(alpha) = Gamma(alpha + 1) * uniform ** (1 / alpha) (Marsaglia and Tsang 2000).
    gamma = tf.random.stateless_gamma([2, count], seed, alpha + 1)
    uniform = 1 - tf.random.stateless_uniform([2, count], fork(seed, 6))  # above 0
    logarithms = tf.math.log(gamma) + tf.math.log(uniform) / alpha
    return tf.sigmoid(logarithms[0] - logarithms[1])


def mix(
    x: tf.Tensor,
    targets: tf.Tensor,
    augmentation: Augmentation,
    seed: tf.Tensor,
    shares: Callable[[float, Any, Any], Any] = beta,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixed pictures and targets.

    x: float32 (batch, height, width, channels); targets: float32 (batch, classes), each row
    sums to 1; seed: int32 (2,), from which all chance comes.  `shares` draws as `beta` does.  Shapes stay.
    """
    import tensorflow as tf

    count = tf.shape(x)[0]
    share = tf.ones([count])  # of the picture itself, where nothing is mixed
    blended, pasted = (x, share), (x, share)
    if augmentation.mixup:
        blended = blend(x, shares(augmentation.mixup, count, seed))
    if augmentation.cutmix:
        draws = tf.random.stateless_uniform([count, 2], fork(seed, 4))
        pasted = paste(x, shares(augmentation.cutmix, count, fork(seed, 2)), draws)
    if augmentation.mixup and augmentation.cutmix:
        first = tf.random.stateless_uniform([count], fork(seed, 5)) < 0.5
        x, share = tf.where(first[:, None, None, None], blended[0], pasted[0]), tf.where(first, blended[1], pasted[1])
    else:
        x, share = blended if augmentation.mixup else pasted
    share = share[:, None]
    return x, share * targets + (1 - share) * targets[::-1]


def blend(x: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`share` (batch,) of each picture and the rest of its partner; and `share`."""
    weight = share[:, None, None, None]
    return weight * x + (1 - weight) * x[::-1], share


def paste(x: tf.Tensor, share: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A square of 1 - `share` (batch,) of the area from each picture's partner, where `draws` (batch, 2) say.

    The second result is the share of the pixels that remain.
    """
    import tensorflow as tf

    mask = square(draws, tf.sqrt(1 - share)[:, None], x.shape[1:3])
    return tf.where(mask, x[::-1], x), 1 - tf.reduce_mean(tf.cast(mask, tf.float32), [1, 2, 3])
