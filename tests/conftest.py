"""Fixtures for all tests: folders of their own, and an app and a browser for the tests that drive one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import training  # noqa: F401  # it settles TensorFlow's kernels, before a test imports that

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.app import App

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the user's runs or cache, in this process or in one it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("PLUMAGE_RUNS", "PLUMAGE_CACHE"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield


@pytest.fixture(scope="session")
def data() -> str:
    """The folder of real data sets; without one the test is skipped."""
    folder = os.environ.get("PLUMAGE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set PLUMAGE_DATA to the folder of data sets")
    return str(Path(folder).resolve())


@pytest.fixture
def no_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folders of the test's own, no data set but the drawn one, and nothing that trains: what is submitted waits."""
    for variable in ("PLUMAGE_MODELS", "PLUMAGE_RUNS"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    from training.queue import launcher

    monkeypatch.setattr(launcher, "spawn", lambda: None)
    yield tmp_path


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A running app for all tests that do not stop it, with `PLUMAGE_DATA` where that is set."""
    from tests.browser.app import App

    server = App(tmp_path_factory.mktemp("app"), os.environ.get("PLUMAGE_DATA"))
    try:
        yield server.start()
    finally:
        server.stop_everything()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.browser import chromium

    path = chromium.find()
    if not path:
        pytest.skip("needs Chromium or Chrome: `make test` finds or installs one, or says what to install")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=chromium.flags())
        yield started
        started.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """`open_page(url, width=1280, height=800, dark=False)`: a settled page in a browser window of its own.

    The test fails at its end if any of its pages wrote an error to the console.  Of a test
    that failed, what its pages show is saved as screenshots/failed-*.png.
    """
    from tests.browser.page import errors_of, settle, shot

    contexts, errors = [], []

    def open_(url: str, width: int = 1280, height: int = 800, dark: bool = False, wait: bool = True) -> Page:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        errors_of(page, errors)
        page.goto(url)
        if wait:
            settle(page)
        return page

    yield open_
    for number, context in enumerate(contexts):
        if request.node.stash.get(FAILED, False) and context.pages:
            shot(context.pages[0], f"failed-{request.node.name}-{number}")
        context.close()
    assert not errors, "the browser's console has errors:\n" + "\n".join(errors)
