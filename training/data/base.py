"""What every data set gives: pictures, labels, names, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training import paths

Images = NDArray[np.uint8]  # (n, height, width, 3), 0-255, RGB
Labels = NDArray[np.int32]  # (n,), index into the class names
Progress = Callable[[str, int, int], None]  # (what is being done, bytes done, bytes in all; 0 if not known)


class DataError(Exception):
    """Pictures are missing or broken.  One sentence: what was looked for, where, and what gets it."""


@dataclass(frozen=True)
class Dataset:
    """The pictures to train on.  Test pictures are never in here: see `load_test`.

    images, validation_images: uint8 (n, height, width, 3), RGB.  labels, validation_labels:
    int32 (n,).  Decoded sets are read-only memory maps: copy before writing.  `sha256` stands
    for the set of training and validation pictures with their labels, whatever their order.
    """

    name: str
    title: str
    origin: str
    class_names: tuple[str, ...]
    images: Images
    labels: Labels
    validation_images: Images
    validation_labels: Labels
    sha256: str

    def check(
        self, sha256: str, run: str, so: str = "it may have learned from some of these validation pictures"
    ) -> None:
        """Raise `DataError` where `run` was trained on other pictures than these, of that SHA-256 ("": not known).

        Other pixels are split otherwise: among these validation pictures are some that it has learned from.  `so` says
        what else would come of it.
        """
        if sha256 not in ("", self.sha256):
            raise DataError(
                f"The pictures of {self.name} that are here are not those of {run} (another copy, or changed files), so "
                f"that {so}: put the old pictures back, or train it anew."
            )


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set without reading it.  `how` is the command that gets it."""

    name: str
    title: str
    classes: int
    train: int
    validation: int
    test: int
    picture_size: tuple[int, int, int]  # height, width, channels as given by `load`
    available: bool
    where: str  # the folder or file; empty if it is not available
    how: str


@dataclass(frozen=True)
class Sample:
    """One training picture: uint8 (height, width, 3), its label and its class name."""

    image: Images
    label: int
    class_name: str


class Source(Protocol):
    """One data set.  `training.data` holds one object of this kind for each name."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def classes(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels.  Raises `DataError` where a missing file has them."""

    @property
    def counts(self) -> Mapping[str, int]:
        """{"train": …, "test": …}; validation pictures are counted in "train"."""

    @property
    def picture_size(self) -> tuple[int, int, int]: ...

    def where(self) -> Path | None:
        """The place of the pictures, or None if they are not here.  Quick."""

    def origin(self) -> str:
        """What the pictures are, as said beside every result."""

    def train(self, validation: str) -> tuple[Images, Labels, int, str]:
        """(images, labels, v, sha256): the first v pictures are for validation."""

    def test(self) -> tuple[Images, Labels]:
        """The test pictures in file order."""

    def samples(self, count: int) -> list[tuple[Images, int]]:
        """`count` training pictures, the classes in turn, without reading the whole set."""

    def fetch(self, progress: Progress) -> None:
        """Get what is missing into `places(name)[-1]`."""


def how(name: str) -> str:
    """The command that gets the data set."""
    return f"{paths.python()} -m training data fetch {name}"


def places(name: str) -> list[Path]:
    """Folders where the data set may be: the user's own, then the downloaded one."""
    own = paths.data_dir()
    return ([own / name] if own else []) + [paths.cache_dir() / "data" / name]


def first_here(name: str, look: Callable[[Path], Path | None]) -> Path | None:
    """What `look` finds in the first folder where the data set may be; one that may not be read holds nothing."""
    for place in places(name):
        with suppress(OSError):
            if found := look(place):
                return found
    return None


def missing(title: str, what: str, name: str) -> DataError:
    """The error for a data set that is nowhere."""
    looked = " or ".join(str(place) for place in places(name))
    return DataError(f"{title}: {what} not found in {looked}; get it with: {how(name)}")


def broken(path: Path, problem: str, name: str) -> DataError:
    """The error for a file that is there and cannot be used."""
    return DataError(f"{path} cannot be used: {problem}; remove it and get it again with: {how(name)}")
