"""Train and Compare: what they say of a training and of runs side by side."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import again, controls, jobs, plan, runs, stories, text
from tests import small
from tests.page import ran, show
from training import catalogue, confusions, cost, data, registry, results, rundir
from training.confusions import Confusions
from training.queue import launcher
from training.rundir import RunDir
from training.spec import RunSpec

ROOT = Path(__file__).resolve().parent.parent
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
    assert apart == ["2 epochs instead of 27", "Pooling average"]


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
    assert runs.names({"a": BASENET, "b": average}) == {"a": "basenet (Pooling max)", "b": "basenet (Pooling average)"}
    final = catalogue.variant("final").spec
    assert list(runs.names({"a": BASENET, "f": final, "b": average})) == ["a", "f", "b"]  # the order of the curves
    assert runs.names({"a": BASENET}) == {"a": "basenet"}
    twins = runs.names({"basenet-1200": BASENET, "basenet-1300": BASENET, "c": average})
    assert list(twins.values()) == [
        "basenet (Pooling max, 1200)",
        "basenet (Pooling max, 1300)",
        "basenet (Pooling average)",
    ]
    seeds = runs.names({"a": BASENET, "b": average, "c": average.replace({"fit.seed": 1, "fit.epochs": 3})})
    assert seeds["b"] == "basenet (Pooling average, Epochs 27)" and seeds["c"] == "basenet (Pooling average, Epochs 3)"


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


# --- The pages themselves ---------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folders of the test's own, no data set but the drawn one, and nothing that trains: what is submitted waits."""
    for variable in ("PLUMAGE_MODELS", "PLUMAGE_RUNS"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    monkeypatch.setattr(launcher, "spawn", lambda: None)
    yield tmp_path


def shown_next(at: AppTest) -> str:
    """The run that the app goes to, in the same visit, after a page has begun it (AppTest runs a page without app.py)."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.session_state[again.BEGUN] = at.session_state[again.BEGUN]
    app.run()
    assert not app.exception
    return str(asked(app)["run"])


def asked(at: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}


def said(at: AppTest) -> str:
    """All that stands on the page outside of widgets."""
    parts = [
        element.value for kind in ("markdown", "caption", "info", "warning", "error") for element in getattr(at, kind)
    ]
    return "\n".join([*parts, *(element.proto.body for element in at.get("html"))])


def button(at: AppTest, label: str):
    return next(element for element in at.button if label in element.label)


def finished(spec: RunSpec, accuracy: float = 0.4, test: dict | None = None) -> RunDir:
    """A finished run in the folder of runs."""
    run = rundir.create(spec)
    for line in history(accuracy - 0.1, accuracy):
        run.append_history({"step": round(176 * line["epoch"]), **line})
    figures = {"epochs": 2, "test": test and {"pictures": 60, **test}}
    run.write_card(small.card({"name": spec.data.name}, figures, wall_seconds=4.0))
    run.write_status(state="finished", epoch=2, step=0, steps_per_epoch=176, elapsed_seconds=4.0, message="")
    return run


DRAWN = BASENET.replace({"data.name": "drawn"})
MEASURED = {"loss": 1.9, "accuracy": 0.45, "pictures": 2500}


def test_train_says_what_it_will_do_and_start_puts_the_run_into_the_address(places: Path) -> None:
    at = show("train", **{"from": "basenet", "pooling": "average", "seed": "7", "minutes": "0.1"})
    assert "basenet" in said(at) and "Pooling: average" in said(at) and "6.0 s is enough for about" in said(at)
    button(at, "Start training").click()
    ran(at)
    [run] = registry.runs()
    assert asked(at)["run"] == run.id
    spec = run.spec()
    assert (
        spec.network.pooling == "average"
        and spec.fit.minutes == 0.1
        and spec.fit.seed == 7
        and spec.data.name == "drawn"
    )
    assert [element.label for element in at.button if element.label == "Stop"] == ["Stop"]


def test_a_taught_design_trains_on_other_pictures_without_its_teacher(places: Path) -> None:
    at = show("train", **{"from": "final-taught", "minutes": "0.1"})
    assert any("labels alone" in info.value for info in at.info)
    button(at, "Start training").click()
    ran(at)
    [run] = registry.runs()
    assert run.spec().fit.teacher is None and run.spec().name == "final-taught"


def test_a_head_is_no_design_and_its_command_stands_there(places: Path) -> None:
    at = show("train", **{"from": "birds-best"})
    assert "birds-best" in at.info[0].value and "To be trained" not in said(at)
    assert at.code[0].value == "python -m training fit birds-best" and "from" in asked(at)


@pytest.mark.parametrize("key, query, value, words", [
    ("train-minutes", {}, 0.0, "Minutes: a number from 0.1 to 10,000"),
    ("train-epochs", {"run_epochs": "2"}, 20_000, "Epochs: a number from 1 to 10,000"),
])  # fmt: skip
def test_a_number_out_of_bounds_is_said_and_nothing_starts(places: Path, key, query, value, words) -> None:
    at = show("train", **query)
    at.number_input(key=key).set_value(value)
    ran(at)
    assert words in at.error[0].value and button(at, "Start training").disabled
    at.number_input(key=key).set_value(3)
    ran(at)
    assert not at.error and not button(at, "Start training").disabled


def test_by_epochs_and_the_address_brings_the_choice_back(places: Path) -> None:
    at = show("train", run_epochs="2", data="drawn")
    assert at.number_input(key="train-epochs").value == 2
    at.number_input(key="train-epochs").set_value(3)
    ran(at)
    assert asked(at)["run_epochs"] == "3" and "3 epochs of 176 steps" in said(at)
    again = show("train", **asked(at))
    assert again.number_input(key="train-epochs").value == 3


@pytest.mark.parametrize("query", [{"minutes": "nan"}, {"minutes": "-3"}, {"run_epochs": "many"}, {"seed": "1e99"},
                                   {"data": "../../etc"}, {"run": "../../etc"}, {"run": "/"}, {"run": ""}])  # fmt: skip
def test_nonsense_in_the_address_breaks_nothing(places: Path, query: dict[str, str]) -> None:
    at = show("train", **query)
    assert at.button or at.get("page_link")


def test_the_same_training_in_a_second_tab_is_the_first_one_s(places: Path) -> None:
    for _ in range(2):
        at = show("train", data="drawn")
        button(at, "Start training").click()
        ran(at)
    [run] = registry.runs()
    assert asked(at)["run"] == run.id


def test_a_run_that_is_gone_is_said_and_a_way_on_offered(places: Path) -> None:
    at = show("train", run="basenet-19990101-000000")
    assert "basenet-19990101-000000" in at.warning[0].value
    assert at.get("page_link")


def test_a_run_outside_the_folder_of_runs_is_not_shown(places: Path, tmp_path: Path) -> None:
    other = rundir.create(DRAWN, tmp_path / "elsewhere")
    at = show("train", run=str(other.path))
    assert at.warning and not [element for element in at.button if "Delete" in element.label]


def test_a_finished_run_shows_its_figures_and_the_report_s_beside_its_own(places: Path) -> None:
    run = finished(DRAWN.replace({"data.name": "cifar100-25", "network.classes": 25}), test=MEASURED)
    text = said(show("train", run=run.id))
    for figure in ("40.0 %", "45.0 %", "± 1.0 (standard error) on 2,500 pictures", "44.1 %", "1.9901"):
        assert figure in text, figure
    assert "2 epochs instead of 27" in text


def test_on_other_pictures_the_report_has_no_figures_to_stand_beside(places: Path) -> None:
    text = said(show("train", run=finished(DRAWN, test=MEASURED).id))
    assert "45.0 %" in text and "The report gives no figures for basenet on Drawn" in text
    assert "44.1 %" not in text and "1.9901" not in text


def test_test_figures_are_taken_only_on_request_and_once(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, begun = finished(DRAWN), []
    monkeypatch.setattr(jobs, "start", lambda *command: begun.append(command))
    at = show("train", run=run.id)
    assert not begun and "Not measured yet" in said(at)
    button(at, "Measure on the test pictures").click()
    ran(at)
    assert begun == [("evaluate", run.id)]
    monkeypatch.setattr(jobs, "running", lambda *command: command in begun)
    assert button(ran(at), "Measuring").disabled


def test_a_failed_run_shows_its_sentence_and_offers_to_go_on(places: Path) -> None:
    run = rundir.create(DRAWN)
    run.write_status(state="failed", message="The loss stopped being a number; try a third of the learning rate.")
    at = show("train", run=run.id)
    assert "try a third" in at.error[0].value
    button(at, "Resume").click()
    ran(at)
    assert run.status()["state"] == "queued"


def test_a_run_whose_process_died_says_so_and_offers_to_go_on(places: Path) -> None:
    run = rundir.create(DRAWN)
    run.write_status(state="running", pid=2**22 + 1, heartbeat=0, step=3, steps_per_epoch=176)
    at = show("train", run=run.id)
    assert "resume" in said(at) and button(at, "Resume")


def test_stop_takes_a_waiting_run_out_of_the_queue(places: Path) -> None:
    run = rundir.create(DRAWN, queued=True)
    at = show("train", run=run.id)
    button(at, "Stop").click()
    ran(at)
    assert run.status()["state"] == "stopped" and button(at, "Resume")


def test_a_stop_that_fails_says_so(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = rundir.create(DRAWN, queued=True)
    at = show("train", run=run.id)

    def refuse(run: rundir.RunDir) -> None:
        raise rundir.RunError("The disk is full.")

    monkeypatch.setattr(launcher, "stop", refuse)
    ran(at)  # buttons with the new one
    button(at, "Stop").click()
    ran(at)
    assert [error.value for error in at.error] == ["The disk is full."]


def test_delete_asks_first_and_then_leaves_nothing(places: Path) -> None:
    run = finished(DRAWN)
    at = show("train", run=run.id)
    assert "for good" in said(at) and run.path.exists()
    button(at, "Delete for good").click()
    ran(at)
    assert not run.path.exists() and "run" not in asked(at)


def test_a_waiting_run_has_its_axes_so_that_the_browser_can_draw_the_first_point_at_once(places: Path) -> None:
    run = rundir.create(DRAWN, queued=True)
    at = show("train", run=run.id)
    charts = [json.loads(chart.proto.spec) for chart in at.get("vega_lite_chart")]
    assert [chart["encoding"]["y"]["scale"] for chart in charts] == [{"domain": [0, 3]}, {"domain": [0, 1]}]


def test_runs_under_way_come_first_in_the_list(places: Path) -> None:
    waiting = rundir.create(DRAWN, queued=True)
    waiting.write_status(created=0.0)
    finished(DRAWN)
    labels = [element.label for element in show("train").button if "drawn" in element.label]
    assert [label.rsplit(" ", 1)[1] for label in labels] == ["queued", "finished"]


def test_a_broken_run_and_a_head_without_pictures_stop_no_page(places: Path) -> None:
    broken = rundir.create(DRAWN, queued=True)
    broken.file("spec.json").write_text("{")
    assert button(show("train"), "Start training")
    assert "command line" in show("train", **{"from": "birds-fc-basic"}).info[0].value
    assert show("train", run=broken.id).warning
    assert "nothing to compare yet" in show("compare").info[0].value


def test_a_head_on_birds_stands_beside_its_own_report(places: Path) -> None:
    spec = catalogue.variant("birds-fc-basic").spec.replace({"data.backbone": "efficientnet-lite0"})
    run = finished(spec, test={"loss": 2.5, "accuracy": 0.42, "pictures": 3033})
    text = said(show("train", run=run.id))
    assert "43.5 %" in text and "2.3410" in text
    assert "Feature extractor efficientnet-lite0" in text and "2 epochs instead of 20" in text
    assert show("compare", runs=run.id).table


def test_compare_without_runs_leads_to_the_first(places: Path) -> None:
    at = show("compare")
    assert "nothing to compare yet" in at.info[0].value and at.get("page_link")


def test_compare_does_not_choose_an_only_run_twice(places: Path) -> None:
    only = finished(DRAWN)
    assert show("compare").multiselect[0].value == [only.id]


def test_compare_opens_with_the_first_story_until_there_are_runs(places: Path) -> None:
    (places / "plumage_models").mkdir()
    for name, accuracy in (("basenet", 0.4), ("basenet-norm", 0.41), ("basenet-norm-aug", 0.5), ("plumage", 0.9)):
        made = finished(catalogue.variant(name).spec, test={"loss": 1.5, "accuracy": accuracy, "pictures": 2500})
        made.path.rename(places / "plumage_models" / name)
    at = show("compare")
    assert at.multiselect[0].value == ["basenet-norm", "basenet-norm-aug"]
    mine = finished(DRAWN)
    assert show("compare").multiselect[0].value == [mine.id], "what ships was trained on other pictures"


def test_compare_shows_what_differs_figures_and_what_the_change_did(places: Path) -> None:
    a = finished(DRAWN, 0.4, {"loss": 1.9, "accuracy": 0.45, "pictures": 2500})
    b = finished(DRAWN.replace({"network.pooling": "average"}), 0.43)
    at = show("compare", runs=f"{a.id},{b.id}")
    differs, figures = (table.value for table in at.table)
    assert differs.shape == (1, 3) and list(differs.iloc[0]) == ["Pooling", "max", "average"]
    rows = {row[0]: list(row[1:]) for row in figures.itertuples(index=False)}
    assert rows["Validation accuracy at that epoch"] == ["40.0 %", "43.0 %"] and rows["Test accuracy"] == [
        "45.0 %",
        "–",
    ]
    assert "Pooling: max to average" in said(at) and "+3.0 points" in said(at)
    assert len(at.get("vega_lite_chart")) == 2


def test_two_runs_on_the_same_test_pictures_are_compared_picture_by_picture(places: Path) -> None:
    labels, known = np.arange(200) % 25, {"a": np.arange(200) < 90, "b": np.arange(200) >= 80}
    a, b = (finished(spec, 0.4, {"loss": 1.9, "accuracy": known[side].mean(), "pictures": 200})
            for side, spec in (("a", DRAWN), ("b", DRAWN.replace({"network.pooling": "average"}))))  # fmt: skip
    for run, side in ((a, "a"), (b, "b")):
        logits = np.eye(25)[np.where(known[side], labels, (labels + 1) % 25)]
        confusions.write(run, Confusions.of("drawn", tuple(map(str, range(25))), logits, labels, "these"))
    names = f"{a.id},{b.id}"
    at = show("compare", runs=names)
    low, high = (text.signed(100 * end) for end in confusions.Paired(80, 110, 200).interval)
    assert f"Test accuracy +15.0 points, beyond the chance of pictures (95 % interval {low} to {high}): of 200" in said(
        at
    )
    second, first = "basenet (Pooling average)", "basenet (Pooling max)"
    assert f"of 200 pictures, 110 only {second} recognized, 80 only {first}. Validation accuracy +0.0" in said(at)
    assert "perhaps the chance of pictures" in said(at), "of validation pictures it is not known which"
    assert "Drawn textured shapes" in str(at.table[1].value), "the data set's title"
    b.change_card(lambda card: card["figures"]["test"].update(accuracy=0.5))
    told = said(show("compare", runs=names))
    assert "Test accuracy +5.0 points, beyond the chance of pictures (95 % interval at most" in told, (
        "counts of other figures than the card's"
    )


def test_two_runs_that_differ_in_more_than_one_setting_are_compared_too(places: Path) -> None:
    spec = DRAWN.replace({"fit.optimizer": "muon", "fit.learning_rate": 0.002})
    a, b = finished(DRAWN, 0.4), finished(spec, 0.5)
    assert "**Optimizer, Learning rate changed together**" in said(show("compare", runs=f"{a.id},{b.id}"))
    c = finished(DRAWN.replace({"network.pooling": "average", "fit.seed": 1}), 0.45)
    assert "changed together" not in said(show("compare", runs=f"{a.id},{b.id},{c.id}")), "of several, steps alone"


def test_the_choice_is_in_the_address_and_what_is_gone_is_said(places: Path) -> None:
    a = finished(DRAWN)
    at = show("compare", runs=f"{a.id},gone-1")
    assert at.multiselect[0].value == [a.id] and "gone-1" in said(at)
    b = finished(DRAWN.replace({"fit.seed": 1}))
    ran(at).multiselect[0].set_value([a.id, b.id])
    ran(at)
    assert asked(at)["runs"] == f"{a.id},{b.id}"


def test_the_step_before_is_one_click_away(places: Path) -> None:
    parent = finished(DRAWN)
    child = finished(catalogue.variant("basenet-norm").spec.replace({"data.name": "drawn"}))
    at = show("compare", runs=child.id)
    button(at, "Add basenet").click()
    ran(at)
    assert asked(at)["runs"] == f"{child.id},{parent.id}"
    assert "+ normalization" in said(at)
    assert "The report's test accuracy" not in said(at), "it is of other pictures"


def test_of_stored_seeds_all_count_and_the_report_is_credited_only_with_what_it_measured() -> None:
    assert "The report's test accuracy: −0.6 points" in said(show("compare", runs="basenet,basenet-norm"))
    at = show("compare", runs="basenet-bn-dropout,basenet-3x3,basenet,basenet-batch-128")
    effect = results.row("basenet-3x3").effect
    assert effect and effect.low and f"all stored seeds {text.signed(100 * effect.difference)} points" in said(at)
    assert "within the chance of seeds (95 % interval" in said(
        at
    ) and "; with the seeds here, of 2,500 pictures, " in said(at)
    half = next(line for line in said(at).splitlines() if "basenet-batch-128 against basenet" in line)
    assert "all stored seeds" in half and "The report's test accuracy" not in half


def without_weights(places: Path, name: str, spec: RunSpec) -> None:
    """A model of which card and curves ship, as models/NAME/seed-0."""
    made = finished(spec, test={"loss": 1.5, "accuracy": 0.45, "pictures": 2500})
    (places / "plumage_models" / name).mkdir(parents=True)
    made.path.rename(places / "plumage_models" / name / "seed-0")


def test_what_ships_without_weights_can_be_compared_and_is_trained_again_by_a_click(places: Path) -> None:
    without_weights(places, "basenet-large", DRAWN)
    at = show("compare", runs="basenet-large")
    assert at.multiselect[0].value == ["basenet-large"] and "not the weights" in said(at)
    offered = button(at, "Train basenet-large again")
    assert "45.0 % of test pictures right · took 4.0 s" in offered.label
    offered.click()
    ran(at)
    run = registry.runs()[0]
    assert run.spec() == DRAWN and run.status()["state"] == "queued" and shown_next(at) == run.id
    place = places / "plumage_models" / "basenet-large"
    (place / "card.json").write_text("{}")
    (place / "spec.json").write_text(DRAWN.to_json())
    (place / "weights.npz").write_bytes(b"")
    assert not [b for b in show("compare", runs="basenet-large").button if "again" in b.label], "now its weights ship"


def test_what_was_trained_again_is_offered_no_more(places: Path) -> None:
    without_weights(places, "basenet-large", DRAWN)
    finished(DRAWN)
    assert not [b for b in show("compare", runs="basenet-large").button if "again" in b.label]


def test_a_run_counts_before_what_ships_under_its_name(places: Path) -> None:
    without_weights(places, "basenet-large", DRAWN)
    made = finished(DRAWN.replace({"network.pooling": "average"}))
    made.path.rename(made.path.with_name("basenet-large"))
    assert "not the weights" not in said(show("compare", runs="basenet-large"))


def test_a_run_of_an_entry_as_it_is_stands_beside_the_one_that_ships(places: Path) -> None:
    without_weights(places, "basenet", BASENET)
    mine = finished(DRAWN, 0.3)
    at = show("compare", runs=f"{mine.id},basenet")
    assert all(list(table.value.columns)[1:] == ["basenet, yours", "basenet"] for table in at.table)
    drawn = json.loads(at.get("vega_lite_chart")[0].proto.spec)["encoding"]["color"]["scale"]["domain"]
    assert drawn == ["basenet, yours", "basenet"]


def away_and_back(at: AppTest, page: str) -> AppTest:
    """By the navigation, which drops the address's parameters."""
    for target in ("home", page):
        at.switch_page(f"pages/{target}.py")
        at.query_params.clear()
        ran(at)
    return at


def test_what_was_chosen_is_there_again_after_another_page(places: Path) -> None:
    a, b, c = (finished(DRAWN.replace({"fit.seed": seed})) for seed in range(3))
    at = show("compare")
    assert at.multiselect[0].value == [c.id, b.id]
    at.multiselect[0].set_value([b.id, a.id])
    ran(at)
    assert away_and_back(at, "compare").multiselect[0].value == [b.id, a.id]
    at = show("train", **{"from": "basenet"})
    at.number_input(key="train-minutes").set_value(4.0)
    at.number_input(key="train-seed").set_value(5)
    ran(at)
    away_and_back(at, "train")
    assert at.number_input(key="train-minutes").value == 4 and at.number_input(key="train-seed").value == 5
    assert asked(at)["minutes"] == "4" and asked(at)["seed"] == "5"
    at.segmented_control(key="train-way").set_value("epochs")
    ran(at)
    assert away_and_back(at, "train").number_input(key="train-epochs").value == 27


def test_the_browsers_back_is_followed(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (finished(DRAWN.replace({"fit.seed": seed})) for seed in range(2))
    monkeypatch.setattr(controls, "SETTLED_SECONDS", 3600)
    at = show("compare", runs=a.id)
    at.multiselect[0].set_value([a.id, b.id])
    assert asked(ran(at))["runs"] == f"{a.id},{b.id}"
    at.query_params["runs"] = a.id
    assert ran(at).multiselect[0].value == [a.id, b.id], "a quick click, whose address is older than the choice"
    monkeypatch.setattr(controls, "SETTLED_SECONDS", 0)
    at.query_params["runs"] = b.id
    assert ran(at).multiselect[0].value == [b.id] and asked(at)["runs"] == b.id


def test_the_browsers_back_is_followed_by_every_field_of_train(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "SETTLED_SECONDS", 0)
    at = show("train", **{"from": "basenet"})
    before = asked(at)
    at.number_input(key="train-minutes").set_value(4.0)
    at.number_input(key="train-seed").set_value(5)
    ran(at)
    assert (asked(at)["minutes"], asked(at)["seed"]) == ("4", "5")
    at.segmented_control(key="train-way").set_value("epochs")
    later = asked(ran(at))

    def back(query: dict[str, str]) -> AppTest:
        at.query_params.clear()
        at.query_params.update(query)
        return ran(at)

    back(before)
    assert at.segmented_control(key="train-way").value == "time" and not at.warning
    assert at.number_input(key="train-minutes").value == 1 and at.number_input(key="train-seed").value == 0
    back(later)
    assert at.number_input(key="train-epochs").value == 27 and at.number_input(key="train-seed").value == 5
    at.number_input(key="train-epochs").set_value(0)
    ran(at)
    assert at.number_input(key="train-epochs").value == 0 and "a number from 1" in at.error[0].value, "its own change"


def test_pictures_of_an_address_that_are_not_here_are_named(places: Path) -> None:
    at = show("train", data="cifar10", **{"from": "basenet"})
    assert [warning.value for warning in at.warning] == ["The address asks for CIFAR-10, which is not here yet."]
    assert not show("train", data="drawn", **{"from": "basenet"}).warning and not show("train").warning
    at = show("train", data="no[such](x)", **{"from": "basenet"})
    assert r"the pictures 'no\[such\](x)', which Plumage does not know" in at.warning[0].value


def test_pictures_of_another_size_in_an_address_are_named(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = [dataclasses.replace(info, available=True) for info in data.status()]
    monkeypatch.setattr(data, "status", lambda: here)
    monkeypatch.setattr(data, "info", lambda name: next(info for info in here if info.name == name))
    at = show("train", data="birds", **{"from": "basenet"})
    assert "whose pictures are 224 × 224 pixels, and this network takes 32 × 32" in at.warning[0].value


def test_a_link_counts_before_what_was_chosen(places: Path) -> None:
    a, b = (finished(DRAWN.replace({"fit.seed": seed})) for seed in range(2))
    at = show("compare", runs=a.id)
    at.switch_page("pages/home.py")
    ran(at)
    at.switch_page("pages/compare.py")
    at.query_params["runs"] = b.id
    assert ran(at).multiselect[0].value == [b.id]


def test_a_taught_network_is_called_so_and_only_a_design_of_an_address_is_offered(places: Path) -> None:
    spec = DRAWN.replace({"fit.teacher": "plumage-long"})
    assert controls.title(spec) == "basenet (Teacher: plumage-long)"
    assert changeable(show("train", run=finished(spec).id))
    assert not changeable(show("train", run=finished(DRAWN.replace({"fit.nesterov": True})).id))


def changeable(at: AppTest) -> bool:
    """Whether a run's page leads to its design."""
    return "Change the design" in [link.proto.label for link in at.get("page_link")]


def test_what_cannot_be_trained_again_is_a_sentence(places: Path) -> None:
    without_weights(places, "basenet-large", BASENET)
    at = show("compare", runs="basenet-large")
    assert not [b for b in at.button if "again" in b.label]
    assert "basenet-large cannot be trained here yet" in said(at) and "data fetch" in said(at)


def test_a_design_that_no_address_holds_is_trained_again_as_it_is(places: Path) -> None:
    spec = DRAWN.replace({"network.blocks.0.filters": 8})
    at = show("train", run=finished(spec).id)
    assert not changeable(at)
    button(at, "Train this design again").click()
    ran(at)
    made = registry.find(shown_next(at))
    assert made.status()["state"] == "queued" and made.spec() == spec


@pytest.mark.parametrize("end", [{"fit.minutes": 3.0}, {"fit.epochs": 4}])
def test_a_training_is_prepared_again_as_it_was_whatever_was_chosen_last(places: Path, end: dict) -> None:
    spec = DRAWN.replace({"fit.seed": 4, "network.pooling": "average", **end})
    at = show("train", **{"from": "basenet", "minutes": "30", "seed": "9"})  # another choice, which the page keeps
    at.query_params.clear()
    at.query_params["run"] = finished(spec).id
    button(ran(at), "Train this design again").click()
    ran(at)
    button(at, "Start training").click()
    ran(at)
    assert registry.find(asked(at)["run"]).spec() == spec


def test_a_story_is_one_click_and_says_what_to_look_at(places: Path) -> None:
    without_weights(places, "basenet-norm", catalogue.variant("basenet-norm").spec)
    assert not [b for b in show("compare").button if "augmentation" in b.label], "one of its models is missing"
    without_weights(places, "basenet-norm-aug", catalogue.variant("basenet-norm-aug").spec)
    at = show("compare", runs="basenet-norm")
    button(at, "What augmentation does").click()
    ran(at)
    assert asked(at)["runs"] == "basenet-norm,basenet-norm-aug" and "stay together" in said(at)
    assert at.multiselect[0].value == ["basenet-norm", "basenet-norm-aug"]
    at.session_state["present"] = True
    ran(at)
    assert "stay together" in said(at) and button(at, "What augmentation does")


def test_presented_the_curves_come_before_what_was_chosen(places: Path) -> None:
    run = finished(DRAWN)
    at = show("compare", runs=run.id)
    at.session_state["present"] = True
    ran(at)
    assert [(box.label, box.proto.expanded) for box in at.expander] == [("Runs and models", False)]
    assert at.multiselect[0].value == [run.id] and len(at.get("vega_lite_chart")) == 2


def test_the_stories_that_ship_are_told() -> None:
    ids = {run.id for run in (*registry.models(), *registry.without_weights())}
    for story in stories.STORIES:
        assert set(story.models) <= ids, f"{story.title}: not all of its models are in models/"


def test_a_run_that_has_just_begun_can_be_compared(places: Path) -> None:
    run = rundir.create(DRAWN, queued=True)
    at = show("compare", runs=run.id)
    assert "No epoch has ended yet" in said(at)


def test_a_shortened_early_stopping_is_told_in_words() -> None:
    spec = plan.planned(catalogue.variant("basenet-bn").spec, "drawn", 25, 0, epochs=2)
    assert controls.title(spec) == "basenet-bn (at most 2 epochs)"


@pytest.mark.browser
def test_a_bookmark_of_a_page_is_led_through_the_app(tmp_path: Path, open_page) -> None:
    """The first visit to a new app, straight to a page: with its navigation and its address kept."""
    from tests.browser.app import App

    app = App(tmp_path / "app")
    try:
        page = open_page(f"{app.start().url}/train?from=basenet&pooling=average")
        page.get_by_text("Pooling: average").wait_for()
        links = page.get_by_test_id("stTopNavLink").all_inner_texts()
        assert [link.split()[-1] for link in links][:4] == ["Home", "Design", "Train", "Compare"]
        page.context.close()  # before the app ends, which the page would call an error
    finally:
        app.stop_everything()
