"""Measuring a run on the test pictures, in a process of its own: `python -m training evaluate`.

The figures land in the run's card, so a reload, a second tab or a new start of the app finds
them there.  One measurement a run at a time, whoever asks.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class _Job(NamedTuple):
    process: subprocess.Popen[bytes]
    said: IO[bytes]  # its standard error


_jobs: dict[Path, _Job] = {}
_lock = threading.Lock()


def start(run: Path) -> None:
    """Begin to measure the run in directory `run`, unless that is under way already."""
    with _lock:
        job = _jobs.get(run)
        if job and job.process.poll() is None:
            return
        said = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the job)
        command = [sys.executable, "-m", "training", "evaluate", str(run), "--json"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        _jobs[run] = _Job(process, said)


def under_way(run: Path) -> bool:
    """Whether a measurement of this run is going on."""
    job = _jobs.get(run)
    return job is not None and job.process.poll() is None


def problem(run: Path) -> str:
    """The sentence with which the last measurement of this run failed; empty if it did not."""
    job = _jobs.get(run)
    if job is None or not job.process.poll():  # never asked, under way (None), or well (0)
        return ""
    job.said.seek(0)
    lines = job.said.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"It ended with code {job.process.returncode}."
