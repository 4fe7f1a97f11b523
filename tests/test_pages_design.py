"""The Design page, in Streamlit's own test harness."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages.shared import figures
from tests.page import asked, design, said
from training import address, catalogue, toggles
from training.describe import describe

pytestmark = pytest.mark.usefixtures("no_real_data")


def test_a_link_reproduces_a_design() -> None:
    at = design(
        **{"from": "basenet-bn", "pooling": "average", "width": "0.5", "dropout": "0.1,0.2,0.3", "rotation": "15"}
    )
    assert at.session_state["design.from"] == "basenet-bn"
    assert at.session_state["design.pooling"] == "average"
    assert at.session_state["design.dropout.1"] == 0.2
    assert asked(at) == {
        "from": "basenet-bn",
        "pooling": "average",
        "width": "0.5",
        "dropout": "0.1,0.2,0.3",
        "rotation": "15",
    }


def test_every_toggle_is_a_switch_and_reaches_the_address() -> None:
    at = design(**{"from": "final"})
    for toggle in toggles.TOGGLES:
        assert f"design.{toggle.key}" in at.session_state
    captions = [caption.value for caption in at.caption]
    assert all(toggle.help in captions for toggle in toggles.TOGGLES)
    at.toggle(key="design.bottleneck").set_value(True).run()
    at.toggle(key="design.early_stopping").set_value(False).run()
    at.slider(key="design.zoom").set_value(0.4).run()
    at.selectbox(key="design.learning_rate").set_value(0.1).run()
    at.number_input(key="design.epochs").set_value(9).run()
    at.slider(key="design.dropout.4").set_value(0.6).run()
    assert "plumage-long" in at.selectbox(key="design.teacher").options
    assert not {"birds-best", "cifar-fc-basic"} & set(at.selectbox(key="design.teacher").options)
    at.selectbox(key="design.teacher").set_value("plumage-long").run()
    query = asked(at)
    assert query == {
        "teacher": "plumage-long",
        "from": "final", "bottleneck": "on", "early_stopping": "off", "zoom": "0.4", "learning_rate": "0.1",
        "epochs": "9", "dropout": "0.35,0.35,0.35,0.55,0.6",
    }  # fmt: skip
    spec, _ = address.from_query(query)
    assert f"{describe(spec.network).macs:,}" in said(at) and describe(spec.network).macs == 108_951_808
    at.toggle(key="design.dropout").set_value(False).run()
    assert asked(at)["dropout"] == "off"
    at.toggle(key="design.dropout").set_value(True).run()
    assert not at.exception and "dropout" not in asked(at), "on again, with the entry's own rates"
    assert at.slider(key="design.dropout.4").value == 0.7


def test_dropout_that_is_switched_on_again_has_the_rates_of_its_own_entry() -> None:
    at = design()  # BaseNet: its rates are not drawn
    at.selectbox(key="design.from").set_value("final").run()
    for on in (False, True):
        at.toggle(key="design.dropout").set_value(on).run()
    rates = [at.slider(key=f"design.dropout.{place}").value for place in range(5)]
    assert rates == [0.35, 0.35, 0.35, 0.55, 0.7] and asked(at) == {"from": "final"}


def test_values_beyond_their_usual_end_can_be_moved() -> None:
    at = design(**{"epochs": "2000", "cutout": "0.9", "early_stopping": "off"})
    assert at.number_input(key="design.epochs").value == 2000 and at.slider(key="design.cutout").max == 0.9
    at.slider(key="design.cutout").set_value(0.5).run()
    assert asked(at)["epochs"] == "2000" and asked(at)["cutout"] == "0.5"
    assert at.slider(key="design.cutout").max == 0.9, "to Streamlit another slider, which would begin at 0"
    at.selectbox(key="design.from").set_value("final").run()
    assert at.slider(key="design.cutout").max < 0.9, "the next design has the usual end"


def test_a_switch_moved_before_its_last_address_arrived_keeps_its_value() -> None:
    at = design(**{"from": "basenet", "dropout": "0.1,0.1,0.25"})
    old = asked(at)
    for rate in (0.15, 0.2, 0.25):
        at.query_params.clear()
        at.query_params.update(old)
        at.slider(key="design.dropout.0").set_value(rate).run()
        assert asked(at)["dropout"] == f"{rate:g},0.1,0.25" and at.slider(key="design.dropout.0").value == rate
    at.query_params.update(old)
    at.run()
    assert asked(at) == old and at.slider(key="design.dropout.0").value == 0.1, "back in the browser"


def test_another_entry_starts_over() -> None:
    at = design(**{"from": "basenet", "batch_norm": "all"})
    at.selectbox(key="design.from").set_value("final").run()
    assert asked(at) == {"from": "final"} and at.session_state["design.pooling"] == "average"
    assert "0.7932" in said(at) and "+0.2 points" in said(at)  # against its parent


def test_undo_goes_back_to_the_entry() -> None:
    at = design(**{"from": "basenet", "pooling": "average"})
    [undo] = [button for button in at.button if button.label == "Undo all changes"]
    undo.click().run()
    assert asked(at) == {"from": "basenet"} and at.session_state["design.pooling"] == "max"
    assert "Undo all changes" not in [button.label for button in at.button]
    [redo] = [button for button in at.button if button.label == "Redo all changes"]
    redo.click().run()
    assert asked(at) == {"from": "basenet", "pooling": "average"} and at.session_state["design.pooling"] == "average"
    assert "Redo all changes" not in [button.label for button in at.button]


def test_the_design_comes_back_after_another_page() -> None:
    at = design(**{"from": "basenet-bn", "depth": "2"})
    at.switch_page("pages/home.py").run()
    at.query_params.clear()
    at.switch_page("pages/design.py")
    at.run()
    assert asked(at) == {"from": "basenet-bn", "depth": "2"} and at.session_state["design.depth"] == 2


def test_the_learning_rate_of_another_optimizer_is_one_click() -> None:
    at = design()
    assert "suited-rate" not in [button.key for button in at.button]
    at.segmented_control(key="design.optimizer").set_value("adam").run()
    at.button(key="suited-rate").click().run()
    assert asked(at)["optimizer"] == "adam" and asked(at)["learning_rate"] == "0.001"
    assert "suited-rate" not in [button.key for button in at.button]


def test_the_report_s_augmentation_is_one_click() -> None:
    at = design(**{"from": "basenet-norm"})
    at.button(key="augment-report").click().run()
    entry = catalogue.variant("basenet-norm-aug").spec
    assert address.from_query(asked(at))[0].data.augmentation == entry.data.augmentation
    at.button(key="augment-none").click().run()
    assert asked(at) == {"from": "basenet-norm"}


# --- Design: what it says ------------------------------------------------------------------------


def test_it_says_the_true_cost_of_two_3x3() -> None:
    page = said(design(**{"from": "basenet-3x3"}))
    assert "+26 % multiply-adds (775,882 against 614,050)" in page


def test_an_impossible_setting_is_told_by_its_switch_and_the_rest_stands() -> None:
    at = design(**{"from": "basenet-bn", "zoom": "2", "pooling": "average", "dropout": "0.1"})
    errors = [error.value for error in at.error]
    assert len(errors) == 2 and any("zoom" in e and "2" in e for e in errors) and any("3 places" in e for e in errors)
    assert "Dropout" in at.warning[0].value and "Zoom" in at.warning[0].value
    assert asked(at) == {"from": "basenet-bn", "pooling": "average"}
    at.toggle(key="design.split_5x5").set_value(True).run()
    assert not at.error


def test_an_impossible_switch_keeps_the_last_possible_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No toggle of today can be set to something impossible, so one is made so."""
    wider = [
        t if t.key != "batch_size" else toggles.Toggle(**{**_fields(t), "options": (*t.options, 10**6)})
        for t in toggles.TOGGLES
    ]
    monkeypatch.setattr(toggles, "TOGGLES", tuple(wider))
    monkeypatch.setattr(toggles, "BY_KEY", {t.key: t for t in wider})
    at = design(**{"from": "basenet"})
    at.segmented_control(key="design.batch_size").set_value(10**6).run()
    assert not at.exception and r"batch\_size" in at.error[0].value and "1000000" in at.error[0].value
    assert f"{describe(catalogue.variant('basenet').spec.network).macs:,}" in said(at)
    at.segmented_control(key="design.batch_size").set_value(128).run()
    assert not at.error and asked(at)["batch_size"] == "128"


