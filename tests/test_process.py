"""A process is known again, whatever the clock does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from training.process import alive, process_identity

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere a birth is noted by the kernel")


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is set an hour ahead after the identity was written: on Linux all births seem to move along."""
    born = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: born(self) + 3600)


@linux
def test_a_process_lives_on_when_the_clock_is_set(request: pytest.FixtureRequest) -> None:
    identity = process_identity()
    request.getfixturevalue("stepped")
    assert alive(identity)


@linux
def test_the_number_alone_is_not_the_process() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not alive(process_identity() | {"pid": other.pid})
    other.communicate(b"\n")


def test_a_status_without_a_birth_is_read_as_before() -> None:
    identity = process_identity()
    del identity["process_birth"]
    assert alive(identity)
    assert not alive(identity | {"process_started": identity["process_started"] - 100})


@pytest.mark.parametrize("damage", [{"pid": "x"}, {"pid": None}, {"pid": -1}, {"process_birth": 3}])
def test_what_damage_left_is_no_process(damage: dict[str, object]) -> None:
    assert not alive({"pid": os.getpid(), "process_birth": "x", "process_started": "y"} | damage)
