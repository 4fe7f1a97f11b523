"""The command line: stable answers, exit codes, and a sentence instead of a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import small
from tests.models import make_model
from training import catalogue, data, rundir, toggles
from training.cli import app
from training.spec import SpecError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    return tmp_path


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures under the name "drawn"."""
    info = data.DataInfo("drawn", "Small", 3, 96, 30, 60, (8, 8, 3), True, "here", "")
    monkeypatch.setattr(data, "load", lambda name, validation="stratified": small.dataset(name=name))
    monkeypatch.setattr(data, "load_test", lambda name: small.pictures(60, seed=3))
    monkeypatch.setattr(data, "info", lambda name: info)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one JSON object that the command prints."""
    assert app.main([*arguments, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


# --- What needs no TensorFlow ------------------------------------------------------------------


def test_light_commands_do_not_load_tensorflow() -> None:
    code = "import sys; from training.cli.app import main; main(sys.argv[1:]); print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    for command in (["list"], ["describe", "final"], ["runs"], ["data", "status"], ["fit", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "False False", (command, done.stderr)


def test_list_is_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in answer(capsys, "list")["variants"]}
    assert list(rows) == [*catalogue.names(), *(head.name for head in catalogue.heads())]
    assert rows["basenet"]["macs"] == 614_050 and rows["basenet"]["report"]["accuracy"] == 0.4412
    assert rows["basenet-norm"]["parent"] == "basenet" and rows["basenet"]["models"] == []
    assert app.main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in catalogue.names())


def test_models_are_named_by_their_entry(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    make_model(folder / "models" / "basenet-twin", "basenet")
    assert {row["name"]: row["models"] for row in answer(capsys, "list")["variants"]}["basenet"] == ["basenet-twin"]
    for name, words in (("basenet", "its models that ship are basenet-twin"), ("birds-fc", "train it with: ")):
        assert app.main(["evaluate", name]) == 2
        assert words in capsys.readouterr().err
    for place in ("models", "runs"):
        make_model(folder / place / "final", "final")
    assert app.main(["evaluate", "final"]) == 2
    assert "both called final" in capsys.readouterr().err


def test_a_card_without_validation_stops_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    run = rundir.create(small.spec())
    run.write_card(small.card(figures={"epochs": 3}))
    [row] = answer(capsys, "runs")["runs"]
    assert row["run"] == run.id and row["validation_accuracy"] is None


def test_a_name_that_no_file_can_have_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["describe", "x" * 300]) == 1
    told = capsys.readouterr().err
    assert "File name too long" in told and "Errno" not in told


def test_describe_gives_layers_and_totals(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    found = answer(capsys, "describe", "final")
    assert found["kernel_weights"] == 3_069_024 and found["layers"][0]["output_shape"] == [32, 32, 32]
    file = folder / "mine.json"
    file.write_text(json.dumps(found["spec"]))
    assert answer(capsys, "describe", str(file)) == found
    assert app.main(["describe", "basenet"]) == 0
    assert "24,197 parameters" in capsys.readouterr().out


def test_describe_says_what_a_head_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "describe", "birds-best")["backbone"]["macs"] == pytest.approx(383_907_552 * (288 / 224) ** 2)
    assert app.main(["describe", "birds-finetune-fc"]) == 0
    text = capsys.readouterr().out
    assert "the head alone: " in text and "Its backbone, ResNet50" in text and "trained, too" in text


def test_runs_and_data_status_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "runs") == {"runs": []}
    run = rundir.create(small.spec())
    [row] = answer(capsys, "runs")["runs"]
    assert row["run"] == run.id and row["state"] == "stopped" and row["test_accuracy"] is None
    assert [info["name"] for info in answer(capsys, "data", "status")["data"]] == list(data.NAMES)
    assert app.main(["runs"]) == app.main(["data", "status"]) == 0


# --- Options -----------------------------------------------------------------------------------


def test_every_toggle_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for toggle in toggles.TOGGLES:
        assert f"--{toggle.key.replace('_', '-')}" in text


def test_options_make_the_spec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from training.cli import commands

    asked = []

    def fit(spec: Any, *_: Any) -> dict[str, Any]:
        asked.append(spec)
        return {"run": "r", "state": "finished", "message": "", "figures": None, "directory": "r"}

    monkeypatch.setattr(commands, "fit", fit)
    options = ["--data", "cifar10", "--epochs", "2", "--seed", "7", "--pooling", "average", "--dropout", "0.1,0.1,0.25",
               "--horizontal-flip", "on", "--set", "fit.momentum=0.8", "--set", "batch_norm=all"]  # fmt: skip
    assert app.main(["fit", "basenet-norm-aug-es", *options]) == 0
    base = catalogue.variant("basenet-norm-aug-es").spec
    assert asked == [base.replace({
        "data.name": "cifar10", "network.classes": 10, "fit.epochs": 2, "fit.early_stopping.max_epochs": 2,
        "fit.seed": 7, "network.pooling": "average", "network.dropout": [0.1, 0.1, 0.25],
        "data.augmentation.horizontal_flip": True, "fit.momentum": 0.8, "network.batch_norm": "all",
    })]  # fmt: skip


WRONG = [
    ([], "Usage"),
    (["nothing"], "No such command"),
    (["describe"], "Missing argument"),
    (["describe", "fina"], "Did you mean final"),
    (["describe", "no/such.json"], "cannot be read"),
    (["fit"], "What is to be trained"),
    (["fit", "basenet", "--epochs", "many"], "valid integer"),
    (["fit", "basenet", "--epochs", "0"], "fit.epochs = 0 is not possible"),
    (["fit", "basenet", "--minutes", "nan"], "fit.minutes"),
    (["fit", "basenet", "--seed", "-1"], "fit.seed = -1"),
    (["fit", "basenet", "--data", "imagenet"], "there are cifar100-25"),
    (["fit", "basenet", "--pooling", "median"], "it is one of max, average"),
    (["fit", "basenet", "--dropout", "2,2,2"], "is not possible"),
    (["fit", "basenet", "--dropout", "0.1"], "3 places"),
    (["fit", "basenet", "--set", "fit.speed=9"], "fit.speed is not a field"),
    (["fit", "basenet", "--set", "poling=max"], "Did you mean pooling"),
    (["fit", "basenet", "--set", "momentum"], "FIELD=VALUE"),
    (["fit", "basenet", "--resume"], "--run-dir"),
    (["fit", "--resume", "--run-dir", "x", "--seed", "3"], "takes no changes"),
    (["fit", "basenet", "--queue", "--run-dir", "x"], "exclude each other"),
    (["evaluate", "nothing"], "There is no run"),
    (["evaluate", "basenet"], "no trained model of it"),
    (["predict", "basenet"], "Missing argument"),
    (["predict", "basenet", "x.png", "--top", "0"], "greater than or equal to 1"),
    (["data", "fetch", "imagenet"], "There is no data set"),
    (["ship", "x"], "Missing option"),
    (["birds", "--backbone", "nope"], "There is no backbone 'nope'"),
]


@pytest.mark.parametrize(
    "arguments, words", WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_use_is_2_and_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str, tmp_path: Path
) -> None:
    assert app.main(arguments) == 2
    out, err = capsys.readouterr()
    assert words in out + err and "Traceback" not in out + err
    assert not (tmp_path / "runs").exists(), "wrong use left a run"


def test_other_problems_are_1_and_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = rundir.create(small.spec())
    for arguments, words in (
        (["fit", "basenet"], "-m training data fetch cifar100-25"),
        (["data", "duplicates", "birds"], "another size"),
        (["fit", "basenet", "--data", "drawn", "--run-dir", str(tmp_path / "file" / "run")], "cannot be made"),
        (["fit", "--resume", "--run-dir", str(tmp_path / "none")], "is not a run"),
        (["evaluate", run.id], "let it finish first"),
        (["predict", run.id, "x.png"], "let it finish first"),
        (["export", run.id, "x.keras"], "let it finish first"),
        (["ship", run.id, "--as", "x"], "let it finish first"),
    ):
        assert app.main(arguments) == 1, arguments
        out, err = capsys.readouterr()
        assert words in err and out == "" and len(err.strip().splitlines()) == 1, (arguments, out, err)


def test_pictures_that_do_not_fit_are_told_before_a_run_is_made(pictures: None) -> None:
    from training.preflight import check

    check(small.spec())
    with pytest.raises(SpecError, match="8x8x3 and the network takes 16x16x3"):
        check(small.spec(network__input_shape=[16, 16, 3]))
    with pytest.raises(SpecError, match=r"set network\.classes=3"):
        check(small.spec(network__classes=4))
    with pytest.raises(SpecError, match="it is one of"):
        check(small.spec(data__name="other"))


def test_a_training_that_memory_has_no_room_for_is_told_before_a_run_is_made(
    pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import hardware
    from training.preflight import check

    monkeypatch.setattr(hardware, "memory", lambda: 603 * 10**6)
    check(small.spec())
    with pytest.raises(SpecError, match=r"at least [\d.]+ GB of memory and this machine has 0\.60"):
        check(small.spec(fit__batch_size=4096))


# --- From a spec to an answer ------------------------------------------------------------------


def test_a_network_from_training_to_prediction(
    pictures: None, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    spec, place = folder / "small.json", folder / "run"
    spec.write_text(small.spec().to_json())
    assert app.main(["fit", str(spec), "--run-dir", str(place), "--epochs", "2"]) == 0
    out, _ = capsys.readouterr()
    assert "run: finished." in out and "Validation accuracy" in out
    assert app.main(["fit", str(spec), "--run-dir", str(place)]) == 1
    assert "already holds a run" in capsys.readouterr().err

    tested = answer(capsys, "evaluate", str(place))
    assert tested["data"] == "drawn" and tested["card"] is None and 0 <= tested["test"]["accuracy"] <= 1
    again = answer(capsys, "evaluate", str(place))
    assert again["test"] == tested["test"] and again["card"]["accuracy"] == tested["test"]["accuracy"]
    assert app.main(["evaluate", str(place)]) == 0
    assert "(as in its card)" in capsys.readouterr().out
    both = answer(capsys, "evaluate", str(place), "--flips")["test"]
    assert both["with_flips"]["pictures"] == both["pictures"] and both["with_flips"]["loss"] != both["loss"]
    card = json.loads((place / "card.json").read_text())["figures"]["test"]
    assert {key: card[key] for key in both} == both and app.main(["evaluate", str(place), "--flips"]) == 0
    assert f"with mirror images: accuracy {both['with_flips']['accuracy']:.4f}" in capsys.readouterr().out

    Image.fromarray(small.pictures(1, seed=4)[0][0]).save(folder / "a.png")
    found = answer(capsys, "predict", str(place), str(folder / "a.png"), str(folder / "a.png"), "--top", "2")
    top = found["pictures"][0]["top"]
    assert len(found["pictures"]) == 2 and len(top) == 2 and top[0]["probability"] >= top[1]["probability"]
    assert {entry["class"] for entry in top} <= set(small.CLASSES)
    assert app.main(["predict", str(place), str(folder / "a.png"), str(spec)]) == 1
    assert "small.json" in capsys.readouterr().err
    assert app.main(["predict", str(place), str(folder / "none.png")]) == 1

    assert app.main(["export", str(place), str(folder / "m.keras")]) == 0 and (folder / "m.keras").is_file()
    assert app.main(["export", str(place), str(folder / "no" / "m.keras")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert app.main(["export", str(place), str(folder / "m.h5")]) == 2
    assert "must end in .keras" in capsys.readouterr().err and not (folder / "m.h5").exists()

    calibrated = answer(capsys, "calibrate", str(place))["calibration"]
    assert calibrated["temperature"] > 0 and app.main(["calibrate", str(place)]) == 0
    assert "of its own validation pictures" in capsys.readouterr().out
    assert app.main(["features", str(place)]) == 2
    assert "has no backbone" in capsys.readouterr().err


def test_of_many_pictures_one_is_held_whole_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    from tests.models import make_model
    from training import pictures as reading
    from training.cli import commands

    files = [str(folder / f"{number}.png") for number in range(4)]
    for number, file in enumerate(files):
        Image.new("RGB", (400, 300), (60 * number, 0, 0)).save(file)
    read, kept = reading.read, []

    def counted(content: bytes, name: str) -> Any:
        assert sum(picture() is not None for picture in kept) <= 1
        picture = read(content, name)
        kept.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(reading, "read", counted)
    found = commands.predict(make_model(folder / "model"), files, 1)["pictures"]
    assert [picture["file"] for picture in found] == files and len(kept) == 4
    assert len({picture["top"][0]["probability"] for picture in found}) == 4, "each has its own answer"


def test_a_failed_training_is_1_and_a_sentence(
    pictures: None, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    spec = folder / "wild.json"
    spec.write_text(
        small.spec(fit__learning_rate=10, fit__momentum=1, fit__epochs=60, network__activation="elu").to_json()
    )
    assert app.main(["fit", str(spec), "--run-dir", str(folder / "wild"), "--batch-norm", "off"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "is too high" in err.splitlines()[-1] and "Traceback" not in err


def test_a_run_that_was_stopped_goes_on(
    pictures: None, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.fit import Fitting

    line = Fitting.line

    def stop(self: Fitting, kind: str, **figures: float) -> None:
        line(self, kind, **figures)
        if kind == "epoch":
            self.run_dir.request_stop()
            assert self.stopping.wait(60)

    place, spec, other = (folder / name for name in ("run", "small.json", "other.json"))
    spec.write_text(small.spec(fit__epochs=2).to_json())
    other.write_text(small.spec(fit__epochs=3).to_json())
    with monkeypatch.context() as patch:
        patch.setattr(Fitting, "line", stop)
        assert app.main(["fit", str(spec), "--run-dir", str(place)]) == 1
    out, _ = capsys.readouterr()
    assert "run: stopped." in out and f"fit --resume --run-dir {place}" in out
    assert app.main(["fit", str(other), "--run-dir", str(place), "--resume"]) == 2
    assert "holds a run of another spec" in capsys.readouterr().err
    assert app.main(["fit", "--resume", "--run-dir", str(place)]) == 0
    assert "run: finished." in capsys.readouterr().out
    assert [line["epoch"] for line in rundir.RunDir(place).history() if line["kind"] == "epoch"] == [1, 2]
    assert app.main(["fit", str(spec), "--run-dir", str(place), "--resume"]) == 1
    assert "is finished" in capsys.readouterr().err


def test_a_run_in_the_queue_is_stopped_resumed_and_deleted(
    pictures: None, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.queue import launcher

    monkeypatch.setattr(launcher, "spawn", lambda: None)
    spec = folder / "small.json"
    spec.write_text(small.spec().to_json())
    found = answer(capsys, "fit", str(spec), "--queue")
    run = found["run"]
    assert found["state"] == "queued" and [queued.id for queued in launcher.queue()] == [run]
    assert app.main(["delete", run]) == 1
    assert "is queued; stop it first" in capsys.readouterr().err
    for command, now in (("stop", "stopped"), ("resume", "queued"), ("stop", "stopped"), ("delete", "deleted")):
        assert app.main([command, run]) == 0
        assert capsys.readouterr().out == f"{run}: {now}\n"
    assert launcher.queue() == [] and answer(capsys, "runs") == {"runs": []}
    assert app.main(["resume", run]) == 2
    assert "There is no run" in capsys.readouterr().err


def test_the_command_itself(folder: Path) -> None:
    """`python -m training` as a process: the exit code, and a closed pipe."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", "training"]
    assert subprocess.run([*run, "describe", "nothing"], cwd=ROOT, env=environment, capture_output=True).returncode == 2
    piped = subprocess.run(["sh", "-c", f"{sys.executable} -m training list --json | head -1"], cwd=ROOT, env=environment,
                           capture_output=True, text=True)  # fmt: skip
    assert piped.stdout.strip() == "{" and piped.stderr == ""


