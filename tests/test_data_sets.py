"""The readers, against small data sets made by hand, whole and broken."""

from __future__ import annotations

import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import data
from training.data import birds, cifar, jpeg, store

EACH = 20  # training pictures of a class in the sets made here


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PLUMAGE_DATA: an empty folder; the cache is another."""
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path / "own"))
    return tmp_path / "own"


def noise(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def as_records(images: np.ndarray, labels: np.ndarray, label_bytes: int) -> bytes:
    """The official layout, written the slow and plain way."""
    out = io.BytesIO()
    for image, label in zip(images, labels, strict=True):
        out.write(bytes([label % 7] * (label_bytes - 1) + [label]))
        for channel in range(3):
            for row in range(32):
                out.write(image[row, :, channel].tobytes())
    return out.getvalue()


def jpeg_bytes(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def small_cifar(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cifar100-25 with 20 training and 2 test pictures a class; its folder."""
    small = replace(cifar.CIFAR100_25, counts={"train": 25 * EACH, "test": 50})
    monkeypatch.setitem(data._SOURCES, "cifar100-25", small)
    folder = place / "cifar100-25"
    folder.mkdir(parents=True)
    labels = np.random.default_rng(1).permutation(np.arange(25 * EACH) % 25)
    (folder / "train.bin").write_bytes(as_records(noise(25 * EACH), labels, 2))
    (folder / "test.bin").write_bytes(as_records(noise(50, seed=2), np.arange(50) % 25, 2))
    return folder


