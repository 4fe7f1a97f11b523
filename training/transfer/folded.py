"""A backbone computed faster than Keras computes it: the same function of the same variables.

`forward` is inference mode.  There batch norm is one factor and one offset a channel, so conv, then batch
norm, is a convolution with another kernel and bias, where Keras computes the two one after the other, each a
pass over the activations.  The kernel is folded inside the graph from the variables themselves, so that
gradients reach them and a fine-tuned variable counts at once.  `learning` is training mode, with batch norm
of the batch as `training.engine.layers` computes it.  Where gradients are wanted, convolutions are computed in the way
that is fastest on the processor, which rounds differently; predictions keep the rounding of the cards' figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.engine.convolution import conv2d
from training.engine.layers import batch_norm

if TYPE_CHECKING:
    import keras


def forward(model: keras.Model, dtype: str = "float32", learns: bool = False) -> Callable[[Any], Any]:
    """The function that `model(x, training=False)` is, for a model of convolutions, batch norm, relu, padding,
    pooling and sums; its convolutions compute in `dtype`, "float32" or "bfloat16", and so is its result; depthwise
    ones compute in float32 and give `dtype`.  `learns`: for training, where gradients count most.

    Raises TypeError for a model with other layers.
    """
    import keras

    layers = model.layers[1:]
    readers = Counter(id(x) for layer in layers for x in _inputs(layer))
    norms = {id(layer.input): layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)}
    steps: list[tuple[list[int], int, Callable[..., Any]]] = []  # ids of the inputs, id of the output, its function
    done = set()  # outputs that a step gives: a folded batch norm is passed over
    for layer in layers:
        if id(layer.output) in done:
            continue
        norm, sources = None, [id(x) for x in _inputs(layer)]
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            alone = readers[id(layer.output)] == 1 and layer.activation is keras.activations.linear
            norm = norms.get(id(layer.output)) if alone else None
        end = layer if norm is None else norm
        steps.append((sources, id(end.output), _operation(layer, norm, dtype, learns)))
        done.add(id(end.output))

    def run(x: Any) -> Any:
        values = {id(model.input): x}
        for sources, target, operation in steps:
            values[target] = operation(*(values[source] for source in sources))
        return values[id(model.output)]

    return run


def learning(model: keras.Model, dtype: str = "float32") -> Callable[[Any], tuple[Any, dict[str, Any]]]:
    """The function that `model(x, training=True)` is, for the same models and formats as `forward`'s: its result, and
    the new moving statistics of batch norm by variable name, which it leaves to the caller to assign.
    """
    import keras

    layers = model.layers[1:]
    steps = [
        (layer, None if isinstance(layer, keras.layers.BatchNormalization) else _operation(layer, None, dtype, True))
        for layer in layers
    ]

    def run(x: Any) -> tuple[Any, dict[str, Any]]:
        values: dict[int, Any] = {id(model.input): x}
        moving: dict[str, Any] = {}
        for layer, operation in steps:
            inputs = [values[id(source)] for source in _inputs(layer)]
            if operation is None:
                value, statistics = _batch_norm(layer, *inputs)
                moving |= statistics
            else:
                value = operation(*inputs)
            values[id(layer.output)] = value
        return values[id(model.output)], moving

    return run


def _batch_norm(layer: Any, x: Any) -> tuple[Any, dict[str, Any]]:
    """Batch norm of the batch, and the layer's new moving statistics by variable name."""
    import tensorflow as tf

    ones, zeros = tf.ones_like(layer.moving_variance), tf.zeros_like(layer.moving_mean)
    gamma = ones if layer.gamma is None else tf.convert_to_tensor(layer.gamma)
    beta = zeros if layer.beta is None else tf.convert_to_tensor(layer.beta)
    y, mean, variance = batch_norm(x, gamma, beta, layer.epsilon)
    kept = layer.momentum
    return y, {
        f"{layer.name}/moving_mean": layer.moving_mean * kept + mean * (1 - kept),
        f"{layer.name}/moving_variance": layer.moving_variance * kept + variance * (1 - kept),
    }


