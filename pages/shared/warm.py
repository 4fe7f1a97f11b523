"""Imports what the charts need in the background, once the first page stands."""

import threading

_started = threading.Event()


def start() -> None:
    """Begin importing pandas (0.6 s, needed by Streamlit's charts) in a thread, once a process."""
    if not _started.is_set():
        _started.set()
        threading.Thread(target=_imports, name="warm imports", daemon=True).start()


def _imports() -> None:
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
