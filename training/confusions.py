"""Which classes a network takes for which: counts on the official test pictures, in `confusions.json` beside the card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

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
    for the classes that differ.
    """

    data: str
    classes: tuple[str, ...]
    right: tuple[int, ...]
    taken: dict[tuple[int, int], int]

    @classmethod
    def of(cls, data: str, classes: tuple[str, ...], logits: np.ndarray, labels: np.ndarray) -> Confusions:
        """Counted from logits (n, classes) and labels (n,)."""
        table = np.zeros((len(classes),) * 2, int)
        np.add.at(table, (np.asarray(labels), logits.argmax(1)), 1)
        right = table.diagonal().copy()
        np.fill_diagonal(table, 0)
        taken = {(int(a), int(b)): int(table[a, b]) for a, b in np.argwhere(table)}
        return cls(data, tuple(classes), tuple(map(int, right)), taken)

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


def write(run: RunDir, confusions: Confusions) -> None:
    """Store `confusions` beside the run's card, only what is not 0."""
    taken = sorted(confusions.taken.items(), key=lambda item: (-item[1], item[0]))
    tree = {"data": confusions.data, "classes": confusions.classes, "right": confusions.right,
            "taken": [[a, b, count] for (a, b), count in taken]}  # fmt: skip
    write_atomic(run.file(FILE), json.dumps(tree, ensure_ascii=False) + "\n")


def read(run: RunDir) -> Confusions | None:
    """What `write` stored; None where there is nothing, or something else."""
    try:
        tree = json.loads(run.file(FILE).read_bytes())
        classes, right = tuple(map(str, tree["classes"])), tuple(map(int, tree["right"]))
        taken = {(int(a), int(b)): int(count) for a, b, count in tree["taken"]}
        data = str(tree["data"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    known = range(len(classes))
    sound = len(right) == len(classes) and all(a in known and b in known and a != b for a, b in taken)
    return Confusions(data, classes, right, taken) if sound else None
