"""What the processor can do decides how it computes."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from training import hardware


@pytest.mark.parametrize(
    ("extensions", "avx2"),
    [({"baseline": ["X86_V2"], "found": ["X86_V3"], "not found": ["X86_V4"]}, True), ({"found": ["X86_V3", "X86_V4"]}, True),
     ({"baseline": ["X86_V2", "X86_V3"]}, True), ({"baseline": ["X86_V2"]}, False), ({"found": ["ASIMDHP"]}, False), (None, False)],
)  # fmt: skip
def test_avx2_is_found_among_numpys_extensions(extensions, avx2, monkeypatch):
    shown = {} if extensions is None else {"SIMD Extensions": extensions}
    monkeypatch.setattr(np, "show_config", lambda mode: shown)
    assert hardware.has_avx2.__wrapped__() is avx2


def test_what_is_freed_is_not_asked_for_again():
    """Page faults of forty arrays of 64 MB, one after another, in a process of its own."""
    if not sys.platform.startswith("linux"):
        pytest.skip("glibc alone is told")
    counted = """
import resource, sys
import numpy as np
from training.engine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 26, np.uint8)
before = faults()
for _ in range(40):
    np.ones(1 << 26, np.uint8)
print(faults() - before)
"""
    kept, plain = (
        int(
            subprocess.run(
                [sys.executable, "-c", counted, how], env=os.environ, capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("keep", "plain")
    )
    if not plain:
        pytest.skip("this C library keeps it anyway")
    assert kept < plain / 10


def _asked(code: str, **told: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | told
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="its kernels are for x86")
def test_tensorflow_takes_its_kernels_for_processors_unless_told_otherwise():
    enabled = "import training.engine.engine; from tensorflow.python.util import _pywrap_util_port as port; print(port.IsMklEnabled())"
    assert _asked(enabled) == "True"
    assert _asked("import training, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])", TF_ENABLE_ONEDNN_OPTS="0") == "0"


@pytest.mark.parametrize(("limit", "told"), [("max", 24), ("2000000000", 2), (None, 24), ("30000000000", 24)])
def test_a_container_has_the_memory_that_it_is_limited_to(limit, told, monkeypatch, tmp_path):
    if limit:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(hardware, "CONTAINER_LIMIT", tmp_path / "memory.max")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=24 * 10**9))
    assert hardware.memory() == told * 10**9
