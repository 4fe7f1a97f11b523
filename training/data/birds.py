"""Caltech-UCSD Birds-200, the 2010 edition: 6,033 pictures of 200 species, official split.

P. Welinder, S. Branson, T. Mita, C. Wah, F. Schroff, S. Belongie, P. Perona: Caltech-UCSD
Birds 200, California Institute of Technology, CNS-TR-2010-001, 2010.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np

from training.data import jpeg, split
from training.data.base import Images, Labels, Progress, broken, missing, places
from training.data.cifar import spread


class Birds:
    """images/CLASS/NAME.jpg and lists/{classes,train,test}.txt; pictures come at 224x224."""

    name = "birds"
    title = "Caltech-UCSD Birds-200 (2010)"
    classes = 200
    counts: ClassVar = {"train": 3_000, "test": 3_033}
    picture_size = (224, 224, 3)

    def where(self) -> Path | None:
        for place in places(self.name):
            if (place / "images").is_dir() and all((place / "lists" / f"{p}.txt").is_file() for p in self._lists):
                return place
        return None

    _lists = ("classes", "train", "test")

    def origin(self) -> str:
        return "224x224 JPEG copy, cut round the bird"

    def class_names(self) -> tuple[str, ...]:
        """Species as written in the lists, without the number: "Black footed Albatross"."""
        return tuple(line.partition(".")[2].replace("_", " ") for line in self._lines("classes"))

    def _place(self) -> Path:
        place = self.where()
        if place is None:
            raise missing(self.title, "the folders images and lists", self.name)
        return place

    def _lines(self, part: str) -> list[str]:
        path = self._place() / "lists" / f"{part}.txt"
        try:
            lines = path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            raise broken(path, "it cannot be read as a list", self.name) from None
        expected = {"classes": self.classes, **self.counts}[part]
        if len(lines) != expected:
            raise broken(path, f"it has {len(lines):,} lines where {expected:,} are expected", self.name)
        return lines

    def _files(self, part: str) -> tuple[list[Path], list[str], Labels]:
        index = {folder: label for label, folder in enumerate(self._lines("classes"))}
        lines = self._lines(part)
        root = self._place() / "images"
        unknown = next((line for line in lines if line.split("/")[0] not in index or ".." in line), None)
        if unknown:
            raise broken(root.parent / "lists" / f"{part}.txt", f"{unknown} is of no class of classes.txt", self.name)
        return [root / line for line in lines], lines, np.array([index[n.split("/")[0]] for n in lines], np.int32)

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise broken(path, error.strerror or "it cannot be read", self.name) from None

    def _arranged(self, part: str, validation: str) -> tuple[Images, Labels, int, str]:
        files, lines, labels = self._files(part)
        source = hashlib.sha256()
        for file, line in zip(files, lines, strict=True):
            try:
                stat = file.stat()
            except OSError:
                raise missing(self.title, f"the picture images/{line}", self.name) from None
            source.update(f"{line} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        # The name is the key: the whole photos and the cuts of them are split alike.
        keys = split.digests(line.encode() for line in lines)
        return jpeg.cached(
            source.hexdigest(), f"{self.name}-{part}", keys, labels, validation,
            lambda i: self._read(files[i]), lambda i: files[i], (224, 224),
        )  # fmt: skip

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        return self._arranged("train", validation)

    def test(self) -> tuple[Images, Labels]:
        return self._arranged("test", "ordered")[:2]

    def samples(self, count: int) -> list[tuple[Images, int]]:
        files, _, labels = self._files("train")
        return [(jpeg.decode(self._read(files[i]), (224, 224)), int(labels[i])) for i in spread(labels, count)]

    def fetch(self, progress: Progress | None) -> Path:
        raise NotImplementedError
