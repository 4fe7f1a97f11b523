"""Temperature, calibration error and the flag for the unlike, on logits and pictures whose truth is known."""

import json

import numpy as np
import pytest

from training import calibration, data, unlike
from training.calibration import calibration_error, cross_entropy, fit_temperature, softmax, temperature_report
from training.rundir import RunDir, RunError
from training.unlike import CLASSES, LOOK, Unlike


def honest(count: int, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth: labels are drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, classes))
    return logits, (softmax(logits).cumsum(1) > rng.random((count, 1))).argmax(1)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_scaling(factor):
    logits, labels = honest(20_000)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.04)


def test_over_confidence_is_measured_and_mended():
    logits, labels = honest(8000)
    report = temperature_report(logits * 3, labels)
    assert report["temperature"] == pytest.approx(3, rel=0.06)
    assert report["ece"]["before"] > 0.1 and report["ece"]["after"] < 0.03
    assert report["loss"]["after"] < report["loss"]["before"]
    assert report["pictures"] == 8000


def test_where_it_does_not_help_it_stays_one():
    logits, labels = honest(2000)
    even = np.empty((2000, 1), bool)
    even[np.argsort(labels, kind="stable"), 0] = np.arange(2000) % 2 == 0
    report = temperature_report(np.where(even, logits * 3, logits / 3), labels)  # each half misleads the other
    assert report["temperature"] == 1.0
    assert report["ece"]["before"] == report["ece"]["after"]
    assert report["loss"]["before"] == report["loss"]["after"]


def test_each_half_has_every_class(monkeypatch):
    """Pictures may come in turns, one of each class after the other: halves by number would share no class."""
    fitted = []
    monkeypatch.setattr(calibration, "fit_temperature", lambda _, labels: fitted.append(set(labels.tolist())) or 1.0)
    temperature_report(honest(2000, 2)[0], np.arange(2000) % 2)
    assert fitted[:2] == [{0, 1}, {0, 1}]


def test_calibration_error_of_known_cases():
    sure = np.tile([1.0, 0.0], (10, 1))
    assert calibration_error(sure, np.zeros(10, int)) == 0
    assert calibration_error(sure, np.ones(10, int)) == 1
    assert calibration_error(sure, np.arange(10) % 2) == pytest.approx(0.5)
    assert calibration_error(np.tile([0.6, 0.4], (10, 1)), np.array([0] * 6 + [1] * 4)) == pytest.approx(0, abs=1e-9)


def test_cross_entropy_is_that_of_the_softmax_even_for_large_logits():
    logits, labels = honest(100)
    expected = -np.log(softmax(logits)[np.arange(100), labels]).mean()
    assert cross_entropy(logits, labels) == pytest.approx(expected)
    assert cross_entropy(np.array([[1e4, 0.0]]), np.array([1])) == pytest.approx(1e4)


# --- Unlike -----------------------------------------------------------------------------------


