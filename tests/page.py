"""A page of the app in Streamlit's own test harness, without a browser."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from pages.shared import again

APP = Path(__file__).resolve().parent.parent / "app.py"

# AppTest looks through every installed package for components before each run: half of the time of one.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


def show(name: str, state: dict[str, Any] | None = None, **query: str | list[str]) -> AppTest:
    """The page `name` with an address, `state` in the session, run once.  AppTest runs a page without app.py round it."""
    at = _begun(state, query)
    at.switch_page(f"pages/{name}.py")
    return ran(at)


def design(state: dict[str, Any] | None = None, **query: str) -> AppTest:
    return show("design", state, **query)


def app(state: dict[str, Any] | None = None, **query: str) -> AppTest:
    """The whole app at its first page, run once."""
    return ran(_begun(state, query))


def _begun(state: dict[str, Any] | None, query: dict[str, Any]) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=150)
    for key, value in (state or {}).items():
        at.session_state[key] = value
    at.query_params.update(query)
    return at


def ran(at: AppTest) -> AppTest:
    """Run once more; no page may end in a traceback."""
    at.run()
    assert not at.exception, at.exception
    return at


def away_and_back(at: AppTest, page: str) -> AppTest:
    """By the navigation, which drops the address's parameters."""
    for target in ("home", page):
        at.switch_page(f"pages/{target}.py")
        at.query_params.clear()
        ran(at)
    return at


def back(at: AppTest, **query: str) -> AppTest:
    """By the browser's Back, to an address of before."""
    at.query_params.clear()
    at.query_params.update(query)
    return ran(at)


def asked(at: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}


def said(at: AppTest) -> str:
    """All that stands on the page outside of widgets."""
    parts = [
        element.value
        for kind in ("markdown", "caption", "code", "info", "warning", "error")
        for element in getattr(at, kind)
    ]
    return "\n".join([*parts, html(at)])


def html(at: AppTest) -> str:
    return "\n".join(element.proto.body for element in at.get("html"))


def button(at: AppTest, label: str):
    return next(element for element in at.button if label in element.label)


def shown_next(at: AppTest) -> str:
    """The run that the app goes to, in the same visit, after a page has begun it (AppTest runs a page without app.py)."""
    return asked(app({again.BEGUN: at.session_state[again.BEGUN]}))["run"]
