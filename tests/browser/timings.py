"""How long a person waits, in Chromium: `python -m tests.browser.timings [REPEATS]`, or `make timings`.

A command and not a test: what it prints depends on the machine and on what else that does.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser import chromium
from tests.browser.app import App
from tests.browser.page import PAGES, address, errors_of, settle

HOME, SWITCH, POINT = 3.0, 0.5, 3.0  # seconds: what Plumage promises
READING = 15  # seconds that a person takes over the Train page before the click
DESIGNS = ("basenet", "final")


def home_seconds(app: App, page: Page) -> float:
    """From the start of `streamlit run` to a Home that is drawn and rests."""
    start = time.perf_counter()
    app.start()
    page.goto(app.url)
    settle(page)
    return time.perf_counter() - start


# Notes when the navigation is clicked, and under which heading; the second answers, once another page is drawn and at
# rest, with the milliseconds since then.
NOTE_CLICK = """() => document.addEventListener('click', () => {
    window.left = [document.querySelector('[data-testid=stMain] h1').innerText, performance.now()];
}, {capture: true, once: true})"""
AT_REST = """() => {
    const app = document.querySelector('[data-testid=stApp]'), main = document.querySelector('[data-testid=stMain]');
    const heading = main.querySelector('h1')?.innerText;
    const drawn = heading && !main.querySelector('[data-testid=stSkeleton], [data-stale=true]');
    return window.left && drawn && heading !== window.left[0] && app.dataset.testScriptState === 'notRunning'
        && performance.now() - window.left[1];
}"""


def switch_seconds(page: Page, name: str) -> float:
    """From a click in the navigation to the other page, drawn and at rest, by the browser's own clock."""
    page.evaluate(NOTE_CLICK)
    page.get_by_role("navigation").get_by_role("link", name=name.capitalize(), exact=True).click()
    milliseconds = page.wait_for_function(AT_REST, polling="raf", timeout=120_000).json_value()
    page.evaluate("() => { window.left = null; }")
    return milliseconds / 1000


FIRST_POINT = """clicked => [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].some(chart =>
    [...chart.querySelectorAll('.mark-line path, .mark-symbol path')].some(mark => mark.getAttribute('d')))
    && performance.now() - clicked"""


def first_point_seconds(app: App, page: Page, design: str) -> float:
    """From a click on Start training to a mark on the live curves, by the browser's own clock."""
    page.goto(f"{address(app.url, 'train')}?from={design}")
    settle(page)
    page.wait_for_timeout(READING * 1000)
    clicked = page.evaluate("() => performance.now()")
    page.get_by_role("button", name="Start training").click()
    milliseconds = page.wait_for_function(FIRST_POINT, arg=clicked, polling="raf", timeout=120_000).json_value()
    page.get_by_role("button", name="Stop").first.click()  # runs that are stopped are listed beneath
    page.get_by_role("button", name="Resume").wait_for()
    return milliseconds / 1000


def line(what: str, seconds: list[float], limit: float) -> str:
    middle = statistics.median(seconds)
    verdict = "within" if middle < limit else "OVER"
    return f"{what:<22} median {middle:6.3f} s, slowest {max(seconds):6.3f} s, {verdict} {limit:g} s"


def main(repeats: int = 5) -> int:
    starts: list[float] = []
    first: dict[str, list[float]] = {name: [] for name in PAGES[1:]}
    again: dict[str, list[float]] = {name: [] for name in PAGES}
    points: dict[str, list[float]] = {name: [] for name in DESIGNS}
    errors: list[str] = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.flags())
        for repeat in range(repeats):
            app = App(Path(folder) / str(repeat), os.environ.get("PLUMAGE_DATA"))
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            errors_of(page, errors)
            try:
                starts.append(home_seconds(app, page))
                for name, seconds in first.items():
                    seconds.append(switch_seconds(page, name))
                for name, seconds in again.items():
                    seconds.append(switch_seconds(page, name))
                for name, seconds in points.items():
                    seconds.append(first_point_seconds(app, page, name))
            finally:
                context.close()
                app.stop_everything()
        browser.close()
    print(f"{repeats} starts, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(line("Home from its start", starts, HOME))
    for visit, switches in (("first", first), ("again", again)):
        for name, seconds in switches.items():
            print(line(f"to {name}, {visit}", seconds, SWITCH))
    for name, seconds in points.items():
        print(line(f"first point of {name}", seconds, POINT))
    for error in dict.fromkeys(errors):
        print(f"console: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
