"""Pictures drawn by the program itself: 25 classes, 5 shapes in 5 textures, 32x32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training import paths
from training.data import split, store
from training.data.base import Images, Labels, Progress

VERSION = 1
SHAPES = ("disc", "square", "triangle", "star", "cross")
TEXTURES = ("plain", "striped", "checked", "dotted", "ringed")
Floats = NDArray[np.float64]


def _wave(x: Floats) -> Floats:
    """A triangle wave of period 1 between -1 and 1."""
    return 4 * np.abs(x - np.floor(x + 0.5)) - 1


def _distance(shape: NDArray[np.intp], x: Floats, y: Floats) -> Floats:
    """About the distance to the outline, negative inside; each shape fits in a radius of 1."""
    ax, ay = np.abs(x), np.abs(y)
    disc = np.sqrt(x * x + y * y) - 0.85
    square = np.maximum(ax, ay) - 0.75
    triangle = np.maximum(0.8660254 * ax + 0.5 * y, -y) - 0.5
    star = np.minimum(triangle, np.maximum(0.8660254 * ax - 0.5 * y, y) - 0.5)
    cross = np.maximum(np.minimum(ax, ay) - 0.28, np.maximum(ax, ay) - 0.9)
    return np.choose(shape, [disc, square, triangle, star, cross])


def _texture(texture: NDArray[np.intp], x: Floats, y: Floats) -> Floats:
    """How much of the second colour, 0 to 1."""
    plain = np.zeros_like(x)
    striped = 0.5 + 3 * _wave(x)
    checked = 0.5 + 3 * _wave(x) * _wave(y)
    dotted = 0.5 + 3 * (0.45 - np.sqrt(_wave(x) ** 2 + _wave(y) ** 2) * 0.7)
    ringed = 0.5 + 3 * _wave(np.sqrt(x * x + y * y))
    return np.clip(np.choose(texture, [plain, striped, checked, dotted, ringed]), 0, 1)


def draw(labels: NDArray[np.integer], seed: int) -> Images:
    """(n, 32, 32, 3) uint8, one picture for each label."""
    n = len(labels)
    random = np.random.default_rng(seed)

    def uniform(low: float, high: float, *shape: int) -> Floats:
        return (low + (high - low) * random.random((n, *shape)))[..., None, None]

    grid = (np.arange(32) + 0.5) / 16 - 1
    x, y = grid[None, None, :], grid[None, :, None]
    shape, texture = (np.asarray(labels) // 5)[:, None, None], (np.asarray(labels) % 5)[:, None, None]
    angle, scale = uniform(-0.5, 0.5), uniform(0.45, 0.8)
    dx, dy = x - uniform(-0.3, 0.3), y - uniform(-0.3, 0.3)
    u = (np.cos(angle) * dx + np.sin(angle) * dy) / scale
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / scale
    inside = np.clip(0.5 - _distance(shape, u, v) * scale * 16, 0, 1)
    grain = uniform(1.4, 2.2)
    second = _texture(texture, u * grain + uniform(0, 1), v * grain + uniform(0, 1))
    colours = uniform(0, 1, 4, 3)
    slope = np.clip(0.5 + uniform(-0.5, 0.5) * x + uniform(-0.5, 0.5) * y, 0, 1)
    picture = np.empty((n, 32, 32, 3))
    for channel in range(3):
        one, two, three, four = (colours[:, k, channel] for k in range(4))
        object_ = one + (two - one) * second
        ground = three + (four - three) * slope
        picture[..., channel] = ground + (object_ - ground) * inside
    noise = (random.random(picture.shape) - 0.5) * 0.1
    return np.clip((picture + noise) * 255, 0, 255).astype(np.uint8)


class Drawn:
    """Drawn pictures, kept once drawn."""

    name = "drawn"
    title = "Drawn textured shapes"
    classes = 25
    class_names = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
    picture_size = (32, 32, 3)

    @property
    def counts(self) -> dict[str, int]:
        return {"train": 12_500, "test": 2_500}

    def where(self) -> Path | None:
        return paths.cache_dir() / "arrays"

    def origin(self) -> str:
        return "drawn by the program"

    def _all(self, part: str) -> tuple[Images, Labels]:
        labels = (np.arange(self.counts[part]) % self.classes).astype(np.int32)
        seed = {"train": 1, "test": 2}[part]

        def fill(out: np.ndarray) -> None:
            for start in range(0, len(labels), 500):
                out[start : start + 500] = draw(labels[start : start + 500], seed * 1000 + start)

        return store.array(f"drawn-{VERSION}-{part}", (len(labels), 32, 32, 3), np.uint8, fill), labels

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        images, labels = self._all("train")
        keys = split.digests(image.tobytes() for image in images)
        order, kept = split.arrange(validation, keys, labels)
        return images[order], labels[order], kept, split.checksum(keys, labels)

    def test(self) -> tuple[Images, Labels]:
        return self._all("test")

    def samples(self, count: int) -> list[tuple[Images, int]]:
        labels = np.arange(count) * 6 % self.classes
        return list(zip(draw(labels, 1000), labels.tolist(), strict=True))

    def fetch(self, progress: Progress) -> None:
        """Draw them all ahead of the first use."""
        for part, count in self.counts.items():
            self._all(part)
            progress(f"Drawing the {part} pictures", count, count)


DRAWN = Drawn()
