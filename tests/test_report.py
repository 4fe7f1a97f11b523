"""The page on the report follows the cards: what is not trained, rests on one seed, or is shown."""

import json

import pytest

from docs import report
from tests.made import stored
from training import paths


@pytest.fixture
def store(tmp_path, monkeypatch):
    """`store(name, accuracies)` puts cards of as many seeds into the models' folder."""
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path))

    def put(name, accuracies, train=0.6, seen=0.5, plain=0.5):
        for seed, accuracy in enumerate(accuracies):
            figures = {
                "epochs": 27,
                "best_epoch": 13,
                "test": {"loss": 1.0, "accuracy": accuracy, "pictures": 2500},
                "validation": {"loss": 1.0, "accuracy": plain},
            }
            more = {"wall_seconds": 270.0, "precision": "float32"}
            place = stored(tmp_path / name, name, seed, {"title": "CIFAR-100"}, figures, **more)
            (place / "history.jsonl").write_text(json.dumps({"accuracy": train, "val_accuracy": seen}) + "\n")

    return put


def test_without_models_it_says_so(store):
    page = report.page()
    assert "Not decided yet." in page and "`final-ramp` and `final-maxpool` not trained yet" in page
    assert "hint" not in page


def test_one_seed_is_a_hint_and_several_are_a_finding_or_none(store):
    store("basenet-bn", [0.58])
    store("basenet-bn-dropout", [0.55, 0.56])
    store("basenet-norm", [0.40, 0.41, 0.42])
    store("basenet-norm-aug", [0.48, 0.47, 0.49])
    store("basenet-3x3", [0.50, 0.54, 0.52])
    store("basenet-avgpool", [0.51, 0.55, 0.53])
    page = report.page()
    assert "`basenet-bn` 0.5800 (one seed): -2.5 points, within" in page and "rests on one seed" in page
    assert "+7.0 points, between" in page and "more than the chance of seeds" in page
    assert "+1.0 points, between" in page and "no difference beyond chance" in page


@pytest.mark.parametrize(
    ("long", "short", "words"),
    [(0.43, 0.34, "speak for 176"), (0.34, 0.43, "speak for 35"), (0.43, None, "Not decided")],
)
def test_the_reading_of_the_epoch(store, long, short, words):
    store("basenet", [long])
    if short:
        store("basenet-35-steps", [short])
    assert words in report.page()


@pytest.mark.parametrize(("half", "words"), [(0.44, "which of the two does it was not"), (0.39, "do not explain it")])
def test_what_explains_the_rows_of_27_epochs(store, half, words):
    for name in ("basenet", "basenet-norm", "basenet-norm-aug"):
        assert "Not decided yet." in report.page().split("## Do steps or batches explain")[1].split("##")[0]
        store(name, [0.40, 0.41])
        store(f"{name}-batch-128", [half + 0.06 * (name == "basenet-norm-aug")])
    part = report.page().split("## Do steps or batches explain")[1].split("##")[0]
    assert words in part and "0.4050 ± 0.0071 (13, 13)" in part


@pytest.mark.parametrize(
    ("aug", "plain", "seen", "words"),
    [(0.45, 0.46, 0.42, "so it is not what made it vanish"), (0.45, 0.40, 0.45, "so it is part of the answer"),
     (0.20, 0.20, 0.46, "Much of the overfitting stays")],
)  # fmt: skip
def test_the_overfitting(store, aug, plain, seen, words):
    store("basenet-norm", [0.4], train=0.65, plain=0.35)
    store("basenet-norm-aug", [0.4], train=0.47, plain=aug)
    store("basenet-norm-aug-ordered", [0.4], train=0.46, plain=plain, seen=seen)
    assert words in report.page()


def test_a_run_of_the_report_is_held_against_the_spread_of_ours(store):
    store("basenet", [0.40, 0.42, 0.41])  # one run more: within 4.303 * 1 * sqrt(4 / 3) = 5.0 points
    store("basenet-norm", [0.38, 0.381, 0.379])
    part = report.page().split("## Is the report's accuracy")[1].split("##")[0]
    assert "| `basenet` | 0.4412 | 0.4100 ± 0.0100 | ±5.0 | -3.1 | yes |" in part
    assert "| ±0.5 | -5.6 | no |" in part and "Against all 3 runs of BaseNet that it has, ours are at -3.1 [" in part


def test_seeds_of_other_devices_are_named(store):
    store("final-ramp", [0.80, 0.81, 0.82])
    store("final-maxpool", [0.80, 0.81, 0.82])
    assert "trained on a GPU" not in report.page()
    place = paths.models_dir() / "final-maxpool" / "seed-1" / "card.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"device": "GPU: some"}))
    assert "1 of 3 of `final-maxpool`" in report.page()


def test_whether_every_run_reaches_what_the_report_wished(store):
    store("final", [0.79, 0.80, 0.78])
    assert "1 of 3 runs of `final` reach 0.80. No recipe always does." in report.page()
    store("final-ramp", [0.81, 0.80, 0.82])
    store("sprint", [0.81, 0.82])  # two are too few
    assert "does with `final-ramp`." in report.page()
