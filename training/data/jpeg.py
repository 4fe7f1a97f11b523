"""Data sets of JPEG files: decoded once into a kept array, read from there afterwards."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from training.data import split, store
from training.data.base import Images, Labels, broken
from training.data.split import Keys, Order


def decode(data: bytes, height: int, width: int) -> Images:
    """uint8 (height, width, 3) from the bytes of a JPEG; where its size is another, the middle of it in these proportions.

    So a network learns on what it is later asked about: pictures that are cut, never stretched.
    Raises OSError or ValueError if it is no whole picture.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        rgb = picture.convert("RGB")
    if rgb.size != (width, height):
        rgb = ImageOps.fit(rgb, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def picture(data: bytes, where: Path, name: str, size: int) -> Images:
    """`decode` at `size` a side; raises `DataError`, naming the place `where`, for what is no whole picture."""
    try:
        return decode(data, size, size)
    except (OSError, ValueError, Image.DecompressionBombError):
        raise broken(where, "it is not a whole JPEG picture", name) from None


def decoded(
    kept_as: str, order: Order, read: Callable[[int], bytes], where: Callable[[int], Path], name: str, size: int
) -> Images:
    """(n, size, size, 3) uint8, memory-mapped: the pictures `order` says, in that order.

    They are decoded when there is no array `kept_as` yet; `read(i)` gives the bytes of picture
    i.  The array stands in the order of use, so that training and validation pictures are plain
    slices of it and never copied.  Raises `DataError`, naming `where(i)`, for a broken picture.
    """

    def fill(out: np.ndarray) -> None:
        def one(place: int, data: bytes) -> None:
            out[place] = picture(data, where(int(order[place])), name, size)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter's lock
            for start in range(0, len(order), 512):  # so many encoded pictures at most are in memory
                places = range(start, min(start + 512, len(order)))
                list(pool.map(one, places, [read(int(order[place])) for place in places]))

    return store.array(kept_as, (len(order), size, size, 3), np.uint8, fill)


class Zip:
    """A zip of {train,test}/CLASS/*.jpg, all 32x32."""

    def __init__(self, path: Path, name: str, class_names: Sequence[str], counts: Mapping[str, int]) -> None:
        """Raises `DataError` if `path` is no zip."""
        self.path, self.name, self.class_names, self.counts = path, name, class_names, counts
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile):
            raise broken(path, "it is not a whole zip file", name) from None

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        """(images, labels, v, sha256): the first v pictures are for validation."""
        members, labels = self._members("train")
        sha256 = self._sha256()

        def fill(out: np.ndarray) -> None:
            out[:] = split.digests(self._read(member) for member in members)

        keys: Keys = store.array(f"{self.name}-train-keys-{sha256}", (len(members),), "S64", fill)
        order, kept = split.arrange(validation, keys, labels)
        images = self._decoded(f"{self.name}-train-{validation}-{sha256}", members, order)
        return images, labels[order], kept, split.checksum(keys, labels)

    def test(self) -> tuple[Images, Labels]:
        """The test pictures, class after class."""
        members, labels = self._members("test")
        return self._decoded(f"{self.name}-test-{self._sha256()}", members, np.arange(len(members))), labels

    def samples(self, count: int) -> list[tuple[Images, int]]:
        """Training pictures, the classes in turn."""
        members, labels = self._members("train")
        chosen = [(members[i], int(labels[i])) for i in split.in_turn(labels)[:count]]
        return [(picture(self._read(member), self.path / member, self.name, 32), label) for member, label in chosen]

    def _sha256(self) -> str:
        with self.path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()

    def _decoded(self, kept_as: str, members: list[str], order: Order) -> Images:
        return decoded(
            kept_as, order, lambda i: self._read(members[i]), lambda i: self.path / members[i], self.name, 32
        )

    def _read(self, member: str) -> bytes:
        try:
            return self.archive.read(member)
        # RuntimeError: encrypted; NotImplementedError, which is one: a compression that Python does not know.
        except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise broken(self.path, f"{member} in it is damaged ({error})", self.name) from None

    def _members(self, part: str) -> tuple[list[str], Labels]:
        index = {class_name: label for label, class_name in enumerate(self.class_names)}
        found = []
        for member in sorted(self.archive.namelist()):
            folder, _, rest = member.partition("/")
            class_name, _, file = rest.partition("/")
            if folder == part and class_name in index and file.endswith(".jpg"):
                found.append((member, index[class_name]))
        if len(found) != self.counts[part]:
            problem = f"it has {len(found):,} pictures in {part}/ where {self.counts[part]:,} are expected"
            raise broken(self.path, problem, self.name)
        return [member for member, _ in found], np.array([label for _, label in found], np.int32)