@pytest.fixture
def small_zip(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cifar10 as a zip of 20 training and 2 test JPEGs a class; the zip."""
    small = replace(cifar.CIFAR10, counts={"train": 10 * EACH, "test": 20})
    monkeypatch.setitem(data._SOURCES, "cifar10", small)
    path = place / "cifar10" / "cifar10-jpeg.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for part, each in (("train", EACH), ("test", 2)):
            for label, name in enumerate(small.class_names):
                for number, image in enumerate(noise(each, seed=label)):
                    archive.writestr(f"{part}/{name}/{number:04}.jpg", jpeg_bytes(image))
    return path


@pytest.fixture
def small_birds(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three species with 10 training and 2 test pictures each; the folder."""
    monkeypatch.setitem(data._SOURCES, "birds", birds.Birds(classes=3, counts={"train": 30, "test": 6}))
    folder = place / "birds"
    (folder / "lists").mkdir(parents=True)
    classes = ["001.Crested_Auklet", "002.Blue_Jay", "003.Rock_Wren"]
    (folder / "lists" / "classes.txt").write_text("\n".join(classes) + "\n")
    for part, numbers in (("train", range(10)), ("test", range(10, 12))):
        names = [f"{c}/{c[4:]}_{number:04}.jpg" for c in classes for number in numbers]
        (folder / "lists" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for seed, name in enumerate(names):
            (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "images" / name).write_bytes(jpeg_bytes(noise(1, 224, seed)[0]))
    return folder


# --- binary records ---------------------------------------------------------------------------


def test_records_give_the_very_pixels_and_labels(small_cifar):
    dataset = data.load("cifar100-25", "ordered")
    images = np.concatenate([dataset.validation_images, dataset.images])
    labels = np.concatenate([dataset.validation_labels, dataset.labels])
    assert (images == noise(25 * EACH)).all()
    assert (labels == np.random.default_rng(1).permutation(np.arange(25 * EACH) % 25)).all()
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert dataset.class_names[0] == "apple" and dataset.class_names[24] == "cockroach"
    assert dataset.origin == "exact pixels, official binary records"
    test_images, test_labels = data.load_test("cifar100-25")
    assert (test_images == noise(50, seed=2)).all()
    assert (test_labels == np.arange(50) % 25).all()


def test_a_shuffled_copy_gives_the_same_arrays(small_cifar):
    first = data.load("cifar100-25")
    records = (small_cifar / "train.bin").read_bytes()
    size = 2 + cifar.PIXELS
    rows = [records[i : i + size] for i in range(0, len(records), size)]
    (small_cifar / "train.bin").write_bytes(b"".join(reversed(rows)))
    second = data.load("cifar100-25")
    assert first.sha256 == second.sha256
    for field in ("images", "labels", "validation_images", "validation_labels"):
        assert (getattr(first, field) == getattr(second, field)).all()
    assert np.bincount(first.validation_labels).tolist() == [EACH // 10] * 25


def test_load_does_not_read_the_test_file(small_cifar):
    (small_cifar / "test.bin").write_bytes(b"not a record")
    assert len(data.load("cifar100-25").images) == 25 * EACH * 9 // 10
    assert data.samples("cifar100-25", 3)
    with pytest.raises(data.DataError, match="not whole records"):
        data.load_test("cifar100-25")


def test_missing_files_are_one_sentence_with_place_and_command(place):
    with pytest.raises(data.DataError) as error:
        data.load("cifar100-25")
    message = str(error.value)
    assert "train.bin" in message and str(place / "cifar100-25") in message
    assert message.endswith("python -m training data fetch cifar100-25")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes are not whole records of 3,074 bytes"),
        (bytes(3073), "3,073 bytes are not whole records"),
        (bytes(3074), "there are 1 pictures where 500 are expected"),
        (bytes([0, 25]) + bytes(3072), "labels beyond its 25 classes"),
    ],
)
def test_broken_records_are_named(small_cifar, content, problem):
    (small_cifar / "train.bin").write_bytes(content)
    with pytest.raises(data.DataError, match=problem) as error:
        data.load("cifar100-25")
    assert str(small_cifar / "train.bin") in str(error.value)
    assert "python -m training data fetch cifar100-25" in str(error.value)


def test_several_files_are_read_in_order(place, monkeypatch):
    monkeypatch.setitem(data._SOURCES, "cifar10", replace(cifar.CIFAR10, counts={"train": 50, "test": 10}))
    folder = place / "cifar10"
    folder.mkdir(parents=True)
    images, labels = noise(60), np.random.default_rng(3).integers(0, 10, 60)
    for number in range(5):
        part = slice(number * 10, number * 10 + 10)
        (folder / f"data_batch_{number + 1}.bin").write_bytes(as_records(images[part], labels[part], 1))
    (folder / "test_batch.bin").write_bytes(as_records(images[50:], labels[50:], 1))
    dataset = data.load("cifar10", "ordered")
    assert (np.concatenate([dataset.validation_images, dataset.images]) == images[:50]).all()
    assert (data.load_test("cifar10")[1] == labels[50:]).all()
    assert dataset.origin == "exact pixels, official binary records"


# --- a zip of JPEGs -------------------------------------------------------------------------------


def test_a_zip_is_decoded_once_and_mapped_afterwards(small_zip, monkeypatch):
    first = data.load("cifar10")
    assert first.origin == "JPEG copy"
    assert isinstance(first.images, np.memmap) and first.images.flags.writeable is False
    with zipfile.ZipFile(small_zip) as archive:
        expected = np.asarray(Image.open(archive.open("test/bird/0001.jpg")))
    images, labels = data.load_test("cifar10")
    assert (images[5] == expected).all() and labels[5] == 2

    def decode_again(*args: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(jpeg, "decode", decode_again)
    second = data.load("cifar10")
    assert (first.images == second.images).all() and first.sha256 == second.sha256
    assert (data.load_test("cifar10")[0] == images).all()


def test_the_split_of_a_zip_is_stratified_and_its_pictures_match_their_labels(small_zip):
    dataset = data.load("cifar10")
    assert np.bincount(dataset.validation_labels).tolist() == [EACH // 10] * 10
    with zipfile.ZipFile(small_zip) as archive:
        pictures = {
            np.asarray(Image.open(archive.open(name))).tobytes(): name.split("/")[1]
            for name in archive.namelist()
            if name.startswith("train")
        }
    for image, label in zip(dataset.images, dataset.labels, strict=True):
        assert pictures[image.tobytes()] == dataset.class_names[label]


def test_another_zip_is_decoded_anew(small_zip):
    before = data.load("cifar10").sha256
    with zipfile.ZipFile(small_zip, "a") as archive:
        archive.writestr("README", "another file")
    assert data.load("cifar10").sha256 == before
    assert len(list((small_zip.parent.parent.parent / "cache" / "arrays").glob("cifar10-train-stratified-*.npy"))) == 2


def test_a_cut_array_in_the_cache_is_made_again(small_zip):
    before = np.array(data.load("cifar10").images)
    (path,) = (small_zip.parent.parent.parent / "cache" / "arrays").glob("cifar10-train-stratified-*.npy")
    path.write_bytes(path.read_bytes()[:1000])
    assert (data.load("cifar10").images == before).all()


def test_damaged_zips_are_named(small_zip):
    whole = small_zip.read_bytes()
    small_zip.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(data.DataError, match=r"it is not a whole zip file; .*fetch cifar10"):
        data.load("cifar10")
    middle = whole.index(b"train/cat/0003.jpg") + 200
    small_zip.write_bytes(whole[:middle] + b"damaged" + whole[middle + 7 :])
    with pytest.raises(data.DataError, match=r"train/cat/0003.jpg in it is damaged"):
        data.load("cifar10")


def test_a_zip_without_all_pictures_or_with_a_false_one_is_named(small_zip):
    with zipfile.ZipFile(small_zip, "a") as archive:
        archive.writestr("train/cat/9999.jpg", b"not a picture")
    with pytest.raises(data.DataError, match="it has 201 pictures in train/ where 200 are expected"):
        data.load("cifar10")
    data._SOURCES["cifar10"] = replace(data._SOURCES["cifar10"], counts={"train": 201, "test": 20})
    for read in (data.load, lambda name: data.samples(name, 201)):
        with pytest.raises(data.DataError, match=r"train/cat/9999.jpg cannot be used: it is not a whole JPEG picture"):
            read("cifar10")


# --- birds --------------------------------------------------------------------------------------------


def test_birds_follow_the_official_lists(small_birds):
    dataset = data.load("birds")
    assert dataset.class_names == ("Crested Auklet", "Blue Jay", "Rock Wren")
    assert dataset.images.shape == (27, 224, 224, 3) and isinstance(dataset.images, np.memmap)
    assert np.bincount(dataset.validation_labels).tolist() == [1, 1, 1]
    assert dataset.origin == "224x224 JPEG copy, cut round the bird"
    images, labels = data.load_test("birds")
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    path = small_birds / "images" / "002.Blue_Jay" / "Blue_Jay_0011.jpg"
    assert (images[3] == np.asarray(Image.open(path))).all()


def test_whole_photos_are_brought_to_size_and_split_like_the_cuts(small_birds):
    cuts = data.load("birds")
    for path in (small_birds / "images").rglob("*.jpg"):
        path.write_bytes(jpeg_bytes(np.full((300, 400, 3), sum(path.name.encode()) % 256, np.uint8)))
    photos = data.load("birds")
    assert photos.images.shape == (27, 224, 224, 3)
    assert photos.origin == "squares of whole photos at 224x224"
    assert photos.sha256 != cuts.sha256
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 255
    assert jpeg.decode(jpeg_bytes(stripes), 10, 10)[:, 2:8].min() > 200, "the sides are cut off, not pressed in"
    assert (photos.labels == cuts.labels).all() and (photos.validation_labels == cuts.validation_labels).all()


def test_missing_and_broken_birds_are_named(small_birds):
    picture = small_birds / "images" / "001.Crested_Auklet" / "Crested_Auklet_0004.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(data.DataError, match=r"Crested_Auklet_0004.jpg cannot be used: it is not a whole JPEG"):
        data.load("birds")
    with pytest.raises(data.DataError, match="it is not a whole JPEG"):
        data.samples("birds", 30)
    picture.unlink()
    gone = rf"the picture 001.Crested_Auklet/Crested_Auklet_0004.jpg not found in .*; put it back, or move {small_birds} away and"
    with pytest.raises(data.DataError, match=gone):
        data.load("birds")
    with pytest.raises(data.DataError, match=gone):  # a folder of the user's own goes before a downloaded one
        data.fetch("birds")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["002.Blue_Jay/../../secret.jpg"] * 30, "is no picture of a class"),
        (["004.Crow/Crow_0001.jpg"] * 30, "is no picture of a class"),
        (["002.Blue_Jay/Blue_Jay_0001.jpg"] * 29, "it has 29 lines where 30 are expected"),
    ],
)
def test_lists_that_cannot_be_true_are_refused(small_birds, lines, problem):
    (small_birds / "lists" / "train.txt").write_text("\n".join(lines))
    with pytest.raises(data.DataError, match=problem):
        data.load("birds")