def test_duplicates_are_looked_for_and_left_out_by_evaluate(
    pictures: None, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.data import duplicates
    from training.data.duplicates import NearDuplicates, Pair

    assert app.main(["data", "duplicates", "drawn"]) == 1  # pictures of 8x8 here
    assert "another size" in capsys.readouterr().err
    monkeypatch.setattr(duplicates, "FOLDER", folder)
    spec, place = folder / "small.json", folder / "run"
    spec.write_text(small.spec(fit__epochs=1).to_json())
    assert app.main(["fit", str(spec), "--run-dir", str(place)]) == 0
    capsys.readouterr()
    first = answer(capsys, "evaluate", str(place))["test"]
    assert "without_near_duplicates" not in first
    images, labels = data.load_test("drawn")
    found = NearDuplicates("drawn", "made", "0" * 64, duplicates.checksum(images, labels), 0.5, 60, tuple(
        Pair(index, 0, False, 0.9, True) for index in range(20)))  # fmt: skip
    monkeypatch.setattr(duplicates, "find", lambda name, progress: found)
    monkeypatch.setattr(duplicates, "check_size", lambda name, size: None)
    assert app.main(["data", "duplicates", "drawn"]) == 0
    assert "20 of 60 test pictures of drawn (33.3 %)" in capsys.readouterr().out
    rest = answer(capsys, "evaluate", str(place))["test"]["without_near_duplicates"]
    assert rest["pictures"] == 40
    card = json.loads((place / "card.json").read_text())["figures"]["test"]
    assert card["without_near_duplicates"] == rest and {key: card[key] for key in first} == first
    assert app.main(["evaluate", str(place)]) == 0
    text = capsys.readouterr().out
    assert "(as in its card)" in text and "without the 20 that have a near-duplicate" in text
