"""The layer that is computed: what it does to patches, and that training leaves it as it is."""

import numpy as np
import pytest

from tests import small
from training import describe, portable, switching
from training.catalogue import variant
from training.engine import whitening
from training.engine.engine import Engine
from training.portable_fit import PortableEngine
from training.spec import SpecError

random = np.random.default_rng(0)


def smooth(count: int = 50, channels: int = 3) -> np.ndarray:
    """Pictures whose neighbouring pixels, and channels, are alike."""
    field = random.normal(size=(count, 12, 12, channels)).cumsum(1).cumsum(2)
    return (field + field.mean(-1, keepdims=True) + 3).astype(np.float32)


def patches(pictures: np.ndarray) -> np.ndarray:
    views = np.lib.stride_tricks.sliding_window_view(pictures, (2, 2), (1, 2))
    return np.moveaxis(views, 3, -1).reshape(-1, 4 * pictures.shape[-1])


@pytest.mark.parametrize("channels", [1, 3])
def test_after_it_the_values_of_a_patch_are_uncorrelated_and_equally_strong(channels):
    pictures = smooth(channels=channels)
    kernel = whitening.kernel(pictures)
    assert kernel.shape == (2, 2, channels, 8 * channels) and kernel.dtype == np.float32
    answers = patches(pictures) @ kernel.reshape(4 * channels, -1)
    directions = answers[:, : 4 * channels]
    assert np.abs(np.cov(directions, rowvar=False) - np.eye(4 * channels)).max() < 0.02
    assert np.allclose(answers[:, 4 * channels :], -directions, atol=1e-4)
    before = np.corrcoef(patches(pictures), rowvar=False)
    assert np.abs(before - np.eye(4 * channels)).max() > 0.9, "the test pictures are correlated"


def test_what_never_varies_is_not_blown_up():
    assert np.abs(whitening.kernel(np.full((4, 5, 5, 3), 0.7, np.float32))).max() <= whitening.EPSILON**-0.5


def test_training_learns_behind_it_and_leaves_it_as_it_is(tmp_path):
    spec, data = small.spec(network__whitening=True, fit__weight_decay=0.1, fit__average=0.9), small.dataset()
    engine = Engine(spec, data)
    before = engine.state()
    expected = whitening.kernel((data.images - engine.mean) / engine.std)
    assert np.allclose(before["whitening/kernel"], expected, atol=1e-5)
    engine.train(0, 0, 3)
    after = engine.state()
    for name in "whitening/kernel", "average/whitening/kernel":
        assert np.array_equal(before[name], after[name])
    assert not np.array_equal(before["conv_1/kernel"], after["conv_1/kernel"])
    portable.write(spec, tmp_path, "cpu", data)
    assert np.allclose(PortableEngine(spec, data, tmp_path).weights()["whitening/kernel"], expected, atol=1e-5)


def test_it_is_one_layer_more_and_possible_on_pictures_only():
    spec = variant("basenet").spec
    on = describe.describe(switching.apply(spec, {"whitening": "on"}).network)
    assert [layer.title for layer in on.layers[:3]] == ["Whitening 24, 2x2", "ReLU", "Conv 6, 5x5, valid"]
    assert on.layers[0].output_shape == (31, 31, 24) and on.layers[0].macs == 31 * 31 * 288
    assert on.params - on.trainable_params == 288
    with pytest.raises(SpecError, match=r"network\.whitening = true is not possible: it is of pictures of at most 4"):
        variant("birds-fc").spec.replace({"network.whitening": True})