def _inputs(layer: Any) -> list[Any]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _scale(norm: Any) -> tuple[Any, Any]:
    """Batch norm's factor and offset, float32 (channels,)."""
    import tensorflow as tf

    factor = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    factor = factor if norm.gamma is None else factor * norm.gamma
    offset = -norm.moving_mean * factor
    return factor, offset if norm.beta is None else offset + norm.beta


def _convolution(layer: Any, norm: Any, x: Any, dtype: str, learns: bool) -> Any:
    import keras
    import tensorflow as tf

    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel, bias = tf.convert_to_tensor(layer.kernel), layer.bias
    if norm is not None:
        factor, offset = _scale(norm)
        kernel = kernel * (factor[:, None] if depthwise else factor)
        bias = offset if bias is None else offset + bias * factor
    # One channel at a time is nothing for bfloat16 instructions, and TensorFlow's own way is slow in it.
    own = "float32" if depthwise else dtype
    x, kernel = tf.cast(x, own), tf.cast(kernel, own)
    padding = layer.padding.upper()
    if depthwise:
        y = tf.nn.depthwise_conv2d(x, kernel, (1, *layer.strides, 1), padding)
    elif layer.kernel_size == layer.strides == (1, 1) and own == "bfloat16":
        y = _pointwise(x, kernel)
    elif learns and layer.strides == (1, 1):
        y = conv2d(x, kernel, padding)
    else:
        y = tf.nn.conv2d(x, kernel, layer.strides, padding)
    if bias is not None:
        y = tf.nn.bias_add(y, tf.cast(bias, own))
    return tf.cast(layer.activation(y), dtype)


def _pointwise(x: Any, kernel: Any) -> Any:
    """A 1x1 convolution as a product of matrices: in bfloat16 its gradient for the kernel takes half the time so."""
    import tensorflow as tf

    *_, inputs, outputs = kernel.shape
    y = tf.matmul(tf.reshape(x, (-1, inputs)), tf.reshape(kernel, (inputs, outputs)))
    return tf.reshape(y, tf.concat([tf.shape(x)[:-1], [outputs]], 0))


def _operation(layer: Any, norm: Any, dtype: str, learns: bool) -> Callable[..., Any]:
    """The function of a layer: of a convolution with `norm`, if any, folded, in `dtype`; else in the input's format."""
    import keras
    import tensorflow as tf

    kind = keras.layers
    if isinstance(layer, kind.BatchNormalization):

        def normalize(x: Any) -> Any:
            factor, offset = _scale(layer)
            return x * tf.cast(factor, x.dtype) + tf.cast(offset, x.dtype)

        return normalize
    if (
        isinstance(layer, kind.ReLU)
        and layer.max_value in (None, 6)
        and not layer.threshold
        and not layer.negative_slope
    ):
        return tf.nn.relu6 if layer.max_value else tf.nn.relu
    if isinstance(layer, kind.Activation) and layer.activation is keras.activations.relu:
        return tf.nn.relu
    if isinstance(layer, kind.Add):
        return lambda *x: tf.add_n(x)
    if isinstance(layer, kind.ZeroPadding2D):
        return lambda x: tf.pad(x, [(0, 0), *layer.padding, (0, 0)])
    if isinstance(layer, kind.MaxPooling2D):
        return lambda x: tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding.upper())
    if isinstance(layer, kind.GlobalAveragePooling2D):
        return lambda x: tf.reduce_mean(x, (1, 2))
    if (
        isinstance(layer, kind.Conv2D | kind.DepthwiseConv2D)
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
    ):
        return lambda x: _convolution(layer, norm, x, dtype, learns)
    raise TypeError(f"The layer {layer.name} ({type(layer).__name__}) cannot be folded.")
