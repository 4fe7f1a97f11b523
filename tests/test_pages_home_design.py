"""Home and Design as a person meets them, without a browser: Streamlit's own test harness."""

from __future__ import annotations

import html
import json
import re
import statistics
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import boxes, charts, diagram, figures, jobs, ladder, style, switches, text
from tests.page import show
from training import address, catalogue, cost, data, registry, results, toggles
from training.describe import describe

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def no_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)


def design(**query: str) -> AppTest:
    return show("design", **query)


def asked(at: AppTest) -> dict[str, str]:
    """The address's parameters, one text each."""
    return {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}


def shown(at: AppTest) -> str:
    """All text of the page, HTML included."""
    elements = [*at.markdown, *at.caption, *at.code, *at.get("html")]
    return "\n".join(str(getattr(e, "value", "") or getattr(e.proto, "body", "")) for e in elements)


# --- Home --------------------------------------------------------------------------------------


def test_home_says_what_it_is_what_is_ready_and_what_comes_next() -> None:
    at = show("home")
    page = shown(at)
    assert at.title[0].value == "What does an architectural choice really do?"
    assert "44.1 %" in page and "79.3 %" in page  # from the catalogue, in the lead and in the picture
    assert '<svg class="row"' in page and '<svg class="list"' in page
    assert "Drawn" in page and "python -m training data fetch cifar100-25" in page
    links = [element.proto.page for element in at.get("page_link")]
    assert "design" in links and "train" in links


