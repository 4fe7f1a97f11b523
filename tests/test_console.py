"""What the command line makes of options, and how it shows tables."""

from __future__ import annotations

import pytest

from tests import small
from training import catalogue, paths, registry, rundir
from training.cli import app, console
from training.cli.options import planned


def test_tables_of_markdown_are_aligned():
    text = console.aligned(
        "Before.\n\n| a | effect |\n|---|---|\n| `long name` | 1 |\n| b | +0.1 [-1, 2] |\n\nAfter `b`."
    )
    assert text == "Before.\n\na          effect\nlong name  1\nb          +0.1 [-1, 2]\n\nAfter b."


@pytest.mark.parametrize(
    ("epochs", "settings", "fixed", "most"),
    [
        (2, {}, 2, 2),
        (None, {"epochs": "3"}, 3, 3),
        (None, {"fit.epochs": "3"}, 3, 3),
        (2, {"fit.early_stopping.max_epochs": "9"}, 2, 9),
        (None, {"momentum": "0.8"}, 27, 150),
    ],
)
def test_a_number_of_epochs_is_early_stoppings_most(epochs, settings, fixed, most):
    spec = planned(catalogue.load("basenet-norm-aug-es"), None, epochs, None, None, settings)
    assert (spec.fit.epochs, spec.fit.early_stopping.max_epochs, spec.fit.max_epochs) == (fixed, most, most)


@pytest.fixture
def folders(monkeypatch, tmp_path):
    for place in ("RUNS", "MODELS"):
        monkeypatch.setenv(f"PLUMAGE_{place}", str(tmp_path / place.lower()))


def test_a_model_that_ships_is_no_run(folders, capsys):
    run = rundir.create(small.spec(), paths.models_dir() / "shipped")
    before = sorted(run.path.iterdir())
    for command in ("stop", "resume", "delete"):
        assert app.main([command, "shipped"]) == 2
        assert "shipped is a model that ships, not a run." in capsys.readouterr().err
    assert sorted(run.path.iterdir()) == before


def test_a_misspelt_name_is_told_the_near_ones(folders, capsys):
    run = rundir.create(small.spec())
    assert app.main(["evaluate", run.id + "x"]) == 2
    assert f"Did you mean {run.id}?" in capsys.readouterr().err
    assert app.main(["evaluate", "q"]) == 2
    assert "models/README.md the models" in capsys.readouterr().err
    assert app.main(["fit", "basenet", "--set", "zzz=1"]) == 2
    assert "docs/toggles.md lists them" in capsys.readouterr().err


def test_an_address_reaches_no_folder_by_its_path(folders, tmp_path):
    run = rundir.create(small.spec(), tmp_path / "elsewhere")
    assert registry.find(str(run.path)).path == run.path
    with pytest.raises(rundir.RunError, match="There is no run"):
        registry.find(str(run.path), paths=False)
