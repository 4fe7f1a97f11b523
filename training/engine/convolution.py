"""Convolutions for training, each computed in the way that is fastest on this processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.engine import winograd
from training.hardware import has_avx2

if TYPE_CHECKING:
    import tensorflow as tf

SMALL_MAP = 16  # pixels; see `_on_a_small_map`
# With AVX2 or AVX-512, in float32:
WIDE = 96  # channels from which fewer multiplications outweigh the rearranging: 192 of 8x8 take two thirds of the time
MANY = 64  # tiles below which turning the kernel itself takes longer than it saves, such as 16 maps of 4x4


def conv2d(x: tf.Tensor, kernel: tf.Tensor, padding: str, bias: tf.Tensor | None = None, stride: int = 1) -> tf.Tensor:
    """`tf.nn.conv2d`, and `bias`, (filters,), added where there is one.

    The same within rounding, computed in the way that is fastest, which depends on the processor and on the
    shapes (docs/speed.md).  With a GPU, not measured, for 1x1 kernels and strides above 1 TensorFlow's own stays.
    """
    import tensorflow as tf

    rows, columns, *channels = kernel.shape
    if rows * columns == 1 or stride > 1 or tf.config.list_physical_devices("GPU"):
        return plain_conv2d(x, kernel, padding, bias, stride)
    wide = (rows, columns) == (3, 3) and min(channels) >= WIDE
    if wide and kernel.dtype == tf.float32 and has_avx2() and winograd.tiles(x, padding) >= MANY:
        y = winograd.conv2d(x, kernel, padding)
        return y if bias is None else tf.nn.bias_add(y, bias)
    if x.shape[1] * x.shape[2] <= SMALL_MAP:
        return _on_a_small_map(x, kernel, padding, bias)
    return plain_conv2d(x, kernel, padding, bias)


def plain_conv2d(
    x: tf.Tensor, kernel: tf.Tensor, padding: str, bias: tf.Tensor | None = None, stride: int = 1
) -> tf.Tensor:
    """TensorFlow's own."""
    import tensorflow as tf

    y = tf.nn.conv2d(x, kernel, stride, padding)
    return y if bias is None else tf.nn.bias_add(y, bias)


def _padded(x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
    """`x` with the zeros round it that "SAME" means."""
    import tensorflow as tf

    if padding == "VALID":
        return x
    rows, columns = kernel.shape[:2]
    above, left = (rows - 1) // 2, (columns - 1) // 2
    return tf.pad(x, [[0, 0], [above, rows - 1 - above], [left, columns - 1 - left], [0, 0]])


def _on_a_small_map(x: tf.Tensor, kernel: tf.Tensor, padding: str, bias: tf.Tensor | None) -> Any:
    """The plain convolution, its kernel's gradient as a product of matrices for each place of the kernel.

    On maps of at most 4x4 TensorFlow's own takes as long or up to 8 times (256 channels: 8.2 ms against 2.0 in
    bfloat16 with AMX, 13.9 against 11.4 without, 8.7 against 7.4 in float32), and less on larger ones.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(x, kernel, *bias):
        def gradient(dy):
            rows, columns, channels, filters = kernel.shape
            padded, flat = _padded(x, kernel, padding), tf.reshape(dy, [-1, filters])

            def tap(i, j):
                seen = padded[:, i : i + dy.shape[1], j : j + dy.shape[2]]
                return tf.matmul(tf.reshape(seen, [-1, channels]), flat, transpose_a=True)

            dx = tf.nn.conv2d_transpose(dy, kernel, tf.shape(x), 1, padding)
            dkernel = tf.stack([tap(i, j) for i in range(rows) for j in range(columns)])
            # TensorFlow's gradient of bias_add, once no convolution's stands beside it, would sum in bfloat16.
            dbias = [tf.reduce_sum(flat, 0)] if bias else []
            return dx, tf.reshape(dkernel, kernel.shape), *dbias

        return plain_conv2d(x, kernel, padding, *bias), gradient

    return convolve(x, kernel) if bias is None else convolve(x, kernel, bias)
