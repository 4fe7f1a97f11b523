"""The whole path of a person, in Chromium: design, train, compare, classify; and what must not be lost on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests import waiting
from tests.browser.app import App
from tests.browser.page import address, choose, enter, settle, shot, visit
from training.data import info

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
expect.set_options(timeout=30_000)
SLOW = 240_000  # milliseconds: what a busy machine with two processors needs for a short training


@pytest.fixture
def own_app(tmp_path):
    """`own_app(data)`: an app of the test's own, which may be stopped and started again."""
    apps = []

    def start(data: str | None) -> App:
        apps.append(App(tmp_path / f"app-{len(apps)}", data))
        return apps[-1].start()

    yield start
    for app in apps:
        app.stop_everything()


def design(page) -> None:
    """On Design: average pooling, dropout, normalization, without which two epochs teach little, and small batches, so
    that those last long enough to be watched."""
    choose(page, "Pooling", "average")
    page.get_by_role("switch", name="Dropout").check(force=True)
    settle(page)
    page.get_by_role("tab", name="Data", exact=True).click()
    page.get_by_role("switch", name="Normalization", exact=True).check(force=True)
    settle(page)
    page.get_by_role("tab", name="Fit").click()
    choose(page, "Batch size", "16")
    expect(page).to_have_url(
        re.compile("(?=.*pooling=average)(?=.*dropout=0.1(,|%2C)0.1)(?=.*normalization=on)(?=.*batch_size=16)")
    )


def train(page, pictures: str, epochs: int) -> None:
    """On Train: `epochs` epochs on `pictures`; returns when the run's page stands."""
    choose(page, "Pictures", pictures)
    choose(page, "Ends by", "epochs")
    enter(page, "Epochs", str(epochs))
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Stop").wait_for()


# A line in both charts while the run can still be stopped.
LIVE_CURVES = """() => {
    const drawn = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].filter(
        chart => [...chart.querySelectorAll('.mark-line path')].some(line => /L/.test(line.getAttribute('d'))));
    const stop = [...document.querySelectorAll('button')].some(button => button.innerText.includes('Stop'));
    return drawn.length === 2 && stop;
}"""


def real_picture(data: str, folder: Path) -> Path:
    """The first test picture of `cifar100-25` as a PNG file: a record is two labels, then 3 planes of 32x32."""
    with (Path(data) / "cifar100-25" / "test.bin").open("rb") as file:
        record = np.frombuffer(file.read(2 + 3072), np.uint8)
    path = folder / "picture.png"
    Image.fromarray(np.ascontiguousarray(record[2:].reshape(3, 32, 32).transpose(1, 2, 0))).save(path)
    return path


def classify(page, app: App, run: Path, picture: Path | None) -> None:
    """On Classify: `picture` dropped in, or the first sample clicked, answered by the trained network alone."""
    visit(page, "Classify")
    page.goto(f"{address(app.url, 'classify')}?run={run.name}")
    settle(page)
    if picture:
        page.locator("input[type=file]").set_input_files(picture)
        page.get_by_text(picture.name).first.wait_for()
    else:
        page.get_by_role("toolbar", name="Samples").get_by_role("button").first.click()
    settle(page)


def runs_of(app: App) -> list[Path]:
    return sorted(path.parent for path in (app.folder / "runs").glob("*/spec.json"))


def read(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text())


def history(run: Path) -> list[dict]:
    path = run / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_design_train_compare_classify(own_app, open_page):
    """Without any data: on the drawn pictures."""
    app = own_app(None)
    page = open_page(app.url)
    visit(page, "Design")
    design(page)
    shot(page, "path-drawn-1-design")

    visit(page, "Train")
    train(page, info("drawn").title, 2)
    page.wait_for_function(LIVE_CURVES, timeout=SLOW)
    shot(page, "path-drawn-2-live")
    (run,) = runs_of(app)
    expect(page.get_by_text("Finished")).to_be_visible(timeout=SLOW)
    shot(page, "path-drawn-3-finished")

    spec = read(run, "spec.json")
    assert (spec["network"]["pooling"], spec["network"]["dropout"]) == ("average", [0.1, 0.1, 0.25])
    assert (spec["data"]["name"], spec["fit"]["epochs"]) == ("drawn", 2)
    epochs = [line for line in history(run) if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2]
    assert epochs[1]["loss"] < epochs[0]["loss"]  # of training: on validation, two epochs are mostly noise

    page.get_by_role("button", name="Measure on the test pictures").click()
    waiting.until(lambda: read(run, "card.json")["figures"]["test"], "the figures on the test pictures", seconds=240)
    measured = read(run, "card.json")["figures"]["test"]
    expect(page.get_by_text(f"{measured['loss']:.4f}")).to_be_visible(timeout=SLOW)

    visit(page, "Compare")
    expect(page.get_by_test_id("stMultiSelect").filter(has_text="Pooling: average")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart]")).to_have_count(2)
    expect(page.get_by_role("row", name=f"Test loss {measured['loss']:.4f}").first).to_be_visible()
    shot(page, "path-drawn-4-compare")

    classify(page, app, run, None)
    answered(page, run)
    shot(page, "path-drawn-5-classify")