def soft(count: int, seed: int) -> np.ndarray:
    """Pictures with soft blobs and a little grain: what the models here are "trained" on."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 40, (count, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    for _ in range(4):
        coarse = (coarse + np.roll(coarse, 1, 1) + np.roll(coarse, 1, 2)) / 3
    return (coarse + rng.normal(0, 6, (count, 32, 32, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> tuple[Unlike, np.ndarray, np.ndarray]:
    pictures, logits = (
        soft(1000, 1),
        np.random.default_rng(2).normal(0, 2, (1000, 10)) + 4 * np.eye(10)[np.arange(1000) % 10],
    )
    return unlike.fit(soft(1500, 0), pictures, logits), pictures, logits


def test_five_in_a_hundred_validation_pictures_are_false_alarms(fitted):
    measures, pictures, logits = fitted
    flags = measures.flags(pictures, logits)
    # Both thresholds move past one of the 1,000 pictures at a time, so the count moves in steps of up to two.
    assert abs(sum(bool(flag) for flag in flags) - 50) <= 2
    assert {LOOK, CLASSES} <= set(flags)  # both measures take their part


def test_new_pictures_of_the_same_kind_pass_and_other_kinds_are_found(fitted):
    measures, _, logits = fitted
    rng = np.random.default_rng(3)
    count = 300
    others = {
        "noise": rng.integers(0, 256, (count, 32, 32, 3), np.uint8),
        "flat": rng.integers(0, 256, (count, 1, 1, 3), np.uint8).repeat(32, 1).repeat(32, 2),
        "stripes": (np.arange(32)[None, :, None, None] // 4 % 2 * rng.integers(60, 256, (count, 1, 32, 3))).astype(
            np.uint8
        ),
    }
    known = logits[:count]
    assert np.mean([bool(f) for f in measures.flags(soft(count, 9), known)]) < 0.1
    for kind, pictures in others.items():
        assert np.mean([f == LOOK for f in measures.flags(pictures, known)]) > 0.95, kind


def test_logits_without_any_class_are_flagged(fitted):
    measures, pictures, logits = fitted
    typical = [i for i, flag in enumerate(measures.flags(pictures, logits)) if not flag][:50]
    assert measures.flags(pictures[typical], np.zeros((50, 10))) == [CLASSES] * 50


def test_it_goes_through_json_unchanged(fitted):
    measures, pictures, logits = fitted
    back = Unlike.from_dict(json.loads(json.dumps(measures.to_dict())))
    assert back.flags(pictures, logits) == measures.flags(pictures, logits)
    assert len(json.dumps(measures.to_dict())) < 6000


def test_features_outside_the_subspace_of_the_training_pictures_are_found(tmp_path):
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(100, 300))

    def features(count: int) -> np.ndarray:  # in 100 directions of 300, with a little of all
        return rng.normal(size=(count, 100)) @ plane + rng.normal(0, 3, (count, 300))

    fitted = unlike.fit_subspace(features(2000), features(400))
    assert fitted.directions.shape == (300, unlike.DIRECTIONS)
    assert np.mean([bool(flag) for flag in fitted.flags(features(2000))]) == pytest.approx(0.05, abs=0.03)
    other = rng.normal(size=(200, 300)) * 10
    assert fitted.flags(other) == [unlike.FEATURES] * 200
    assert fitted.flags(1000 * other) == [unlike.FEATURES] * 200, "length does not count"
    run = RunDir(tmp_path)
    assert unlike.Subspace.load(run, fitted.save(run)).flags(other) == fitted.flags(other)


@pytest.mark.parametrize("size", [5, 32, 33, 96])
def test_statistics_of_any_size_are_finite(size):
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    pictures[0] = 0
    assert np.isfinite(unlike.statistics(pictures)).all()


# --- A run ------------------------------------------------------------------------------------


def present(monkeypatch, *names: str) -> None:
    """These data sets are on this machine, no others."""
    info = data.info
    monkeypatch.setattr(data, "info", lambda name: type("Info", (), {**vars(info(name)), "available": name in names})())


def test_calibrate_writes_the_card(tmp_path, monkeypatch):
    from tests.models import CLASSES as NAMES
    from tests.models import make_model
    from training import predict

    rng = np.random.default_rng(0)
    sets = {
        "drawn": (soft(600, 0), soft(400, 1)),
        "cifar10": (soft(10, 2), rng.integers(0, 256, (200, 48, 40, 3), np.uint8)),  # not even square
    }

    def load(name, validation="stratified"):
        train, held_out = sets[name]
        labels = [np.arange(len(part)).astype(np.int32) % 25 for part in (train, held_out)]
        return data.Dataset(name, name, "made", NAMES, train, labels[0], held_out, labels[1], "")

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(data, "load_test", lambda name: pytest.fail("a test picture was read"))
    present(monkeypatch, *sets)
    run = make_model(tmp_path / "run")
    report = calibration.calibrate(run)
    stored = run.card()["calibration"]
    assert stored == json.loads(json.dumps(report))
    assert abs(round(400 * stored["unlike"]["false_alarms"]) - 20) <= 2  # of 400 validation pictures, as above
    assert stored["unlike"]["detection"] == {"cifar10": {"share": 1.0, "pictures": 200}}
    classifier = predict.load(run)
    probabilities, flags = classifier.classify(sets["drawn"][1])
    expected = softmax(classifier.logits(sets["drawn"][1]), stored["temperature"])
    assert np.abs(probabilities - expected).max() < 1e-6
    assert np.mean([bool(flag) for flag in flags]) == pytest.approx(stored["unlike"]["false_alarms"])


def test_another_data_set_that_cannot_be_read_is_left_out_of_detection(tmp_path, monkeypatch, capsys):
    from tests.models import make_model

    def load(name, validation="stratified"):
        if name == "birds":
            raise data.DataError("A picture of birds cannot be used.")
        names, labels = tuple(map(str, range(25))), np.arange(100, dtype=np.int32) % 25
        return data.Dataset(name, name, "made", names, soft(100, 0), labels, soft(100, 1), labels, "")

    monkeypatch.setattr(data, "load", load)
    present(monkeypatch, *data.NAMES)
    run = make_model(tmp_path / "run")
    calibration.calibrate(run)
    assert set(run.card()["calibration"]["unlike"]["detection"]) == {"cifar10", "cifar100-25"}
    assert "not measured on birds: A picture of birds cannot be used." in capsys.readouterr().err


def test_a_run_without_a_card_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="let it finish first"):
        calibration.calibrate(RunDir(tmp_path))


def test_a_network_that_knows_birds_is_not_measured_on_birds_as_strangers(tmp_path, monkeypatch):
    from tests.models import make_model

    def load(name, validation="stratified"):
        assert name != "birds"
        names, labels = ("bird", *map(str, range(1, 25))), np.arange(100, dtype=np.int32) % 25
        return data.Dataset(name, name, "made", names, soft(100, 0), labels, soft(100, 1), labels, "")

    monkeypatch.setattr(data, "load", load)
    present(monkeypatch, *data.NAMES)
    report = calibration.calibrate(make_model(tmp_path / "run"))
    assert set(report["unlike"]["detection"]) == {"cifar10", "cifar100-25"}
