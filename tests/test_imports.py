"""Who may import what: training never knows the app, and only what trains or predicts loads TensorFlow."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.app import MARK, end_marked

ROOT = Path(__file__).resolve().parent.parent
TENSORFLOW = {"tensorflow", "keras"}
LIBRARY = sorted((ROOT / "training").rglob("*.py"))
PAGES = sorted([ROOT / "app.py", *(ROOT / "pages").rglob("*.py")])


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules(files: list[Path]) -> list[str]:
    """Dotted names to import; `__main__` apart, since importing that runs it."""
    names = (short(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__") for path in files)
    return [name for name in names if not name.endswith("__main__")]


def loaded_after(code: str, **environment: str) -> set[str]:
    """Top-level packages that a new process has loaded once it ran `code`."""
    code += "\nimport sys; print(); print(*{name.split('.')[0] for name in sys.modules})"
    env = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return set(done.stdout.splitlines()[-1].split())


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=short)
def test_training_imports_nothing_of_the_app(path):
    assert not imported(path) & {"streamlit", "pages", "app", "altair"}


def test_the_command_line_and_the_queue_stand_above_the_engine():
    """Nothing but `python -m training` imports the command line, nor the engine the queue."""
    for path in [*LIBRARY, *PAGES]:
        whole, names = path.read_text(encoding="utf-8"), short(path)
        if not names.startswith(("training/cli/", "training/__main__")):
            assert "from training.cli" not in whole, names
        if names.startswith("training/engine/"):
            assert "from training.queue" not in whole, names


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_pages_hold_no_machine_learning(path):
    assert not imported(path) & {*TENSORFLOW, "torch", "sklearn", "scipy"}


def test_all_of_training_loads_without_tensorflow_or_streamlit():
    """Whatever needs TensorFlow loads it inside the function that uses it."""
    loaded = loaded_after("\n".join(f"import {name}" for name in modules(LIBRARY)))
    assert "training" in loaded
    assert not loaded & {*TENSORFLOW, "streamlit"}


def test_pages_run_without_tensorflow(tmp_path):
    """All pages, run as Streamlit runs them, leave the app's process without TensorFlow."""
    names = [path.stem for path in (ROOT / "pages").glob("*.py") if path.stem != "__init__"]
    code = f"""
from streamlit.testing.v1 import AppTest
test = AppTest.from_file("app.py", default_timeout=120).run()
for name in {names}:
    test.switch_page("pages/" + name + ".py").run()
    assert not test.exception, (name, test.exception)
    assert test.title[0].value
"""
    folders = {"PLUMAGE_RUNS": str(tmp_path / "runs"), "PLUMAGE_CACHE": str(tmp_path / "cache")}
    try:
        loaded = loaded_after(code, **folders, **{MARK: str(tmp_path)})
    finally:
        end_marked(str(tmp_path))
    assert "streamlit" in loaded
    assert not loaded & TENSORFLOW
