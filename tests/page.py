"""A page of the app in Streamlit's own test harness, without a browser."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from pages.shared import again

APP = Path(__file__).resolve().parent.parent / "app.py"


def show(name: str, **query: str | list[str]) -> AppTest:
    """The page `name` with an address, run once.  AppTest runs a page without app.py round it."""
    at = AppTest.from_file(str(APP), default_timeout=150)
    at.switch_page(f"pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    return ran(at)


def design(**query: str) -> AppTest:
    return show("design", **query)


def ran(at: AppTest) -> AppTest:
    """Run once more; no page may end in a traceback."""
    at.run()
    assert not at.exception, at.exception
    return at


def asked(at: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}


def said(at: AppTest) -> str:
    """All that stands on the page outside of widgets."""
    parts = [
        element.value
        for kind in ("markdown", "caption", "code", "info", "warning", "error")
        for element in getattr(at, kind)
    ]
    return "\n".join([*parts, *(element.proto.body for element in at.get("html"))])


def button(at: AppTest, label: str):
    return next(element for element in at.button if label in element.label)


def shown_next(at: AppTest) -> str:
    """The run that the app goes to, in the same visit, after a page has begun it (AppTest runs a page without app.py)."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.session_state[again.BEGUN] = at.session_state[again.BEGUN]
    app.run()
    assert not app.exception
    return str(asked(app)["run"])