def _fields(toggle: toggles.Toggle) -> dict:
    return {name: getattr(toggle, name) for name in toggle.__dataclass_fields__}


def test_an_unknown_entry_is_told_and_the_page_stands() -> None:
    at = design(**{"from": "basnet"})
    assert "basnet" in at.warning[0].value and "basenet" in at.warning[0].value
    assert asked(at) == {"from": "basenet"}


def test_an_entry_far_from_all_is_told_in_a_sentence_and_a_head_is_no_design() -> None:
    assert len(design(**{"from": "zzzz"}).warning[0].value) < 120
    at = design(**{"from": "birds-best"})
    assert (
        "birds-best" in at.info[0].value
        and "BaseNet in its place" in at.info[0].value
        and asked(at) == {"from": "basenet"}
    )
    links = {link.proto.label: link.proto.query_string for link in at.get("page_link")}
    assert links["How it is trained"] == "from=birds-best" and links["Classify with it"] == "model=birds-best"


@pytest.mark.parametrize(
    "tab, sign", [("Layers", "conv_1_bn"), ("Pictures", "data:image/png;base64"), ("Keras code", "layers.Conv2D(6, 5")]
)
def test_the_tabs_show_layers_pictures_and_code(tab: str, sign: str) -> None:
    at = design({"design-tab": tab}, **{"from": "basenet-bn"})
    assert sign in said(at)


