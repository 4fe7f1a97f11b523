"""A process that trains: how it is known again, and whether it is still there.  No TensorFlow here."""

from __future__ import annotations

import os
import time
from typing import Any


def alive(status: dict[str, Any]) -> bool:
    """Whether the process that wrote `status` is still there; its birth tells it from a later one of the same number."""
    import psutil

    pid, born = status.get("pid"), status.get("process_started")
    try:
        process = psutil.Process(pid)
        same = born is not None and abs(process.create_time() - born) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, TypeError, ValueError):
        return False


def process_identity() -> dict[str, Any]:
    """The fields by which `alive` knows this process again."""
    import psutil

    return {"pid": os.getpid(), "process_started": psutil.Process().create_time(), "heartbeat": time.time()}
