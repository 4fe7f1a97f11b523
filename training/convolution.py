"""Convolutions for training, each computed in the way that is fastest on this processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training import winograd
from training.processor import computes_eight_at_once

if TYPE_CHECKING:
    import tensorflow as tf

SMALL_MAP = 16  # pixels; see `_by_taps`
# With AVX2:
WIDE = 96  # channels from which fewer multiplications outweigh the rearranging: 192 of 8x8 take a third of the time
MANY = 64  # tiles below which turning the kernel itself takes longer than it saves, such as 16 maps of 4x4
FEW, FILLED = 16, 32  # filters up to which several pixels are computed together, and how many filters those make
NARROW = 16  # channels of the pictures below which gradients of our own gained nothing


def conv2d(x: tf.Tensor, kernel: tf.Tensor, padding: str, bias: tf.Tensor | None = None, stride: int = 1) -> tf.Tensor:
    """`tf.nn.conv2d`, and `bias`, (filters,), added where there is one.

    The same within rounding, computed in the way that is fastest, which depends on the processor and on the
    shapes (docs/speed.md).  With a GPU, not measured, for 1x1 kernels and strides above 1 TensorFlow's own stays.
    """
    import tensorflow as tf

    rows, columns, *channels = kernel.shape
    inputs = (x, kernel) if bias is None else (x, kernel, bias)
    if rows * columns == 1 or stride > 1 or tf.config.list_physical_devices("GPU"):
        return plain_conv2d(x, kernel, padding, bias, stride)
    eight = kernel.dtype == tf.float32 and computes_eight_at_once()
    wide = (rows, columns) == (3, 3) and min(channels) >= WIDE
    if eight and wide and winograd.tiles(x, padding) >= MANY:
        y = winograd.conv2d(x, kernel, padding)
        return y if bias is None else tf.nn.bias_add(y, bias)
    if eight and channels[0] < NARROW and channels[1] <= FEW:
        return _several_pixels(x, kernel, padding, bias)
    if x.shape[1] * x.shape[2] <= SMALL_MAP:
        return _with_gradients(padding, turned=eight, kernel_gradient=_by_taps)(*inputs)
    if eight and channels[0] >= NARROW:
        return _with_gradients(padding, turned=True, kernel_gradient=_by_convolution)(*inputs)
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


def _several_pixels(x: tf.Tensor, kernel: tf.Tensor, padding: str, bias: tf.Tensor | None) -> tf.Tensor:
    """The plain convolution of few filters, computed for two or four pixels of a row in one place.

    The kernel, moved by a pixel at a time, becomes so many times the filters of one with as long a stride:
    the processor's vectors are full, which they are not with 6 filters.  BaseNet's first convolution, forward
    and backward: 20 ms to 9 on one core.
    """
    import tensorflow as tf

    rows, columns, _, filters = kernel.shape
    x = _padded(x, kernel, padding)
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    pixels = next(n for n in (4, 2, 1) if (n * filters <= FILLED and width % n == 0) or n == 1)
    moved = [tf.pad(kernel, [[0, 0], [n, pixels - 1 - n], [0, 0], [0, 0]]) for n in range(pixels)]
    y = tf.nn.conv2d(x, tf.concat(moved, 3), (1, 1, pixels, 1), "VALID")
    y = tf.reshape(y, [-1, height, width, filters])
    return y if bias is None else tf.nn.bias_add(y, bias)


def _with_gradients(padding: str, turned: bool, kernel_gradient: Any) -> Any:
    """The plain convolution with gradients of our own.

    `turned`: the pictures' gradient as a convolution with the kernel turned about, where padding is "SAME".
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(x, kernel, *bias):
        def gradient(dy):
            rows, columns, _, filters = kernel.shape
            if turned and padding == "SAME" and rows % 2 and columns % 2:
                dx = tf.nn.conv2d(dy, winograd.turned(kernel), 1, padding)
            else:
                dx = tf.nn.conv2d_transpose(dy, kernel, tf.shape(x), 1, padding)
            # TensorFlow's gradient of bias_add, once no convolution's stands beside it, would sum in bfloat16.
            dbias = [tf.reduce_sum(tf.reshape(dy, [-1, filters]), 0)] if bias else []
            return dx, kernel_gradient(_padded(x, kernel, padding), dy, kernel), *dbias

        return plain_conv2d(x, kernel, padding, *bias), gradient

    return convolve


def _by_taps(padded: Any, dy: Any, kernel: Any) -> Any:
    """The kernel's gradient as a product of matrices for each place of the kernel.

    On maps of at most 4x4 TensorFlow's own takes as long or up to 8 times (256 channels: 8.2 ms against 2.0 in
    bfloat16 with AMX, 13.9 against 11.4 without, 8.7 against 7.4 in float32), and less on larger ones.
    """
    import tensorflow as tf

    rows, columns, channels, filters = kernel.shape
    flat = tf.reshape(dy, [-1, filters])

    def tap(i, j):
        seen = padded[:, i : i + dy.shape[1], j : j + dy.shape[2]]
        return tf.matmul(tf.reshape(seen, [-1, channels]), flat, transpose_a=True)

    return tf.reshape(tf.stack([tap(i, j) for i in range(rows) for j in range(columns)]), kernel.shape)


def _by_convolution(padded: Any, dy: Any, kernel: Any) -> Any:
    """The kernel's gradient as a convolution of the pictures with the outputs' gradient: the batch is its channels."""
    import tensorflow as tf

    products = tf.nn.conv2d(tf.transpose(padded, [3, 1, 2, 0]), tf.transpose(dy, [1, 2, 0, 3]), 1, "VALID")
    return tf.transpose(products, [1, 2, 0, 3])
