"""Which training pictures are kept for validation.

The split is a function of what the pictures are, not of where they stand in a file: they
are ordered by a hash, and the first tenth of every class is kept.  Two copies of a data
set in different orders give the same validation pictures, the same training order and the
same checksum.  Equal pictures stand side by side, so copies of one are not drawn apart
(but for the one pair that may meet the border of a class).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SHARE = 10  # one picture in ten is for validation


def digests(items: Iterable[bytes]) -> NDArray[np.bytes_]:
    """The SHA-256 of every item as (n,) hexadecimal bytes, an order without pattern."""
    return np.array([hashlib.sha256(item).hexdigest().encode() for item in items], dtype="S64")


def stratified(keys: NDArray[np.bytes_], labels: NDArray[np.integer]) -> tuple[NDArray[np.intp], int]:
    """(order, v): indices of all pictures, of which the first v are for validation.

    keys: one for each picture, as from `digests`.  Each class gives a tenth of its pictures,
    rounded down but at least one of two.  Both parts are in the order of the keys.
    """
    order = np.lexsort((labels, keys))
    chosen = np.zeros(len(order), bool)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels[order] == label)
        chosen[of_class[: max(len(of_class) // SHARE, int(len(of_class) > 1))]] = True
    return np.concatenate([order[chosen], order[~chosen]]), int(chosen.sum())


def ordered(count: int) -> tuple[NDArray[np.intp], int]:
    """(order, v): the first tenth in file order, as Keras's `validation_split` takes it."""
    return np.arange(count), count // SHARE


def arrange(validation: str, keys: NDArray[np.bytes_], labels: NDArray[np.integer]) -> tuple[NDArray[np.intp], int]:
    """(order, v) for `validation` = "stratified" or "ordered"."""
    if validation == "ordered":
        return ordered(len(labels))
    if validation == "stratified":
        return stratified(keys, labels)
    raise ValueError(f"validation = {validation!r} is not possible: it is stratified or ordered.")


def checksum(keys: NDArray[np.bytes_], labels: NDArray[np.integer]) -> str:
    """SHA-256 of the set of (picture, label) pairs, whatever their order."""
    order = np.lexsort((labels, keys))
    text = b"".join(b"%s %d\n" % (keys[i], labels[i]) for i in order)
    return hashlib.sha256(text).hexdigest()
