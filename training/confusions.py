"""Which classes a network takes for which, and which pictures it knows: on the official test pictures, in
`confusions.json` beside the card."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
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
    its byte, 1 where it was recognized; empty where it was counted before these were kept.
    """

    data: str
    classes: tuple[str, ...]
    right: tuple[int, ...]
    taken: dict[tuple[int, int], int]
    known: bytes = b""

    @classmethod
    def of(cls, data: str, classes: tuple[str, ...], logits: np.ndarray, labels: np.ndarray) -> Confusions:
        """Counted from logits (n, classes) and labels (n,)."""
        table = np.zeros((len(classes),) * 2, int)
        np.add.at(table, (np.asarray(labels), logits.argmax(1)), 1)
        right = table.diagonal().copy()
        np.fill_diagonal(table, 0)
        taken = {(int(a), int(b)): int(table[a, b]) for a, b in np.argwhere(table)}
        known = np.packbits(logits.argmax(1) == np.asarray(labels)).tobytes()
        return cls(data, tuple(classes), tuple(map(int, right)), taken, known)

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
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.second - self.first) / self.pictures

    @property
    def half(self) -> float:
        """Half of the difference's 95 % interval (Wald's, for pairs): what other test pictures could do."""
        return (
            1.96
            * sqrt(max(0.0, self.first + self.second - (self.second - self.first) ** 2 / self.pictures))
            / self.pictures
        )


def paired(first: RunDir, second: RunDir) -> Paired | None:
    """Which of the same test pictures either one alone recognized; None where it isn't known of both."""
    one, other = read(first), read(second)
    if one is None or other is None or not one.known or not other.known:
        return None
    copies = [(card["data"]["name"], card["data"].get("sha256")) for run in (first, second) if (card := run.card())]
    if len(copies) < 2 or copies[0] != copies[1] or one.totals != other.totals:
        return None  # the exact pixels and their JPEG copy have one name
    a, b = (np.unpackbits(np.frombuffer(side.known, np.uint8)).astype(bool) for side in (one, other))
    return Paired(int((a & ~b).sum()), int((b & ~a).sum()), sum(one.totals))


def write(run: RunDir, confusions: Confusions) -> None:
    """Store `confusions` beside the run's card, only what is not 0."""
    taken = sorted(confusions.taken.items(), key=lambda item: (-item[1], item[0]))
    tree = {"data": confusions.data, "classes": confusions.classes, "right": confusions.right,
            "taken": [[a, b, count] for (a, b), count in taken],
            "known": base64.b64encode(confusions.known).decode()}  # fmt: skip
    write_atomic(run.file(FILE), json.dumps(tree, ensure_ascii=False) + "\n")


def read(run: RunDir) -> Confusions | None:
    """What `write` stored; None where there is nothing, or something else."""
    try:
        tree = json.loads(run.file(FILE).read_bytes())
        classes, right = tuple(map(str, tree["classes"])), tuple(map(int, tree["right"]))
        taken = {(int(a), int(b)): int(count) for a, b, count in tree["taken"]}
        data, known = str(tree["data"]), base64.b64decode(tree.get("known", ""), validate=True)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    found, among = Confusions(data, classes, right, taken, known), range(len(classes))
    if len(right) != len(classes) or not all(a in among and b in among and a != b for a, b in taken):
        return None
    bits = np.unpackbits(np.frombuffer(known, np.uint8))
    whole = len(known) == -(-sum(found.totals) // 8) and bits.sum() == sum(right)
    return found if whole or not known else None
