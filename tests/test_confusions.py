"""Which classes are taken for which: counted right, kept beside the card, shown on their page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow
import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import controls
from tests.models import CLASSES, make_model
from tests.page import away_and_back, back, html, show
from training import confusions, data, paths, rundir
from training.confusions import Confusions, Pair
from training.data import duplicates
from training.evaluate import evaluate

NAMES = ("crow", "raven", "wren")


def counted() -> Confusions:
    """5 crows (2 taken for ravens, 1 for a wren), 3 ravens (2 for crows), 2 wrens."""
    labels = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]
    said = [0, 0, 1, 1, 2, 0, 0, 1, 2, 2]
    return Confusions.of("birds", NAMES, np.eye(3)[said], np.array(labels))


def test_counts_and_pairs():
    found = counted()
    assert found.right == (2, 1, 2) and found.totals == (5, 3, 2)
    assert found.taken == {(0, 1): 2, (0, 2): 1, (1, 0): 2}
    assert found.pairs() == [Pair(0, 1, 2, 2), Pair(0, 2, 1, 0)]
    assert found.pairs(2) == [Pair(0, 2, 1, 0)] and found.pairs(2)[0].both == 1


def test_it_is_stored_sparsely_and_read_back(tmp_path):
    run = rundir.RunDir(tmp_path)
    assert confusions.read(run) is None
    confusions.write(run, counted())
    assert confusions.read(run) == counted()


@pytest.mark.parametrize("broken", [
    "{", "[]", '{"data": "birds", "classes": ["a"], "right": [1], "taken": [[0, 9, 1]]}',
    '{"data": "birds", "classes": ["a"], "right": [1, 2], "taken": []}',
    '{"data": "birds", "classes": ["a"], "right": [Infinity], "taken": []}',
    '{"data": "birds", "classes": ["a"], "right": [-1], "taken": []}',
])  # fmt: skip
def test_a_damaged_file_is_as_none(tmp_path, broken):
    (tmp_path / confusions.FILE).write_text(broken)
    assert confusions.read(rundir.RunDir(tmp_path)) is None


@pytest.mark.parametrize("known", ["", '"?"', '"wA=="', '"wAA="', '"gAE="', "5", "null", '"\u00e9"'])
def test_bits_that_do_not_fit_the_counts_are_none(tmp_path, known):
    """One of one picture was recognized: the byte is 0x80, "gA==" in base 64."""
    told = f', "known": {known}, "pictures": "x"' if known else ""
    (tmp_path / confusions.FILE).write_text(f'{{"data": "birds", "classes": ["a"], "right": [1], "taken": []{told}}}')
    found = confusions.read(rundir.RunDir(tmp_path))
    assert found and found.right == (1,) and found.known == b"" and found.pictures == ""
    assert confusions.Confusions.of("birds", ("a",), np.eye(1), np.zeros(1, int)).known == b"\x80"


def test_a_file_of_no_pictures_is_compared_with_nothing(tmp_path):
    run = make_model(tmp_path / "none")
    told = '{"data": "drawn", "classes": ["a"], "right": [0], "taken": [], "known": "", "pictures": "x"}'
    run.file(confusions.FILE).write_text(told)
    assert confusions.read(run) and confusions.paired(run, run) is None


def test_two_networks_are_compared_picture_by_picture(tmp_path):
    labels, runs = np.arange(100) % 2, {}
    for name, wrong in (("first", slice(0, 30)), ("second", slice(20, 60))):
        said = labels.copy()
        said[wrong] = 1 - said[wrong]
        runs[name] = run = make_model(tmp_path / name)
        confusions.write(run, Confusions.of("drawn", ("a", "b"), np.eye(2)[said], labels, "these"))
        share = float((said == labels).mean())
        run.change_card(
            lambda card, share=share: card["figures"].update(test={"accuracy": share, "loss": 1.0, "pictures": 100})
        )
    first, second = runs["first"], runs["second"]
    found = confusions.paired(first, second)
    assert found == confusions.Paired(first=30, second=20, pictures=100)
    kept = confusions.read(first)
    confusions.write(first, dataclasses.replace(kept, pictures="others"))
    assert confusions.paired(first, second) is None, "other pictures, or in another order"
    confusions.write(first, dataclasses.replace(kept, known=b""))
    assert confusions.paired(first, second) is None, "counted before these were kept"
    confusions.write(first, kept)
    second.change_card(lambda card: card["figures"]["test"].update(accuracy=0.61))
    assert confusions.paired(first, second) is None, "counts of other weights than the card's"


def test_the_paired_interval():
    """Against the mean of the differences and its standard error, and where no picture differs."""
    gain = np.repeat([1.0, -1.0, 0.0], [300, 200, 2000])
    low, high = confusions.Paired(first=200, second=300, pictures=2500).interval
    half = 1.96 * gain.std() / len(gain) ** 0.5
    assert (low, high) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=1e-4)
    low, high = confusions.Paired(first=0, second=0, pictures=2500).interval
    assert low == -high and 0.0005 < high < 0.002, "equal answers to these are no certainty about others"
    low, high = confusions.Paired(first=0, second=1, pictures=1).interval
    assert -1 <= low < high <= 1


@pytest.fixture
def places(tmp_path, monkeypatch):
    for variable, folder in (("PLUMAGE_MODELS", "models"), ("PLUMAGE_RUNS", "runs")):
        monkeypatch.setenv(variable, str(tmp_path / folder))


def refuse(*_: object) -> None:
    raise rundir.RunError("This folder cannot be written.")


def test_evaluate_counts_once_and_for_models_measured_before(places, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (50, 32, 32, 3), np.uint8), np.arange(50) % 25
    monkeypatch.setattr(data, "load_test", lambda name: (images, labels))
    run = make_model(paths.models_dir() / "shipped", "basenet", 1)
    test = evaluate(run)["test"]
    run.file(confusions.FILE).unlink()
    evaluate(run)
    found = confusions.read(run)
    assert found.known and found.pictures == duplicates.checksum(images, labels)
    confusions.write(run, before := dataclasses.replace(found, known=b"", pictures=""))
    with monkeypatch.context() as only_to_read:
        only_to_read.setattr(confusions, "write_atomic", refuse)
        assert evaluate(run)["test"] == test and confusions.read(run) == before, "figures all the same"
    evaluate(run)
    assert confusions.read(run) == found, "a file of before gets what it lacks"
    confusions.write(run, before)
    run.change_card(lambda card: card["figures"]["test"].update(loss=test["loss"] + 1e-6))
    evaluate(run)
    assert confusions.read(run) == found, "another processor rounds otherwise and counts the same"
    other = dataclasses.replace(before, right=(found.right[0] + 1, *found.right[1:]))
    confusions.write(run, other)
    evaluate(run)
    assert confusions.read(run) == other, "counts of other answers stay as they are"
    confusions.write(run, found)
    assert sum(found.right) == round(50 * test["accuracy"]) and found.totals == (2,) * 25
    assert found.classes[3] == CLASSES[3].replace("_", " ")


def page(**query: str) -> AppTest:
    return show("confusions", **query)


def test_the_page_without_and_with_confusions(places):
    assert "Nothing is counted yet" in page().info[0].value
    labels = np.arange(100) % 25
    said = np.where(labels == 3, 4, labels)
    for name, answers in (("good", labels), ("one-wrong", said)):
        run = make_model(paths.models_dir() / name, "basenet", 1)
        classes = tuple(name.replace("_", " ") for name in CLASSES)
        confusions.write(run, Confusions.of("drawn", classes, np.eye(25)[answers], labels))
    at = page()
    assert at.selectbox(key="confusions-model").value == "good"  # the most accurate first
    assert "spread over 0 pairs" in at.markdown[0].value and 'class="pair"' not in html(at)
    at = page(model="one-wrong")
    assert "**96** were recognized" in at.markdown[0].value
    assert "4 of 4 pictures of class 3 taken for class 4" in html(at)
    assert html(at).count("<img src=") == 4  # two drawn pictures of each of the two
    at.selectbox(key="class-one-wrong").set_value(4).run()
    assert "4 pictures of others were taken for it" in at.markdown[0].value
    at.selectbox(key="class-one-wrong").set_value(7).run()
    assert 'class="pair"' not in html(at) and not at.exception


@pytest.mark.parametrize(("classes", "headings"), [(25, ["Every class"]), (40, [])])
def test_presented_a_matrix_that_is_too_large_leaves_no_heading_behind(places, classes, headings):
    labels = np.arange(2 * classes) % classes
    run = make_model(paths.models_dir() / "good", "basenet", 1)
    names = tuple(f"class {index}" for index in range(classes))
    confusions.write(run, Confusions.of("drawn", names, np.eye(classes)[labels], labels))
    at = show("confusions", {"present": True})
    assert [element.value for element in at.subheader] == headings


def test_model_and_class_are_in_the_address_and_come_back(places):
    labels = np.arange(100) % 25
    for name in ("good", "other"):
        run = make_model(paths.models_dir() / name, "basenet", 1)
        confusions.write(run, Confusions.of("drawn", CLASSES, np.eye(25)[labels], labels))
    at = page(model="other", **{"class": CLASSES[4]})
    assert at.selectbox(key="class-other").value == 4
    at.selectbox(key="class-other").set_value(7).run()
    away_and_back(at, "confusions")
    assert at.selectbox(key="confusions-model").value == "other" and at.selectbox(key="class-other").value == 7
    assert [list(np.atleast_1d(at.query_params[key])) for key in ("model", "class")] == [["other"], [CLASSES[7]]]
    at.selectbox(key="class-other").set_value(None).run()
    assert "class" not in at.query_params
    assert page(**{"class": "dragon"}).selectbox(key="class-good").value is None


def test_the_browsers_back_is_followed(places, monkeypatch):
    monkeypatch.setattr(controls, "SETTLED_SECONDS", 0)
    labels = np.arange(100) % 25
    for name in ("good", "other"):
        run = make_model(paths.models_dir() / name, "basenet", 1)
        confusions.write(run, Confusions.of("drawn", CLASSES, np.eye(25)[labels], labels))
    at = page(model="good")
    at.selectbox(key="confusions-model").set_value("other").run()
    at.selectbox(key="class-other").set_value(7).run()
    assert back(at, model="other", **{"class": CLASSES[4]}).selectbox(key="class-other").value == 4
    assert back(at, model="other").selectbox(key="class-other").value is None
    assert back(at, model="good").selectbox(key="confusions-model").value == "good"
    assert list(np.atleast_1d(at.query_params["model"])) == ["good"]


def test_the_whole_matrix_and_every_class_stand_below_the_pairs(places):
    labels = np.arange(100) % 25
    said = np.where(labels == 3, 4, labels)
    run = make_model(paths.models_dir() / "one-wrong", "basenet", 1)
    confusions.write(run, Confusions.of("drawn", CLASSES, np.eye(25)[said], labels))
    at = page()
    [drawn] = at.get("vega_lite_chart")
    cells = pyarrow.ipc.open_stream(drawn.proto.data.data or drawn.proto.datasets[0].data.data).read_all().to_pylist()
    by_names = {(cell["it was"], cell["taken for"]): cell for cell in cells}
    assert len(by_names) == 625 and sum(cell["pictures"] for cell in cells) == 100
    wrong = by_names[CLASSES[3], CLASSES[4]]
    assert (wrong["pictures"], wrong["of"], wrong["part"]) == (4, 4, "wrong")
    every = at.dataframe[-1].value
    assert list(every.iloc[0]) == [CLASSES[3], 0.0, 4, f"{CLASSES[4]} (4)"] and set(every["right"][1:]) == {100.0}
    at.selectbox(key="class-one-wrong").set_value(3).run()
    assert not at.get("vega_lite_chart") and 'class="pair"' in html(at)


def test_of_200_birds_there_is_only_the_table(places):
    labels = np.arange(400) % 200
    run = make_model(paths.models_dir() / "birds", "basenet", 1)
    confusions.write(run, Confusions.of("birds", tuple(map(str, range(200))), np.eye(200)[(labels + 1) % 200], labels))
    at = page()
    assert not at.get("vega_lite_chart") and len(at.dataframe[-1].value) == 200


def test_an_address_of_a_model_without_confusions_is_said(places):
    run = make_model(paths.models_dir() / "good", "basenet", 1)
    confusions.write(run, Confusions.of("drawn", CLASSES, np.eye(25)[:3], np.arange(3)))
    assert "'nowhere'" in page(model="nowhere").warning[0].value
