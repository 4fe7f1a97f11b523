"""The fast augmentation against the plain reference: values, distribution, and Keras's semantics."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from training import catalogue
from training.engine import augment
from training.engine import augment_reference as reference
from training.spec import Augmentation

rng = np.random.default_rng(0)
REPORT = catalogue.variant("final").spec.data.augmentation
EVERYTHING = Augmentation(
    width_shift=0.1, height_shift=0.2, zoom=0.3, rotation=25, horizontal_flip=True, vertical_flip=True
)
MOVES = {key: value for key, value in EVERYTHING.model_dump().items() if value}
WHOLE = Augmentation(width_shift=0.0625, height_shift=0.2, whole_pixels=True)


def both(augmentation: Augmentation, shape=(32, 32, 3), count: int = 12):
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    draws = rng.random((count, augment.DRAWS)).astype(np.float32)
    fast = augment.transform(tf.constant(images, tf.float32), augmentation, tf.constant(draws))
    plain = [
        reference.transform(image, reference.parameters(augmentation, draw, *shape[:2]))
        for image, draw in zip(images, draws, strict=True)
    ]
    return fast.numpy(), np.array(plain)


@pytest.mark.parametrize("shape", [(32, 32, 3), (20, 33, 1)])
@pytest.mark.parametrize("one", [REPORT, EVERYTHING, WHOLE, *({k: v} for k, v in MOVES.items())])
def test_values_equal_the_reference(one, shape):
    fast, plain = both(Augmentation(**one) if isinstance(one, dict) else one, shape)
    np.testing.assert_allclose(fast, plain, atol=0.02)  # of 255: positions are float32


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        Augmentation,
        width_shift=st.floats(0, 0.5),
        height_shift=st.floats(0, 0.5),
        whole_pixels=st.booleans(),
        zoom=st.floats(0, 0.9),
        rotation=st.sampled_from([0, 5, 180]),
        horizontal_flip=st.booleans(),
        vertical_flip=st.booleans(),
    )
)
def test_values_equal_the_reference_for_any_setting(augmentation):
    fast, plain = both(augmentation, (9, 12, 3), 6)
    np.testing.assert_allclose(fast, plain, atol=0.05)


def test_a_known_shift_zoom_and_flip():
    """By hand: what the words say."""
    image = np.zeros((5, 5, 1))
    image[2, 2] = 100
    still = {"rotation": 0, "down": 0, "right": 0, "zoom_y": 1, "zoom_x": 1}
    still |= {"flip_horizontal": False, "flip_vertical": False}

    def at(**changes):
        out = reference.transform(image, reference.Parameters(**still | changes))[..., 0]
        return {(int(y), int(x)): round(float(out[y, x]), 6) for y, x in np.argwhere(out)}

    assert at() == {(2, 2): 100}
    assert at(right=1) == {(2, 1): 100}  # reads one to the right: the content moves left
    assert at(down=-0.5) == {(2, 2): 50, (3, 2): 50}  # half a pixel: both neighbours
    assert at(zoom_x=2) == {(2, 2): 100}  # the centre stays
    assert at(right=1, flip_horizontal=True) == {(2, 3): 100}  # flips come last
    image[:] = 7
    assert (reference.transform(image, reference.Parameters(**still | {"right": 40})) == 7).all()  # the border repeats


def test_shifts_by_whole_pixels_invent_no_values():
    fast, _ = both(WHOLE, count=40)
    for picture in fast:
        assert np.array_equal(picture, np.rint(picture))
    draws = rng.random((500, reference.DRAWS))
    moves = [reference.parameters(WHOLE, draw, 32, 32) for draw in draws]
    assert {p.right for p in moves} == {-2, -1, 0, 1, 2} and {abs(p.down) for p in moves} == set(range(7))


def test_without_any_operation_nothing_changes():
    images = tf.constant(rng.integers(0, 256, (4, 8, 8, 3)), tf.float32)
    assert not Augmentation().on and not Augmentation(whole_pixels=True).on
    np.testing.assert_allclose(augment.augment(images, Augmentation(), tf.constant([1, 2])), images, atol=1e-4)


def test_distribution_equals_the_references():
    """Where a bright spot lands, over many draws: mean and spread by axis, against the reference's own draws."""
    image = np.zeros((32, 32, 1), np.uint8)
    image[20, 9] = 255
    count = 2000
    fast = augment.augment(tf.tile(tf.constant(image, tf.float32)[None], [count, 1, 1, 1]), REPORT, tf.constant([5, 6]))
    random = np.random.default_rng(7)
    plain = [
        reference.transform(image, reference.parameters(REPORT, random.random(reference.DRAWS), 32, 32))
        for _ in range(count)
    ]

    def landing(pictures):
        pictures = np.asarray(pictures)[..., 0]
        pictures = pictures[pictures.sum((1, 2)) > 1]
        weight = pictures / pictures.sum((1, 2), keepdims=True)
        y, x = np.mgrid[:32, :32]
        return np.stack([(weight * y).sum((1, 2)), (weight * x).sum((1, 2))], 1)

    a, b = landing(fast), landing(plain)
    deviation = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    assert (np.abs(a.mean(0) - b.mean(0)) < 4 * deviation).all()
    assert (np.abs(a.std(0) / b.std(0) - 1) < 0.06).all()
    assert abs((a[:, 1] > 15.5).mean() - 0.5) < 0.05  # half are mirrored
    a[:, 1], b[:, 1] = np.abs(a[:, 1] - 15.5), np.abs(b[:, 1] - 15.5)
    for share in (10, 25, 50, 75, 90):  # the whole shape, not only its moments
        assert (np.abs(np.percentile(a, share, 0) - np.percentile(b, share, 0)) < 0.4).all()


