"""Runs and models side by side, in words and numbers."""

from __future__ import annotations

import pytest

from pages.shared import controls, plan, runs, text
from tests.made import BASENET, history
from training import catalogue
from training.spec import RunSpec


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
    growing = [BASENET.replace({"fit.dropout_ramp": share}) for share in (0, 0.5, 1)]
    assert runs.differences(growing) == [
        {
            "setting": "Dropout grows",
            "0": "off",
            "1": f"over {text.percent(0.5, 0)} of the epochs",
            "2": "over all epochs",
        }
    ]


def test_every_step_of_the_catalogue_has_words() -> None:
    for entry in [*catalogue.variants(), *catalogue.heads()]:
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
    assert runs.names({"a": BASENET, "b": average}) == {
        "a": "basenet (Pooling: max)",
        "b": "basenet (Pooling: average)",
    }
    final = catalogue.variant("final").spec
    assert list(runs.names({"a": BASENET, "f": final, "b": average})) == ["a", "f", "b"]  # the order of the curves
    assert runs.names({"a": BASENET}) == {"a": "basenet"}
    twins = runs.names({"basenet-1200": BASENET, "basenet-1300": BASENET, "c": average})
    assert list(twins.values()) == [
        "basenet (Pooling: max, 1200)",
        "basenet (Pooling: max, 1300)",
        "basenet (Pooling: average)",
    ]
    seeds = runs.names({"a": BASENET, "b": average, "c": average.replace({"fit.seed": 1, "fit.epochs": 3})})
    assert (
        seeds["b"] == "basenet (Pooling: average, Epochs: 27)" and seeds["c"] == "basenet (Pooling: average, Epochs: 3)"
    )


@pytest.mark.parametrize(
    "a, b, words",
    [
        ("basenet", "basenet-norm", "+ normalization"),
        (
            "basenet-norm",
            "basenet-norm-aug",
            "+ augmentation (Shift sideways, Shift up and down, Zoom, Flip left and right changed together)",
        ),
        ("provisional", "final", "Final design (Layers, Dropout changed together)"),
        ("plumage", "plumage-cutmix", "Plumage, cutmix (Cutmix: off to 0.5)"),
        ("basenet", "basenet-bn", ""),
    ],
)
def test_one_step_in_the_catalogue(a: str, b: str, words: str) -> None:
    assert runs.one_step(catalogue.variant(a).spec, catalogue.variant(b).spec) == words


def test_a_step_names_the_backbone_that_the_runs_have() -> None:
    lite = {"data.backbone": "efficientnet-lite0", "network.input_shape": [7, 7, 1280]}
    a, b = (catalogue.variant(name).spec.replace(lite) for name in ("birds-finetune-fc", "birds-finetune-simple"))
    assert runs.one_step(a, b).startswith("Birds: all of EfficientNet-Lite0 trained, simple head (")
    theirs = [catalogue.variant(spec.name).spec for spec in (a, b)]
    assert "all of ResNet-50 trained" in runs.one_step(*theirs)


def test_one_step_is_one_and_on_the_same_pictures() -> None:
    def change(changes: dict[str, object]) -> str:
        return runs.one_step(BASENET, BASENET.replace(changes))

    assert change({"network.pooling": "average"}) == "Pooling: max to average"
    assert change({"fit.seed": 1}) == "Seed: 0 to 1"
    assert change({"network.pooling": "average", "fit.seed": 1}) == ""
    assert change({"network.pooling": "average", "data.name": "drawn"}) == ""
    assert change({}) == ""


def test_a_summary_is_numbers_and_says_what_is_not_known() -> None:
    found = runs.summary(BASENET, history(0.2, 0.4, 0.3), None)
    assert found["epochs"] == 3 and found["best_epoch"] == 2 and found["kept_epoch"] == 3
    assert found["validation_accuracy"] == 0.3 and found["gap"] == pytest.approx(0.1)
    stopping = catalogue.variant("basenet-bn").spec
    early = runs.summary(stopping, history(0.2, 0.4, 0.3), None)
    assert early["kept_epoch"] == 2 and early["validation_accuracy"] == 0.4, "early stopping goes back"
    assert found["test_accuracy"] is None and found["report_accuracy"] == 0.4412
    assert found["operations"] == 614_050 and found["seconds"] == 6.0
    assert not found["on_gpu"]
    card = {"figures": {"test": {"loss": 1.9, "accuracy": 0.45}}, "wall_seconds": 9.0, "device": "GPU: NVIDIA H200"}
    measured = runs.summary(BASENET, history(0.2), card)
    assert measured["test_accuracy"] == 0.45 and measured["seconds"] == 9.0 and measured["on_gpu"]


def test_a_summary_of_a_run_that_has_not_begun() -> None:
    empty = runs.summary(RunSpec(name="own", network=BASENET.network), [], None)
    assert empty["best_epoch"] is None and empty["gap"] is None and empty["report_accuracy"] is None


def test_a_shortened_early_stopping_is_told_in_words() -> None:
    spec = plan.planned(catalogue.variant("basenet-bn").spec, "drawn", 25, 0, epochs=2)
    assert controls.title(spec) == "basenet-bn (at most 2 epochs)"
