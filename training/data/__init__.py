"""The data sets: uint8 pictures, integer labels, class names, and a fixed validation split.

`load` never reads a test file; test pictures come from `load_test` alone.
"""

from __future__ import annotations

import filelock

from training import paths
from training.data.base import DataError, DataInfo, Dataset, Images, Labels, Progress, Sample, Source, how
from training.data.birds import BIRDS
from training.data.cifar import CIFAR10, CIFAR100_25
from training.data.drawn import DRAWN

__all__ = [
    "NAMES", "DataError", "DataInfo", "Dataset", "Images", "Labels", "Progress", "Sample",
    "class_names", "fetch", "info", "load", "load_test", "samples", "status",
]  # fmt: skip

_ALL: tuple[Source, ...] = (CIFAR100_25, CIFAR10, BIRDS, DRAWN)
_SOURCES = {source.name: source for source in _ALL}
NAMES = tuple(_SOURCES)


def _source(name: str) -> Source:
    try:
        return _SOURCES[name]
    except KeyError:
        raise DataError(f"There is no data set {name!r}; there are {', '.join(NAMES)}.") from None


def load(name: str, validation: str = "stratified") -> Dataset:
    """The training and validation pictures of data set `name`.

    validation "stratified": a fixed tenth of every class, the same for any order of the
    records.  "ordered": the first tenth in file order.  Raises `DataError` for a missing or
    broken file and ValueError for another `validation`.
    """
    source = _source(name)
    images, labels, kept, sha256 = source.train(validation)
    return Dataset(
        name=name,
        title=source.title,
        origin=source.origin(),
        class_names=source.class_names,
        images=images[kept:],
        labels=labels[kept:],
        validation_images=images[:kept],
        validation_labels=labels[:kept],
        sha256=sha256,
    )


def load_test(name: str) -> tuple[Images, Labels]:
    """The test pictures, uint8 (n, height, width, 3), and int32 labels, in file order."""
    return _source(name).test()


def class_names(name: str) -> tuple[str, ...]:
    """The class names in the order of the labels."""
    return _source(name).class_names


def samples(name: str, n: int) -> list[Sample]:
    """`n` training pictures of different classes, always the same ones, quickly."""
    source = _source(name)
    names = source.class_names
    return [Sample(image, label, names[label]) for image, label in source.samples(n)]


def info(name: str) -> DataInfo:
    """What is known of the data set without reading it."""
    source = _source(name)
    place = source.where()
    train = source.counts["train"]
    return DataInfo(
        name=name,
        title=source.title,
        classes=source.classes,
        train=train - train // 10,
        validation=train // 10,
        test=source.counts["test"],
        picture_size=source.picture_size,
        available=place is not None,
        where=str(place or ""),
        how=how(name),
    )


def status() -> list[DataInfo]:
    """`info` of every data set."""
    return [info(name) for name in NAMES]


def fetch(name: str, progress: Progress = lambda text, done, total: None) -> DataInfo:
    """Get data set `name` if it is not here; `info` of it afterwards.

    progress(what is being done, bytes done, bytes in all or 0).  A broken download goes on where
    it stopped when called again.  Raises `DataError`.
    """
    source = _source(name)
    folder = paths.cache_dir() / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f"{name}.lock"):  # a second call waits and finds it done
            source.fetch(progress)
    except OSError as error:
        raise DataError(f"{source.title} cannot be written into {folder}: {error.strerror or error}.") from None
    return info(name)
