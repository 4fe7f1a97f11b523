"""Near-duplicates: found where they are, mirrored, moved, enlarged or recoloured, and nowhere else."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from training import data
from training.data import duplicates
from training.data.base import Dataset


def scene(seed: int, size: int = 48) -> np.ndarray:
    """A picture with detail at all sizes, uint8 (size, size, 3)."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC), float)
        for n in (4, 9, 20)
    ]  # fmt: skip
    return (0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]).astype(np.uint8)


def cut(picture: np.ndarray, top: int, left: int, size: int = 32) -> np.ndarray:
    part = Image.fromarray(picture[top : top + size, left : left + size])
    return np.asarray(part.resize((32, 32), Image.Resampling.BILINEAR))


COPIES = {
    "the same": lambda p: cut(p, 8, 8),
    "mirrored": lambda p: cut(p, 8, 8)[:, ::-1],
    "moved": lambda p: cut(p, 6, 11),
    "smaller": lambda p: cut(p, 6, 6, 36),
    "larger": lambda p: cut(p, 10, 10, 28),
    "recoloured": lambda p: (cut(p, 8, 8) * [0.9, 0.8, 0.85] + 12).astype(np.uint8),
    "mirrored and moved": lambda p: cut(p, 9, 9)[:, ::-1],
}


@pytest.fixture(scope="module")
def found() -> duplicates.NearDuplicates:
    train = np.stack([cut(scene(seed), 8, 8) for seed in range(120)])
    test = np.stack(
        [copy(scene(seed)) for seed, copy in enumerate(COPIES.values())]
        + [cut(scene(1000 + i), 8, 8) for i in range(40)]
    )
    labels = np.arange(120, dtype=np.int32) % 5
    with pytest.MonkeyPatch.context() as patch:
        dataset = Dataset(
            "made", "Made", "made", tuple("abcde"), train[20:], labels[20:], train[:20], labels[:20], "abc"
        )
        patch.setattr(data, "load", lambda name: dataset)
        patch.setattr(data, "load_test", lambda name: (test, np.arange(len(test), dtype=np.int32) % 5))
        return duplicates.find("made")


@pytest.mark.parametrize("index", range(len(COPIES)), ids=list(COPIES))
def test_a_copy_is_found(found, index):
    [pair] = [pair for pair in found.pairs if pair.test == index]
    assert pair.train == index, "validation pictures come first, and are searched, too"
    assert pair.mirrored == ("mirrored" in list(COPIES)[index]) and pair.same_class


def test_other_pictures_are_not(found):
    assert {pair.test for pair in found.pairs} == set(range(len(COPIES)))
    assert found.pairs[0].score > 0.9 and min(pair.score for pair in found.pairs) > duplicates.THRESHOLD


def test_it_is_stored_and_holds_for_its_own_pictures_only(found, tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "FOLDER", tmp_path)
    assert duplicates.read("made") == []
    assert json.loads(duplicates.write(found).read_text())["pictures"] == found.pictures
    other = replace(found, train_sha256="of another copy", pairs=())
    duplicates.write(other)
    assert found in duplicates.read("made") and other in duplicates.read("made")
    images, labels = np.zeros((47, 32, 32, 3), np.uint8), np.zeros(47, np.int32)
    assert duplicates.kept("made", "abc", images, labels) is None
    monkeypatch.setattr(duplicates, "checksum", lambda images, labels: found.test_sha256)
    keep = duplicates.kept("made", "abc", images, labels)
    assert keep is not None and (~keep).nonzero()[0].tolist() == list(range(len(COPIES)))
    assert duplicates.kept("made", "other training pictures", images, labels) is None


@pytest.mark.parametrize("name", ["cifar10", "cifar100-25"])
def test_what_ships_is_of_the_data_set_at_hand(name):
    (stored,) = duplicates.read(name)
    assert len({pair.test for pair in stored.pairs}) == len(stored.pairs) > 0
    assert all(pair.score > stored.threshold for pair in stored.pairs)
