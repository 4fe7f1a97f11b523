"""Home, in Streamlit's own test harness."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pages.shared import jobs, ladder, text
from tests.page import said, show
from training import catalogue, cost, data, registry, results

pytestmark = pytest.mark.usefixtures("no_real_data")


def test_home_says_what_it_is_what_is_ready_and_what_comes_next() -> None:
    at = show("home")
    page = said(at)
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
    assert f"BaseNet on {drawn.title}: an epoch takes about {text.duration(seconds)}" in said(at)
    (link,) = (element.proto for element in at.get("page_link") if element.proto.label == "**Train for a minute**")
    assert link.query_string == "from=basenet&data=drawn&minutes=1"


def test_home_and_train_count_the_same_pictures_and_say_what_chose_the_models() -> None:
    counts = "25 classes, 11,250 pictures to train on, 1,250 for validation, 2,500 for the test"
    assert counts in said(show("train")) and counts in said(home := show("home"))
    assert "best on validation pictures" in said(home)


def test_the_ladder_shows_the_report_and_only_figures_that_exist() -> None:
    rows = results.rows(Path("nowhere"))
    picture = ladder.draw(rows)
    for entry in catalogue.variants():
        if entry.report.accuracy:
            assert f"the report {entry.report.accuracy:.4f}" in picture
    assert "models stored here" not in picture
    assert picture.count("<circle") == 2 * sum(entry.report.accuracy is not None for entry in catalogue.variants())


def test_a_screen_reader_is_told_every_figure_of_the_ladder() -> None:
    drawn = ladder.draw(results.rows())
    for what in ("Test accuracy, step by step from BaseNet", "Test accuracy of the variants"):
        told = drawn.partition(f'aria-label="{what}. ')[2].partition('"')[0]
        assert told.startswith("basenet, the report 0.4412, here ") and "final, the report 0.7932, here " in told


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
