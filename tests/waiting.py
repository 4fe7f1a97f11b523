"""Waiting for what another thread or process is about to do, and never for ever."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str = "it", *, seconds: float = 120) -> None:
    """Wait until `condition` holds; fails, with `what` was waited for, where it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} seconds"
        time.sleep(0.02)
