"""Which classes a network takes for which, and which pictures it recognizes: of the official test pictures, in
`confusions.json` beside the card."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt

import numpy as np

from training.rundir import RunDir, write_atomic

FILE = "confusions.json"


@dataclass(frozen=True)
class Pair:
    """Two classes, by their index, of which at least one picture was taken for the other.

    `forth` of the pictures of `first` were taken for `second`, `back` of those of `second` for
    `first`; forth is the larger.
    """

    first: int
    second: int
    forth: int
    back: int

    @property
    def both(self) -> int:
        return self.forth + self.back


@dataclass(frozen=True)
class Confusions:
    """What a network said of each class's test pictures.

    right: for each class, its pictures that were recognized; taken: {(class, said): pictures},
    for the classes that differ.  known: a bit for each test picture in the data set's order, the first one highest in
    its byte, 1 where it was recognized; empty where it was counted before these were kept.  pictures: the SHA-256 of
    these pictures and labels (`training.data.duplicates.checksum`).
    """

    data: str
    classes: tuple[str, ...]
    right: tuple[int, ...]
    taken: dict[tuple[int, int], int]
    known: bytes = b""
    pictures: str = ""

    @classmethod
    def of(cls, data: str, classes: tuple[str, ...], logits: np.ndarray, labels: np.ndarray,
           pictures: str = "") -> Confusions:  # fmt: skip
        """Counted from logits (n, classes) and labels (n,)."""
        table = np.zeros((len(classes),) * 2, int)
        np.add.at(table, (np.asarray(labels), logits.argmax(1)), 1)
        right = table.diagonal().copy()
        np.fill_diagonal(table, 0)
        taken = {(int(a), int(b)): int(table[a, b]) for a, b in np.argwhere(table)}
        known = np.packbits(logits.argmax(1) == np.asarray(labels)).tobytes()
        return cls(data, tuple(classes), tuple(map(int, right)), taken, known, pictures)

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """Test pictures of each class."""
        totals = list(self.right)
        for (a, _), count in self.taken.items():
            totals[a] += count
        return tuple(totals)

    def pairs(self, of: int | None = None) -> list[Pair]:
        """Pairs of classes, the most confused first; with `of`, only those with this class."""
        found = {}
        for a, b in self.taken:
            forth, back = self.taken[a, b], self.taken.get((b, a), 0)
            if (forth, b) >= (back, a) and of in (None, a, b):
                found[a, b] = Pair(a, b, forth, back)
        return sorted(found.values(), key=lambda pair: (-pair.both, -pair.forth, pair.first, pair.second))


@dataclass(frozen=True)
class Paired:
    """Two networks on the same test pictures: how many only the first recognized, only the second, and all pictures."""

    first: int
    second: int
    pictures: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the second's accuracy less the first's: what other test pictures could do.

        Wald's with half a picture added to each of the four kinds, so that it holds where few differ (Agresti and Min
        2005, Statistics in Medicine 24).
        """
        pictures, gain = self.pictures + 2, self.second - self.first
        half = 1.96 * sqrt(self.first + self.second + 1 - gain**2 / pictures)
        return max(-1.0, (gain - half) / pictures), min(1.0, (gain + half) / pictures)


def paired(first: RunDir, second: RunDir) -> Paired | None:
    """Which of the same test pictures either one alone recognized; None where it isn't known of both.

    Nothing is known of a run whose card has another accuracy than these counts.
    """
    one, other = read(first), read(second)
    if one is None or other is None or not one.pictures or one.pictures != other.pictures:
        return None
    for run, counted in ((first, one), (second, other)):
        test = ((run.card() or {}).get("figures") or {}).get("test") or {}
        share = sum(counted.right) / sum(counted.totals)
        if abs(test.get("accuracy", 2.0) - share) > 1e-9:
            return None
    a, b = (np.unpackbits(np.frombuffer(side.known, np.uint8)).astype(bool) for side in (one, other))
    return Paired(int((a & ~b).sum()), int((b & ~a).sum()), sum(one.totals))


def write(run: RunDir, confusions: Confusions) -> None:
    """Store `confusions` beside the run's card, only what is not 0."""
    taken = sorted(confusions.taken.items(), key=lambda item: (-item[1], item[0]))
    tree = {"data": confusions.data, "classes": confusions.classes, "right": confusions.right,
            "taken": [[a, b, count] for (a, b), count in taken],
            "known": base64.b64encode(confusions.known).decode(), "pictures": confusions.pictures}  # fmt: skip
    write_atomic(run.file(FILE), json.dumps(tree, ensure_ascii=False) + "\n")


def read(run: RunDir) -> Confusions | None:
    """What `write` stored; None where there is nothing, or something else.  Bits that do not fit the counts are none."""
    try:
        tree = json.loads(run.file(FILE).read_bytes())
        classes, right = tuple(map(str, tree["classes"])), tuple(map(int, tree["right"]))
        taken = {(int(a), int(b)): int(count) for a, b, count in tree["taken"]}
        data = str(tree["data"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    among = range(len(classes))
    if len(right) != len(classes) or not all(a in among and b in among and a != b for a, b in taken):
        return None
    if min((*right, *taken.values()), default=0) < 0:
        return None
    counted = Confusions(data, classes, right, taken)
    try:
        known, pictures = base64.b64decode(tree["known"], validate=True), str(tree["pictures"])
    except (ValueError, KeyError, TypeError):
        return counted  # of before these were kept, or damaged
    bits, total = np.unpackbits(np.frombuffer(known, np.uint8)), sum(counted.totals)
    if not known or len(known) != -(-total // 8) or bits[:total].sum() != sum(right) or bits[total:].any():
        return counted
    return replace(counted, known=known, pictures=pictures)
