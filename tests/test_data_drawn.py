"""The drawn pictures: the same everywhere, varied, and as hard as docs/drawn.md says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from training import data, drawn_study
from training.data import drawn


@pytest.fixture(scope="module")
def dataset() -> data.Dataset:
    return data.load("drawn")


def test_every_machine_draws_the_same_bytes():
    digest = hashlib.sha256()
    for label in range(25):
        digest.update(drawn.draw(label, 10, (7,)).tobytes())
    assert digest.hexdigest() == "756888cbfcf2f4607ba144c4e1d9696d1bd9f7a4c8159862ca60975178692d98"


def test_there_are_25_named_classes_in_equal_parts(dataset):
    assert dataset.images.shape == (11_250, 32, 32, 3) and dataset.images.dtype == np.uint8
    assert np.bincount(dataset.labels).tolist() == [450] * 25
    assert np.bincount(dataset.validation_labels).tolist() == [50] * 25
    assert len(set(dataset.class_names)) == 25 and "striped star" in dataset.class_names
    assert dataset.origin == "drawn by the program"


def test_test_pictures_are_others(dataset):
    images, labels = data.load_test("drawn")
    assert np.bincount(labels).tolist() == [100] * 25
    seen = {image.tobytes() for image in [*dataset.images, *dataset.validation_images]}
    assert len(seen) == 12_500, "no picture is drawn twice"
    assert not any(image.tobytes() in seen for image in images)


def test_the_mean_colour_does_not_tell_the_class(dataset):
    means = dataset.images.mean((1, 2))
    by_class = np.array([means[dataset.labels == label].mean(0) for label in range(25)])
    within = np.mean([means[dataset.labels == label].std(0) for label in range(25)])
    assert by_class.std(0).max() < 0.2 * within


def test_samples_are_the_training_pictures(dataset):
    found = data.samples("drawn", 30)
    assert len({sample.label for sample in found[:25]}) == 25
    known = {image.tobytes(): label for image, label in zip(dataset.images, dataset.labels, strict=True)}
    known |= {i.tobytes(): n for i, n in zip(dataset.validation_images, dataset.validation_labels, strict=True)}
    assert all(known[sample.image.tobytes()] == sample.label for sample in found)


def test_data_needs_no_tensorflow():
    code = "import sys; from training import data; data.samples('drawn', 2); data.status(); print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_the_documented_figures_are_of_these_pictures_and_keep_their_promises(dataset):
    path = drawn_study.DOCS / "drawn.json"
    assert json.loads(path.read_text())["pictures"] == dataset.sha256
    figures = json.loads(path.read_text())["accuracy"]
    assert {name: set(seeds) for name, seeds in figures.items()} == {
        name: {str(s.fit.seed) for n, s in drawn_study.runs() if n == name} for name, _ in drawn_study.runs()
    }
    assert json.loads(path.read_text())["specs"] == drawn_study.specs_sha256(), (
        "the specs are others: run the study again"
    )
    assert (drawn_study.DOCS / "drawn.md").read_text() == drawn_study.report(figures)
    assert all(0.5 < accuracy < 0.8 for accuracy in figures["BaseNet"].values())
    assert all(max(figures[name].values()) < 0.35 for name in figures if name.startswith("linear"))
