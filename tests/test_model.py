"""The engine's arithmetic against plain Keras layers, and the exported model."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from tests.test_describe import networks
from training import catalogue
from training.describe import describe, expand
from training.engine import convolution, model, winograd
from training.network_spec import Network

rng = np.random.default_rng(0)


def pictures(network: Network, count: int) -> tf.Tensor:
    return tf.constant(rng.normal(size=(count, *network.input_shape)).astype(np.float32))


def shaken(network: Network) -> keras.Model:
    """A model whose every variable differs from its initial value, biases and averages too."""
    built = model.build(network)
    for variable in built.variables:
        value = variable.numpy()
        shake = rng.uniform(0.5, 1.5, value.shape) if "variance" in variable.name else rng.normal(0, 0.1, value.shape)
        variable.assign(value * 0.9 + shake)
    return built


@pytest.fixture(params=[False, True], ids=["no avx2", "avx2"])
def avx2(request, monkeypatch):
    """Both ways to compute, whatever this processor's is."""
    monkeypatch.setattr(convolution, "has_avx2", lambda: request.param)
    return request.param


def both_gradients(network: Network, count: int = 8):
    """Loss, gradients and new averages of one training step: Keras's layers, then ours."""
    plain, x = shaken(network), pictures(network, count)
    labels = tf.constant(rng.integers(0, network.classes, count))
    before = {name: tf.constant(variable) for name, variable in model.variables(plain).items()}
    trainable = model.trainable(plain)
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy()(labels, plain(x, training=True))
    first = loss, tape.gradient(loss, trainable), {n: tf.constant(v) for n, v in model.variables(plain).items()}
    for name, variable in model.variables(plain).items():
        variable.assign(before[name])
    with tf.GradientTape() as tape:
        logits, averages = model.forward(expand(network), model.variables(plain), x, tf.constant([0, 0]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    return first, (loss, tape.gradient(loss, trainable), averages)


def close(ours, keras_, least: float = 1e-3) -> None:
    """Equal within float32's rounding, summed over a deep network: 0.5 % of the tensor's length."""
    ours, keras_ = np.array(ours, dtype=np.float64), np.array(keras_, dtype=np.float64)
    assert np.linalg.norm(ours - keras_) <= 5e-3 * np.linalg.norm(keras_) + least


RESIDUAL = catalogue.variant("basenet-bn").spec.network.model_copy(update={"depth": 3, "residual": True, "dropout": ()})


def check_step(network: Network) -> None:
    (loss, gradients, variables), (our_loss, our_gradients, our_averages) = both_gradients(network)
    np.testing.assert_allclose(our_loss, loss, rtol=1e-5)
    for name, gradient in gradients.items():
        ours = our_gradients[name]
        if ours is None:  # a bias before batch norm: Keras's gradient is rounding error
            ours = tf.zeros_like(gradient)
        close(ours, gradient)
    moved = {name for name in variables if "moving" in name}
    assert set(our_averages) == moved
    for name in moved:
        close(our_averages[name], variables[name])


@pytest.mark.parametrize("name", ["basenet", "basenet-bn", "basenet-3x3", "basenet-avgpool", "final-bottleneck"])
def test_a_training_step_equals_keras_layers(name, avx2):
    check_step(catalogue.variant(name).spec.network.model_copy(update={"dropout": ()}))


@pytest.mark.parametrize("batch_norm", ["all", "off"])
def test_a_training_step_with_shortcuts_equals_keras_layers(batch_norm):
    check_step(RESIDUAL.model_copy(update={"batch_norm": batch_norm}))


@pytest.mark.parametrize("batch_norm", ["all", "off"])
def test_a_training_step_behind_a_fixed_layer_equals_keras_layers(batch_norm):
    network = RESIDUAL.model_copy(update={"batch_norm": batch_norm, "whitening": True})
    check_step(network)
    built = model.build(network)
    assert "whitening/kernel" in set(model.variables(built)) - set(model.trainable(built))
    assert sum(np.prod(v.shape) for v in model.trainable(built).values()) == describe(network).trainable_params


@pytest.mark.parametrize("batch_norm", ["all", "off"])
def test_a_training_step_with_strided_convolutions_equals_keras_layers(batch_norm):
    blocks = [
        {"kind": "conv", "filters": 16},
        {"kind": "pool"},
        {"kind": "conv", "filters": 32},
        {"kind": "pool", "size": 3},
    ]
    check_step(
        Network(input_shape=(9, 8, 3), blocks=[*blocks, {"kind": "flatten"}], pooling="strided", batch_norm=batch_norm)
    )


@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "silu", "tanh"])
def test_every_activation(activation):
    blocks = [{"kind": "conv", "filters": 16}, {"kind": "global_pool"}, {"kind": "dense", "units": 5}]
    check_step(Network(input_shape=(6, 7, 3), blocks=blocks, activation=activation, batch_norm="convolutions"))


