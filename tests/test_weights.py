"""Weights in files, the models made of them, and their test figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import small
from training import confusions, data, fit, registry, rundir, weights
from training.cli import console
from training.evaluate import evaluate
from training.rundir import RunDir, RunError
from training.ship import ship
from training.spec import SpecError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = rundir.create(small.spec(), tmp_path_factory.mktemp("finished") / "run")
    fit.fit(run, dataset=small.dataset())
    return run


@pytest.fixture
def run(finished: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A copy of a finished run whose pictures are found under the name "drawn"."""
    import shutil

    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(data, "load", lambda name, validation="stratified": small.dataset(name=name))
    monkeypatch.setattr(data, "load_test", lambda name: small.pictures(60, seed=3))
    monkeypatch.setattr(data, "class_names", lambda name: small.CLASSES if name == "drawn" else ("a", "b", "c"))
    monkeypatch.setattr(data, "NAMES", ("drawn",))
    return RunDir(Path(shutil.copytree(finished.path, tmp_path / "run")))


def random_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "conv_1/kernel": random.normal(0, 0.1, (3, 3, 64, 16)).astype(np.float32)
        * np.logspace(-3, 1, 16, dtype=np.float32),
        "conv_1/bias": random.normal(0, 1, 16).astype(np.float32),
        "conv_1_bn/moving_variance": np.full(16, 1e6, np.float32),  # beyond float16
    }


@pytest.mark.parametrize("form, error, share", [("float32", 0, 1), ("half", 2**-11, 0.6), ("int8", 0.5 / 127, 0.4)])
def test_compact_weights_are_within_their_rounding(tmp_path: Path, form: Any, error: float, share: float) -> None:
    before, path = random_weights(), tmp_path / "w.npz"
    mean, std = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    weights.save(path, before, mean, std, form)
    after, mean_back, std_back = weights.load(path)
    assert after.keys() == before.keys() and all(value.dtype == np.float32 for value in after.values())
    np.testing.assert_array_equal([mean_back, std_back], [mean, std])
    kernel = before["conv_1/kernel"]
    # float16 rounds each weight by its own size, int8 by the largest of its output channel
    scale = np.abs(kernel) if form == "half" else np.abs(kernel).max((0, 1, 2))
    assert (np.abs(after["conv_1/kernel"] - kernel) <= error * scale * 1.001 + 6e-8).all()
    for name in ("conv_1/bias", "conv_1_bn/moving_variance"):
        np.testing.assert_array_equal(after[name], before[name])
    full = tmp_path / "full.npz"
    weights.save(full, before, mean, std)
    assert path.stat().st_size <= share * full.stat().st_size


def test_weights_of_another_network_are_refused(run: RunDir) -> None:
    from training.engine.model import build

    found, *_ = weights.load(run.file("weights.npz"))
    other = build(small.spec(network__width=2.0).network)
    with pytest.raises(RunError, match="of another network"):
        weights.into(other, found)
    with pytest.raises(RunError, match="of another network"):
        weights.into(build(run.spec().network), {})


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    rundir.write_arrays(tmp_path / "w.npz", {"x": np.zeros(3)})
    with pytest.raises(RunError, match="is not a file of Plumage weights"):
        weights.load(tmp_path / "w.npz")


def test_a_file_of_something_else_than_numbers_is_broken(run: RunDir, tmp_path: Path) -> None:
    arrays = rundir.read_arrays(run.file("weights.npz"))
    rundir.write_arrays(tmp_path / "w.npz", arrays | {"conv_1/kernel": np.array("text")})
    with pytest.raises(RunError, match="is broken: it holds something else than numbers"):
        weights.load(tmp_path / "w.npz")


