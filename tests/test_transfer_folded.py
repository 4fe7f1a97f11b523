"""Batch norm folded into convolutions: the same function, the same gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models import fill
from training.transfer import folded
from training.transfer.backbones import LITE0, RESNET50, RESNET50V2

rng = np.random.default_rng(0)


def shaken(model: keras.Model) -> keras.Model:
    """`model` with batch norm that changes something."""
    for layer in model.layers:
        for variable in layer.weights if isinstance(layer, keras.layers.BatchNormalization) else ():
            low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.3, 0.3)
            variable.assign(rng.uniform(low, high, variable.shape))
    return model


def small() -> keras.Model:
    """Every kind of layer; two convolutions must not be folded, for a sum or a relu stands between."""
    layers = keras.layers
    inputs = keras.Input((12, 12, 3))
    x = layers.ZeroPadding2D(((1, 0), (0, 1)))(inputs)
    x = layers.BatchNormalization(scale=False, center=False)(layers.Conv2D(8, 3, strides=2)(x))
    x = layers.ReLU(6.0)(x)
    shared = layers.Conv2D(8, 1, use_bias=False)(x)
    y = layers.Activation("relu")(layers.BatchNormalization(scale=False)(shared))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", activation="relu")(y))
    z = layers.ReLU()(layers.BatchNormalization()(layers.Add()([shared, y])))
    return shaken(keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2, padding="same")(z))))


def test_values_and_gradients_equal_keras():
    model, x = small(), tf.constant(rng.normal(size=(4, 12, 12, 3)).astype(np.float32))
    variables = [variable.value for variable in model.trainable_variables]

    def both(network):
        with tf.GradientTape() as tape:
            y = network(x)
            loss = tf.reduce_sum(tf.sin(3 * y))
        return [y, *tape.gradient(loss, variables)]

    assert len(variables) == 13
    theirs = both(lambda x: model(x, training=False))
    for learns in (False, True):
        for one, other in zip(both(folded.forward(model, learns=learns)), theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_learning_equals_keras_in_training_mode_moving_statistics_included():
    model, x = small(), tf.constant(rng.normal(size=(4, 12, 12, 3)).astype(np.float32))
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        y, moving = folded.learning(model)(x)
        loss = tf.reduce_sum(tf.sin(3 * y))
    ours = [y, *tape.gradient(loss, variables)]
    with tf.GradientTape() as tape:
        y = model(x, training=True)  # Keras moves the statistics
        loss = tf.reduce_sum(tf.sin(3 * y))
    for one, other in zip(ours, [y, *tape.gradient(loss, variables)], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    moved = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.non_trainable_variables}
    assert moving.keys() == moved.keys() and len(moving) == 10
    for name, value in moving.items():
        np.testing.assert_allclose(value, moved[name], rtol=1e-4, atol=1e-6)


def test_a_variable_that_changes_counts_at_once_in_a_graph():
    model, x = small(), tf.ones((1, 12, 12, 3))
    run = tf.function(folded.forward(model))
    before = run(x).numpy()
    shaken(model)
    assert not np.allclose(run(x), before)
    np.testing.assert_allclose(run(x), model(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", [RESNET50, RESNET50V2, LITE0], ids=lambda backbone: backbone.name)
def test_the_backbones_give_the_same_maps(backbone):
    model = shaken(fill(backbone.build()))
    pixels = backbone.preprocess(tf.constant(rng.uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)))
    expected = model(pixels, training=False).numpy()
    error = np.linalg.norm(folded.forward(model)(pixels) - expected) / np.linalg.norm(expected)
    assert error < 1e-4
    assert folded.forward(model, "bfloat16")(pixels).dtype == tf.bfloat16


def test_training_takes_the_fast_convolutions_and_predictions_the_plain_ones(monkeypatch):
    seen, original = [], folded.conv2d
    monkeypatch.setattr(
        folded, "conv2d", lambda x, kernel, *rest: seen.append(kernel.shape[0]) or original(x, kernel, *rest)
    )
    x = tf.ones((1, 12, 12, 3))
    folded.forward(small())(x)
    assert not seen
    folded.forward(small(), learns=True)(x)
    folded.learning(small())(x)
    assert seen == [1, 3] * 2  # of strides of 1; the others are strided or depthwise


def test_depthwise_convolutions_compute_in_float32_whatever_the_others_do(monkeypatch):
    seen, original = [], tf.nn.depthwise_conv2d
    monkeypatch.setattr(tf.nn, "depthwise_conv2d", lambda x, *rest: seen.append(x.dtype) or original(x, *rest))
    assert folded.forward(small(), "bfloat16")(tf.ones((1, 12, 12, 3))).dtype == tf.bfloat16
    assert seen == [tf.float32]


def test_a_pointwise_convolution_is_a_product_of_matrices():
    x = tf.constant(rng.normal(size=(2, 5, 4, 6)).astype(np.float32))
    kernel = tf.constant(rng.normal(size=(1, 1, 6, 3)).astype(np.float32))

    def both(function):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
            loss = tf.reduce_sum(tf.sin(y))
        return [y, *tape.gradient(loss, [x, kernel])]

    plain = both(lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "VALID"))
    for ours, theirs in zip(both(folded._pointwise), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_bfloat16_gives_what_float32_gives_within_its_rounding():
    model, x = small(), tf.constant(rng.normal(size=(4, 12, 12, 3)).astype(np.float32))
    for make in (folded.forward, lambda *a: lambda x: folded.learning(*a)(x)[0]):
        exact, rough = make(model)(x), tf.cast(make(model, "bfloat16")(x), tf.float32)
        assert np.linalg.norm(rough - exact) / np.linalg.norm(exact) < 0.03


def test_a_layer_that_is_not_known_is_refused():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.UpSampling2D(2)(inputs))
    with pytest.raises(TypeError, match="UpSampling2D"):
        folded.forward(model)
    with pytest.raises(TypeError, match="Conv2D"):
        folded.forward(keras.Model(inputs, keras.layers.Conv2D(4, 3, dilation_rate=2)(inputs)))
