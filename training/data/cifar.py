"""CIFAR-10 and the first 25 classes of CIFAR-100, from their official binary records.

A record is one or two label bytes (CIFAR-100: coarse, fine) and 3,072 bytes of pixels:
1,024 red, 1,024 green, 1,024 blue, row by row.  The binary archives are read, never the
Python ones, which are pickles.

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from training.data import jpeg, split
from training.data.base import Images, Labels, Progress, broken, missing, places

PIXELS = 32 * 32 * 3

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_25_NAMES = tuple(
    [
        "apple",
        "aquarium_fish",
        "baby",
        "bear",
        "beaver",
        "bed",
        "bee",
        "beetle",
        "bicycle",
        "bottle",
        "bowl",
        "boy",
        "bridge",
        "bus",
        "butterfly",
        "camel",
        "can",
        "castle",
        "caterpillar",
        "cattle",
        "chair",
        "chimpanzee",
        "clock",
        "cloud",
        "cockroach",
    ]
)


def records(paths: list[Path], label_bytes: int, classes: int, count: int, name: str) -> NDArray[np.uint8]:
    """(count, label_bytes + 3072) uint8 from files of records; memory-mapped if it is one file.

    Raises `DataError` if the files have another number of records or a label is too large.
    """
    size = label_bytes + PIXELS
    parts = []
    for path in paths:
        try:
            length = path.stat().st_size
            if length == 0 or length % size:
                raise broken(path, f"its {length:,} bytes are not whole records of {size:,} bytes", name)
            parts.append(np.memmap(path, np.uint8, mode="r").reshape(-1, size))
        except OSError as error:
            raise broken(path, error.strerror or "it cannot be read", name) from None
    table = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(table) != count:
        raise broken(paths[0], f"there are {len(table):,} pictures where {count:,} are expected", name)
    if (table[:, label_bytes - 1] >= classes).any():
        raise broken(paths[0], f"it has labels beyond the {classes} classes", name)
    return table


def unpack(table: NDArray[np.uint8], order: NDArray[np.intp] | slice = slice(None)) -> tuple[Images, Labels]:
    """(images, labels) of the records in `order`."""
    rows = table[order]
    images = rows[:, -PIXELS:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), rows[:, -PIXELS - 1].astype(np.int32)


class Records:
    """A data set in binary records.  The base of both CIFARs."""

    name: str
    title: str
    classes: int
    counts: ClassVar[dict[str, int]]
    picture_size = (32, 32, 3)
    label_bytes: int
    files: ClassVar[dict[str, list[str]]]  # part: file names

    def where(self) -> Path | None:
        """The first folder that has all files."""
        for place in places(self.name):
            if all((place / file).is_file() for files in self.files.values() for file in files):
                return place
        return None

    def origin(self) -> str:
        return "exact pixels, official binary records"

    def table(self, part: str) -> NDArray[np.uint8]:
        place = self.where()
        if place is None:
            raise missing(self.title, " and ".join(file for files in self.files.values() for file in files), self.name)
        paths = [place / file for file in self.files[part]]
        return records(paths, self.label_bytes, self.classes, self.counts[part], self.name)

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        table = self.table("train")
        keys = split.digests(row[-PIXELS:].tobytes() for row in table)
        labels = table[:, self.label_bytes - 1]
        order, kept = split.arrange(validation, keys, labels)
        return *unpack(table, order), kept, split.checksum(keys, labels)

    def test(self) -> tuple[Images, Labels]:
        return unpack(self.table("test"))

    def samples(self, count: int) -> list[tuple[Images, int]]:
        table = self.table("train")
        chosen = spread(table[:, self.label_bytes - 1], count)
        images, labels = unpack(table, chosen)
        return [(image, int(label)) for image, label in zip(images, labels, strict=True)]


def spread(labels: NDArray[np.integer], count: int) -> NDArray[np.intp]:
    """Indices of `count` pictures, taking the classes in turn and of each the first ones."""
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))[:count]


class Cifar100First25(Records):
    """The first 25 fine classes of CIFAR-100: the report's own data."""

    name = "cifar100-25"
    title = "CIFAR-100, first 25 classes"
    classes = 25
    counts: ClassVar = {"train": 12_500, "test": 2_500}
    label_bytes = 2
    files: ClassVar = {"train": ["train.bin"], "test": ["test.bin"]}

    def class_names(self) -> tuple[str, ...]:
        return CIFAR100_25_NAMES

    def fetch(self, progress: Progress | None) -> Path:
        raise NotImplementedError


class Cifar10(Records):
    """CIFAR-10, as official records or as a zip of JPEG copies."""

    name = "cifar10"
    title = "CIFAR-10"
    classes = 10
    counts: ClassVar = {"train": 50_000, "test": 10_000}
    label_bytes = 1
    files: ClassVar = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    zip_name = "cifar10-jpeg.zip"

    def class_names(self) -> tuple[str, ...]:
        return CIFAR10_NAMES

    def where(self) -> Path | None:
        for place in places(self.name):
            if (place / self.zip_name).is_file():
                return place / self.zip_name
            if all((place / file).is_file() for files in self.files.values() for file in files):
                return place
        return None

    def jpegs(self) -> jpeg.Zip | None:
        place = self.where()
        return jpeg.Zip(place, self.name, CIFAR10_NAMES, self.counts) if place and place.suffix == ".zip" else None

    def origin(self) -> str:
        return "JPEG copy" if self.jpegs() else super().origin()

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        copy = self.jpegs()
        return copy.arranged("train", validation) if copy else super().train(validation)

    def test(self) -> tuple[Images, Labels]:
        copy = self.jpegs()
        return copy.arranged("test", "ordered")[:2] if copy else super().test()

    def samples(self, count: int) -> list[tuple[Images, int]]:
        copy = self.jpegs()
        return copy.samples(count) if copy else super().samples(count)

    def fetch(self, progress: Progress | None) -> Path:
        raise NotImplementedError