def test_an_evaluation_keeps_what_another_stored_meanwhile(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run.card()
    assert before
    try:
        figures = before["figures"] | {"test": None}
        run.write_card(before | {"figures": figures})
        change = RunDir.change_card

        def meanwhile(self: RunDir, alter: Any) -> None:
            change(self, lambda card: card["figures"].update(test={"loss": 1.0, "accuracy": 0.5, "pictures": 60}))
            change(self, alter)

        monkeypatch.setattr(RunDir, "change_card", meanwhile)
        evaluate(run, flips=True)
        stored = run.card()["figures"]["test"]  # type: ignore[index]
        assert stored["loss"] == 1.0 and stored["with_flips"]["pictures"] == 60
    finally:
        run.write_card(before)


def test_the_test_figures_are_taken_once_and_reproduced_exactly(run: RunDir) -> None:
    first = evaluate(run)
    card = run.card()
    assert first["card"] is None and card
    assert card["figures"]["test"] == first["test"] | {"taken": card["figures"]["test"]["taken"]}
    again = evaluate(run)
    assert again["test"] == first["test"] and again["card"] == card["figures"]["test"]
    assert run.card() == card
    assert first["test"]["pictures"] == 60 and first["test"]["accuracy"] * 60 == pytest.approx(
        round(first["test"]["accuracy"] * 60)
    )


def test_other_figures_are_told_and_the_cards_first_ones_stay(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    first, card = evaluate(run)["test"], run.card()
    monkeypatch.setattr(data, "load_test", lambda name: small.pictures(60, seed=4))
    again = evaluate(run, flips=True)
    assert again["test"]["loss"] != first["loss"] and run.card() == card
    assert f"(its card: {first['accuracy']:.4f}, {first['loss']:.4f})" in console.tested(again)


def test_a_card_that_may_only_be_read_costs_no_figures(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDir, change: Any) -> None:
        raise RunError("card.json cannot be written")

    first = evaluate(run)["test"]
    monkeypatch.setattr(RunDir, "change_card", refuse)
    found = evaluate(run, flips=True)["test"]
    assert {key: found[key] for key in first} == first and found["with_flips"]["accuracy"] > 0
    assert "with_flips" not in run.finished_card()["figures"]["test"]


def test_the_first_test_figures_are_of_the_copy_that_the_card_names(run: RunDir, monkeypatch: Any) -> None:
    from dataclasses import replace

    from training.data import DataError

    here = {"sha256": "1" * 64}
    monkeypatch.setattr(data, "load", lambda name, validation: replace(small.dataset(name=name), **here))
    with pytest.raises(DataError, match=r"are not those of run .* test figures would be of other pictures"):
        evaluate(run)
    assert run.finished_card()["figures"]["test"] is None and confusions.read(run) is None
    here["sha256"] = run.finished_card()["data"]["sha256"]
    evaluate(run)
    here["sha256"] = "1" * 64
    assert evaluate(run)["test"]["pictures"] == 60, "figures that are there are compared with those of any copy"
    run.change_card(lambda card: (card["data"].pop("sha256"), card["figures"].update(test=None)))
    assert evaluate(run)["card"] is None and run.finished_card()["figures"]["test"], "a card of before does not say"


def test_confusions_of_other_figures_than_the_cards_are_not_stored(run: RunDir, monkeypatch: Any) -> None:
    evaluate(run)
    run.file(confusions.FILE).unlink()
    with monkeypatch.context() as other:
        other.setattr(data, "load_test", lambda name: small.pictures(60, seed=4))
        evaluate(run)
    assert confusions.read(run) is None
    evaluate(run)
    assert confusions.read(run) is not None


def test_other_sizes_are_refused(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load_test", lambda name: (np.zeros((2, 16, 12, 3), np.uint8), np.zeros(2, np.int32)))
    with pytest.raises(RunError, match="takes pictures of 8x8; those of drawn are 12x16"):
        evaluate(run)


def test_an_unfinished_run_has_nothing_to_measure(tmp_path: Path) -> None:
    run = rundir.create(small.spec(), tmp_path / "new")
    with pytest.raises(RunError, match="let it finish first"):
        evaluate(run)


def test_export_is_what_plain_keras_reads(run: RunDir, tmp_path: Path) -> None:
    import keras

    from training import predict
    from training.calibration import softmax

    weights.export(run, tmp_path / "m.keras")
    images = small.pictures(10, seed=5)[0]
    plain = keras.saving.load_model(tmp_path / "m.keras").predict(images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(plain, softmax(predict.load(run).logits(images)), atol=1e-5)


@pytest.mark.parametrize("form", ["half", "int8"])
def test_what_ships_is_what_is_measured(run: RunDir, form: Any) -> None:
    card = ship(run, "small", form)
    model = registry.find("small")
    assert [file.name for file in sorted(model.path.iterdir())] == [
        "card.json",
        "confusions.json",
        "history.jsonl",
        "spec.json",
        "weights.npz",
    ]
    assert model.spec() == run.spec() and card == model.card()
    assert {line["kind"] for line in model.history()} == {"epoch"}
    assert card["weights"] == form and card["compacted"]["bytes"] == model.file("weights.npz").stat().st_size
    assert card["compacted"]["validation_before"] == run.card()["figures"]["validation"]  # type: ignore[index]
    again = evaluate(model)
    assert {name: again["card"][name] for name in again["test"]} == again["test"]
    assert card["calibration"]["temperature"] > 0
    assert run.card()["figures"]["test"] is None, "the run itself was not measured"  # type: ignore[index]
    with pytest.raises(RunError, match="is there already"):
        ship(run, "small", form)
    with RunDir(registry.models_dir() / "other").lock(seconds=0), pytest.raises(RunError, match="is shipping it"):
        ship(run, "other", form)


@pytest.mark.parametrize(("lost", "refused"), [(2, True), (1, False)])
def test_a_format_that_costs_accuracy_does_not_ship_and_is_not_tested(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, lost: int, refused: bool
) -> None:
    """Of 30 validation pictures one is more than 0.2 points already: it may go, two may not."""
    before = run.finished_card()["figures"]["validation"]
    monkeypatch.setattr(
        "training.ship._validated", lambda run, pictures: before | {"accuracy": before["accuracy"] - lost / 30}
    )
    if not refused:
        assert ship(run, "small", "int8")["figures"]["test"]
        return
    monkeypatch.setattr(data, "load_test", lambda name: pytest.fail("test pictures are not looked at"))
    with pytest.raises(RunError, match=r"As int8, .* would lose 6.67 points of .*: --format half"):
        ship(run, "small", "int8")
    assert not registry.models()
    assert not any((run.path.parent / "models").iterdir()), "nothing half made stays behind"


def test_accuracy_on_augmented_pictures_is_not_what_a_format_is_held_to(run: RunDir) -> None:
    """The ordered validation pictures are augmented while it trains: they are measured anew, as they are."""
    plain = run.finished_card()["figures"]["validation"]

    def augmented(card: dict[str, Any]) -> None:
        card["spec"]["data"]["validation"] = "ordered"
        card["figures"]["validation"] = {"loss": 9.0, "accuracy": 1.0}

    run.change_card(augmented)
    run.file("spec.json").write_text(small.spec(data__validation="ordered").to_json())
    assert ship(run, "small", "int8")["compacted"]["validation_before"] == pytest.approx(plain, abs=1e-5)


def test_a_folder_of_models_that_cannot_be_made_is_told(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path.parent / "file").write_text("")
    monkeypatch.setenv("PLUMAGE_MODELS", str(run.path.parent / "file"))
    with pytest.raises(RunError, match="small cannot be written: Not a directory"):
        ship(run, "small")


def test_a_further_seed_ships_its_card_alone(run: RunDir) -> None:
    ship(run, "small", card_only=True)
    folder = run.path.parent / "models" / "small" / "seed-0"
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "history.jsonl", "spec.json"]
    assert json.loads((folder / "card.json").read_text())["figures"]["test"]["pictures"] == 60
    assert registry.models() == []
    ship(run, "small")  # the shipped seed joins the folder of the others
    assert [model.id for model in registry.models()] == ["small"] and folder.is_dir()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x"])
def test_a_model_needs_a_plain_name(run: RunDir, name: str) -> None:
    with pytest.raises(SpecError, match="is no name for a model"):
        ship(run, name)


def test_calibration_keeps_test_figures_that_were_taken_meanwhile(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import calibration

    report = calibration.temperature_report

    def meanwhile(*given: Any) -> dict[str, Any]:
        evaluate(run)
        return report(*given)

    monkeypatch.setattr(calibration, "temperature_report", meanwhile)
    calibration.calibrate(run)
    card = run.finished_card()
    assert card["figures"]["test"]["pictures"] == 60 and card["calibration"]["pictures"] == 30


def test_what_learned_from_other_pictures_is_neither_calibrated_nor_shipped(run: RunDir) -> None:
    from training import calibration
    from training.data import DataError

    run.change_card(lambda card: card["data"].update(sha256="1" * 64))
    with pytest.raises(DataError, match="may have learned from some of these validation pictures"):
        calibration.calibrate(run)
    with pytest.raises(DataError, match="not those of"):
        ship(run, "small")
    assert not registry.models()


def test_a_name_is_of_one_spec_and_a_seed_of_one_run(run: RunDir) -> None:
    with pytest.raises(RunError, match="This run is no basenet: name is 'small' and not 'basenet'"):
        ship(run, "basenet")
    with pytest.raises(RunError, match="This run is no birds-fc: name is 'small' and not 'birds-fc'"):
        ship(run, "birds-fc")
    ship(run, "small")
    with pytest.raises(RunError, match="has a run with seed 0 already"):
        ship(run, "small", card_only=True)
    other = small.spec(fit__seed=1)
    run.file("spec.json").write_text(other.replace({"fit.learning_rate": 0.5}).to_json())
    with pytest.raises(RunError, match=r"no small: fit\.learning_rate is 0\.5 and not 0\.01"):
        ship(run, "small", card_only=True)
    run.file("spec.json").write_text(other.to_json())
    ship(run, "small", card_only=True)
    assert (registry.find("small").path / "seed-1" / "card.json").is_file()
