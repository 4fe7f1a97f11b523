"""A command of `python -m training` beside the app, for what takes minutes: its last line while it runs, and how it ended.

It gives way to everything else, and goes on when the app ends.  Of those that load TensorFlow one runs at a time: this
module as a program waits for its turn.  No TensorFlow here before that.
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from contextlib import suppress

import psutil
from filelock import FileLock, Timeout

from training.paths import cache_dir
from training.process import apart, environment

COMPUTING = ("calibrate", "evaluate", "features")


class Job:
    """`python -m training ARGUMENTS`, started at once; raises OSError where it cannot be."""

    def __init__(self, *arguments: str):
        folder = cache_dir() / "jobs"
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / (re.sub(r"[^\w.-]", "_", "-".join(arguments))[-100:] + ".log")
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "training.job", *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment(PYTHONUNBUFFERED="1"), **apart(),
            )  # fmt: skip
        with suppress(psutil.Error):
            low = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 10
            psutil.Process(self._process.pid).nice(low)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it ended with anything but 0; `line` is then its problem."""
        return self._process.poll() not in (None, 0)

    @property
    def line(self) -> str:
        """The last line that it printed, or nothing."""
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        lines = re.split(r"[\n\r\b]", text)  # a progress bar goes back over its own line
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def main() -> None:
    """Run the command of this process's arguments; one that loads TensorFlow, after those that run already."""
    if sys.argv[1] in COMPUTING:
        turn = FileLock(cache_dir() / "jobs" / "turn.lock")
        try:
            turn.acquire(timeout=0)
        except Timeout:
            print("Waits for another command to end", flush=True)
            turn.acquire()
    runpy.run_module("training", run_name="__main__")  # the turn ends with the process


if __name__ == "__main__":
    main()
