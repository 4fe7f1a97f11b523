"""The Compare page, in Streamlit's own test harness."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pages.shared import controls, stories, text
from tests.made import BASENET, DRAWN, finished
from tests.page import asked, away_and_back, button, ran, said, show, shown_next
from training import catalogue, confusions, registry, results, rundir
from training.confusions import Confusions
from training.spec import RunSpec


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
    assert "Backbone: efficientnet-lite0" in text and "2 epochs instead of 20" in text
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
    second, first = "basenet (Pooling: average)", "basenet (Pooling: max)"
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


def test_a_link_counts_before_what_was_chosen(places: Path) -> None:
    a, b = (finished(DRAWN.replace({"fit.seed": seed})) for seed in range(2))
    at = show("compare", runs=a.id)
    at.switch_page("pages/home.py")
    ran(at)
    at.switch_page("pages/compare.py")
    at.query_params["runs"] = b.id
    assert ran(at).multiselect[0].value == [b.id]


def test_of_an_address_with_more_than_can_be_compared_the_first_are(places: Path) -> None:
    ids = [finished(DRAWN.replace({"fit.seed": seed})).id for seed in range(9)]
    assert show("compare", runs=",".join(ids)).multiselect[0].value == ids[:8]


def test_what_cannot_be_trained_again_is_a_sentence(places: Path) -> None:
    without_weights(places, "basenet-large", BASENET)
    at = show("compare", runs="basenet-large")
    assert not [b for b in at.button if "again" in b.label]
    assert "basenet-large cannot be trained here yet" in said(at) and "data fetch" in said(at)


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
    at = show("compare", {"present": True}, runs=run.id)
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
