"""Train and Compare: what they say of a training and of runs side by side."""

from __future__ import annotations

import pytest

from pages.shared import plan, runs
from training import catalogue, cost
from training.spec import RunSpec

BASENET = catalogue.variant("basenet").spec


def history(*accuracies: float) -> list[dict]:
    """One line an epoch; the validation loss falls where the accuracy rises."""
    return [
        {"kind": "step", "epoch": 0.5, "step": 88, "loss": 3.0, "accuracy": 0.1, "seconds": 0.5},
        *(
            {"kind": "epoch", "epoch": i + 1, "loss": 2.0, "accuracy": accuracy + 0.1, "val_loss": 3 - accuracy,
             "val_accuracy": accuracy, "learning_rate": 0.01, "seconds": 2.0}
            for i, accuracy in enumerate(accuracies)
        ),
    ]  # fmt: skip


# --- What a training will be ------------------------------------------------------------------


def estimate(step: float, validation: float = 0.0) -> cost.Estimate:
    return cost.Estimate(step, validation, 176, "measured")


def test_a_minute_says_how_many_steps_and_what_share_of_the_report_it_buys() -> None:
    text = plan.outlook(plan.planned(BASENET, "drawn", 25, 0, minutes=1), estimate(0.025))
    assert "about 2,400 steps of 64 pictures" in text
    assert "14 epochs of 176 steps" in text
    assert "51 %" in text and "27 epochs" in text  # 2,400 of 27 * 176 steps


def test_more_time_than_the_design_needs_is_said() -> None:
    text = plan.outlook(plan.planned(BASENET, "drawn", 25, 0, minutes=60), estimate(0.01))
    assert "27 epochs of 176 steps" in text and "before its time is up" in text and "100 %" in text


def test_validation_counts_in_the_time() -> None:
    text = plan.outlook(plan.planned(BASENET, "drawn", 25, 0, minutes=1), estimate(0.025, validation=4.4))
    assert "about 1,200 steps" in text  # an epoch takes twice as long


def test_by_epochs_ends_early_stopping_too() -> None:
    design = catalogue.variant("basenet-bn").spec
    spec = plan.planned(design, "cifar10", 10, 3, epochs=2)
    assert spec.fit.max_epochs == 2 and spec.fit.minutes is None and spec.fit.seed == 3
    assert spec.data.name == "cifar10" and spec.network.classes == 10


@pytest.mark.parametrize("name, of", [("basenet", "basenet"), ("basenet-norm-aug-es", "basenet-norm-aug"),
                                      ("final-maxpool", "final"), ("basenet-avgpool", "basenet-bn-dropout")])  # fmt: skip
def test_the_report_s_training_is_the_entry_s_or_the_nearest_below(name: str, of: str) -> None:
    entry, epochs, pictures = plan.report_training(catalogue.variant(name).spec)  # type: ignore[misc]
    assert entry == of and epochs == catalogue.variant(of).report.epochs
    assert pictures == 176 * 64 * epochs


def test_what_sets_a_run_apart_from_the_report() -> None:
    assert plan.apart_from_report(BASENET, 27) == []
    apart = plan.apart_from_report(
        BASENET.replace({"data.name": "drawn", "network.pooling": "average", "fit.epochs": 2}), 2
    )
    assert len(apart) == 3
    assert "not comparable" in apart[0] and apart[1] == "2 epochs instead of 27" and apart[2] == "Pooling average"


# --- Runs side by side ------------------------------------------------------------------------


def test_the_best_epoch_has_the_lowest_validation_loss() -> None:
    assert runs.best(history(0.2, 0.4, 0.3))["epoch"] == 2  # type: ignore[index]
    assert runs.best(history()) is None


def test_only_what_differs_is_listed_in_words() -> None:
    other = BASENET.replace({"network.pooling": "average", "network.dropout": [0.1, 0.1, 0.25], "fit.seed": 4})
    assert runs.differences([BASENET, other, BASENET]) == [
        {"setting": "Pooling", "0": "max", "1": "average", "2": "max"},
        {"setting": "Dropout", "0": "off", "1": "0.1,0.1,0.25", "2": "off"},
        {"setting": "Seed", "0": "0", "1": "4", "2": "0"},
    ]
    assert runs.differences([BASENET, BASENET]) == []


def test_every_step_of_the_catalogue_has_words() -> None:
    for entry in catalogue.variants():
        if entry.parent:
            rows = runs.differences([catalogue.variant(entry.parent).spec, entry.spec])
            assert rows and all("." not in row["setting"] for row in rows), (entry.name, rows)
            assert all(row["0"] != row["1"] for row in rows), (entry.name, rows)


def test_layers_that_differ_in_more_than_their_sizes_are_told_in_full() -> None:
    other = BASENET.replace({"network.blocks.0.padding": "same"})
    [row] = runs.differences([BASENET, other])
    assert row["setting"] == "Layers" and "Conv 6 (5x5, valid)" in row["0"] and "Conv 6 (5x5, same)" in row["1"]


def test_names_tell_runs_apart() -> None:
    average = BASENET.replace({"network.pooling": "average"})
    assert runs.names({"a": BASENET, "b": average}) == {"a": "basenet (Pooling max)", "b": "basenet (Pooling average)"}
    final = catalogue.variant("final").spec
    assert list(runs.names({"a": BASENET, "f": final, "b": average})) == ["a", "f", "b"]  # the order of the curves
    assert runs.names({"a": BASENET}) == {"a": "basenet"}
    assert len(set(runs.names({"a": BASENET, "b": BASENET, "c": average}).values())) == 3


@pytest.mark.parametrize(
    "a, b, words",
    [
        ("basenet", "basenet-norm", "+ normalization"),
        ("basenet-norm", "basenet-norm-aug", "+ augmentation"),
        ("provisional", "final", "Final design"),
        ("basenet", "basenet-bn", ""),
    ],
)
def test_one_change_in_the_catalogue(a: str, b: str, words: str) -> None:
    assert runs.one_change(catalogue.variant(a).spec, catalogue.variant(b).spec) == words


def test_one_change_is_one_and_on_the_same_pictures() -> None:
    def change(changes: dict[str, object]) -> str:
        return runs.one_change(BASENET, BASENET.replace(changes))

    assert change({"network.pooling": "average"}) == "Pooling: max to average"
    assert change({"fit.seed": 1}) == "Seed: 0 to 1"
    assert change({"network.pooling": "average", "fit.seed": 1}) == ""
    assert change({"network.pooling": "average", "data.name": "drawn"}) == ""
    assert change({}) == ""


def test_a_summary_is_numbers_and_says_what_is_not_known() -> None:
    found = runs.summary(BASENET, history(0.2, 0.4, 0.3), None)
    assert found["epochs"] == 3 and found["best_epoch"] == 2
    assert found["validation_accuracy"] == 0.4 and found["gap"] == pytest.approx(0.1)
    assert found["test_accuracy"] is None and found["report_accuracy"] == 0.4412
    assert found["operations"] == 614_050 and found["seconds"] == 6.0
    card = {"figures": {"test": {"loss": 1.9, "accuracy": 0.45}}, "wall_seconds": 9.0}
    measured = runs.summary(BASENET, history(0.2), card)
    assert measured["test_accuracy"] == 0.45 and measured["seconds"] == 9.0


def test_a_summary_of_a_run_that_has_not_begun() -> None:
    empty = runs.summary(RunSpec(name="own", network=BASENET.network), [], None)
    assert empty["best_epoch"] is None and empty["gap"] is None and empty["report_accuracy"] is None
