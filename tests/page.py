"""A page of the app in Streamlit's own test harness, without a browser."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

APP = Path(__file__).resolve().parent.parent / "app.py"


def show(name: str, **query: str | list[str]) -> AppTest:
    """The page `name` with an address, run once.  AppTest runs a page without app.py round it."""
    at = AppTest.from_file(str(APP), default_timeout=150)
    at.switch_page(f"pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    return ran(at)


def ran(at: AppTest) -> AppTest:
    """Run once more; no page may end in a traceback."""
    at.run()
    assert not at.exception, at.exception
    return at
