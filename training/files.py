"""Files that several processes read and replace: in one step, with patience where Windows refuses for a moment and advice
where the disk does."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
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


def write_whole(path: Path, content: bytes | memoryview | str, durable: bool = False) -> None:
    """Replace `path` by `content` in one step: whoever reads it sees all of the old or all of the new.  Raises `OSError`.

    `durable` waits for the disk, so that it holds after a loss of power, too.
    """
    raw = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(raw)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        patiently(lambda: temporary.replace(path))
    except OSError:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's names; where folders cannot be opened, Windows, it does so by itself."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