# --- the front ------------------------------------------------------------------------------------------


def test_status_is_quick_to_tell_what_is_here(small_cifar):
    found = {info.name: info for info in data.status()}
    assert tuple(found) == data.NAMES == ("cifar100-25", "cifar10", "birds", "drawn")
    here = found["cifar100-25"]
    assert here.available and here.where == str(small_cifar) and here.picture_size == (32, 32, 3)
    assert (here.train, here.validation, here.test) == (450, 50, 50)
    assert not found["birds"].available and found["birds"].where == ""
    assert found["birds"].how.endswith("python -m training data fetch birds")
    assert found["drawn"].available


def test_samples_are_training_pictures_of_different_classes(small_cifar, small_zip, small_birds):
    for name, size in (("cifar100-25", 32), ("cifar10", 32), ("birds", 224)):
        found = data.samples(name, 3)
        assert len({sample.label for sample in found}) == 3
        dataset = data.load(name)
        for sample in found:
            assert sample.image.shape == (size, size, 3)
            assert sample.class_name == dataset.class_names[sample.label]
            known = np.concatenate([dataset.images, dataset.validation_images])
            assert (known == sample.image).all((1, 2, 3)).any()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(data.DataError, match="no data set 'mnist'; there are cifar100-25, cifar10, birds, drawn"):
        data.load("mnist")


