"""The Keras model of a network, layer for layer as `training.describe` lists it.

`build` is the model that is trained, saved and exported.  `forward` is the same arithmetic
written with TensorFlow operations on that model's own variables, which the engine trains
through because it is faster than Keras's layers; `tests/test_model.py` proves the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from training.describe import Layer, expand
from training.engine.convolution import conv2d, plain_conv2d
from training.engine.layers import BN_EPSILON, BN_MOMENTUM, batch_norm, dropout, moving

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from training.network_spec import Network


def build(network: Network, seed: int = 0) -> keras.Model:
    """A Keras model with exactly the layers of `training.describe.expand`, names equal.

    Input: float32 (batch, *input_shape), already normalized.  Output: probabilities, float32
    (batch, classes); the logits are the output of the layer "output" before the softmax.
    Kernels are drawn Glorot uniform, as Keras does unless told otherwise, from `seed`; a fixed one is for the engine to set.
    """
    import keras

    inputs = keras.Input(network.input_shape, name="pictures")
    layers = expand(network)
    made = [
        _keras_layer(layer, keras.initializers.GlorotUniform(seed=seed * 1009 + i)) for i, layer in enumerate(layers)
    ]
    return keras.Model(inputs, connect(layers, made, inputs), name="network")


def connect(layers: tuple[Layer, ...], made: list[keras.layers.Layer], x: Any) -> Any:
    """The output for `x` of Keras's layers `made`, one for each of `layers`, joined as those say."""
    outputs: dict[str, Any] = {}
    for layer, keras_layer in zip(layers, made, strict=True):
        x = outputs[layer.name] = keras_layer([x, outputs[layer.source]] if layer.kind == "add" else x)
    return x


def _keras_layer(layer: Layer, initializer: Any) -> keras.layers.Layer:
    from keras import layers

    match layer.kind:
        case "conv":
            return layers.Conv2D(
                layer.filters,
                layer.kernel,
                layer.stride,
                layer.padding,
                use_bias=not layer.fixed,
                kernel_initializer=initializer,
                trainable=not layer.fixed,
                name=layer.name,
            )
        case "batch_norm":
            return layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=layer.name)
        case "activation":
            return layers.Activation(layer.activation, name=layer.name)
        case "add":
            return layers.Add(name=layer.name)
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
    layers = expand(network)
    x = connect(layers, [model.get_layer(layer.name) for layer in layers], x)
    return keras.Model(pixels, x, name="network")


def variables(model: keras.Model) -> dict[str, tf.Variable]:
    """The variables of `model` as {"layer/variable": variable}, in the order of the layers.

    Without the state of Keras's own dropout, which is drawn anew for every model and which
    `forward` does not use: dropout comes from the seed it is given.
    """
    named = ((layer.name, variable) for layer in model.layers for variable in layer.variables)
    return {f"{name}/{v.name}": v.value for name, v in named if v.name != "seed_generator_state"}


def trainable(model: keras.Model) -> dict[str, tf.Variable]:
    """Those of `variables` that training changes by their gradients."""
    names = {f"{layer.name}/{variable.name}" for layer in model.layers for variable in layer.trainable_variables}
    return {name: variable for name, variable in variables(model).items() if name in names}


def assign(variables: dict[str, Any], values: dict[str, np.ndarray]) -> None:
    """Set `variables`, all of them or none; raises ValueError where a name or a shape does not fit."""
    check(variables, values)
    for name, variable in variables.items():
        variable.assign(values[name])


def check(variables: dict[str, Any], values: dict[str, np.ndarray]) -> None:
    """Raise ValueError where `values` lacks one of `variables`, or has another shape for it."""
    for name, variable in variables.items():
        if name not in values or values[name].shape != tuple(variable.shape):
            found = values[name].shape if name in values else "missing"
            raise ValueError(
                f"The weights are of another network: {name} is {found}, expected {tuple(variable.shape)}."
            )


