"""Mixup and cutmix: pixels and labels by the same share, drawn as the papers say."""

import numpy as np
import pytest
import tensorflow as tf

from training.engine import augment_reference
from training.engine.mix import beta, mix
from training.spec import Augmentation

COUNT = 600


def mixed(**alphas):
    """Picture k is k everywhere, its target is one-hot at k: both tell what is in it."""
    x = tf.ones([COUNT, 8, 8, 3]) * tf.reshape(tf.range(COUNT, dtype=tf.float32), [-1, 1, 1, 1])
    out, targets = mix(x, tf.eye(COUNT), Augmentation(**alphas), tf.constant([1, 2]))
    return out.numpy(), targets.numpy()


@pytest.mark.parametrize("alphas", [{"mixup": 0.5}, {"cutmix": 1}, {"mixup": 0.5, "cutmix": 1}])
def test_the_preview_mixes_as_the_training_does_each_with_the_next(alphas):
    values = np.array([10, 60, 110, 160, 210] * 20)
    images = np.broadcast_to(values[:, None, None, None], (100, 16, 16, 3)).astype(np.uint8)
    mixed, shares = augment_reference.mix(images, Augmentation(**alphas), seed=3)
    assert mixed.dtype == np.uint8 and shares.min() < 0.2 and shares.max() > 0.8
    expected = shares * values + (1 - shares) * np.roll(values, -1)
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), expected, atol=0.5)  # rounded to whole values
    whole = [len(np.unique(picture)) <= 2 and set(np.unique(picture)) <= set(values) for picture in mixed]
    assert all(whole) if "mixup" not in alphas else not all(whole)
    again, _ = augment_reference.mix(images, Augmentation(**alphas), seed=3)
    assert np.array_equal(mixed, again)


@pytest.mark.parametrize(
    "alphas", [{"mixup": 1}, {"mixup": 0.2}, {"cutmix": 1}, {"cutmix": 0.5}, {"mixup": 0.5, "cutmix": 1}]
)
def test_labels_are_mixed_by_the_share_of_the_pixels(alphas):
    x, targets = mixed(**alphas)
    assert targets.sum(1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(x.mean((1, 2, 3)), targets @ np.arange(COUNT), rtol=1e-3, atol=1e-2)
    assert (np.count_nonzero(targets > 1e-7, 1) <= 2).all()
    own, partner = targets.diagonal(), targets[np.arange(COUNT), COUNT - 1 - np.arange(COUNT)]
    np.testing.assert_allclose(own + partner, 1, atol=1e-5)
    assert abs(own.mean() - 0.5) < 0.06


def test_cutmix_keeps_pixels_whole_and_mixup_blends_them_all():
    whole = {float(k) for k in range(COUNT)}
    pasted, _ = mixed(cutmix=1)
    assert {float(v) for v in np.unique(pasted)} <= whole
    blended, _ = mixed(mixup=1)
    assert (blended == blended[:, :1, :1, :1]).all()
    both, _ = mixed(mixup=1, cutmix=1)
    share = (both == both[:, :1, :1, :1]).all((1, 2, 3)).mean()
    assert 0.4 < share < 0.7  # half are blended, and a few pastes cover nothing or all


def test_shares_follow_the_beta_distribution():
    for alpha in (0.01, 0.1, 0.2, 1.0):
        ours = np.sort(beta(alpha, 20_000, tf.constant([3, 4])).numpy())
        numpys = np.sort(np.random.default_rng(5).beta(alpha, alpha, 20_000))
        assert np.abs(ours - numpys).mean() < 0.01  # in the middle of a small alpha there are hardly any to compare
        assert ((ours > 0.3) & (ours < 0.7)).mean() == pytest.approx(((numpys > 0.3) & (numpys < 0.7)).mean(), abs=0.02)


def test_the_seed_decides():
    x, targets = tf.random.stateless_uniform([8, 4, 4, 3], [0, 0]), tf.eye(8)
    one, again, other = (mix(x, targets, Augmentation(mixup=0.5), tf.constant([1, k]))[0].numpy() for k in (1, 1, 9))
    assert (one == again).all() and (one != other).any()
