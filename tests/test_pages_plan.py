"""What a training will be, in words: time, epochs and what sets it apart from the report's."""

from __future__ import annotations

import pytest

from pages.shared import plan
from tests.made import BASENET
from training import catalogue, cost, hardware


def estimate(step: float, validation: float = 0.0) -> cost.Estimate:
    return cost.Estimate(step, validation, 176, "measured")


def test_a_minute_says_how_many_steps_and_what_share_of_the_report_it_buys() -> None:
    text = plan.outlook(plan.planned(BASENET, "drawn", 25, 0, minutes=1), estimate(0.025))
    assert "about 2,400 steps of 64 pictures" in text
    assert "14 epochs of 176 steps" in text
    assert "51 %" in text and "27 epochs" in text  # 2,400 of 27 * 176 steps


def test_less_than_an_epoch_is_said() -> None:
    text = plan.outlook(plan.planned(BASENET, "drawn", 25, 0, minutes=0.1), estimate(3.0))
    assert "about 2 steps of 64 pictures" in text and "less than one epoch of 176 steps, too short" in text


def test_time_that_cuts_a_schedule_short_is_said() -> None:
    sprint = catalogue.variant("sprint").spec
    text = plan.outlook(plan.planned(sprint, "drawn", 25, 0, minutes=1), estimate(0.1))
    assert "the learning rate falls over 35 epochs, which time cuts short; ended after 3 epochs instead" in text
    assert "cuts short" not in plan.outlook(plan.planned(sprint, "drawn", 25, 0, epochs=3), estimate(0.1))


def test_more_time_than_the_design_needs_is_said() -> None:
    text = plan.outlook(plan.planned(BASENET, "drawn", 25, 0, minutes=60), estimate(0.01))
    assert "27 epochs of 176 steps" in text and "before its time is up" in text and "100 %" in text


def test_a_teacher_that_does_not_know_the_pictures_is_left_out_and_that_is_said() -> None:
    design = catalogue.variant("final-taught").spec
    assert plan.taught(design) == (design, "")
    here, told = plan.taught(plan.planned(design, "drawn", 25, 0, epochs=1))
    assert here.fit.teacher is None and here.data.name == "drawn"
    assert told.endswith("its teacher, plumage-long, knows only the pictures that it was fitted to, cifar100-25.")
    lost, told = plan.taught(design.replace({"fit.teacher": "nobody"}))
    assert lost.fit.teacher is None and "no run and no shipped model" in told


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
    apart = plan.apart_from_report(BASENET.replace({"network.pooling": "average", "fit.epochs": 2}), 2)
    assert apart == ["2 epochs instead of 27", "Pooling: average"]


def test_memory_is_told_where_it_is_much_of_the_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = catalogue.variant("final").spec
    monkeypatch.setattr(hardware, "memory", lambda: 16 * 10**9)
    assert plan.memory(spec) == ""
    monkeypatch.setattr(hardware, "memory", lambda: 2 * 10**9)
    assert plan.memory(spec) == "It takes 726 MB to 1.32 GB of this machine's 2.00 GB of memory."
