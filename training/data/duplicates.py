"""Test pictures of which nearly the same picture is among the training pictures, mirrored ones included.

B. Barz and J. Denzler: Do We Train on Test Data?  Purging CIFAR of Near-Duplicates, 2020
(arXiv:1902.00423) found them for a tenth of CIFAR-100's test pictures, by eye, among neighbours
in a network's features.  Here they are found from pixels alone, in three steps:

1. Candidates: the training pictures whose 8x8 thumbnails correlate most with the test picture's.
2. Alignment: size and shift with the highest correlation of what lies between fine and coarse.
3. Score: how much of the fine structure agrees, tile by tile, less the difference in colour.

The threshold was set once, on `cifar100-25`: there no pair of different classes, which is
hardly ever a duplicate, scores higher.  All training pictures count, validation pictures too.
Looked at, 100 of the 264 pairs drawn at random: 63 are of one photograph, 23 of different things
of one kind taken alike (cans, bottles, bicycles of one shop), 14 merely look alike.  On the JPEG
copy of `cifar10` the same threshold finds 800 of 10,000, 6 of them in another class; of 100 about
87 are of one photograph, 6 of one kind, 7 look alike.  Barz and Denzler's eyes found 3.3 % there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from training import data
from training.data.base import DataError, Images, Labels
from training.rundir import write_atomic

FOLDER = Path(__file__).parent / "near_duplicates"
THRESHOLD = 0.32
CANDIDATES = 20  # training pictures that are looked at, for a test picture and for its mirror image
ALIKE = 0.6  # the least correlation of a candidate's thumbnail
ALIGNED = 0.5  # the least correlation after the coarse alignment, and the pictures that are aligned finely
FINELY = 3
SIZES = (0.8, 0.9, 1.0, 1.1, 1.25)
SHIFTS = (-4, -2, 0, 2, 4)  # pixels
WINDOW = 24  # the middle of a training picture of 32x32, which is looked for in the test picture
TILE = 6  # pixels
NOISE = 2.0  # grey levels, below which there is no structure
STRONG = 8.0  # grey levels: above, a tile counts no more
Pose = tuple[float, float, float, float]  # sizes and shifts of rows, then of columns


@dataclass(frozen=True)
class Pair:
    """A test picture and the training picture most like it.

    test: its place in `load_test`; train: its place in `load`, the validation pictures first.
    """

    test: int
    train: int
    mirrored: bool
    score: float
    same_class: bool


@dataclass(frozen=True)
class NearDuplicates:
    """What `find` found in one copy of a data set; the hashes say which copy."""

    data: str
    origin: str
    train_sha256: str
    test_sha256: str
    threshold: float
    pictures: int
    pairs: tuple[Pair, ...]  # the best first


def kept(name: str, train_sha256: str, images: Images, labels: Labels) -> np.ndarray | None:
    """Which test pictures have no near-duplicate, bool (n,); None where they are not known for these pictures."""
    copies = (copy for copy in read(name) if copy.train_sha256 == train_sha256)
    found = next((copy for copy in copies if copy.test_sha256 == checksum(images, labels)), None)
    if found is None:
        return None
    keep = np.ones(len(labels), bool)
    keep[[pair.test for pair in found.pairs]] = False
    return keep


def read(name: str) -> list[NearDuplicates]:
    """What is stored of data set `name`, copy by copy."""
    trees = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    return [
        NearDuplicates(**{**tree, "pairs": tuple(Pair(*pair) for pair in tree["pairs"])})
        for tree in trees
        if tree["data"] == name
    ]


def write(found: NearDuplicates) -> Path:
    """Store it in the package, beside what is known of other copies of the same data set."""
    path = FOLDER / f"{found.data}-{found.train_sha256[:12]}.json"
    tree = {**asdict(found), "pairs": [list(asdict(pair).values()) for pair in found.pairs]}
    text = json.dumps(tree, indent=1).replace("\n   ", " ").replace("\n  ]", "]").replace("[ ", "[")  # a pair a line
    write_atomic(path, text + "\n")
    return path


def checksum(images: Images, labels: Labels) -> str:
    """SHA-256 of pictures and labels in their order."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)  # not a copy of what may be half a gigabyte
    digest.update(labels.astype("<i4").tobytes())
    return digest.hexdigest()


def check_size(name: str, size: tuple[int, ...]) -> None:
    """Raise `DataError` for pictures of another size than those that are compared."""
    if size != (32, 32):
        raise DataError(f"Near-duplicates are looked for in pictures of 32x32; those of {name} have another size.")


def find(name: str, progress: Callable[[int, int], None] = lambda done, total: None) -> NearDuplicates:
    """Look for the near-duplicates of every test picture of 32x32; progress(pictures done, of how many)."""
    dataset = data.load(name)
    check_size(name, dataset.images.shape[1:3])
    test, labels = data.load_test(name)
    train = np.concatenate([dataset.validation_images, dataset.images])
    train_labels = np.concatenate([dataset.validation_labels, dataset.labels])
    pairs = []
    for index, (places, mirrored) in enumerate(candidates(test, train)):
        best = _best(test[index], train, places, mirrored)
        if best is not None and best[0] > THRESHOLD:
            likeness, place, flipped = best
            same = bool(train_labels[place] == labels[index])
            pairs.append(Pair(index, place, flipped, likeness, same))
        progress(index + 1, len(test))
    pairs.sort(key=lambda pair: -pair.score)
    return NearDuplicates(
        name, dataset.origin, dataset.sha256, checksum(test, labels), THRESHOLD, len(test), tuple(pairs)
    )