def test_pictures_are_drawn_anew_on_request() -> None:
    at = design({"design-tab": "Pictures"}, **{"from": "basenet-norm-aug"})
    images = re.findall(r'src="(data:image[^"]+)"', said(at))
    assert len(images) == 15 and len(set(images)) == 15
    at.button(key="resample").click().run()
    again = re.findall(r'src="(data:image[^"]+)"', said(at))
    assert again[:5] == images[:5] and not set(again[5:10]) & set(images[5:10])


def test_damaged_pictures_are_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cifar100-25").mkdir()
    for name in ("train.bin", "test.bin"):
        (tmp_path / "cifar100-25" / name).write_bytes(bytes(3074 * 10))
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path))
    at = design({"design-tab": "Pictures"}, **{"from": "basenet"})
    assert any("10 pictures where" in warning.value for warning in at.warning)


def test_mixed_pictures_are_shown_with_what_their_labels_are_worth() -> None:
    at = design({"design-tab": "Pictures"}, **{"from": "plumage", "cutmix": "1", "mixup": "0.5"})
    assert "Mixed with the next" in said(at) and len(re.findall(r"\d+ % \+ \d+ %", said(at))) == 5
    at.query_params.update({"cutmix": "0", "mixup": "0"})
    at.run()
    assert "Mixed with the next" not in said(at)


def test_an_entry_says_how_it_differs_from_its_parent() -> None:
    assert figures.step(catalogue.variant("basenet-avgpool")) == "One step from **basenet-3x3**: pooling average."
    assert (
        "other layers" in figures.step(catalogue.variant("final")) and figures.step(catalogue.variant("basenet")) == ""
    )
    assert all(figures.step(entry) for entry in catalogue.variants() if entry.parent)
