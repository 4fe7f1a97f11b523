"""A process that trains: how it is known again, whether it is still there, its signals and its log.  No TensorFlow here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from training.paths import ROOT


def alive(status: dict[str, Any]) -> bool:
    """Whether the process that wrote `status` is still there; its birth tells it from a later one of the same number."""
    import psutil

    pid, born, birth = (status.get(name) for name in ("pid", "process_started", "process_birth"))
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if birth is not None and (found := _birth(process.pid)) is not None:
            return bool(birth == found)
        return born is not None and abs(process.create_time() - born) < 2  # a status of before `process_birth`
    except (psutil.Error, TypeError, ValueError):
        return False


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports this package, wherever it is started; `more` is set besides."""
    here = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": here, "PYTHONUTF8": "1", **more}


def apart() -> dict[str, Any]:
    """How `subprocess.Popen` starts a process that Ctrl-C in this one's terminal does not reach, nor the terminal's end."""
    if sys.platform == "win32":  # a window of its own, hidden: one that is seen is closed
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def process_identity() -> dict[str, Any]:
    """The fields by which `alive` knows this process again."""
    import psutil

    born = psutil.Process().create_time()
    return {"pid": os.getpid(), "process_started": born, "process_birth": _birth(os.getpid())}


def _birth(pid: int) -> str | None:
    """The boot and the tick in which a process was born; None where there is no /proc.

    Linux gives the time of day of a birth only by the clock, which may be set while the process lives.
    """
    try:
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
    except (OSError, IndexError):
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{boot}/{int(ticks)}"


@contextmanager
def signals(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stopping` meanwhile; only the main thread may do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Log:
    """A file that is opened for each write, so that a disk that is full only loses the log."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, text: str) -> None:
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(text)


def log_to(path: Path) -> None:
    """Send this process's stdout and stderr to a file, for runs without a terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
