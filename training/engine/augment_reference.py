"""Augmentation and normalization in plain numpy: the reference, and the app's preview.

One picture at a time and written for clearness; `training.engine.augment` is the fast version.
The semantics are those of Keras's `ImageDataGenerator` (`get_random_transform`,
`apply_affine_transform` with fill_mode="nearest" and interpolation_order=1):

- one affine map takes output to input coordinates, about the picture's centre (n - 1) / 2:
  first zoom, then shift, then rotation;
- zoom z draws a factor from [1 - z, 1 + z] for each axis apart; a factor above 1 shrinks;
- a shift of s moves by a uniform share in [-s, s] of the height or width, in sub-pixels unless those of the spec are
  whole, which no `ImageDataGenerator` offers for a share;
- values between pixels are bilinear, values outside repeat the border;
- flips come then, each with probability 1/2;
- cutout comes last: a square of that share of the side, wholly inside, becomes grey.

Versions of Keras differ in two points.  keras-preprocessing 1.1.2 (2020) put the centre one
pixel off, at (n + 1) / 2; here, as in Keras 3, it is the centre.  Keras 3 exchanges the axes
of the matrix, so that its `width_shift_range` moves up and down; here, as in 2020,
`width_shift` moves sideways.  Apart from these, both give the values of `transform`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.spec import Augmentation

DRAWS = 9  # of one picture, the last two for cutout
GREY = 127.5  # what cutout leaves


@dataclass(frozen=True)
class Parameters:
    """What happens to one picture.  Shifts in pixels, rotation in radians."""

    rotation: float
    down: float
    right: float
    zoom_y: float
    zoom_x: float
    flip_horizontal: bool
    flip_vertical: bool
    cutout: tuple[int, int, int, int] | None = None  # top, bottom, left, right: from, and up to without


def parameters(augmentation: Augmentation, draws: np.ndarray, height: int, width: int) -> Parameters:
    """The parameters for uniform `draws` in [0, 1): seven, and two more where there is cutout."""
    a, signed = augmentation, 2 * np.asarray(draws, np.float64) - 1
    whole = np.rint if a.whole_pixels else float
    return Parameters(
        rotation=np.deg2rad(a.rotation) * signed[0],
        down=whole(a.height_shift * height * signed[1]),
        right=whole(a.width_shift * width * signed[2]),
        zoom_y=1 + a.zoom * signed[3],
        zoom_x=1 + a.zoom * signed[4],
        flip_horizontal=bool(a.horizontal_flip and draws[5] < 0.5),
        flip_vertical=bool(a.vertical_flip and draws[6] < 0.5),
        cutout=_square(a.cutout, draws[7:], height, width) if a.cutout else None,
    )


def _square(side: float, draws: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Where a square of that share of the side lies, wholly inside."""
    edges: list[int] = []
    for draw, size in zip(draws, (height, width), strict=True):
        covered = round(side * size)
        start = int(draw * (size - covered + 1))
        edges += [start, start + covered]
    return edges[0], edges[1], edges[2], edges[3]


def transform(image: np.ndarray, p: Parameters) -> np.ndarray:
    """One picture (height, width, channels) changed as `p` says; float64."""
    height, width = image.shape[:2]
    center = np.array([(height - 1) / 2, (width - 1) / 2])
    zoom = np.diag([p.zoom_y, p.zoom_x])
    cos, sin = np.cos(p.rotation), np.sin(p.rotation)
    rotate = np.array([[cos, sin], [-sin, cos]])
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1)
    place = ((grid - center) @ zoom.T + [p.down, p.right]) @ rotate.T + center
    out = bilinear(np.asarray(image, np.float64), place[..., 0], place[..., 1])
    if p.flip_horizontal:
        out = out[:, ::-1]
    if p.flip_vertical:
        out = out[::-1]
    if p.cutout:
        top, bottom, left, right = p.cutout
        out = out.copy()
        out[top:bottom, left:right] = GREY
    return out


def bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`image` sampled at the positions y, x, each (height, width), the border repeated."""
    y, x = np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, far = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, right = (y - top)[..., None], (x - left)[..., None]
    upper = image[top, left] * (1 - right) + image[top, far] * right
    lower = image[bottom, left] * (1 - right) + image[bottom, far] * right
    return upper * (1 - down) + lower * down


def augment(images: np.ndarray, augmentation: Augmentation, seed: int) -> np.ndarray:
    """Pictures, uint8 (n, height, width, channels), changed at random; rounded to uint8."""
    random = np.random.default_rng(seed)
    height, width = images.shape[1:3]
    changed = [transform(image, parameters(augmentation, random.random(DRAWS), height, width)) for image in images]
    return np.rint(changed).astype(np.uint8)


def mix(images: np.ndarray, augmentation: Augmentation, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mixup or cutmix of each picture, uint8 (n, height, width, channels), with the next one, the last with the first.

    The second result is the share of itself that each keeps, float64 (n,).  `training.engine.mix` tells what the two do.
    """
    random = np.random.default_rng(seed)
    height, width = images.shape[1:3]
    mixed, shares = images.astype(np.float64), np.ones(len(images))
    for i, partner in enumerate(np.roll(images, -1, axis=0)):
        blends = augmentation.mixup > 0 and (not augmentation.cutmix or random.random() < 0.5)
        alpha = augmentation.mixup if blends else augmentation.cutmix
        share = random.beta(alpha, alpha)
        if blends:
            mixed[i] = share * images[i] + (1 - share) * partner
        else:
            top, bottom, left, right = _square((1 - share) ** 0.5, random.random(2), height, width)
            mixed[i, top:bottom, left:right] = partner[top:bottom, left:right]
            share = 1 - (bottom - top) * (right - left) / (height * width)
        shares[i] = share
    return np.rint(mixed).astype(np.uint8), shares


def statistics(images: np.ndarray, normalization: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation by which pixels are normalized, float32 (channels,), in pixel units.

    "featurewise": of each channel over all `images`, uint8 (n, height, width, channels);
    "off": 0 and 255, so that pixels become x / 255.
    """
    channels = images.shape[-1]
    if normalization == "off":
        return np.zeros(channels, np.float32), np.full(channels, 255, np.float32)
    # From a histogram of the 256 values: exact, and no copy of the pictures in floats.
    values = np.arange(256, dtype=np.float64)
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)], 1)
    mean = values @ counts / counts.sum(0)
    variance = values**2 @ counts / counts.sum(0) - mean**2
    return mean.astype(np.float32), np.sqrt(np.maximum(variance, 1e-12)).astype(np.float32)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, the last axis, over all `features`; float32 (channels,)."""
    flat = features.reshape(-1, features.shape[-1])
    parts = np.array_split(flat, max(1, len(flat) // 4096))  # no float64 copy of the whole
    mean = sum(part.sum(0, dtype=np.float64) for part in parts) / len(flat)
    variance = sum(((part - mean) ** 2).sum(0) for part in parts) / len(flat)
    return mean.astype(np.float32), np.sqrt(variance + 1e-6).astype(np.float32)


def normalize(images: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(images - mean) / std as float32: what the network sees."""
    return (images.astype(np.float32) - mean) / std
