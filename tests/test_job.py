"""A command beside the app: its last line, its end, its problem."""

import psutil
import pytest
from filelock import FileLock

from tests.waiting import until
from training.job import Job


def ended(job: Job) -> Job:
    until(lambda: not job.running)
    return job


def test_a_job_that_ends_well_and_one_that_fails():
    job = Job("describe", "basenet")
    assert psutil.Process(job._process.pid).nice() > 0, "it gives way"
    assert not ended(job).failed and job.line.startswith("basenet: 24,197 parameters")
    failed = ended(Job("describe", "nothing"))
    assert failed.failed and "nothing" in failed.line


@pytest.mark.parametrize(("printed", "line"), [("", ""), ("a\nb\n\n", "b"), ("  1/94\b\b\b\b 50/94\r 94/94", "94/94")])
def test_the_last_line_of_a_log_with_a_progress_bar(printed, line):
    job = ended(Job("data", "status"))
    job._log.write_text(printed)
    assert job.line == line


def test_of_commands_that_compute_one_runs_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path))
    (tmp_path / "jobs").mkdir()
    with FileLock(tmp_path / "jobs" / "turn.lock"):
        waits, goes = Job("evaluate", "nothing"), Job("data", "status")
        until(lambda: waits.line == "Waits for another command to end")
        assert not ended(goes).failed and waits.running
    assert ended(waits).failed and "There is no run" in waits.line