def cast(weights: dict[str, tf.Tensor], dtype: str | tf.DType) -> dict[str, tf.Tensor]:
    """The variables in the number format of the layers, "float32" or "bfloat16"; batch norm and the logits stay float32."""
    import tensorflow as tf

    return {
        name: tf.cast(variable, dtype) if name.endswith(("kernel", "bias")) and "output" not in name else variable
        for name, variable in weights.items()
    }


def forward(
    layers: tuple[Layer, ...],
    weights: dict[str, tf.Tensor],
    x: tf.Tensor,
    seed: tf.Tensor | None = None,
    dropout_share: tf.Tensor | None = None,
    convolve: Callable[..., Any] = conv2d,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Logits, and the new moving statistics of batch norm by variable name.

    `weights` are the variables by name; each convolution and dense layer computes in the dtype
    of its kernel (float32 or bfloat16), and batch norm's variables are float32.  With `seed` (int32, shape (2,)) it is a training pass: dropout
    acts, drawn from `seed`, at `dropout_share` of its rates if that is given, batch norm uses the batch, and `convolve` is
    the convolution.  Without, it is inference, whose convolution is TensorFlow's own, and the second result is empty.
    Logits are float32.
    """
    import tensorflow as tf

    statistics: dict[str, tf.Tensor] = {}
    outputs: dict[str, tf.Tensor] = {}
    dropouts = 0
    for index, layer in enumerate(layers):
        match layer.kind:
            case "conv" | "dense":
                kernel = weights[f"{layer.name}/kernel"]
                x = tf.cast(x, kernel.dtype)
                # In training, batch norm takes a bias away again at once: leaving it out there
                # is exact (its gradient is 0) and saves two passes over the activations.
                left_out = layer.fixed or (seed is not None and layers[index + 1].kind == "batch_norm")
                bias = None if left_out else weights[f"{layer.name}/bias"]
                if layer.kind == "conv":
                    # Inference is TensorFlow's own on every processor, so that figures differ as little as can be.
                    own = plain_conv2d if seed is None else convolve
                    x = own(x, kernel, layer.padding.upper(), bias, layer.stride)
                else:
                    x = tf.matmul(x, kernel)
                    x = x if bias is None else tf.nn.bias_add(x, bias)
            case "batch_norm":
                gamma, beta = weights[f"{layer.name}/gamma"], weights[f"{layer.name}/beta"]
                names = f"{layer.name}/moving_mean", f"{layer.name}/moving_variance"
                if seed is None:
                    scale = gamma * tf.math.rsqrt(weights[names[1]] + BN_EPSILON)
                    x = x * tf.cast(scale, x.dtype) + tf.cast(beta - weights[names[0]] * scale, x.dtype)
                else:
                    x, mean, variance = batch_norm(x, gamma, beta)
                    mean += tf.cast(weights[f"{layers[index - 1].name}/bias"], tf.float32)  # left out above
                    statistics |= {n: moving(weights[n], v) for n, v in zip(names, (mean, variance), strict=True)}
            case "add":
                x += tf.cast(outputs[layer.source], x.dtype)
            case "activation":
                x = getattr(tf.nn, layer.activation)(x)
            case "pool":
                if layer.pooling == "average":
                    x = tf.nn.avg_pool2d(x, layer.size, layer.size, "VALID")
                else:
                    x = tf.nn.max_pool2d(x, layer.size, layer.size, "VALID")
            case "dropout":
                if seed is not None:
                    dropouts += 1
                    rate = layer.rate if dropout_share is None else layer.rate * dropout_share
                    x = dropout(x, rate, tf.stack([seed[0], seed[1] + dropouts]))
            case "flatten":
                x = tf.reshape(x, [-1, layer.output_shape[0]])
            case "global_pool":
                x = tf.reduce_mean(x, [1, 2])
        outputs[layer.name] = x
    return tf.cast(x, tf.float32), statistics