def test_what_is_missing_is_a_click_away(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr(
        jobs, "Job", lambda *command: begun.append(command) or SimpleNamespace(running=True, line="1 %")
    )
    monkeypatch.setattr(jobs, "started", lambda known={}: known)
    at = show("home")
    at.button(key="data-fetch-cifar10").click().run()
    assert begun == [("data", "fetch", "cifar10")]
    assert "Download CIFAR-10\n1 %" in [element.value for element in at.text]
    assert "data-fetch-cifar10" not in [button.key for button in at.button]


def test_a_minute_of_training_is_offered_on_pictures_that_fit_and_with_their_time(monkeypatch) -> None:
    known = [replace(info, available=info.name in ("birds", "drawn")) for info in data.status()]
    monkeypatch.setattr(data, "status", lambda: known)
    at = show("home")
    drawn, basenet = data.info("drawn"), catalogue.variant("basenet").spec
    seconds = cost.estimate(basenet, drawn.train, drawn.validation).epoch_seconds
    assert f"BaseNet on {drawn.title}: an epoch takes about {text.duration(seconds)}" in shown(at)
    (link,) = (element.proto for element in at.get("page_link") if element.proto.label == "**Train for a minute**")
    assert link.query_string == "from=basenet&data=drawn&minutes=1"


def test_home_and_train_count_the_same_pictures_and_say_what_chose_the_models() -> None:
    counts = "25 classes, 11,250 pictures to train on, 1,250 for validation, 2,500 for the test"
    assert counts in shown(show("train")) and counts in shown(home := show("home"))
    assert "best on validation pictures" in shown(home)


def test_the_ladder_shows_the_report_and_only_figures_that_exist() -> None:
    rows = results.rows(Path("nowhere"))
    picture = ladder.draw(rows)
    for entry in catalogue.variants():
        if entry.report.accuracy:
            assert f"the report {entry.report.accuracy:.4f}" in picture
    assert "models stored here" not in picture
    assert picture.count("<circle") == 2 * sum(entry.report.accuracy is not None for entry in catalogue.variants())


def test_the_ladder_names_every_variant_in_full() -> None:
    """The words of the wide drawing: two lines a name, and none may fall off."""
    rows = [row for row in results.rows() if not catalogue.variant(row.name).aside]  # as on Home
    drawing = ladder.draw(rows).split("</svg>")[0]
    words = re.findall(r'font-weight="500"[^>]*>([^<]*)<', drawing)
    shown_rows = [row for row in rows if row.report_accuracy is not None or row.accuracy is not None]
    assert " ".join(words).split() == html.escape(" ".join(row.title for row in shown_rows)).split()


def test_the_last_words_of_the_ladder_end_inside_the_picture() -> None:
    rows = [row for row in results.rows() if row.report_accuracy is not None]
    last = replace(rows[-1], title="a long word at the end")
    assert f'x="{ladder.WIDTH:.1f}"' in ladder.draw([*rows[:-1], last]).split("</svg>")[0]
    assert f'x="{ladder.WIDTH:.1f}"' not in ladder.draw([*rows[:-1], replace(last, title="end")]).split("</svg>")[0]


def test_home_names_the_model_that_validation_prefers_and_folds_the_others_away() -> None:
    at = show("home")
    named = [
        row.value for row in at.markdown if ":material/check_circle: **" in row.value and "test accuracy" in row.value
    ]
    cards = [model.card() for model in registry.models()]
    for title in {card["data"]["title"] for card in cards}:
        own = [card for card in cards if card["data"]["title"] == title]
        best = max(own, key=lambda card: card["figures"]["validation"]["accuracy"])
        first = next(row for row in named if title in row)
        assert text.percent(best["figures"]["test"]["accuracy"]) in first
    folded, words = at.expander
    assert "further models" in folded.label
    assert words.label == "Words used here" and "**Dropout.**" in words.markdown[0].value


# --- Design: the address is the design -----------------------------------------------------------


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
    assert f"{describe(spec.network).macs:,}" in shown(at) and describe(spec.network).macs == 108_951_808
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
    assert "0.7932" in shown(at) and "+0.2 points" in shown(at)  # against its parent


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


def test_the_report_s_augmentation_is_one_click() -> None:
    at = design(**{"from": "basenet-norm"})
    at.button(key="augment-report").click().run()
    entry = catalogue.variant("basenet-norm-aug").spec
    assert address.from_query(asked(at))[0].data.augmentation == entry.data.augmentation
    at.button(key="augment-none").click().run()
    assert asked(at) == {"from": "basenet-norm"}


# --- Design: what it says ------------------------------------------------------------------------


def test_it_says_the_true_cost_of_two_3x3() -> None:
    page = shown(design(**{"from": "basenet-3x3"}))
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
    assert f"{describe(catalogue.variant('basenet').spec.network).macs:,}" in shown(at)
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
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    at.switch_page("pages/design.py")
    at.query_params["from"] = "basenet-bn"
    at.session_state["design-tab"] = tab
    at.run()
    assert not at.exception
    assert sign in shown(at)


def test_pictures_are_drawn_anew_on_request() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    at.switch_page("pages/design.py")
    at.query_params["from"] = "basenet-norm-aug"
    at.session_state["design-tab"] = "Pictures"
    at.run()
    images = re.findall(r'src="(data:image[^"]+)"', shown(at))
    assert len(images) == 15 and len(set(images)) == 15
    at.button(key="resample").click().run()
    again = re.findall(r'src="(data:image[^"]+)"', shown(at))
    assert again[:5] == images[:5] and not set(again[5:10]) & set(images[5:10])


def test_damaged_pictures_are_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cifar100-25").mkdir()
    for name in ("train.bin", "test.bin"):
        (tmp_path / "cifar100-25" / name).write_bytes(bytes(3074 * 10))
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path))
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    at.switch_page("pages/design.py")
    at.query_params["from"] = "basenet"
    at.session_state["design-tab"] = "Pictures"
    at.run()
    assert not at.exception and any("10 pictures where" in warning.value for warning in at.warning)


def test_mixed_pictures_are_shown_with_what_their_labels_are_worth() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    at.switch_page("pages/design.py")
    at.query_params.update({"from": "plumage", "cutmix": "1", "mixup": "0.5"})
    at.session_state["design-tab"] = "Pictures"
    at.run()
    assert "Mixed with the next" in shown(at) and len(re.findall(r"\d+ % \+ \d+ %", shown(at))) == 5
    at.query_params.update({"cutmix": "0", "mixup": "0"})
    at.run()
    assert "Mixed with the next" not in shown(at)