def candidates(test: Images, train: Images) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each test picture (places in `train`, whether mirrored), each (k,): the most similar thumbnails."""
    known = _thumbnails(train)
    count = min(CANDIDATES, len(train))
    for start in range(0, len(test), 250):  # 250 x 50,000 correlations at a time
        block = test[start : start + 250]
        likeness = [_thumbnails(view) @ known.T for view in (block, block[:, :, ::-1])]
        most = [np.argpartition(-table, count - 1, 1)[:, :count] for table in likeness]
        for row in range(len(block)):
            places = np.concatenate([places[row] for places in most])
            mirrored = np.arange(2 * count) >= count
            alike = np.concatenate([table[row, found[row]] for table, found in zip(likeness, most, strict=True)])
            yield places[alike > ALIKE], mirrored[alike > ALIKE]


def _thumbnails(images: Images) -> np.ndarray:
    """8x8 means without the picture's own mean colour, of length 1: float32 (n, 192)."""
    small = np.concatenate([
        images[i : i + 1000].reshape(-1, 8, 4, 8, 4, 3).mean((2, 4), dtype=np.float32)
        for i in range(0, len(images), 1000)
    ])  # fmt: skip
    small = (small - small.mean((1, 2), keepdims=True)).reshape(len(images), -1)
    return small / (np.linalg.norm(small, axis=1, keepdims=True) + 1e-3)


def _best(test: Images, train: Images, places: np.ndarray, mirrored: np.ndarray) -> tuple[float, int, bool] | None:
    """(score, place, mirrored) of the candidate most like the picture `test`."""
    aligned = []
    for flip in (False, True):
        chosen = places[mirrored == flip]
        if not len(chosen):
            continue
        view = _planes(test[:, ::-1] if flip else test)
        tables = [_unit(_between(view, pose, 1.2, 4.0, step=2)) for pose in _POSES]
        middles = [_unit(_between(_planes(train[place]), _MIDDLE, 1.2, 4.0, step=2)) for place in chosen]
        match = np.stack(tables) @ np.stack(middles, 1)  # (poses, candidates)
        aligned += [
            (float(match[pose, k]), int(chosen[k]), flip, _POSES[pose]) for k, pose in enumerate(match.argmax(0))
        ]
    aligned = sorted((a for a in aligned if a[0] > ALIGNED), key=lambda a: -a[0])[:FINELY]
    scores = []
    for _, place, flip, pose in aligned:
        here, there = _planes(test[:, ::-1] if flip else test), _planes(train[place])
        scores.append((round(score(here, there, refine(here, there, pose)), 3), place, flip))
    return max(scores, default=None)


def refine(here: np.ndarray, there: np.ndarray, pose: Pose) -> Pose:
    """The pose of `here` near `pose` in which it is most like the middle of `there`: float (3, 32, 32) both."""
    target = _unit(_between(there, _MIDDLE, 0.8, 3.0))
    for step in (1.0, 0.5, 0.25):  # pixels; the sizes change by as much at the window's edge
        scale = step / WINDOW * 2
        near = [
            (pose[0] + a * scale, pose[1] + b * step, pose[2] + c * scale, pose[3] + d * step)
            for a, b, c, d in product((-1, 0, 1), repeat=4)
        ]
        pose = max(near, key=lambda other: float(_unit(_between(here, other, 0.8, 3.0)) @ target))
    return pose


def score(here: np.ndarray, there: np.ndarray, pose: Pose) -> float:
    """Nearly 1 for equal pictures: agreement of the fine structure less the difference in colour (1 is 100 levels)."""
    tiles = [
        _between(view, at, 0.55, 1.5).reshape(3, WINDOW // TILE, TILE, WINDOW // TILE, TILE)
        for view, at in ((here, pose), (there, _MIDDLE))
    ]
    count = 3 * TILE**2
    product_, own, other = ((a * b).sum((0, 2, 4)) / count for a, b in (tiles, (tiles[0],) * 2, (tiles[1],) * 2))
    weight = np.minimum(np.sqrt(np.maximum(own, other)), STRONG) + 1e-6
    agreement = weight * product_ / np.sqrt((own + NOISE**2) * (other + NOISE**2))
    colour = _window(here, pose, 0.8) - _window(there, _MIDDLE, 0.8)
    return float(agreement.sum() / weight.sum() - np.sqrt((colour**2).mean()) / 100)


def _planes(image: Images) -> np.ndarray:
    return image.transpose(2, 0, 1).astype(np.float32)


_POSES: list[Pose] = [(size, down, size, across) for size in SIZES for down in SHIFTS for across in SHIFTS]
_MIDDLE: Pose = (1.0, 0.0, 1.0, 0.0)


@lru_cache(4096)  # of 81 poses only 9 differ in their rows
def _rows(size: float, shift: float, blur: float, step: int) -> np.ndarray:
    """(WINDOW / step, 32): each sample of the window as a Gaussian mean of a picture's rows."""
    count = WINDOW // step
    places = 15.5 + shift + (np.arange(count) - (count - 1) / 2) * step / size
    weights = np.exp(-0.5 * ((np.arange(32) - places[:, None]) / blur) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _window(planes: np.ndarray, pose: Pose, blur: float, step: int = 1) -> np.ndarray:
    """The window of `planes` in a pose, (3, WINDOW / step, WINDOW / step)."""
    return _rows(pose[0], pose[1], blur, step) @ planes @ _rows(pose[2], pose[3], blur, step).T


def _between(planes: np.ndarray, pose: Pose, fine: float, coarse: float, step: int = 1) -> np.ndarray:
    """What lies between two blurs."""
    return _window(planes, pose, fine, step) - _window(planes, pose, coarse, step)


def _unit(values: np.ndarray) -> np.ndarray:
    """Without each channel's mean, of length 1."""
    values = (values - values.mean((1, 2), keepdims=True)).ravel()
    return values / (np.linalg.norm(values) + 1.0)
