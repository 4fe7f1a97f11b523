"""Data sets of JPEG files: decoded once into a memory-mapped array, then read from there."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import filelock
import numpy as np
from PIL import Image, UnidentifiedImageError

from training import paths
from training.data import split
from training.data.base import Images, Labels, broken


def decode(data: bytes, size: tuple[int, int]) -> Images:
    """(height, width, 3) uint8 from a JPEG; another size is brought to `size` (width, height).

    Raises OSError or ValueError if it is no picture.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        picture.draft("RGB", size)
        rgb = picture.convert("RGB")
        return np.asarray(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR))


def cached(
    key: str,
    name: str,
    keys: np.ndarray,
    labels: Labels,
    validation: str,
    read: Callable[[int], bytes],
    describe: Callable[[int], Path],
    size: tuple[int, int],
) -> tuple[Images, Labels, int, str]:
    """(images, labels, v, sha256) with pictures arranged for `validation`, images memory-mapped.

    The array is made once, under a lock, and put in place by renaming; `key` stands for the
    bytes of the source.  It holds the pictures in the arranged order, so that training and
    validation pictures are plain slices and nothing is copied into memory.
    """
    order, kept = split.arrange(validation, keys, labels)
    folder = paths.cache_dir() / "decoded"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{validation}-{key[:32]}.npy"
    shape = (len(order), size[1], size[0], 3)
    with filelock.FileLock(path.with_suffix(".lock")):
        try:
            images = np.load(path, mmap_mode="r", allow_pickle=False)
            if images.shape != shape or images.dtype != np.uint8:
                raise ValueError
        except (OSError, ValueError, EOFError):
            partial = path.with_suffix(f".{os.getpid()}.partial")
            try:
                out = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
                _decode_all(out, order, read, describe, name, size)
                out.flush()
                del out
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            images = np.load(path, mmap_mode="r", allow_pickle=False)
    return images, labels[order], kept, split.checksum(keys, labels)


def _decode_all(
    out: np.ndarray,
    order: np.ndarray,
    read: Callable[[int], bytes],
    describe: Callable[[int], Path],
    name: str,
    size: tuple[int, int],
) -> None:
    def one(job: tuple[int, bytes]) -> None:
        place, data = job
        try:
            out[place] = decode(data, size)
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
            raise broken(describe(int(order[place])), "it is not a whole JPEG picture", name) from None

    jobs: Iterator[tuple[int, bytes]] = ((place, read(int(index))) for place, index in enumerate(order))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter's lock
        while batch := list(islice(jobs, 512)):  # a bounded number of files in memory
            list(pool.map(one, batch))


class Zip:
    """A zip of {train,test}/<class>/*.jpg, 32x32."""

    def __init__(self, path: Path, name: str, class_names: Sequence[str], counts: dict[str, int]) -> None:
        self.path, self.name, self.class_names, self.counts = path, name, class_names, counts

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile):
            raise broken(self.path, "it is not a whole zip file", self.name) from None

    def _members(self, archive: zipfile.ZipFile, part: str) -> tuple[list[str], Labels]:
        index = {class_name: label for label, class_name in enumerate(self.class_names)}
        found = []
        for member in sorted(archive.namelist()):
            pieces = member.split("/")
            if len(pieces) == 3 and pieces[0] == part and pieces[1] in index and pieces[2].endswith(".jpg"):
                found.append((member, index[pieces[1]]))
        if len(found) != self.counts[part]:
            problem = f"it has {len(found):,} pictures in {part}/ where {self.counts[part]:,} are expected"
            raise broken(self.path, problem, self.name)
        return [member for member, _ in found], np.array([label for _, label in found], np.int32)

    def arranged(self, part: str, validation: str) -> tuple[Images, Labels, int, str]:
        """As `cached`.  The test pictures are "ordered", v counts for nothing there."""
        with self._open() as archive, self.path.open("rb") as file:
            members, labels = self._members(archive, part)
            try:
                keys = split.digests(archive.read(member) for member in members)
                return cached(
                    hashlib.file_digest(file, "sha256").hexdigest(), f"{self.name}-{part}", keys, labels, validation,
                    lambda i: archive.read(members[i]), lambda i: self.path / members[i], (32, 32),
                )  # fmt: skip
            except zipfile.BadZipFile as error:
                raise broken(self.path, str(error), self.name) from None

    def samples(self, count: int) -> list[tuple[Images, int]]:
        """The first training pictures of the classes in turn."""
        from training.data.cifar import spread

        with self._open() as archive:
            members, labels = self._members(archive, "train")
            return [(decode(archive.read(members[i]), (32, 32)), int(labels[i])) for i in spread(labels, count)]
