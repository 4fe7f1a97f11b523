"""Which training pictures are kept for validation, and in which order the others come.

The stratified split is a function of what the pictures are, not of where they stand in a
file: they are ordered by a hash, and the first tenth of every class is kept.  Two copies
of a data set in different orders give the same validation pictures, the same training
order and the same checksum, so the same seed trains the same network.  Equal pictures
have equal hashes and stand side by side, so they hardly ever fall on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SHARE = 10  # one picture in ten is for validation

Keys = NDArray[np.bytes_]  # (n,) hexadecimal SHA-256, what a picture is known by
Order = NDArray[np.intp]  # (n,) indices of pictures


def digests(items: Iterable[bytes]) -> Keys:
    """The SHA-256 of every item: an order without pattern."""
    return np.array([hashlib.sha256(item).hexdigest().encode() for item in items], dtype="S64")


def arrange(validation: str, keys: Keys, labels: NDArray[np.integer]) -> tuple[Order, int]:
    """(order, v): all pictures, of which the first v are for validation.

    validation "stratified": see `stratified`.  "ordered": file order, as the report's program
    had it; where a file lists class after class, its classes are taken in turn, as the first
    tenth would else be pictures of the first classes only.
    """
    if validation == "stratified":
        return stratified(keys, labels)
    if validation == "ordered":
        by_class = bool((labels[1:] >= labels[:-1]).all())
        return (in_turn(labels) if by_class else np.arange(len(labels))), len(labels) // SHARE
    raise ValueError(f"validation = {validation!r} is not possible: it is stratified or ordered.")


def stratified(keys: Keys, labels: NDArray[np.integer]) -> tuple[Order, int]:
    """(order, v): a tenth of all pictures, as even over the classes as can be, is kept.

    Every class gives a tenth of its pictures rounded down; what lacks to a tenth of all is
    given, one each, by the classes with the largest remainder (between equals, by the hash).
    Both parts are in the order of the keys.
    """
    order = np.lexsort((labels, keys))
    members = [order[labels[order] == label] for label in np.unique(labels)]
    quota = np.array([len(of_class) // SHARE for of_class in members], int)
    lacking = len(labels) // SHARE - int(quota.sum())
    candidates = sorted(range(len(members)), key=lambda i: (-(len(members[i]) % SHARE), keys[members[i][0]]))
    quota[candidates[:lacking]] += 1
    kept = np.zeros(len(labels), bool)
    for of_class, count in zip(members, quota, strict=True):
        kept[of_class[:count]] = True
    return np.concatenate([order[kept[order]], order[~kept[order]]]), int(quota.sum())


def in_turn(labels: NDArray[np.integer]) -> Order:
    """The first picture of every class, then the second of every class, and so on."""
    rank = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rank[of_class] = np.arange(len(of_class))
    return np.lexsort((labels, rank))


def checksum(keys: Keys, labels: NDArray[np.integer]) -> str:
    """SHA-256 of the set of (picture, label) pairs, whatever their order."""
    order = np.lexsort((labels, keys))
    return hashlib.sha256(b"".join(b"%s %d\n" % (keys[i], labels[i]) for i in order)).hexdigest()
