"""What a training step minimizes and counts: cross-entropy and right answers, of labels or of mixed pictures' shares."""

from __future__ import annotations

from typing import Any


def losses(targets: Any, logits: Any, smoothing: float) -> Any:
    """Cross-entropy of each picture; `targets` are labels (batch,) or shares (batch, classes)."""
    import tensorflow as tf

    if len(targets.shape) == 1:
        if not smoothing:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        targets = tf.one_hot(targets, logits.shape[1])
    return tf.nn.softmax_cross_entropy_with_logits(targets * (1 - smoothing) + smoothing / logits.shape[1], logits)


def accuracy(targets: Any, logits: Any) -> Any:
    """The share of right answers; a mixed picture's answer is right by the share of that class in it."""
    import tensorflow as tf

    answers = tf.argmax(logits, 1, tf.int32)
    if len(targets.shape) == 1:
        return tf.reduce_mean(tf.cast(answers == targets, tf.float32))
    return tf.reduce_mean(tf.gather(targets, answers, batch_dims=1))
