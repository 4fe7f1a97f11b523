"""The data sets: uint8 pictures, integer labels, class names, and a fixed validation split.

`load` never reads a test file; test pictures come from `load_test` alone.
"""

from __future__ import annotations

from training.data.base import DataError, DataInfo, Dataset, Images, Labels, Progress, Sample, Source, how
from training.data.birds import Birds
from training.data.cifar import Cifar10, Cifar100First25
from training.data.drawn import Drawn

__all__ = [
    "NAMES", "DataError", "DataInfo", "Dataset", "Images", "Labels", "Progress", "Sample",
    "class_names", "fetch", "info", "load", "load_test", "samples", "status",
]  # fmt: skip

_SOURCES: dict[str, Source] = {source.name: source for source in (Cifar100First25(), Cifar10(), Birds(), Drawn())}
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
        class_names=source.class_names(),
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
    return _source(name).class_names()


def samples(name: str, n: int) -> list[Sample]:
    """`n` training pictures of different classes, always the same ones, quickly."""
    source = _source(name)
    names = source.class_names()
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


def fetch(name: str, progress: Progress | None = None) -> DataInfo:
    """Download data set `name` if it is not here; `info` of it afterwards.

    `progress(text, done, total)` is called with bytes.  Raises `DataError`.
    """
    source = _source(name)
    if source.where() is None:
        source.fetch(progress)
    return info(name)
