"""A Plumage app of its own for tests: a process on a free port, with its own runs and cache."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
MARK = "PLUMAGE_TEST_APP"  # set for the app and so for all that it starts, so that they can be found and ended


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class App:
    """`streamlit run app.py` with its runs and cache under `folder`.

    `data` is the folder of data sets (`PLUMAGE_DATA`), or None for an app without any.
    """

    def __init__(self, folder: Path, data: str | None = None):
        self.folder, self.data, self.port = folder, data, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """What the app, and each process that it starts, sees."""
        folders = {"PLUMAGE_RUNS": str(self.folder / "runs"), "PLUMAGE_CACHE": str(self.folder / "cache")}
        env = {**os.environ, **folders, MARK: str(self.folder), "PYTHONUNBUFFERED": "1"}
        env.pop("PLUMAGE_DATA", None)
        return env | ({"PLUMAGE_DATA": self.data} if self.data else {})

    def start(self, wait: float = 60) -> App:
        """Start the process and return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true",
                   "--server.address", "127.0.0.1", "--server.port", str(self.port)]  # fmt: skip
        with (self.folder / "app.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment(), stdout=log, stderr=log)
        end = time.monotonic() + wait
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The app did not start:\n{self.log()[-2000:]}")
            time.sleep(0.05)
        return self

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def log(self) -> str:
        return (self.folder / "app.log").read_text(errors="replace")

    def stop(self) -> None:
        """End the app's process only: what it started goes on, as when a person ends the app."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)

    def stop_everything(self) -> None:
        """End the app and every process that was started with its environment: runs, standby and worker."""
        self.stop()
        end_marked(str(self.folder))


def end_marked(mark: str) -> None:
    """Kill all processes whose environment has this mark."""
    ended = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                process.kill()
                ended.append(process)
        except psutil.Error:
            continue  # another user's, or gone
    psutil.wait_procs(ended, timeout=20)