# --- Present mode --------------------------------------------------------------------------------


def test_present_mode_holds_for_the_visit_and_leaves_small_print_out() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.query_params["present"] = "1"
    at.run()
    assert not at.exception and "font-size: clamp" in shown(at)
    del at.query_params["present"]  # as a page switch does
    at.switch_page("pages/design.py").run()
    assert not at.exception
    assert not any(toggle.help in [caption.value for caption in at.caption] for toggle in toggles.TOGGLES)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.session_state["present"] = True
    at.query_params["present"] = "0"
    at.run()
    assert "present" not in asked(at) and "font-size: clamp" not in shown(at)


# --- Speed and separation --------------------------------------------------------------------------


def test_a_switch_redraws_within_200_ms_and_nothing_imports_tensorflow() -> None:
    """In a process of its own, in CPU time: what a redraw costs the server, whatever else the machine does."""
    code = (
        "import json, sys, time\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"at = AppTest.from_file({str(ROOT / 'app.py')!r}, default_timeout=60).run()\n"
        "at.switch_page('pages/design.py')\n"
        "at.query_params['from'] = 'final'\n"
        "at.run()\n"
        "assert not at.exception, at.exception\n"
        "times = []\n"
        "for pooling in ('max', 'average') * 3:\n"
        "    at.segmented_control(key='design.pooling').set_value(pooling)\n"
        "    start = time.process_time()\n"
        "    at.run()\n"
        "    times.append(time.process_time() - start)\n"
        "heavy = [m for m in ('tensorflow', 'keras', 'torch') if m in sys.modules]\n"
        "print(json.dumps({'times': times, 'heavy': heavy}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["heavy"] == []
    assert statistics.median(told["times"]) < 0.2, told["times"]


# --- Colours ---------------------------------------------------------------------------------------


def contrast(*colours: tuple[float, float, float]) -> float:
    """The contrast of two colours, (red, green, blue) from 0 to 1, as WCAG 2 counts it."""
    lights = sorted(
        sum(
            w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip(WEIGHTS, colour, strict=True)
        )
        for colour in colours
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


WEIGHTS = (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(scheme: str) -> None:
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"][scheme]
    primary, page, box, words, blue = (
        tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        for colour in (*(theme[key] for key in ("primaryColor", "backgroundColor", "secondaryBackgroundColor", "textColor")),
                       style.VALIDATION)
    )  # fmt: skip
    assert contrast((1, 1, 1), primary) >= 4.5, "Streamlit's buttons and chips write in white on the primary colour"
    selected = tuple((a + b) / 2 for a, b in zip(blue, words, strict=True))  # as pages/shared/style.py mixes it
    assert "color-mix(in srgb, {VALIDATION}, currentColor)".replace("{VALIDATION}", style.VALIDATION) in style.BASE_CSS
    tint = tuple(0.1 * a + 0.9 * b for a, b in zip(primary, page, strict=True))  # behind what is selected
    for text_, ground in ((words, page), (words, box), (selected, page), (selected, tint)):
        assert contrast(text_, ground) >= 4.5


# --- Parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue.names())
def test_every_network_is_drawn_whole(name: str) -> None:
    entry = catalogue.variant(name)
    parent = catalogue.variant(entry.parent).spec.network if entry.parent else None
    drawn = diagram.draw(entry.spec.network, parent, entry.parent or "")
    with_shape = [
        x for x in describe(entry.spec.network).layers if x.kind in ("conv", "pool", "flatten", "global_pool", "dense")
    ]
    assert drawn.count("<title>") == 2 * (1 + len(with_shape))
    assert "\n" not in drawn and "nan" not in drawn
    xs = [float(x) for x in re.findall(r'<rect x="([-\d.]+)"', drawn)]
    assert min(xs) >= 0 and max(xs) <= diagram.WIDTH
    assert ("new against" in drawn) == (parent is not None and boxes.boxes(parent) != boxes.boxes(entry.spec.network))


def test_a_note_stands_clear_of_the_box_before_and_grey_is_named() -> None:
    spec, _ = address.from_query({"from": "basenet", "depth": "3", "split_5x5": "on", "pooling": "average"})
    row = diagram.draw(spec.network).split("</svg>")[0]
    note = float(re.search(r'<text x="([\d.]+)"[^>]*>avg 2×2', row)[1])  # type: ignore[index]
    pool = row.index(f'fill="{style.LAYER["pool"]}"')
    side = re.findall(r'<polygon points="[\d.,-]+ ([\d.]+),[^>]*fill-opacity=".3"', row[:pool])[-1]  # of the box before
    assert note - 3.4 * len("avg 2×2") >= float(side)
    assert "input, flatten, activation" in diagram.draw(spec.network)


def test_points_at_the_edge_of_a_chart_are_whole() -> None:
    encoding = charts.curve([{"epoch": 1, "loss": 2.0, "val_loss": 3.0}], "loss")["encoding"]
    assert encoding["x"]["scale"]["padding"] > 0 and encoding["y"]["scale"]["padding"] > 0


def test_draw_again_says_why_it_cannot() -> None:
    at = show("design")
    at.session_state["design-tab"] = "Pictures"
    at.run()
    assert at.button(key="resample").disabled and "augmentation is off" in at.button(key="resample").help


def test_strided_pooling_tells_what_it_costs_and_is_drawn() -> None:
    from pages.shared import diagram

    spec = catalogue.variant("basenet").spec.replace({"network.pooling": "strided"})
    pooling = toggles.BY_KEY["pooling"]
    told = switches.effect(pooling, spec)
    assert told and "multiply-adds" in told and f"{describe(spec.network).macs:,} against 614,050" in told
    assert switches.effect(pooling, spec.replace({"network.pooling": "average"})) is None
    drawn = diagram.draw(spec.network, catalogue.variant("basenet").spec.network, "basenet")
    assert "3×3 /2" in drawn and "Conv 3×3 /2, 6" in drawn and "pooling" not in drawn


def test_dropout_places_are_named() -> None:
    assert switches.dropout_places(catalogue.variant("final").spec) == [
        "after pooling 1", "after convolution 5", "after pooling 2", "after pooling 3", "before the last dense",
    ]  # fmt: skip


def test_the_depth_curve_is_log_and_holds_channels_and_sizes() -> None:
    spec = charts.depth(catalogue.variant("final").spec.network)
    rows = spec["data"]["values"]
    assert [row["value"] for row in rows if row["what"] == "channels"] == [
        3,
        32,
        64,
        64,
        64,
        128,
        128,
        256,
        256,
        256,
        256,
        256,
    ]
    assert [row["value"] for row in rows if row["what"] == "spatial size"] == [
        32,
        32,
        30,
        28,
        14,
        14,
        12,
        12,
        12,
        6,
        6,
        3,
    ]
    assert all(layer["encoding"]["y"]["scale"]["type"] == "log" for layer in spec["layer"])


def test_the_curve_of_a_run_shows_training_and_validation() -> None:
    history = [{"kind": "step", "epoch": 0.5, "loss": 3.0, "accuracy": 0.1}]
    history += [
        {"kind": "epoch", "epoch": n, "loss": 2.0, "accuracy": 0.4, "val_loss": 2.1, "val_accuracy": 0.3}
        for n in (1, 2)
    ]
    values = charts.curve(history, "accuracy")["data"]["values"]
    assert sorted((row["part"], row["epoch"], row["value"]) for row in values) == [
        ("training", 0.5, 0.1), ("training", 1, 0.4), ("training", 2, 0.4), ("validation", 1, 0.3), ("validation", 2, 0.3),
    ]  # fmt: skip


def test_the_mean_of_an_epoch_is_not_drawn_behind_its_own_finer_points() -> None:
    """A loss that fell within the epoch would go up at its end, and down again."""
    history = [{"kind": "step", "epoch": part, "loss": 3 - part} for part in (0.2, 0.9, 1.2)]
    history.insert(2, {"kind": "epoch", "epoch": 1, "loss": 2.5, "val_loss": 2.0})
    values = charts.curve(history, "loss")["data"]["values"]
    training = [(row["epoch"], row["value"]) for row in values if row["part"] == "training"]
    assert training == [(0.2, 2.8), (0.9, 2.1), (1.2, 1.8)]


def test_a_loss_that_leaves_the_chart_is_said():
    epochs = [{"kind": "epoch", "epoch": n, "loss": 2.0 / n, "val_loss": v} for n, v in ((1, 3.0), (2, 9.41), (3, 1.0))]
    chart = charts.curve(epochs, "loss")
    assert chart["encoding"]["y"]["scale"]["domainMax"] == 4.0
    assert chart["title"]["subtitle"] == "leaves the chart: up to 9.41, at epoch 2"
    tame = charts.curve([{**row, "val_loss": 1.0} for row in epochs], "loss")
    assert "subtitle" not in tame["title"] and "domainMax" not in tame["encoding"]["y"]["scale"]


@pytest.mark.parametrize(
    "told, expected",
    [
        (text.count(614_050), "614 k"), (text.count(999_700), "1.00 M"), (text.count(232_012_032), "232 M"), (text.count(25), "25"),
        (text.size(11_700_000), "11.7 MB"), (text.percent(0.7932), "79.3 %"), (text.change(775_882, 614_050), "+26 %"),
        (text.change(5, 5), "same"), (text.change(47, 100), "−53 %"), (text.change(700, 100), "×7.00"),
        (text.duration(9.96), "10.0 s"), (text.duration(75), "1 min 15 s"), (text.duration(3_900), "1 h 05 min"),
        (text.duration(200_000), "2 d 8 h"), (text.signed(-0.46), "−0.5"), (text.plural(1, "class", "classes"), "1 class"),
        (text.epochs(1234), "1,234"), (text.epochs(27), "27"), (text.epochs(0.3125), "0.312"), (text.epochs(99.96), "100"),
        (text.plain("a_b [x](y) $1 :red[c]"), r"a\_b \[x\](y) \$1 \:red\[c\]"),
        (text.plain("a&lt;b\n- c"), r"a\&lt;b - c"), (text.plain("x" * 99, 10), "x" * 9 + "…"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(told: str, expected: str) -> None:
    assert told == expected


def test_an_entry_says_how_it_differs_from_its_parent() -> None:
    assert figures.step(catalogue.variant("basenet-avgpool")) == "One step from **basenet-3x3**: pooling average."
    assert (
        "other layers" in figures.step(catalogue.variant("final")) and figures.step(catalogue.variant("basenet")) == ""
    )
    assert all(figures.step(entry) for entry in catalogue.variants() if entry.parent)


def test_the_report_line_compares_with_the_nearest_ancestor_that_has_figures() -> None:
    assert "+5.5 points** on basenet-norm-aug" in figures.report(catalogue.variant("basenet-bn"))
    assert "no figures" in figures.report(catalogue.variant("basenet-avgpool"))


def test_a_shortcut_is_an_arc_from_the_box_it_leaves():
    from training.describe import describe

    network = catalogue.variant("basenet-bn").spec.network.model_copy(update={"depth": 3, "residual": True})
    parts = boxes.boxes(network)
    joined = [(index, box.source) for index, box in enumerate(parts) if box.source is not None]
    assert joined == [(3, 1), (7, 5)]  # boxes: the input, three convolutions, a pooling, three convolutions
    drawing = diagram.draw(network)
    assert drawing.count(f'stroke="{style.LAYER["add"]}"') == 2 and "shortcut" in drawing
    assert sum(layer.kind == "add" for layer in describe(network).layers) == 2


def test_as_in_the_report_leaves_out_what_the_report_did_not_use():
    at = design(cutout="0.25", mixup="0.2")
    at.button(key="augment-report").click().run()
    assert at.session_state["design.cutout"] == at.session_state["design.mixup"] == 0
    assert at.session_state["design.zoom"] == 0.2