def test_real_pictures_are_trained_on_and_one_is_classified(own_app, open_page, data, tmp_path):
    app = own_app(data)
    page = open_page(address(app.url, "train") + "?from=basenet-norm&batch_size=64")
    train(page, info("cifar100-25").title, 1)
    (run,) = runs_of(app)
    expect(page.get_by_text("Finished")).to_be_visible(timeout=SLOW)
    assert read(run, "spec.json")["data"]["name"] == "cifar100-25"
    (epoch,) = [line for line in history(run) if line["kind"] == "epoch"]
    assert epoch["val_loss"] < np.log(25), "worse than guessing"
    shot(page, "path-cifar100-25-trained")

    classify(page, app, run, real_picture(data, tmp_path))
    answered(page, run)
    shot(page, "path-cifar100-25-classify")


def answered(page, run: Path) -> None:
    """Five likeliest classes stand on the page, all of the run's own."""
    top = page.locator("ol.tops .name")
    expect(top).to_have_count(5, timeout=SLOW)
    answers = set(top.all_inner_texts())
    assert len(answers) == 5
    assert answers <= {known.replace("_", " ") for known in read(run, "card.json")["data"]["classes"]}


def test_nothing_is_lost_on_reload_restart_stop_and_resume(own_app, open_page):
    app = own_app(None)
    page = open_page(address(app.url, "train") + "?from=basenet-bn&run_epochs=500")
    choose(page, "Pictures", info("drawn").title)
    page.get_by_role("spinbutton", name="Seed").fill("7")  # left by the click itself, without Enter
    page.get_by_role("button", name="Start training").dblclick()
    stop = page.get_by_role("button", name="Stop")
    stop.wait_for()
    (run,) = runs_of(app)  # a second click starts no second run
    assert read(run, "spec.json")["fit"]["seed"] == 7
    waiting.until(lambda: history(run), "the first points of the curves", seconds=240)

    page.reload()
    settle(page)
    stop.wait_for()
    curves = page.locator("[data-testid=stVegaLiteChart]")
    expect(curves).to_have_count(2, timeout=SLOW)

    other = open_page(address(app.url, "train"), width=390, height=844)
    other.get_by_role("button", name="running").click()
    other.get_by_role("button", name="Stop").wait_for()
    settle(other)
    shot(other, "path-running-390")
    other.context.close()

    page.goto("about:blank")
    app.stop()
    points = len(history(run))
    waiting.until(lambda: len(history(run)) > points, "the run going on without the app", seconds=240)
    app.start()
    page.goto(f"{address(app.url, 'train')}?run={run.name}")
    settle(page)
    expect(curves).to_have_count(2, timeout=SLOW)

    watching = open_page(address(app.url, "train"))
    watching.get_by_role("button", name="running").wait_for()
    stop.click()
    resume = page.get_by_role("button", name="Resume")
    resume.wait_for()
    watching.get_by_role("button", name="stopped").wait_for()  # by itself
    watching.context.close()
    assert read(run, "status.json")["state"] == "stopped"
    assert (run / "checkpoint.npz").is_file()
    points = len(history(run))
    shot(page, "path-stopped")
    resume.click()
    stop.wait_for()
    waiting.until(lambda: len(history(run)) > points, "the run going on after Resume", seconds=240)
    stop.click()
    resume.wait_for()
    assert len(runs_of(app)) == 1