def test_a_cache_that_cannot_be_written_is_named(small_zip, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(data.DataError, match=r"The cache folder .*file.* cannot be written"):
        data.load("cifar10")


def test_a_full_disk_is_told_before_writing(small_zip, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(data.DataError, match="are needed on the disk and not free"):
        data.load("cifar10")


def test_a_half_made_array_is_never_taken_for_whole(place):
    def dies(out: np.ndarray) -> None:
        out[0] = 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.array("half", (5,), np.uint8, dies)
    assert store.array("half", (5,), np.uint8, lambda out: out.fill(7)).tolist() == [7] * 5


# --- the real data sets, where they are -----------------------------------------------------------------


def test_the_real_cifar100_is_the_first_25_classes(data, monkeypatch):
    from training import data as sets

    monkeypatch.setenv("PLUMAGE_DATA", data)
    if not sets.info("cifar100-25").available:
        pytest.skip("needs cifar100-25")
    dataset = sets.load("cifar100-25")
    assert dataset.images.shape == (11_250, 32, 32, 3) and dataset.validation_images.shape == (1_250, 32, 32, 3)
    assert np.bincount(dataset.validation_labels).tolist() == [50] * 25
    assert dataset.sha256 == "bc4303f3ef5fc1d1c18b781ca6c0c261ac0c18bcbff76966dbddfedf14d96cd5"
    trained_on = {image.tobytes() for image in dataset.images}
    assert not any(image.tobytes() in trained_on for image in dataset.validation_images)
    images, labels = sets.load_test("cifar100-25")
    assert images.shape == (2_500, 32, 32, 3) and np.bincount(labels).tolist() == [100] * 25


def test_a_folder_that_may_not_be_read_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    for look in ("is_file", "is_dir"):
        monkeypatch.setattr(Path, look, refuse)
    assert [info.name for info in data.status() if info.available] == ["drawn"]