def test_pictures_of_a_batch_are_changed_differently_and_by_the_seed_alone():
    images = tf.tile(tf.constant(rng.integers(0, 256, (1, 16, 16, 3)), tf.float32), [8, 1, 1, 1])
    first, again, other = (augment.augment(images, REPORT, tf.constant([1, k])).numpy() for k in (1, 1, 2))
    assert (first == again).all()
    assert not np.allclose(first, other)
    assert len({picture.tobytes() for picture in first}) == 8


def test_preview_is_uint8_and_by_seed():
    images = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    first, again = reference.augment(images, REPORT, 3), reference.augment(images, REPORT, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != images).any()


@pytest.mark.parametrize("side", [0.25, 0.4, 1.0])
def test_cutout_equals_the_reference_and_covers_every_place_alike(side):
    count, augmentation = 400, Augmentation(cutout=side)
    images = tf.constant(rng.integers(0, 120, (count, 12, 16, 3)), tf.float32)
    draws = tf.random.stateless_uniform([count, augment.CUTOUT_DRAWS], tf.constant([3, 4 + 1]))
    fast = augment.augment(images, augmentation, tf.constant([3, 4])).numpy()
    plain = [
        reference.transform(image, reference.parameters(augmentation, np.concatenate([np.zeros(7), draw]), 12, 16))
        for image, draw in zip(images.numpy(), draws.numpy(), strict=True)
    ]
    np.testing.assert_allclose(fast, plain)
    grey = (fast == reference.GREY).all(-1)
    assert abs(grey.mean() - side**2) < 0.02
    assert abs(grey[:, :, :8].mean() - grey[:, :, 8:].mean()) < 0.05


def test_statistics_are_those_of_numpy():
    images = rng.integers(0, 256, (50, 8, 9, 3), dtype=np.uint8) // np.array([1, 2, 4], np.uint8)
    mean, std = reference.statistics(images, "featurewise")
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, images.std((0, 1, 2)), rtol=1e-6)
    normal = reference.normalize(images, mean, std)
    np.testing.assert_allclose(normal.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std((0, 1, 2)), 1, atol=1e-5)
    mean, std = reference.statistics(images, "off")
    np.testing.assert_allclose(reference.normalize(images, mean, std), images / 255, rtol=1e-6)
    flat, deviation = reference.statistics(np.full((3, 4, 4, 3), 9, np.uint8), "featurewise")
    assert np.isfinite(reference.normalize(np.full((3, 4, 4, 3), 9, np.uint8), flat, deviation)).all()
