"""Caltech-UCSD Birds-200, the 2010 edition: 6,033 pictures of 200 species, official split.

P. Welinder, S. Branson, T. Mita, C. Wah, F. Schroff, S. Belongie, P. Perona: Caltech-UCSD
Birds 200, California Institute of Technology, CNS-TR-2010-001, 2010.
https://www.vision.caltech.edu/datasets/cub_200_2010/
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import download, jpeg, split
from training.data.base import DataError, Images, Labels, Progress, broken, first_here, how, missing, places
from training.data.split import Keys, Order
from training.transfer.species import written

SIZE = 224
LISTED = ("classes", "train", "test")

# The old addresses, www.vision.caltech.edu/visipedia-data/CUB-200/{images,lists}.tgz, have led
# to these Google Drive files since 2020.  The checksums are those of TensorFlow Datasets
# (caltech_birds2010) and TorchVision's prototype of the data set, which agree.
IMAGES = download.Archive(
    "https://drive.usercontent.google.com/download?export=download&confirm=t&id=1GDr1OkoXdhaXWGA8S3MAq3a522Tak-nx",
    "sha256:2a6d2246bbb9778ca03aa94e2e683ccb4f8821a36b7f235c0822e659d60a803e",
    "images.tgz",
)
LISTS = download.Archive(
    "https://drive.usercontent.google.com/download?export=download&confirm=t&id=1vZuZPqha0JjmwkdaS_XtYryE3Jf5Q1AC",
    "sha256:aeacbd5e3539ae84ea726e8a266a9a119c18f055cd80f3836d5eb4500b005428",
    "lists.tgz",
)
FILE = re.compile(r"images/([0-9]{3}\.[A-Za-z_]+/[A-Za-z0-9_]+\.jpg)")  # in the archive; others in it are no pictures


@dataclass(frozen=True)
class Birds:
    """images/CLASS/NAME.jpg and lists/{classes,train,test}.txt; pictures come at 224x224."""

    classes: int = 200
    counts: Mapping[str, int] = field(default_factory=lambda: {"train": 3_000, "test": 3_033})
    images: download.Archive = IMAGES
    lists: download.Archive = LISTS
    name = "birds"
    title = "Caltech-UCSD Birds-200 (2010)"
    picture_size = (SIZE, SIZE, 3)

    def where(self) -> Path | None:
        def look(place: Path) -> Path | None:
            lists = ((place / "lists" / f"{part}.txt").is_file() for part in LISTED)
            return place if (place / "images").is_dir() and all(lists) else None

        return first_here(self.name, look)

    def origin(self) -> str:
        """The official archive has whole photos; a copy may have been cut to the birds."""
        first, _, _ = self._pictures("train")
        with Image.open(first[0]) as picture:
            return (
                "224x224 JPEG copy, cut round the bird"
                if picture.size == (SIZE, SIZE)
                else "squares of whole photos at 224x224"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """As people write them: "Black-footed Albatross"."""
        return tuple(map(written, self._lines("classes")))

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        files, names, labels = self._pictures("train")
        keys = split.digests(name.encode() for name in names)  # by name: whole photos and cuts are split alike
        order, kept = split.arrange(validation, keys, labels)
        contents = split.digests(map(self._read, files))
        return self._decoded(files, contents, order), labels[order], kept, split.checksum(contents, labels)

    def test(self) -> tuple[Images, Labels]:
        files, _, labels = self._pictures("test")
        return self._decoded(files, split.digests(map(self._read, files)), np.arange(len(files))), labels

    def samples(self, count: int) -> list[tuple[Images, int]]:
        files, _, labels = self._pictures("train")
        chosen = [(files[i], int(labels[i])) for i in split.in_turn(labels)[:count]]
        return [(jpeg.picture(self._read(file), file, self.name, SIZE), label) for file, label in chosen]

    def fetch(self, progress: Progress) -> None:
        """Download both official archives; the folder of pictures appears when it is whole.

        A downloaded folder that lacks pictures is replaced, a folder of the user's own is not touched.
        """
        target = places(self.name)[-1]
        if place := self.where():
            gone = self._gone(place, place / "images")
            if gone is None:
                return
            if place != target:
                raise self._lacking(place, gone)
        archive = download.fetch(self.lists, target, progress)
        names = {f"lists/{part}.txt" for part in LISTED}
        for member, content in download.members(archive, names.__contains__, self.name, progress):
            download.write(target / member, content)
        archive.unlink()
        archive = download.fetch(self.images, target, progress)
        partial = target / "images.partial"
        for member, content in download.members(archive, lambda n: bool(FILE.fullmatch(n)), self.name, progress):
            download.write(partial / member.removeprefix("images/"), content)
        if gone := self._gone(target, partial):
            raise broken(archive, f"it lacks the picture {gone}", self.name)
        shutil.rmtree(target / "images", ignore_errors=True)
        partial.rename(target / "images")
        archive.unlink()

    def _gone(self, place: Path, images: Path) -> str | None:
        """A picture that the lists in `place` name and the folder `images` lacks."""
        names = (name for part in self.counts for name in self._lines(part, place))
        return next((name for name in names if not (images / name).is_file()), None)

    def _lacking(self, place: Path, name: str) -> DataError:
        """The error for a listed picture that is gone.  A download mends its own folder only."""
        own = "" if place == places(self.name)[-1] else f"put it back, or move {place} away and "
        text = f"{self.title}: the picture {name} not found in {place / 'images'}; {own}get it with: {how(self.name)}"
        return DataError(text)

    def _place(self) -> Path:
        place = self.where()
        if place is None:
            raise missing(self.title, "the folders images and lists", self.name)
        return place

    def _lines(self, part: str, place: Path | None = None) -> list[str]:
        path = (place or self._place()) / "lists" / f"{part}.txt"
        try:
            lines = path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            raise broken(path, "it cannot be read as a list", self.name) from None
        expected = {"classes": self.classes, **self.counts}[part]
        if len(lines) != expected:
            raise broken(path, f"it has {len(lines):,} lines where {expected:,} are expected", self.name)
        return lines

    def _pictures(self, part: str) -> tuple[list[Path], list[str], Labels]:
        """(files, names in the list, labels) of "train" or "test"."""
        index = {folder: label for label, folder in enumerate(self._lines("classes"))}
        place, names = self._place(), self._lines(part)
        for name in names:
            folder, _, file = name.partition("/")
            if folder not in index or Path(file).name != file:
                raise broken(place / "lists" / f"{part}.txt", f"{name} is no picture of a class", self.name)
        labels = np.array([index[name.partition("/")[0]] for name in names], np.int32)
        return [place / "images" / name for name in names], names, labels

    def _decoded(self, files: list[Path], contents: Keys, order: Order) -> Images:
        kept_as = f"{self.name}-cut-{hashlib.sha256(contents[order].tobytes()).hexdigest()}"
        return jpeg.decoded(kept_as, order, lambda i: self._read(files[i]), files.__getitem__, self.name, SIZE)

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise self._lacking(path.parents[2], f"{path.parent.name}/{path.name}") from None
        except OSError as error:
            raise broken(path, error.strerror or "it cannot be read", self.name) from None


BIRDS = Birds()
