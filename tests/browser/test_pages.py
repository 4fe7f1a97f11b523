"""Every page, in Chromium: it opens without an error, fits a telephone, and is drawn light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.page import PAGES, address, overflow, settle, shot, shown_error, visit

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("name", PAGES)
def test_page_opens_and_fits(app, open_page, name, width, height):
    page = open_page(address(app.url, name), width=width, height=height)
    assert not shown_error(page)
    assert page.locator("h1").count() == 1
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(500)  # the charts are drawn anew
        settle(page)
        shot(page, f"{name}-{width}-{scheme}")
    assert overflow(page) <= 0, f"{name} is {overflow(page)} pixels wider than a window of {width}"


@pytest.mark.parametrize("name", PAGES)
def test_page_presents(app, open_page, name):
    page = open_page(address(app.url, name) + "?present=1", width=1280, height=720)
    shot(page, f"{name}-present")
    assert not shown_error(page)
    assert page.get_by_role("button", name="End the presentation").count() == 1
    size = page.evaluate("() => parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert size >= 1.35 * 16, "the text is hardly larger than without present mode"


def test_back_leads_through_the_pages_one_press_each(app, open_page):
    page = open_page(address(app.url, "train") + "?from=basenet&data=drawn&minutes=1&seed=3&present=1")
    seen = [page.url]
    for name in ("Design", "Train", "Compare"):
        visit(page, name)
        page.wait_for_timeout(1500)  # the page's own choices come into the address
        seen.append(page.url)
    for url in seen[-2::-1]:
        page.go_back()
        settle(page)
        page.wait_for_timeout(1500)
        assert page.url == url


def test_app_process_has_no_tensorflow(app, open_page):
    maps = Path(f"/proc/{app.process.pid}/maps")
    if not maps.is_file():
        pytest.skip("needs Linux's /proc to see which libraries the app's process has loaded")
    page = open_page(app.url)
    for name in PAGES[1:]:
        visit(page, name.capitalize())
    loaded = maps.read_text()
    assert "pyarrow" in loaded  # the libraries that are loaded do show
    assert "tensorflow" not in loaded
