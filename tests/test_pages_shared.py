"""What pages are made of: present mode, speed, colours, drawings, charts, words."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pages.shared import boxes, charts, diagram, figures, style, switches, text
from tests.made import DRAWN
from tests.page import app, asked, button, design, ran, said, show
from training import address, catalogue, rundir, toggles
from training.describe import describe

ROOT = Path(__file__).parent.parent


pytestmark = pytest.mark.usefixtures("no_real_data")


# --- Present mode --------------------------------------------------------------------------------


def test_present_mode_holds_for_the_visit_and_leaves_small_print_out() -> None:
    at = app(present="1")
    assert "font-size: clamp" in said(at)
    del at.query_params["present"]  # as a page switch does
    at.switch_page("pages/design.py").run()
    assert not at.exception
    assert not any(toggle.help in [caption.value for caption in at.caption] for toggle in toggles.TOGGLES)
    at = app({"present": True}, present="0")
    assert "present" not in asked(at) and "font-size: clamp" not in said(at)


def test_a_presentation_begins_and_ends_by_a_button() -> None:
    at = app()
    button(at, "Present: large type").click()
    assert asked(ran(at))["present"] == "1" and at.session_state["present"]
    at = app({"present": True})
    assert asked(at)["present"] == "1", "after a page switch, which drops it"
    button(at, "End the presentation").click()
    assert "present" not in asked(ran(at)) and not at.session_state["present"]


def test_every_way_on_keeps_the_presentation(places: Path) -> None:
    """Links, a run of the list, and a button that leads to another page."""
    run = rundir.create(DRAWN)
    at = show("train", {"present": True})
    button(at, "drawn").click()
    assert asked(ran(at)) == {"present": "1", "run": run.id}
    for page in (at, show("home", {"present": True})):
        links = [link.proto.query_string.split("&") for link in page.get("page_link")]
        assert links and all("present=1" in query for query in links), links
    at = design({"present": True})
    button(at, "Train this design").click()
    assert asked(ran(at)) == {"present": "1", "from": "basenet"}


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
    for drawn in {*style.SERIES, *style.LAYER.values(), style.TRAINING, style.VALIDATION, style.MUTED}:
        assert contrast(tuple(int(drawn[i : i + 2], 16) / 255 for i in (1, 3, 5)), page) >= 3, drawn


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
    at = design({"design-tab": "Pictures"})
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


def test_the_report_line_compares_with_the_nearest_ancestor_that_has_figures() -> None:
    assert "+5.5 points** against basenet-norm-aug" in figures.report(catalogue.variant("basenet-bn"))
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
