"""The Keras model of a network, layer for layer as `training.describe` lists it.

`build` is the model that is trained, saved and exported.  `forward` is the same arithmetic
written with TensorFlow operations on that model's own variables, which the engine trains
through because it is faster than Keras's layers; `tests/test_model.py` proves the two equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.describe import Layer, expand

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from training.spec import Network

BN_MOMENTUM, BN_EPSILON = 0.99, 1e-3  # Keras's own defaults


def build(network: Network, seed: int = 0) -> keras.Model:
    """A Keras model with exactly the layers of `training.describe.expand`, names equal.

    Input: float32 (batch, *input_shape), already normalized.  Output: probabilities, float32
    (batch, classes); the logits are the output of the layer "output" before the softmax.
    Kernels are drawn Glorot uniform, as Keras does unless told otherwise, from `seed`.
    """
    import keras

    inputs = keras.Input(network.input_shape, name="pictures")
    x = inputs
    for index, layer in enumerate(expand(network)):
        x = _keras_layer(layer, keras.initializers.GlorotUniform(seed=seed * 1009 + index))(x)
    return keras.Model(inputs, x, name="network")


def _keras_layer(layer: Layer, initializer: Any) -> keras.layers.Layer:
    from keras import layers

    match layer.kind:
        case "conv":
            return layers.Conv2D(
                layer.filters, layer.kernel, padding=layer.padding, kernel_initializer=initializer, name=layer.name
            )
        case "batch_norm":
            return layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=layer.name)
        case "activation":
            return layers.Activation(layer.activation, name=layer.name)
        case "pool":
            kind = layers.AveragePooling2D if layer.pooling == "average" else layers.MaxPooling2D
            return kind(layer.size, name=layer.name)
        case "dropout":
            return layers.Dropout(layer.rate, name=layer.name)
        case "flatten":
            return layers.Flatten(name=layer.name)
        case "global_pool":
            return layers.GlobalAveragePooling2D(name=layer.name)
        case "dense":
            return layers.Dense(layer.units, kernel_initializer=initializer, name=layer.name)
    return layers.Softmax(name=layer.name)


def exportable(network: Network, model: keras.Model, mean: np.ndarray, std: np.ndarray) -> keras.Model:
    """`model` behind a layer that normalizes, so that it takes pixels from 0 to 255.

    mean, std: per channel, in pixel units (0 and 255 where normalization is off).  Plain
    Keras opens the saved file: it holds only Keras's own layers.
    """
    import keras

    std = np.asarray(std, np.float64)
    pixels = keras.Input(network.input_shape, name="pixels")
    scale, offset = (1 / std).tolist(), (-np.asarray(mean, np.float64) / std).tolist()
    x = keras.layers.Rescaling(scale, offset, name="normalize")(pixels)
    for layer in model.layers[1:]:
        x = layer(x)
    return keras.Model(pixels, x, name="network")


def variables(model: keras.Model) -> dict[str, tf.Variable]:
    """All variables of `model` as {"layer/variable": variable}, in the order of the layers."""
    return {f"{layer.name}/{variable.name}": variable.value for layer in model.layers for variable in layer.variables}


def forward(
    layers: tuple[Layer, ...],
    weights: dict[str, tf.Tensor],
    x: tf.Tensor,
    seed: tf.Tensor | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Logits, and the new moving statistics of batch norm by variable name.

    `weights` are the variables by name, kernels in the dtype of `x` (float32 or bfloat16),
    batch norm's in float32.  With `seed` (int32, shape (2,)) it is a training pass: dropout
    acts, drawn from `seed`, and batch norm uses the batch.  Without, it is inference and the
    second result is empty.  Logits are float32.
    """
    import tensorflow as tf

    training = seed is not None
    moving: dict[str, tf.Tensor] = {}
    drop = 0
    for index, layer in enumerate(layers):
        match layer.kind:
            case "conv" | "dense":
                if layer.kind == "conv":
                    x = tf.nn.conv2d(x, weights[f"{layer.name}/kernel"], 1, layer.padding.upper())
                else:
                    x = tf.matmul(x, weights[f"{layer.name}/kernel"])
                # In training, batch norm takes a bias away again at once: leaving it out there
                # is exact (its gradient is 0) and saves two passes over the activations.
                if not (training and layers[index + 1].kind == "batch_norm"):
                    x = tf.nn.bias_add(x, weights[f"{layer.name}/bias"])
            case "batch_norm":
                x = _batch_norm(layer, weights, layers[index - 1].name, x, moving if training else None)
            case "activation":
                x = getattr(tf.nn, layer.activation)(x)
            case "pool":
                pool = tf.nn.avg_pool2d if layer.pooling == "average" else tf.nn.max_pool2d
                x = pool(x, layer.size, layer.size, "VALID")
            case "dropout":
                if seed is not None:
                    drop += 1
                    x = _dropout(x, layer.rate, tf.stack([seed[0], seed[1] + drop]))
            case "flatten":
                x = tf.reshape(x, [-1, layer.output_shape[0]])
            case "global_pool":
                x = tf.reduce_mean(x, [1, 2])
    return tf.cast(x, tf.float32), moving


def _batch_norm(
    layer: Layer, weights: dict[str, tf.Tensor], source: str, x: tf.Tensor, moving: dict[str, tf.Tensor] | None
) -> tf.Tensor:
    """Fused batch norm; the new moving statistics go to `moving`, None for inference."""
    import tensorflow as tf

    names = [f"{layer.name}/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")]
    gamma, beta, mean, variance = (weights[name] for name in names)
    channels = layer.output_shape[-1]
    flat = len(layer.output_shape) == 1
    y = tf.reshape(x, [-1, 1, 1, channels]) if flat else x
    training = moving is not None
    y, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=y,
        scale=gamma,
        offset=beta,
        mean=[] if training else mean,
        variance=[] if training else variance,
        epsilon=BN_EPSILON,
        is_training=training,
    )
    if moving is not None:
        count = tf.cast(tf.size(x) // channels, tf.float32)
        batch_variance *= (count - 1) / count  # the fused operation divides by n - 1, Keras by n
        batch_mean += tf.cast(weights[f"{source}/bias"], tf.float32)  # the bias that `forward` left out
        moving[names[2]] = mean * BN_MOMENTUM + batch_mean * (1 - BN_MOMENTUM)
        moving[names[3]] = variance * BN_MOMENTUM + batch_variance * (1 - BN_MOMENTUM)
    return tf.reshape(y, tf.shape(x)) if flat else y


def _dropout(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Dropout from 16 random bits a value: the rate is met within 1/131072."""
    import tensorflow as tf

    threshold = round(rate * 65536)
    shape = tf.shape(x)
    words = tf.random.stateless_uniform([(tf.size(x) + 1) // 2], seed, None, None, tf.int32)
    bits = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[: tf.size(x)], shape)
    mask = tf.cast(tf.cast(bits, tf.int32) >= threshold, x.dtype)
    return x * (mask * tf.cast(65536 / (65536 - threshold), x.dtype))
