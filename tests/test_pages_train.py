"""The Train page, in Streamlit's own test harness."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import controls, jobs
from tests.made import DRAWN, MEASURED, finished
from tests.page import asked, back, button, ran, said, show, shown_next
from training import data, paths, registry, rundir
from training.queue import launcher


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
    assert at.code[0].value == f"{paths.python()} -m training fit birds-best" and "from" in asked(at)


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


@pytest.mark.parametrize("query, key, value", [
    ({"minutes": "-3"}, "train-minutes", 0.1), ({"minutes": "1e9"}, "train-minutes", 10_000),
    ({"minutes": "nan"}, "train-minutes", 1), ({"run_epochs": "0"}, "train-epochs", 1),
    ({"run_epochs": "many"}, "train-epochs", 27), ({"seed": "1e99"}, "train-seed", 0), ({"seed": "-1"}, "train-seed", 0),
])  # fmt: skip
def test_a_number_of_the_address_is_the_nearest_that_is_possible(places: Path, query, key, value) -> None:
    at = show("train", **query)
    assert at.number_input(key=key).value == value and not at.warning and not at.error
    assert not button(at, "Start training").disabled


@pytest.mark.parametrize("query, words", [
    ({"data": "../../etc"}, "'../../etc', which Plumage does not know"), ({"run": "../../etc"}, "There is no run"),
    ({"run": "/"}, "There is no run"), ({"run": ""}, "There is no run"),
])  # fmt: skip
def test_what_no_address_can_ask_for_is_said_in_a_sentence(places: Path, query, words) -> None:
    [warning] = show("train", **query).warning
    assert words in warning.value


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
    assert at.warning and not [element for element in at.button if element.label in ("Resume", "Delete for good")]
    with pytest.raises(rundir.RunError, match="lies outside the folder of runs; go on with: fit --resume"):
        launcher.resume(other)
    assert other.status()["state"] == "stopped"


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
    run.write_status(state="running", pid=2**22 + 1, step=3, steps_per_epoch=176)
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


@pytest.mark.parametrize("shown, label, meanwhile", [
    ("queued", "Stop", "finished"), ("stopped", "Resume", "finished"), ("finished", "Delete for good", "stopped"),
])  # fmt: skip
def test_a_click_that_comes_after_the_state_has_changed_does_nothing(places: Path, shown, label, meanwhile) -> None:
    run = rundir.create(DRAWN)
    run.write_status(state=shown)
    at = show("train", run=run.id)
    run.write_status(state=meanwhile)
    before = run.file("status.json").read_text()
    button(at, label).click()
    assert not ran(at).error and not at.toast and run.file("status.json").read_text() == before
    assert asked(at)["run"] == run.id


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
    back(at, **before)
    assert at.segmented_control(key="train-way").value == "time" and not at.warning
    assert at.number_input(key="train-minutes").value == 1 and at.number_input(key="train-seed").value == 0
    back(at, **later)
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


def test_a_taught_network_is_called_so_and_only_a_design_of_an_address_is_offered(places: Path) -> None:
    spec = DRAWN.replace({"fit.teacher": "plumage-long"})
    assert controls.title(spec) == "basenet (Teacher: plumage-long)"
    assert changeable(show("train", run=finished(spec).id))
    assert not changeable(show("train", run=finished(DRAWN.replace({"fit.nesterov": True})).id))


def changeable(at: AppTest) -> bool:
    """Whether a run's page leads to its design."""
    return "Change the design" in [link.proto.label for link in at.get("page_link")]


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
