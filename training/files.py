"""Files that several processes read and replace: patience where Windows refuses for a moment, advice where the disk does."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

PATIENCE_SECONDS = 1.0  # Windows neither replaces nor opens a file that another process has open just then
_Found = TypeVar("_Found")


def patiently(action: Callable[[], _Found], seconds: float = PATIENCE_SECONDS) -> _Found:
    """What `action` gives, tried again for some time where it is not permitted."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except PermissionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def read_json(path: Path, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """The object in a file; {} where there is no file, or a broken one.  Raises `OSError` where it cannot be read."""
    try:
        found = json.loads(patiently(path.read_bytes, seconds))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def advice(error: OSError) -> str:
    """What may help where a file cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space or choose another folder"
    if isinstance(error, PermissionError):
        return "see who may write there, and that no other program has it open, or choose another folder"
    return "see that the folder is there and can be written, or choose another"
