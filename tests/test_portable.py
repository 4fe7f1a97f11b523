"""The engine as programs for XLA: the same arithmetic, fitted by JAX where there is no TensorFlow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests import small
from training import fit, portable, portable_fit, predict, rundir
from training.calibration import cross_entropy
from training.data import DataError
from training.engine.engine import Engine
from training.portable_fit import PortableEngine, Program
from training.rundir import RunDir, RunError
from training.spec import SpecError

FIXED = {"network__dropout": [], "data__augmentation": {}}  # no chance but the order of the pictures
RICH = {"data__augmentation__cutmix": 0.5, "fit__dropout_ramp": 1, "fit__average": 0.9, "fit__label_smoothing": 0.1,
        "fit__weight_decay": 1e-3}  # fmt: skip
SETTINGS = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # to import them is an error
from pathlib import Path
from tests import small
from training import portable_fit, rundir
from training.spec import parse
folder, path = map(Path, sys.argv[1:])
run = rundir.create(parse(portable_fit.read(folder)["spec"]).with_seed(1), path)
portable_fit.fit(run, folder, dataset=small.dataset())
print(run.status()["state"], run.status().get("message"))
"""


@pytest.fixture(autouse=True, scope="module")
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """To compile a program takes longer than all else here."""
    import jax

    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    for name, value in zip(SETTINGS, (str(tmp_path_factory.mktemp("compiled")), 0), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in zip(SETTINGS, before, strict=True):
        jax.config.update(name, value)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_its_steps_and_answers_are_the_engines(optimizer: str, tmp_path: Path) -> None:
    rate = {"fit__optimizer": optimizer, "fit__learning_rate": 0.01 if optimizer == "sgd" else 0.001}
    spec = small.spec(**FIXED, **rate, fit__average=0.9, fit__nesterov=True, fit__weight_decay=1e-3, fit__seed=2)
    portable.write(spec, tmp_path, "cpu", data := small.dataset())
    plain, taken = Engine(spec, data), PortableEngine(spec, data, tmp_path)
    plain.restore(taken.state())
    for step in (0, 3):
        assert taken.train(0, step, 3) == pytest.approx(plain.train(0, step, 3), rel=1e-5)
    for name, value in taken.state().items():
        np.testing.assert_allclose(value, plain.state()[name], rtol=1e-3, atol=1e-5, err_msg=name)
    pictures = data.validation_images, data.validation_labels
    assert taken.evaluate(*pictures) == pytest.approx(plain.evaluate(*pictures), rel=1e-4)
    assert taken.weights().keys() == plain.weights().keys()


def test_it_begins_as_the_engine_does_and_goes_on_from_its_state(tmp_path: Path) -> None:
    spec = small.spec(**RICH)
    portable.write(spec, tmp_path, "cpu", data := small.dataset())
    whole, plain = PortableEngine(spec, data, tmp_path), Engine(spec, data)
    start = plain.weights()
    others = Program(tmp_path / "initial")([np.int32(1)], {})
    for (name, value), other in zip(whole.weights().items(), others, strict=True):
        assert np.ptp(value) == pytest.approx(np.ptp(start[name]), rel=0.2), "of the same spread"
        assert name.endswith("/kernel") != np.array_equal(value, other), "another seed, another start"
    plain.restore(whole.state())
    assert plain.state().keys() == whole.state().keys(), "a checkpoint is the engine's"
    whole.train(0, 0, 4)
    halfway = whole.state()
    expected = whole.train(0, 4, 70)  # more steps than one call has
    again = PortableEngine(spec, data, tmp_path)
    again.restore(halfway)
    assert again.train(0, 4, 70) == expected
    assert all(np.array_equal(a, b) for a, b in zip(again.state().values(), whole.state().values(), strict=True))
    with pytest.raises(ValueError, match="another network"):
        again.restore({})
    with pytest.raises(RunError, match="another spec"):
        PortableEngine(small.spec(), data, tmp_path)
    with pytest.raises(DataError, match="not those of the programs"):
        PortableEngine(spec, replace(data, sha256="1" * 64), tmp_path)


def test_a_teacher_goes_along_also_in_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    run = rundir.create(small.spec(fit__learning_rate=0.1), tmp_path / "runs" / "teacher")
    fit.fit(run, dataset=(data := small.dataset()))
    student = small.spec(**FIXED, fit__teacher="teacher", fit__precision="auto")
    portable.write(student, tmp_path / "taught", "cpu", data)
    half = student.replace({"fit.precision": "bfloat16"})
    plain, alone = Engine(half, data), Engine(half.replace({"fit.teacher": None}), data)
    taught = PortableEngine(student, data, tmp_path / "taught")
    assert (
        taught.precision == "bfloat16" and taught.notes == plain.notes and taught.notes["teacher"]["name"] == "teacher"
    )
    plain.restore(taught.state())
    alone.restore(taught.state())
    own, same, untaught = (engine.train(0, 0, 1)[0] for engine in (taught, plain, alone))
    assert own == pytest.approx(same, rel=0.01) and abs(untaught - own) > 0.02 * own
    with pytest.raises(ValueError, match="has changed"):
        taught.restore({**taught.state(), "teacher": np.zeros(32, np.uint8)})


def test_a_fit_without_tensorflow_leaves_a_run_that_answers(tmp_path: Path) -> None:
    portable.write(
        small.spec(**FIXED, fit__epochs=20, fit__learning_rate=0.05), tmp_path / "programs", "cpu", small.dataset()
    )
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(tmp_path / "programs"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("finished"), done.stdout + done.stderr
    run, data = RunDir(tmp_path / "run"), small.dataset()
    card = run.finished_card()
    assert card["device"].startswith("CPU") and card["spec"]["fit"]["seed"] == 1
    assert "jax" in card["versions"] and "tensorflow" not in card["versions"]
    assert [line["epoch"] for line in run.history() if line["kind"] == "epoch"] == list(range(1, 21))
    accuracy = (predict.load(run).logits(data.validation_images).argmax(1) == data.validation_labels).mean()
    assert accuracy == pytest.approx(card["figures"]["validation"]["accuracy"]) and accuracy > 0.6


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_shares_of_mixed_pictures_are_of_the_same_distribution(alpha: float) -> None:
    ours = np.sort(portable._beta(alpha, 20_000, tf.constant([3, 4])).numpy())
    numpys = np.sort(np.random.default_rng(5).beta(alpha, alpha, 20_000))
    assert np.abs(ours - numpys).max() < 0.03


def test_what_cannot_be_taken_elsewhere_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="only networks from scratch"):
        portable.write(small.spec(data__validation="ordered"), tmp_path, "cpu", small.dataset())
    assert portable.main([str(tmp_path), "birds-fc"]) == 2 and "from scratch" in capsys.readouterr().err
    assert portable.main([str(tmp_path), "basenett"]) == 2 and "basenet" in capsys.readouterr().err
    assert portable.main([str(tmp_path), "basenet", "--set", "normalization=maybe"]) == 2
    assert "normalization" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_fits_stops_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(portable_fit.data, "load", lambda *_: small.dataset())
    spec = small.spec(fit__epochs=1000, fit__early_stopping={"patience": 3, "max_epochs": 400})
    portable.write(spec, folder := tmp_path / "programs", "cpu", small.dataset())
    run = RunDir(tmp_path / "run")
    asked = []

    def stop_after_two(line: dict[str, Any]) -> None:
        asked.append(line["kind"])
        if asked.count("epoch") == 2:
            run.file("stop").touch()
            time.sleep(0.3)  # until the main thread has seen it

    rundir.create(spec, run.path)
    assert portable_fit.fit(run, folder, stop_after_two)["state"] == "stopped"
    done = [line["epoch"] for line in run.history() if line["kind"] == "epoch"]
    assert portable_fit.main([str(folder), str(run.path), "--seed", "1"]) == 2
    assert "another spec or seed" in capsys.readouterr().err
    assert portable_fit.main([str(folder), str(run.path)]) == 0 and "finished" in capsys.readouterr().out
    epochs = [line for line in run.history() if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == list(range(1, len(epochs) + 1)) and len(epochs) > len(done)
    best = min(epochs, key=lambda line: line["val_loss"])
    data = small.dataset()
    logits = predict.load(run).logits(data.validation_images)
    assert cross_entropy(logits, data.validation_labels) == pytest.approx(best["val_loss"], abs=1e-4)
    assert portable_fit.main([str(folder), str(run.path)]) == 2 and "is finished" in capsys.readouterr().err
    assert portable_fit.main([str(tmp_path), str(tmp_path / "new")]) == 2 and not (tmp_path / "new").exists()
    assert "holds no programs" in capsys.readouterr().err
    assert portable_fit.main([str(folder), str(tmp_path / "new"), "--seed", "-1"]) == 2
    assert "fit.seed" in capsys.readouterr().err and not (tmp_path / "new").exists()
