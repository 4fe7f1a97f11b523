"""Random changes to a batch of pictures, in the TensorFlow graph, with Keras's semantics.

The operations are those of Keras's `ImageDataGenerator`: for every picture a rotation, a
sub-pixel shift and a zoom of each axis apart are drawn, joined to one affine map from output
to input coordinates about the picture's centre, sampled bilinearly with the border repeated,
then flipped.  Cutout comes last.  `training.engine.augment_reference` holds the same in plain numpy, and the tests
prove the two equal, value by value and in distribution.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

from training.engine.augment_reference import GREY
from training.spec import Augmentation

if TYPE_CHECKING:
    import tensorflow as tf

# Uniform numbers in [0, 1) for a picture: see `training.engine.augment_reference.parameters`.
DRAWS, CUTOUT_DRAWS = 7, 2


def augment(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Pictures changed at random.

    images: float32 (batch, height, width, channels); seed: int32 (2,).  Returns the same
    shape and dtype; equal seeds give equal pictures.
    """
    import tensorflow as tf

    count = tf.shape(images)[0]
    if augmentation.moves:
        images = transform(images, augmentation, tf.random.stateless_uniform([count, DRAWS], seed))
    if augmentation.cutout:
        draws = tf.random.stateless_uniform([count, CUTOUT_DRAWS], fork(seed, 1))
        images = tf.where(square(draws, augmentation.cutout, images.shape[1:3]), GREY, images)
    return images


def fork(seed: tf.Tensor, number: int) -> tf.Tensor:
    """The seed of a further stream of random numbers beside those of `seed`, int32 (2,)."""
    import tensorflow as tf

    return tf.add(seed, [0, number])


def square(draws: tf.Tensor, side: tf.Tensor | float, size: tuple[int, int]) -> tf.Tensor:
    """Masks (batch, height, width, 1), true in a square of `side` (a share of the picture's, one or (batch, 1)).

    It is whole pixels wide and lies where the uniform `draws` (batch, 2) say, wholly inside.
    """
    import tensorflow as tf

    inside = []
    for axis, length in enumerate(size):
        covered = tf.round(tf.convert_to_tensor(side) * length)
        start = tf.floor(draws[:, axis : axis + 1] * (length - covered + 1))
        places = tf.range(length, dtype=tf.float32)
        inside.append((places >= start) & (places < start + covered))
    return (inside[0][:, :, None] & inside[1][:, None, :])[..., None]


def transform(images: tf.Tensor, augmentation: Augmentation, draws: tf.Tensor) -> tf.Tensor:
    """`images` moved as the uniform `draws` (batch, DRAWS) say: the part without chance."""
    import tensorflow as tf

    height, width = images.shape[1], images.shape[2]
    a = augmentation
    signed = 2 * draws - 1
    rows = tf.range(height, dtype=tf.float32) - (height - 1) / 2
    columns = tf.range(width, dtype=tf.float32) - (width - 1) / 2
    # Zoom, then shift, in input pixels about the centre; a flip reads the output backwards.
    y = rows * _column(1 + a.zoom * signed[:, 3]) * _flip(draws[:, 6], a.vertical_flip)
    x = columns * _column(1 + a.zoom * signed[:, 4]) * _flip(draws[:, 5], a.horizontal_flip)
    whole = tf.round if a.whole_pixels else tf.identity
    y += _column(whole(a.height_shift * height * signed[:, 1]))
    x += _column(whole(a.width_shift * width * signed[:, 2]))
    if not a.rotation:
        vertical = _interpolation(y + (height - 1) / 2, height)
        horizontal = _interpolation(x + (width - 1) / 2, width)
        return _separable(images, vertical, horizontal)
    angle = (a.rotation * pi / 180) * signed[:, 0, None, None]
    y, x = y[:, :, None], x[:, None, :]
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _bilinear(images, sin * x + cos * y + (height - 1) / 2, cos * x - sin * y + (width - 1) / 2)


def _column(values: tf.Tensor) -> tf.Tensor:
    return values[:, None]


def _flip(draw: tf.Tensor, on: bool) -> tf.Tensor:
    import tensorflow as tf

    return _column(tf.where(draw < 0.5, -1.0, 1.0) if on else tf.ones_like(draw))


def _interpolation(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Matrices (batch, out, size) that sample a line linearly at `positions` (batch, out).

    Clipping the position repeats the border; the hat function gives the two weights.
    """
    import tensorflow as tf

    inside = tf.clip_by_value(positions, 0.0, size - 1.0)
    return tf.nn.relu(1 - tf.abs(inside[:, :, None] - tf.range(size, dtype=tf.float32)))


def _separable(images: tf.Tensor, vertical: tf.Tensor, horizontal: tf.Tensor) -> tf.Tensor:
    """Without rotation, bilinear sampling is one matrix from each side."""
    import tensorflow as tf

    _, height, width, channels = images.shape
    lines = tf.matmul(vertical, tf.reshape(images, [-1, height, width * channels]))
    return tf.einsum("nxw,nhwc->nhxc", horizontal, tf.reshape(lines, [-1, height, width, channels]))


def _bilinear(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Sample every picture at its own positions y, x (batch, height, width), border repeated."""
    import tensorflow as tf

    height, width = images.shape[1], images.shape[2]
    y, x = tf.clip_by_value(y, 0.0, height - 1.0), tf.clip_by_value(x, 0.0, width - 1.0)
    top, left = tf.floor(y), tf.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    bottom, far = tf.minimum(top + 1, height - 1), tf.minimum(left + 1, width - 1)

    def at(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        return tf.gather_nd(images, tf.stack([row, column], -1), batch_dims=1)

    upper = at(top, left) * (1 - right) + at(top, far) * right
    lower = at(bottom, left) * (1 - right) + at(bottom, far) * right
    return upper * (1 - down) + lower * down