@settings(max_examples=15, deadline=None)
@given(networks())
def test_inference_equals_keras_on_random_networks(network):
    plain, x = shaken(network), pictures(network, 4)
    logits, averages = model.forward(expand(network), model.variables(plain), x)
    assert not averages
    np.testing.assert_allclose(tf.nn.softmax(logits), plain(x), rtol=2e-3, atol=1e-4)


SMALL_CASES = [(1, 3, "SAME"), (2, 2, "SAME"), (3, 3, "SAME"), (4, 2, "SAME"), (4, 3, "SAME"), (4, 5, "SAME"), (5, 3, "SAME"),
               (2, 2, "VALID"), (3, 3, "VALID"), (4, 2, "VALID"), (4, 3, "VALID"), (5, 3, "VALID")]  # fmt: skip


def convolution_and_gradients(convolution, x, kernel):
    with tf.GradientTape() as tape:
        tape.watch((x, kernel))
        y = convolution(x, kernel)
        loss = tf.reduce_sum(tf.sin(y))
    return y, *tape.gradient(loss, (x, kernel))


def check_convolution(
    side: tuple[int, int], size: int, padding: str, channels: tuple[int, int], tolerance: float
) -> None:
    x = tf.constant(rng.normal(size=(6, *side, channels[0])).astype(np.float32))
    scale = 1 / np.sqrt(size * size * channels[0])
    kernel = tf.constant(rng.normal(size=(size, size, *channels), scale=scale).astype(np.float32))
    ours = convolution_and_gradients(lambda x, kernel: convolution.conv2d(x, kernel, padding), x, kernel)
    theirs = convolution_and_gradients(lambda x, kernel: tf.nn.conv2d(x, kernel, 1, padding), x, kernel)
    for mine, plain in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=tolerance, atol=tolerance * float(tf.reduce_max(abs(plain))))


