"""ResNet-50 v2, pre-activated: the network, in two parts that fit together.

K. He et al., "Identity mappings in deep residual networks", 2016, with the layout and layer
names of Gluon ("resnet50_v2", GluonCV and ONNX model zoo "resnet50-v2-7", Apache-2.0), whose
weights it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

_STAGES = ((3, 256, 1), (4, 512, 2), (6, 1024, 2), (3, 2048, 2))  # blocks, channels out, first stride
_EPSILON = 1e-5


def _norm_relu(x: Any, name: str) -> Any:
    from keras import layers

    x = layers.BatchNormalization(epsilon=_EPSILON, momentum=0.9, name=name)(x)
    return layers.ReLU(name=name.replace("batchnorm", "relu"))(x)


def _conv(x: Any, filters: int, kernel: int, stride: int, name: str, initializer: str = "zeros") -> Any:
    """A convolution; zeros until its weights are read, since random numbers take longer to make than to read."""
    from keras import layers

    if kernel > 1:  # as torch and MXNet pad; Keras's "same" pads a stride of 2 on one side only
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(filters, kernel, strides=stride, use_bias=False, kernel_initializer=initializer, name=name)(x)


def _stage(x: Any, stage: int, activated: bool = False, initializer: str = "zeros") -> Any:
    """One stage of bottleneck blocks, numbered from 1; `activated`: x has passed its first batch norm and ReLU."""
    from keras import layers

    blocks, channels, first_stride = _STAGES[stage - 1]
    name, convs, norms = f"stage{stage}", 0, 0
    for block in range(blocks):
        stride, shortcut = (first_stride, None) if block == 0 else (1, x)
        if block > 0 or not activated:
            x = _norm_relu(x, f"{name}_batchnorm{norms}")
        if block == 0:  # Gluon numbers the shortcut's convolution after the block's own three
            shortcut = _conv(x, channels, 1, stride, f"{name}_conv{convs + 3}", initializer)
        x = _conv(x, channels // 4, 1, 1, f"{name}_conv{convs}", initializer)
        x = _norm_relu(x, f"{name}_batchnorm{norms + 1}")
        x = _conv(x, channels // 4, 3, stride, f"{name}_conv{convs + 1}", initializer)
        x = _norm_relu(x, f"{name}_batchnorm{norms + 2}")
        x = _conv(x, channels, 1, 1, f"{name}_conv{convs + 2}", initializer)
        x = layers.Add(name=f"{name}_add{block}")([x, shortcut])
        convs += 4 if block == 0 else 3
        norms += 3
    return x


def conv4(size: int = 224) -> keras.Model:
    """Conv1 to conv4 with the batch norm and ReLU that open conv5: (size, size, 3) to (size/16, size/16, 1024)."""
    import keras
    from keras import layers

    image = x = keras.Input((size, size, 3), name="image")
    x = layers.BatchNormalization(epsilon=_EPSILON, momentum=0.9, scale=False, center=False, name="batchnorm0")(x)
    x = _norm_relu(_conv(x, 64, 7, 2, "conv0"), "batchnorm1")
    x = layers.MaxPooling2D(3, strides=2, name="pool")(layers.ZeroPadding2D(1, name="pool_pad")(x))
    for stage in (1, 2, 3):
        x = _stage(x, stage)
    return keras.Model(image, _norm_relu(x, "stage4_batchnorm0"), name="resnet50v2_conv4")


def conv5(size: int | None = 14) -> keras.Model:
    """Conv5 and the last batch norm and ReLU: conv4's (size, size, 1024) to (size/2, size/2, 2048).

    Its kernels are random, He et al.'s normal distribution: it is the part that is trained here.
    """
    import keras

    conv4 = keras.Input((size, size, 1024), name="conv4")
    x = _stage(conv4, 4, activated=True, initializer="he_normal")
    return keras.Model(conv4, _norm_relu(x, "batchnorm2"), name="resnet50v2_conv5")


_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)


def preprocess(pictures: Any) -> Any:
    """RGB pixels 0-255 (array or tensor) to ImageNet's mean 0 and deviation 1."""
    return (pictures / np.float32(255) - _MEAN) / _STD


def full(size: int = 224) -> keras.Model:
    """All 50 layers without the classifier: (size, size, 3) to (size/32, size/32, 2048)."""
    import keras

    lower = conv4(size)
    return keras.Model(
        lower.input, _norm_relu(_stage(lower.output, 4, activated=True), "batchnorm2"), name="resnet50v2"
    )
