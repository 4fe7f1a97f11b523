"""Every page, in Chromium: it opens without an error, fits a telephone, and is drawn light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.page import PAGES, address, overflow, shot, shown_error

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_page_opens_and_fits(app, open_page, name, width, dark):
    page = open_page(address(app.url, name), width=width, height=844, dark=dark)
    shot(page, f"{name}-{width}-{'dark' if dark else 'light'}")
    assert not shown_error(page)
    assert page.locator("h1").count() == 1
    assert overflow(page) <= 0, f"{name} is {overflow(page)} pixels wider than a window of {width}"


@pytest.mark.parametrize("name", PAGES)
def test_page_presents(app, open_page, name):
    page = open_page(address(app.url, name) + "?present=1", width=1280, height=720)
    shot(page, f"{name}-present")
    assert not shown_error(page)
    assert page.locator("[data-testid=stSidebar]").count() == 0
    size = page.evaluate(
        "() => parseFloat(getComputedStyle(document.querySelector('[data-testid=stMain] p')).fontSize)"
    )
    assert size >= 20, f"the text of {name} is {size} pixels high"


def test_app_process_has_no_tensorflow(app, open_page):
    for name in PAGES:
        open_page(address(app.url, name))
    maps = Path(f"/proc/{app.process.pid}/maps")
    if not maps.is_file():
        pytest.skip("needs Linux's /proc to see which libraries the app's process has loaded")
    loaded = maps.read_text()
    assert "pyarrow" in loaded  # the libraries that are loaded do show
    assert "tensorflow" not in loaded