@pytest.mark.parametrize(("side", "size", "padding"), SMALL_CASES)
def test_a_convolution_and_its_gradients_on_small_maps_equal_tensorflows(side, size, padding):
    check_convolution((side, side), size, padding, (5, 7), 1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("channels", [(3, 32), (32, 16), (64, 8)])
def test_a_convolution_and_its_gradients_equal_tensorflows(size, padding, channels, avx2):
    check_convolution((9, 7), size, padding, channels, 2e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("side", [(3, 3), (4, 4), (5, 9), (6, 6), (8, 8), (12, 12), (14, 13)])
def test_a_wide_3x3_convolution_and_its_gradients_equal_tensorflows(side, padding, monkeypatch):
    monkeypatch.setattr(convolution, "has_avx2", lambda: True)
    monkeypatch.setattr(convolution, "MANY", 1)
    seen: list[str] = []
    minimal = winograd.conv2d
    monkeypatch.setattr(
        winograd, "conv2d", lambda x, kernel, padding: seen.append(padding) or minimal(x, kernel, padding)
    )
    check_convolution(side, 3, padding, (96, 112), 5e-5)
    assert seen == [padding]


@pytest.mark.parametrize("m", winograd.TILES)
def test_winograds_matrices_give_a_convolution(m):
    """Outputs of one tile, against the definition, in float64."""
    inputs, kernel, outputs = winograd._matrices(m)
    x, k = rng.normal(size=(m + 2, m + 2)), rng.normal(size=(3, 3))
    wanted = [[(x[i : i + 3, j : j + 3] * k).sum() for j in range(m)] for i in range(m)]
    got = outputs @ ((inputs @ x.ravel()) * (kernel @ k.ravel()))
    np.testing.assert_allclose(got.reshape(m, m), wanted, atol=1e-5)


def test_few_tiles_are_left_to_the_plain_convolution():
    def tiles(batch, height, width, padding="SAME"):
        return winograd.tiles(tf.zeros((batch, height, width, 3)), padding)

    assert (tiles(16, 4, 4), tiles(16, 8, 8), tiles(5, 12, 6), tiles(2, 14, 14, "VALID")) == (16, 64, 40, 18)
    assert winograd.tiles(keras.Input((4, 4, 3)), "SAME") == math.inf


@pytest.mark.parametrize(("side", "m"), [(2, 2), (3, 3), (4, 4), (6, 3), (8, 4), (12, 4)])
def test_winograds_tiles_are_those_of_the_fewest_multiplications(side, m):
    assert winograd.tile_size(side, side) == m


def test_the_gradient_of_a_small_convolutions_bias_is_right_in_bfloat16():
    network = Network(
        input_shape=(4, 4, 8), classes=3, blocks=[{"kind": "conv", "filters": 16}, {"kind": "global_pool"}]
    )
    made = model.variables(model.build(network))
    x = tf.constant(rng.normal(size=(256, 4, 4, 8)).astype(np.float32))

    @tf.function
    def gradient(dtype):
        weights = {
            n: tf.cast(v, dtype) if not n.startswith("output") else tf.convert_to_tensor(v) for n, v in made.items()
        }
        bias = next(n for n in weights if n.endswith("bias"))
        with tf.GradientTape() as tape:
            tape.watch(weights[bias])
            logits, _ = model.forward(expand(network), weights, x, tf.constant([0, 0]))
            loss = tf.reduce_sum(logits[:, 0])
        return tf.cast(tape.gradient(loss, weights[bias]), tf.float32)

    exact, ours = gradient(tf.float32).numpy(), gradient(tf.bfloat16).numpy()
    assert np.linalg.norm(ours - exact) < 0.03 * np.linalg.norm(exact)


def test_dropout_keeps_the_rate_and_the_mean():
    from training.engine.layers import dropout

    x = tf.ones([64, 40, 50])
    for rate in (0.1, 0.35, 0.7):
        y = dropout(x, rate, tf.constant([3, 4])).numpy()
        kept = y > 0
        assert abs(kept.mean() - (1 - rate)) < 0.005  # 128,000 values: six deviations are 0.008
        np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-4)
        assert abs(np.corrcoef(kept.reshape(64, -1)[:, :-1].ravel(), kept.reshape(64, -1)[:, 1:].ravel())[0, 1]) < 0.02
    same = dropout(x, 0.5, tf.constant([3, 4])).numpy() == dropout(x, 0.5, tf.constant([3, 4])).numpy()
    assert same.all()
    other = dropout(x, 0.5, tf.constant([3, 4])).numpy() == dropout(x, 0.5, tf.constant([3, 5])).numpy()
    assert abs(other.mean() - 0.5) < 0.01


def test_the_seed_decides_the_weights():
    network = catalogue.variant("basenet").spec.network
    first, again, other = (model.build(network, seed).get_weights()[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("mean, std", [([0.0] * 3, [255.0] * 3), ([120.0, 110.0, 100.0], [60.0, 61.0, 62.0])])
@pytest.mark.parametrize("network", [catalogue.variant("basenet-bn").spec.network, RESIDUAL])
def test_the_exported_model_takes_pixels_and_plain_keras_opens_it(tmp_path, mean, std, network):
    trained = shaken(network)
    pixels = rng.integers(0, 256, (5, 32, 32, 3)).astype(np.float32)
    model.exportable(network, trained, np.array(mean), np.array(std)).save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    wanted = trained((pixels - np.array(mean, np.float32)) / np.array(std, np.float32))
    np.testing.assert_allclose(opened(pixels), wanted, atol=1e-5)
