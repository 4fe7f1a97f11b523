"""What every browser test asks of a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page

PAGES = ("home", "design", "train", "compare", "confusions", "classify")
SHOTS = Path(__file__).resolve().parents[2] / "screenshots"


def address(url: str, page: str) -> str:
    """The address of a page of the app at `url`."""
    return url + "/" if page == "home" else f"{url}/{page}"


def errors_of(page: Page, errors: list[str]) -> None:
    """Collect what `page` writes to the console as an error.

    Opened below its root (/design), Streamlit's own client first asks for its server there
    (/design/_stcore/health), is told 404 and finds it at the root: that is no error of ours.
    """

    def note(message: ConsoleMessage) -> None:
        source = message.location.get("url", "")
        searching = "404" in message.text and re.search(r"//[^/]+/[a-z]+/_stcore/", source)
        if message.type == "error" and not searching:
            errors.append(f"{message.text} ({source})")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))


def settle(page: Page, timeout: float = 120) -> None:
    """Wait until the app has drawn the page and its script rests; for a moment, since a click needs one to arrive."""
    page.evaluate("() => { window.plumageQuiet = null; }")
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid=stApp]');
            const quiet = app?.dataset.testScriptState === 'notRunning'
                && document.querySelector('[data-testid=stMain] h1')
                && !document.querySelector('[data-testid=stSkeleton]');
            if (!quiet) { window.plumageQuiet = null; return false; }
            window.plumageQuiet ??= performance.now();
            return performance.now() - window.plumageQuiet > 300;
        }""",
        timeout=timeout * 1000,
    )


def shown_error(page: Page) -> str:
    """The text of an exception that Streamlit shows on the page, or nothing."""
    return " ".join(page.locator("[data-testid=stException]").all_inner_texts())


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    return page.evaluate(
        """() => {
            const main = document.querySelector('[data-testid=stMain]') ?? document.documentElement;
            return Math.max(document.documentElement.scrollWidth - window.innerWidth, main.scrollWidth - main.clientWidth);
        }"""
    )


def shot(page: Page, name: str) -> Path:
    """Save the page as screenshots/NAME.png, whole where it is longer than the window."""
    SHOTS.mkdir(exist_ok=True)
    path = SHOTS / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png"
    height = page.evaluate("() => document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0")
    size = page.viewport_size
    if size and height > size["height"]:  # Streamlit scrolls inside the window, so the window must grow
        page.set_viewport_size({"width": size["width"], "height": min(height + 80, 6000)})
        page.wait_for_timeout(300)
        page.screenshot(path=path)
        page.set_viewport_size(size)
    else:
        page.screenshot(path=path)
    return path


def choose(page: Page, label: str, option: str) -> None:
    """Pick `option` of the choice `label`: a row of buttons or a list."""
    row, field = page.get_by_role("radiogroup", name=label), page.get_by_role("combobox", name=label)
    row.or_(field).first.wait_for()
    if row.count():
        row.get_by_role("radio", name=option, exact=True).click()
    else:
        pick(page, field, page.get_by_role("option", name=option, exact=True))
    settle(page)


def pick(page: Page, field: Locator, option: Locator) -> None:
    """Open the list of `field` and click `option`; again, if the page was just being redrawn, which closes a list."""
    for _ in range(5):
        field.click()
        page.wait_for_timeout(300)
        if option.count():
            option.click()
            return
        page.keyboard.press("Escape")
    raise AssertionError(f"{field} offers no {option}")


def enter(page: Page, label: str, value: str) -> None:
    """Type `value` into the number field `label`."""
    field = page.get_by_role("spinbutton", name=label)
    field.fill(value)
    field.press("Enter")
    settle(page)


def visit(page: Page, name: str) -> None:
    """Go to another page by its link in the navigation, as a person does."""
    page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1, name=name).wait_for()
    settle(page)
