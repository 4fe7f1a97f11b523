"""Training-time batch norm and dropout, written so that they cost little on a CPU."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

BN_MOMENTUM, BN_EPSILON = 0.99, 1e-3  # Keras's own defaults


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float = BN_EPSILON
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch norm over all axes but the last: (normalized x, mean, variance).

    gamma, beta and the statistics are float32 (channels,); the variance divides by n, as
    Keras's moving variance does.  Results keep the dtype of `x`, float32 or bfloat16.
    """
    import tensorflow as tf

    channels = x.shape[-1]
    if channels % 16:
        return _narrow_batch_norm(x, gamma, beta, epsilon)
    picture = len(x.shape) == 4
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x if picture else tf.reshape(x, [-1, 1, 1, channels]),
        scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True,
    )  # fmt: skip
    count = tf.cast(tf.size(x) // channels, tf.float32)
    y = y if picture else tf.reshape(y, tf.shape(x))  # TensorFlow joins it with a relu that follows at once
    return y, mean, variance * ((count - 1) / count)  # it divides by n - 1


def _narrow_batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The same for few channels, where the fused operation takes ten times as long.

    Rows of the picture are taken as one long axis, so that the processor's vectors are full.
    """
    import tensorflow as tf

    channels, long = x.shape[-1], prod(x.shape[2:] if len(x.shape) == 4 else x.shape[1:])

    @tf.custom_gradient
    def normalize(x, gamma, beta):
        def total(rows):
            return tf.reduce_sum(tf.reshape(tf.reduce_sum(rows, 0), [-1, channels]), 0)

        def wide(vector):
            return tf.tile(vector, [long // channels])

        rows = tf.cast(tf.reshape(x, [-1, long]), tf.float32)
        count = tf.cast(tf.size(x) // channels, tf.float32)
        mean = total(rows) / count
        centered = rows - wide(mean)
        variance = total(tf.square(centered)) / count
        inverse = tf.math.rsqrt(variance + epsilon)
        y = centered * wide(inverse * gamma) + wide(beta)

        def gradient(dy, *_):
            dy_rows = tf.cast(tf.reshape(dy, [-1, long]), tf.float32)
            dbeta, dcentered = total(dy_rows), total(dy_rows * centered)
            slope = dcentered * tf.square(inverse) / count
            dx = (dy_rows - wide(dbeta / count) - centered * wide(slope)) * wide(gamma * inverse)
            return tf.cast(tf.reshape(dx, tf.shape(x)), x.dtype), dcentered * inverse, dbeta

        return (tf.cast(tf.reshape(y, tf.shape(x)), x.dtype), mean, variance), gradient

    return normalize(x, gamma, beta)


def moving(average: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The moving average of a statistic after one more batch."""
    return average * BN_MOMENTUM + value * (1 - BN_MOMENTUM)


def dropout(x: tf.Tensor, rate: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Dropout drawn from `seed`, int32 (2,), and nothing else; `rate` may be a scalar tensor.

    It takes 16 random bits a value, half of what a float would: the rate is met within
    1/131072, and what stays is scaled by the rate that is met.
    """
    import tensorflow as tf

    threshold = tf.minimum(tf.round(tf.cast(rate, tf.float32) * 65536), 65535)
    words = tf.random.stateless_uniform([(tf.size(x) + 1) // 2], seed, None, None, tf.int32)
    bits = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[: tf.size(x)]
    keep = tf.cast(tf.reshape(bits, tf.shape(x)) >= tf.cast(threshold, tf.uint16), x.dtype)
    return x * (keep * tf.cast(65536 / (65536 - threshold), x.dtype))
