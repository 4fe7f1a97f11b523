"""Pictures drawn by the program itself: 5 shapes in 5 textures make 25 classes, 32x32.

Colours, place, size, turn, light, ground, clutter and what covers the thing are drawn at
random and have nothing to do with the class, so that no single pixel and no mean colour
tells it; the shape and the texture have to be seen.  docs/drawn.md has the figures.

Arithmetic is float32 with operations that IEEE 754 rounds exactly, and the random numbers
are NumPy's PCG64 doubles: every machine draws the same bytes.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from training import paths
from training.data import split, store
from training.data.base import Images, Labels, Progress

VERSION = 2  # of the drawings: a change to any pixel needs another
SIZE = 32
BATCH = 50  # pictures of a class drawn in one call
SHAPES = ("disc", "square", "triangle", "star", "heart")
TEXTURES = ("plain", "striped", "checked", "dotted", "ringed")

Floats = np.ndarray  # float32


def _length(x: Floats, y: Floats) -> Floats:
    return np.sqrt(x * x + y * y)


def _wave(x: Floats) -> Floats:
    """A triangle wave: period 1, from -1 to 1."""
    return 4 * np.abs(x - np.floor(x + np.float32(0.5))) - 1


# Signed distances to the outlines, negative inside; y points down, each shape is about 1 in
# radius.  After Inigo Quilez, "2D distance functions", https://iquilezles.org/articles/distfunctions2d/


def disc(x: Floats, y: Floats) -> Floats:
    return _length(x, y) - np.float32(0.85)


def square(x: Floats, y: Floats) -> Floats:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.75)


def triangle(x: Floats, y: Floats) -> Floats:
    return np.maximum(np.float32(0.8660254) * np.abs(x) - y * np.float32(0.5), y) - np.float32(0.52)


def star(x: Floats, y: Floats) -> Floats:
    c, s = np.float32(0.80901699), np.float32(0.58778525)  # of 36 degrees: fold the plane onto one point of the star
    x, y = np.abs(x), -y
    fold = 2 * np.maximum(c * x - s * y, 0)
    x, y = x - fold * c, y + fold * s
    fold = 2 * np.maximum(-c * x - s * y, 0)
    x, y = np.abs(x + fold * c), y + fold * s - np.float32(1.05)
    bx, by = np.float32(0.45) * s, np.float32(0.45) * c - 1
    along = np.clip((x * bx + y * by) / (bx * bx + by * by), 0, np.float32(1.05))
    return np.copysign(_length(x - bx * along, y - by * along), y * bx - x * by)


def heart(x: Floats, y: Floats) -> Floats:
    x, y = np.abs(x) * np.float32(0.6), np.float32(0.52) - y * np.float32(0.6)
    lobe = _length(x - np.float32(0.25), y - np.float32(0.75)) - np.float32(0.35355339)
    along = np.float32(0.5) * np.maximum(x + y, 0)
    edge = np.copysign(np.minimum(_length(x, y - 1), _length(x - along, y - along)), x - y)
    return np.where(x + y > 1, lobe, edge) / np.float32(0.6)


# How much of the second colour, 0 to 1; lengths are in periods.


def plain(x: Floats, y: Floats) -> Floats:
    return np.zeros_like(x)


def striped(x: Floats, y: Floats) -> Floats:
    return _wave(x)


def checked(x: Floats, y: Floats) -> Floats:
    return 2 * _wave(x) * _wave(y)


def dotted(x: Floats, y: Floats) -> Floats:
    return np.float32(1.05) - _length(_wave(x) + 1, _wave(y) + 1)


def ringed(x: Floats, y: Floats) -> Floats:
    return _wave(_length(x, y))


_SHAPES = (disc, square, triangle, star, heart)
_TEXTURES = (plain, striped, checked, dotted, ringed)


def draw(label: int, count: int, seed: tuple[int, ...]) -> Images:
    """uint8 (count, 32, 32, 3): pictures of class `label`; the same for the same arguments."""
    random = np.random.default_rng([VERSION, label, *seed])

    def uniform(low: float, high: float) -> Floats:
        """One number for each picture, to be broadcast over its pixels."""
        return (low + (high - low) * random.random((count, 1, 1))).astype(np.float32)

    def turned(x: Floats, y: Floats, degrees: float) -> tuple[Floats, Floats]:
        angle = np.float64(degrees / 180 * np.pi) * (2 * random.random((count, 1, 1)) - 1)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        return cos * x + sin * y, cos * y - sin * x

    def colours() -> Floats:
        return random.random((count, 1, 1, 3), dtype=np.float64).astype(np.float32)

    def cover(picture: Floats, inside: Floats, colour: Floats) -> Floats:
        return picture + (colour - picture) * inside[..., None]

    axis = ((np.arange(SIZE) + 0.5) / (SIZE / 2) - 1).astype(np.float32)
    x, y = np.broadcast_to(axis, (1, SIZE, SIZE)), axis[None, :, None]
    edge = np.float32(SIZE / 2)  # pixels in a unit: outlines are as sharp as a pixel

    # the ground: two colours, a slope and waves between them
    u, v = turned(x, y, 180)
    mix = np.clip(np.float32(0.5) + uniform(-0.6, 0.6) * u + uniform(0, 0.3) * _wave(v * uniform(0.3, 1.5)), 0, 1)
    picture = cover(np.broadcast_to(colours(), (count, SIZE, SIZE, 3)), mix, colours())

    # clutter behind: ellipses and bars
    for _ in range(3):
        u, v = turned(x - uniform(-1, 1), y - uniform(-1, 1), 180)
        blot = np.clip(np.float32(0.5) - (_length(u, v * uniform(0.8, 5)) - uniform(0.1, 0.35)) * edge, 0, 1)
        picture = cover(picture, blot, colours())

    # the thing: its shadow, its texture, its light
    size = uniform(0.55, 0.85)
    u, v = turned(x - uniform(-0.28, 0.28), y - uniform(-0.28, 0.28), 25)
    u, v = u / (size * uniform(0.85, 1.15)), v / size
    distance = _SHAPES[label // 5](u, v) * size
    inside = np.clip(np.float32(0.5) - distance * edge, 0, 1)
    shadow = np.clip(1 - distance * uniform(3, 8), 0, 1) * uniform(0, 0.5)
    picture = picture * (1 - shadow[..., None])
    period = uniform(5.5, 7.5) / (edge * size)
    texture = _TEXTURES[label % 5](u / period + uniform(-0.25, 0.25), v / period + uniform(-0.25, 0.25))
    second = np.clip(np.float32(0.5) + texture * uniform(1.5, 3), 0, 1) if label % 5 else texture
    first = colours()
    other = (first + np.float32(0.35) + np.float32(0.3) * colours()) % 1  # never too near to the first
    thing = cover(np.broadcast_to(first, (count, SIZE, SIZE, 3)), second, other)
    thing = thing * (1 + uniform(-0.35, 0.35) * u + uniform(-0.35, 0.35) * v)[..., None]
    picture = picture + (thing - picture) * inside[..., None]

    # what covers it: a bar from beyond the border over a part of half of the pictures
    u, v = turned(x - uniform(-1, 1), y - uniform(-1, 1), 180)
    bar = np.clip(np.float32(0.5) - (np.maximum(np.abs(u) - uniform(-0.15, 0.1), -v)) * edge, 0, 1)
    picture = cover(picture, bar, colours())

    # light over all, and noise
    picture = picture * (1 + uniform(-0.3, 0.3) * x + uniform(-0.3, 0.3) * y)[..., None] * uniform(0.7, 1.15)[..., None]
    noise = random.random(picture.shape, dtype=np.float64).astype(np.float32) - np.float32(0.5)
    return np.clip((picture + noise * uniform(0.02, 0.14)[..., None]) * 255, 0, 255).astype(np.uint8)


class Drawn:
    """Drawn pictures, kept once drawn.  Classes follow one another in turn in both parts."""

    name = "drawn"
    title = "Drawn textured shapes"
    classes = len(SHAPES) * len(TEXTURES)
    class_names = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
    picture_size = (SIZE, SIZE, 3)

    @property
    def counts(self) -> dict[str, int]:
        return {"train": 12_500, "test": 2_500}

    def where(self) -> Path | None:
        return paths.cache_dir() / "arrays"

    def origin(self) -> str:
        return "drawn by the program"

    def _all(self, part: str) -> tuple[Images, Labels]:
        each = self.counts[part] // self.classes

        def fill(out: np.ndarray) -> None:
            by_class = out.reshape(each, self.classes, SIZE, SIZE, 3)

            def some(job: tuple[int, int]) -> None:
                label, start = job
                by_class[start : start + BATCH, label] = draw(label, BATCH, (part == "test", start))

            with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy works outside the interpreter's lock
                list(
                    pool.map(some, [(label, start) for label in range(self.classes) for start in range(0, each, BATCH)])
                )

        labels = np.tile(np.arange(self.classes, dtype=np.int32), each)
        return store.array(f"drawn-{VERSION}-{part}", (len(labels), SIZE, SIZE, 3), np.uint8, fill), labels

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        images, labels = self._all("train")
        keys = split.digests(image.tobytes() for image in images)
        order, kept = split.arrange(validation, keys, labels)
        return images[order], labels[order], kept, split.checksum(keys, labels)

    def test(self) -> tuple[Images, Labels]:
        return self._all("test")

    def samples(self, count: int) -> list[tuple[Images, int]]:
        """Training pictures of all classes in turn; from one to the next shape and texture both change."""
        labels = [i % 5 * 5 + (i + i // 5) % 5 for i in range(count)]
        return [(draw(label, BATCH, (0, 0))[i // self.classes], label) for i, label in enumerate(labels)]

    def fetch(self, progress: Progress) -> None:
        """Draw them all ahead of the first use."""
        for part, count in self.counts.items():
            self._all(part)
            size = count * SIZE * SIZE * 3
            progress(f"Drawing the {part} pictures", size, size)


DRAWN = Drawn()
