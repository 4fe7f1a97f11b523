"""CIFAR-10 and the first 25 classes of CIFAR-100, from their official binary records.

A record is one or two label bytes (CIFAR-100: coarse, fine) and 3,072 bytes of pixels:
1,024 red, 1,024 green, 1,024 blue, row by row.  The binary archives are read, never the
Python ones, which are pickles.

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data import download, jpeg, split
from training.data.base import Images, Labels, Progress, broken, first_here, missing, places
from training.data.split import Order

PIXELS = 32 * 32 * 3


def records(files: Sequence[Path], label_bytes: int, classes: int, count: int, name: str) -> NDArray[np.uint8]:
    """(count, label_bytes + 3072) uint8 from files of records, memory-mapped if it is one file.

    Raises `DataError` for another number of records or a label beyond `classes`.
    """
    size = label_bytes + PIXELS
    parts = []
    for path in files:
        try:
            length = path.stat().st_size
            if length == 0 or length % size:
                raise broken(path, f"its {length:,} bytes are not whole records of {size:,} bytes", name)
            parts.append(np.asarray(np.memmap(path, np.uint8, mode="r")).reshape(-1, size))
        except OSError as error:
            raise broken(path, error.strerror or "it cannot be read", name) from None
        if (parts[-1][:, label_bytes - 1] >= classes).any():
            raise broken(path, f"it has labels beyond its {classes} classes", name)
    found = sum(len(part) for part in parts)
    if found != count:
        raise broken(files[-1], f"there are {found:,} pictures where {count:,} are expected", name)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def unpack(table: NDArray[np.uint8], order: Order | None = None) -> tuple[Images, Labels]:
    """(images, labels) of the records in `order`, all in file order if it is None."""
    order = np.arange(len(table)) if order is None else order
    images = np.empty((len(order), 32, 32, 3), np.uint8)
    for start in range(0, len(order), 4096):  # piece by piece: one copy in memory, not two
        rows = table[order[start : start + 4096], -PIXELS:]
        images[start : start + 4096] = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, table[order, -PIXELS - 1].astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Records:
    """A data set in binary records.  `files` and `counts` have the keys "train" and "test"."""

    name: str
    title: str
    class_names: tuple[str, ...]
    label_bytes: int
    files: Mapping[str, Sequence[str]]
    counts: Mapping[str, int]
    archive: download.Archive
    picture_size = (32, 32, 3)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def _in(self, place: Path) -> Path | None:
        """What of this data set is in the folder `place`."""
        return place if all((place / file).is_file() for part in self.files.values() for file in part) else None

    def where(self) -> Path | None:
        return first_here(self.name, self._in)

    def origin(self) -> str:
        return "exact pixels, official binary records"

    def _place(self) -> Path:
        place = self.where()
        if place is None:
            raise missing(self.title, ", ".join(file for part in self.files.values() for file in part), self.name)
        return place

    def _table(self, part: str) -> NDArray[np.uint8]:
        files = [self._place() / file for file in self.files[part]]
        return records(files, self.label_bytes, self.classes, self.counts[part], self.name)

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        table = self._table("train")
        labels = table[:, self.label_bytes - 1]
        keys = split.digests(row[-PIXELS:].tobytes() for row in table)
        order, kept = split.arrange(validation, keys, labels)
        return *unpack(table, order), kept, split.checksum(keys, labels)

    def test(self) -> tuple[Images, Labels]:
        return unpack(self._table("test"))

    def samples(self, count: int) -> list[tuple[Images, int]]:
        table = self._table("train")
        images, labels = unpack(table, split.in_turn(table[:, self.label_bytes - 1])[:count])
        return list(zip(images, labels.tolist(), strict=True))

    def fetch(self, progress: Progress) -> None:
        """Download the official archive and keep its records of the classes of this data set."""
        if self.where():
            return
        target = places(self.name)[-1]
        archive = download.fetch(self.archive, target, progress)
        files = {file for part in self.files.values() for file in part}
        for member, content in download.members(archive, lambda n: Path(n).name in files, self.name, progress):
            size = self.label_bytes + PIXELS
            if len(content) % size:
                raise broken(archive, f"{member} in it is not whole records of {size:,} bytes", self.name)
            table = np.frombuffer(content, np.uint8).reshape(-1, size)
            download.write(target / Path(member).name, table[table[:, self.label_bytes - 1] < self.classes].tobytes())
        if not self._in(target):
            raise broken(archive, f"it lacks one of {', '.join(sorted(files))}", self.name)
        archive.unlink()  # the records are all there is in it


@dataclass(frozen=True, kw_only=True)
class RecordsOrZip(Records):
    """A data set in binary records, or as a zip of JPEG copies of them."""

    zip_name: str

    def _in(self, place: Path) -> Path | None:
        copy = place / self.zip_name
        return super()._in(place) or (copy if copy.is_file() else None)

    def _zip(self) -> jpeg.Zip | None:
        place = self._place()
        return jpeg.Zip(place, self.name, self.class_names, self.counts) if place.is_file() else None

    def origin(self) -> str:
        return "JPEG copy" if self._place().is_file() else super().origin()

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        copy = self._zip()
        return copy.train(validation) if copy else super().train(validation)

    def test(self) -> tuple[Images, Labels]:
        copy = self._zip()
        return copy.test() if copy else super().test()

    def samples(self, count: int) -> list[tuple[Images, int]]:
        copy = self._zip()
        return copy.samples(count) if copy else super().samples(count)


CIFAR100_25 = Records(
    name="cifar100-25",
    title="CIFAR-100, first 25 classes",
    class_names=(
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
    ),
    label_bytes=2,
    files={"train": ["train.bin"], "test": ["test.bin"]},
    counts={"train": 12_500, "test": 2_500},
    archive=download.Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "md5:03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-binary.tar.gz",
    ),
)

CIFAR10 = RecordsOrZip(
    zip_name="cifar10-jpeg.zip",
    name="cifar10",
    title="CIFAR-10",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    label_bytes=1,
    files={"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]},
    counts={"train": 50_000, "test": 10_000},
    archive=download.Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "md5:c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-binary.tar.gz",
    ),
)
