"""The Classify page: with models and without, addresses, pictures of all kinds, and never a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.shared import answers, controls, jobs, pictures, sources
from pages.shared import models as model_choice
from tests import small
from tests.models import make_model
from tests.page import away_and_back, back, html, ran
from tests.page import show as show_page
from tests.waiting import until
from training import catalogue, data, paths, predict, registry, rundir
from training.pictures import MAX_BYTES, Crop, resize
from training.pictures import read as pictures_read
from training.queue import launcher

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.timeout(600)  # the first that needs the worker waits until that has loaded


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory):
    """Folders of models and runs of these tests' own, no data sets but the drawn one, and the worker ended after."""
    folders = [tmp_path_factory.mktemp(name) for name in ("models", "runs")]
    with pytest.MonkeyPatch.context() as patch:
        for variable, folder in zip(("PLUMAGE_MODELS", "PLUMAGE_RUNS"), folders, strict=True):
            patch.setenv(variable, str(folder))
        patch.delenv("PLUMAGE_DATA", raising=False)
        patch.setattr("psutil.Process.nice", lambda *_: None)  # commands that give way would take minutes beside others
        answers.worker().timeout = 200  # seconds, as other things besides may keep the machine busy
        yield folders
        answers.worker().close()
        answers.worker.clear()


@pytest.fixture
def models(places):
    """One shipped model and one run, and a worker that has loaded; what a test adds to them goes with it."""
    shipped, run = places[0] / "shipped", places[1] / "basenet-bn-1"
    if not shipped.exists():
        make_model(shipped, "basenet", 1)
        make_model(run, "basenet-bn", 2)
    answers.worker().request("load", model="shipped")
    yield
    for folder in (*places[0].iterdir(), *places[1].iterdir()):
        if folder.is_dir() and folder not in (shipped, run):
            shutil.rmtree(folder)


@pytest.fixture
def other_places(tmp_path, monkeypatch):
    """Empty folders of models and runs, of which the worker, that all tests share, learns nothing."""
    for variable in ("PLUMAGE_MODELS", "PLUMAGE_RUNS"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setattr(answers, "prepare", lambda chosen: None)


def show(state: dict | None = None, **query: str | list[str]) -> AppTest:
    """The page, run once."""
    return show_page("classify", state, **query)


def ended(command: tuple[str, ...]) -> None:
    """Wait until a command that was started by a button has ended."""
    job = jobs.started()[command]
    until(lambda: not job.running, f"the end of {' '.join(command)}", seconds=200)


def answered(at: AppTest, wrong: int = 0) -> AppTest:
    """Run once more; a sentence for each file that is `wrong`, and none on why there is no answer."""
    ran(at)
    assert len(at.error) == wrong, [error.value for error in at.error]
    return at


def dropped(at: AppTest, *files: tuple[str, bytes], wrong: int = 0) -> AppTest:
    """The page after these files were dropped in."""
    at.file_uploader(key="uploads").set_value([(name, data, "image/png") for name, data in files])
    return answered(at, wrong)


def clicked(at: AppTest, *samples: str) -> AppTest:
    """The page after these drawn samples, and no others, were clicked."""
    at.pills(key="sample-drawn").set_value(list(samples))
    return answered(at)


def png(seed: int = 0, size: tuple[int, int] = (50, 40)) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_without_a_model_it_says_what_to_do_and_still_shows_what_a_network_would_see(other_places):
    at = show()
    assert "No model is trained yet" in at.info[0].value
    assert [link.proto.label for link in at.get("page_link")] == ["Train a first network"]
    assert not at.multiselect
    dropped(at, ("a.png", png()))
    assert "32 × 32 pixels" in html(at)


def test_samples_are_answered_by_every_chosen_model(models):
    at = show()
    at.multiselect(key="models").set_value(["shipped", "basenet-bn-1"]).run()
    clicked(at, "sdrawn0", "sdrawn2")
    page = html(at)
    assert page.count('class="tops') == 4 and page.count("<li>") == 4 * 5
    assert page.count("<figcaption>Orange spoke for") == 4
    shares = [float(part.split(" %")[0]) for part in page.split('class="value">')[1:]]
    assert all(shares[i] >= shares[i + 1] for i in range(0, 4))  # the likeliest first
    assert list(np.atleast_1d(at.query_params["model"])) == ["shipped"]
    assert list(np.atleast_1d(at.query_params["run"])) == ["basenet-bn-1"]


def test_clicked_samples_and_no_explanation_come_back_with_the_page(models):
    at = clicked(show(), "sdrawn0", "sdrawn2")
    at.segmented_control(key="method-3").set_value("off").run()
    assert html(at).count('class="tops') == 2
    away_and_back(at, "classify")
    assert at.pills(key="sample-drawn").value == ["sdrawn0", "sdrawn2"] and html(at).count('class="tops') == 2
    assert at.segmented_control(key="method-3").value == "off"


def test_dropped_pictures_come_back_with_the_page_until_they_are_removed(models):
    at = away_and_back(dropped(show(), ("mine.png", png(1))), "classify")
    assert "mine.png" in html(at) and html(at).count('class="tops') == 1
    at = dropped(at, ("other.png", png(2)))
    assert html(at).count('class="tops') == 2
    at.button(key="remove-before").click().run()
    assert "mine.png" not in html(at) and html(at).count('class="tops') == 1


def test_pictures_of_before_that_find_no_room_are_told(models):
    at = dropped(show(model="shipped"), *((f"{number}.png", png(number)) for number in range(50, 62)))
    assert not at.warning
    at = dropped(away_and_back(at, "classify"), ("new.png", png(99)))
    assert "new.png" in html(at) and "61.png" not in html(at) and "first 12" in at.warning[0].value


def test_no_more_pictures_are_read_than_are_shown(models, monkeypatch):
    seen = []
    monkeypatch.setattr(sources, "read", lambda content, name: seen.append(name) or pictures_read(content, name))
    at = dropped(show(model="shipped"), *((f"{number}.png", png(number)) for number in range(100, 120)))
    assert len(seen) == sources.MOST and "first 12" in at.warning[0].value


def test_what_an_address_or_a_file_is_called_is_no_markdown(models):
    at = show(model="![p](https://elsewhere/p.png)")
    assert r"\!\[p\](https\://elsewhere/p.png)" in at.warning[0].value
    dropped(at, ("[a](b).png", b"no picture"), wrong=1)
    assert at.error[0].value.startswith(r"\[a\](b).png ")


@pytest.mark.parametrize("held", [["a"], ["a", "b"], ["b", "a"], ["a", "c", "d", "e"]])
def test_a_model_is_added_once_however_often_it_is_clicked(held, monkeypatch):
    monkeypatch.setattr(model_choice.st, "session_state", {"models": held})
    for _ in range(2):
        model_choice.add("b")
    chosen = model_choice.st.session_state["models"]
    assert chosen[-1] == "b" and len(chosen) == len(set(chosen)) <= model_choice.MOST


def test_runs_that_are_called_alike_are_told_apart(models):
    choice = next(choice for choice in predict.choices())
    alike = [replace(choice, id=name, shipped=False, finished="2026-01-02T03:04:05Z") for name in ("one", "two")]
    words = model_choice.options([*alike, choice])
    assert len(set(words.values())) == 3 and words["one"].endswith(" · one") and words["two"].endswith(" · two")


def test_uploads_of_all_kinds_answers_beside_sentences(models):
    at = dropped(show(), ("good.png", png(1)), ("cut.png", png(2)[:90]), ("IMG.heic", b"\0\0\0\x18ftypheic" + bytes(60)),
                 ("notes.txt", b"hello"), ("x<script>alert(1)</script>.png", png(3)), wrong=3)  # fmt: skip
    errors = [error.value for error in at.error]
    assert errors[0].startswith("cut.png ") and "HEIC" in errors[1] and errors[2].startswith("notes.txt ")
    assert html(at).count('class="tops') == 2
    assert "<script>" not in html(at)


def test_the_table_to_download(models):
    from pages.shared.answers import Answer
    from training import predict

    at = dropped(show(model="shipped"), ("=danger.png", png(1)))
    assert at.get("download_button")
    namespace = run_page_functions()
    choice = next(choice for choice in predict.choices() if choice.id == "shipped")
    answer = Answer(np.linspace(0, 1, 25), None)
    item = namespace["Item"]("k", "=danger.png", np.zeros((4, 4, 3), np.uint8), "")
    rows = list(csv.DictReader(io.StringIO(namespace["table"](list(namespace["_rows"](choice, item, answer))))))
    assert [row["class"] for row in rows] == [f"class {index}" for index in (24, 23, 22, 21, 20)]
    assert rows[0]["picture"] == "'=danger.png" and rows[0]["rank"] == "1" and rows[0]["calibrated"] == "False"


def test_the_address_chooses_and_wrong_ones_get_a_sentence(models):
    at = show(run="basenet-bn-1", model="nowhere")
    assert at.multiselect(key="models").value == ["basenet-bn-1"]
    assert "'nowhere', which is not here" in at.warning[0].value


def test_the_models_are_chosen_still_after_another_page(models):
    at = away_and_back(show(run="basenet-bn-1"), "classify")
    assert at.multiselect(key="models").value == ["basenet-bn-1"]
    assert list(np.atleast_1d(at.query_params["run"])) == ["basenet-bn-1"]


def test_the_browsers_back_is_followed(models, monkeypatch):
    monkeypatch.setattr(controls, "SETTLED_SECONDS", 0)
    at = show(run="basenet-bn-1")
    at.multiselect(key="models").set_value(["shipped"]).run()
    assert "run" not in at.query_params
    assert back(at, run="basenet-bn-1").multiselect(key="models").value == ["basenet-bn-1"]


def test_of_an_address_with_more_models_than_fit_side_by_side_the_first_answer(monkeypatch):
    monkeypatch.delenv("PLUMAGE_MODELS")  # what ships
    monkeypatch.setattr(answers, "prepare", lambda chosen: None)
    names = [choice.id for choice in predict.choices()][: model_choice.MOST + 1]
    at = show(model=names)
    assert at.multiselect(key="models").value == at.query_params["model"] == names[:4] != names


@pytest.mark.parametrize(
    ("chosen", "ways", "told"),
    [("birds-best", ["Grad-CAM", "Off"], False), ("plumage", ["Grad-CAM", "Covering parts", "Off"], False),
     (["birds-best", "plumage"], ["Grad-CAM", "Covering parts", "Off"], True)],
)  # fmt: skip
def test_what_spoke_for_an_answer_is_asked_for_as_the_models_can_say_it(monkeypatch, chosen, ways, told):
    monkeypatch.delenv("PLUMAGE_MODELS")  # what ships
    monkeypatch.setattr(answers, "prepare", lambda chosen: None)
    at = show(model=chosen)
    (control,) = (c for c in at.segmented_control if c.label == "What spoke for the answer")
    assert list(control.options) == ways
    assert any("for models on a pretrained network" in caption.value for caption in at.caption) == told


def test_samples_that_no_chosen_model_knows_are_said_before_the_click_and_one_that_does_is_offered(models):
    make_model(paths.models_dir() / "photographs", "basenet", 1)
    card = registry.find("photographs").card()
    registry.find("photographs").write_card({**card, "data": {**card["data"], "name": "cifar10"}})
    spec = catalogue.variant("basenet").spec.replace({"data.name": "cifar10"})
    registry.find("photographs").file("spec.json").write_text(spec.to_json())
    at = show(model="photographs")
    assert "their answers to these are guesses" in at.info[0].value
    at.button(key="ask-drawn").click().run()
    chosen = at.multiselect(key="models").value
    assert len(chosen) == 2 and chosen[0] == "photographs" and not at.exception
    assert not [info for info in at.info if "guesses" in info.value]
    clicked(at, "sdrawn0")
    facts = [part for part in html(at).split("<") if "knows only" in part]
    assert len(facts) == 2 and "drawn" in facts[0].lower(), facts  # of a sample's models its own answers first


def test_while_nearest_pictures_are_computed_it_says_so(models, monkeypatch):
    from pages.shared import panels

    choice = next(choice for choice in predict.choices() if choice.id == "shipped")

    def not_yet(*_):
        raise answers.NotYet(3, 10)

    monkeypatch.setattr(answers, "nearest", not_yet)
    seen = [np.zeros((32, 32, 3), np.uint8)]
    assert "3 of 10" in panels._like(choice, seen)[0] and "button" in panels._like(choice, seen)[0]
    monkeypatch.setitem(jobs.started(), ("features", "shipped"), SimpleNamespace(running=True))
    assert "are being computed" in panels._like(choice, seen)[0] and "button" not in panels._like(choice, seen)[0]


def test_one_number_says_how_large_a_picture_may_be(models):
    assert show().file_uploader(key="uploads").proto.max_upload_size_mb == MAX_BYTES // 2**20


def test_of_models_that_validation_cannot_tell_apart_the_quickest_is_chosen_at_first():
    from dataclasses import replace

    from pages.shared.models import _best

    large, small = (catalogue.variant(name).spec for name in ("provisional", "final"))
    first = predict.Choice("large", large, True, "cifar100-25", "", "", (), 32, 0.800, None, None, "", 0.0)
    second = replace(first, id="small", spec=small, validation_accuracy=0.795)
    assert _best([first, second]) == ["small"]
    assert _best([first, replace(second, validation_accuracy=0.78)]) == ["large"], "more than one standard error"
    assert _best([first, replace(second, shipped=False)]) == ["large"]


def test_heads_on_one_backbone_are_chosen_together():
    """Alone the small one would be quicker; beside a head that needs the large backbone anyway, its like is."""
    from dataclasses import replace

    from pages.shared.models import _best

    head = catalogue.variant("cifar-fc-basic").spec
    large, small = (
        head.replace({"data.backbone": "resnet50v2-tuned"}),
        head.replace({"data.backbone": "efficientnet-lite0"}),
    )
    first = predict.Choice("large", large, True, "cifar100-25", "", "", (), 32, 0.86, None, None, "", 0.0)
    second = replace(first, id="small", spec=small)
    other = replace(first, id="other", data="cifar10")
    assert _best([first, second]) == ["small"]
    assert _best([first, second, other]) == ["large", "other"]


def test_samples_of_the_model_s_own_pictures_are_offered_first(models, monkeypatch) -> None:
    others = [replace(data.info("cifar100-25"), available=True), data.info("drawn")]
    monkeypatch.setattr(data, "status", lambda: others)
    at = show(model="shipped")
    assert at.segmented_control(key="source").value == "drawn"


def test_a_run_that_has_not_finished_is_said(models):
    from training import catalogue

    run = rundir.create(catalogue.variant("basenet").spec)
    at = show(run=run.id)
    assert at.warning[0].value.startswith(f"{run.id} is {run.status()['state']}: it can classify when it has finished")
    assert any("1 unfinished run not in the list" in element.value for element in at.caption)


def test_a_picture_unlike_the_training_pictures_is_flagged(models, monkeypatch):
    from training import unlike

    rng = np.random.default_rng(0)
    grey = rng.normal(128, 3, (300, 32, 32, 3)).clip(0, 255).astype(np.uint8)
    measures = unlike.fit(grey, grey, rng.normal(0, 1, (300, 25)))
    report = {
        "temperature": 1.5, "pictures": 300, "ece": {"before": 0.2, "after": 0.1}, "loss": {"before": 2.0, "after": 1.9},
        "unlike": {**measures.to_dict(), "false_alarms": 0.05, "detection": {"cifar10": {"share": 0.5, "pictures": 9}}},
    }  # fmt: skip
    make_model(paths.models_dir() / "grey", "basenet", 3, report)
    at = dropped(show(model="grey"), ("loud.png", png(1)))
    assert "the picture's colours and textures are not those" in html(at) and "tops doubtful" in html(at)
    words = "\n".join(element.value for element in at.markdown)
    assert "temperature 1.50" in words and "50 % of CIFAR-10" in words and "5.0 % of its own" in words


def test_a_run_is_calibrated_by_a_click(models):
    """On the drawn pictures, for real: the card has it, and the next answer uses it."""
    make_model(paths.runs_dir() / "raw", "basenet", 4)
    at = dropped(show(run="raw"), ("a.png", png(5)))
    assert "Not calibrated" in "".join(element.value for element in at.markdown)
    at.button(key="calibrate-raw").click().run()
    ended(("calibrate", "raw"))
    at.run()
    assert not at.exception and not at.error
    report = registry.find("raw").card()["calibration"]
    assert report["unlike"]["false_alarms"] == pytest.approx(0.05, abs=0.01)
    assert f"temperature {report['temperature']:.2f}" in "".join(element.value for element in at.markdown)
    assert "Not calibrated" not in "".join(element.value for element in at.markdown)


def test_a_model_that_ships_without_weights_is_offered_with_its_figures(models, monkeypatch):
    monkeypatch.setattr(launcher, "spawn", lambda: None)
    place = paths.models_dir() / "birds-large" / "seed-0"
    place.mkdir(parents=True)
    (place / "spec.json").write_text(
        catalogue.variant("basenet").spec.replace({"data.name": "drawn", "fit.seed": 77}).to_json()
    )
    tested = {"loss": 1.5, "accuracy": 0.583, "pictures": 60}
    (place / "card.json").write_text(json.dumps(small.card(figures={"test": tested}, wall_seconds=1500.0)))
    at = show()
    again = at.button(key="again-birds-large")
    assert again.label == "Train birds-large again · 58.3 % of test pictures right · took 25 min"
    again.click().run()
    assert not at.exception and registry.runs()[0].status()["state"] == "queued"


def test_resnet50_is_offered_with_its_time_and_its_missing_weights_are_a_sentence(models, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n\ndef nothing(*_, **__):\n    raise OSError('no network')\n\nsocket.getaddrinfo = nothing\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))
    at = show()
    words = "\n".join(element.value for element in at.markdown)
    assert re.search(r"about \d+ (h|d) .*on this machine", words)
    command = ("birds", "--backbone", "resnet50", "--queue")
    at.button(key="-".join(command)).click().run()
    ended(command)
    at.run()
    jobs.started().pop(command)
    assert re.search("The ImageNet weights of ResNet50 could not be downloaded .*no network", at.error[0].value)
    assert not [run for run in registry.runs() if "resnet50" in run.id]


def test_a_head_that_is_trained_already_is_not_offered(models, monkeypatch):
    from training.transfer import everything
    from training.transfer.backbones import RESNET50

    key = "birds---backbone-resnet50---queue"
    run = rundir.create(everything.adapted("birds-fc", RESNET50), paths.runs_dir() / "birds-fc-resnet50", queued=True)
    monkeypatch.setattr("training.queue.launcher.spawn", lambda: None)
    at = show()
    assert "being trained" in "".join(element.value for element in at.markdown)
    assert key not in [button.key for button in at.button]
    run.write_status(state="stopped")
    assert key in [button.key for button in show().button]


def test_present_mode_keeps_the_answers_and_leaves_the_rest_out(models):
    at = dropped(show({"present": True}, model="shipped"), ("a.png", png()))
    assert 'class="tops' in html(at)
    assert not at.get("download_button") and [box.label for box in at.expander] == ["Pictures and models"]


def test_presented_what_was_chosen_is_folded_away_as_long_as_there_is_any(other_places):
    def folded(at):
        return not at.expander[0].proto.expanded

    at = show({"present": True})
    assert not folded(at)
    assert folded(clicked(at, "sdrawn0")) and folded(away_and_back(at, "classify"))
    assert not folded(clicked(at))
    assert folded(dropped(at, ("a.png", png()))) and folded(away_and_back(at, "classify")) and folded(ran(at))
    at.button(key="remove-before").click()
    assert not folded(ran(at))


def test_the_worker_may_die_between_two_clicks(models):
    at = dropped(show(model="shipped"), ("a.png", png(7)))
    os.kill(answers.worker().pid, signal.SIGKILL)
    dropped(at, ("b.png", png(8)))
    assert html(at).count('class="tops') == 1


def test_frames_become_squares_inside_the_picture():
    from pages.shared.pictures import _crop

    assert _crop({}, 400, 300, Crop()).box(400, 300) == (50, 0, 300)
    assert _crop({"x": [0.0, 0.25], "y": [0.0, 0.2]}, 400, 300, Crop()).box(400, 300) == (0, 0, 100)
    assert _crop({"x": [0.75, 1.0], "y": [1.0, 0.9]}, 400, 300, Crop()).box(400, 300) == (300, 200, 100)
    click = {"x": [0.5, 0.5], "y": [0.5, 0.5]}
    assert _crop(click, 400, 300, Crop()).box(400, 300) == (50, 0, 300)  # centred again


def test_sliders_set_the_frame(other_places):
    """Whoever cannot drag: the size, then the place; what a network sees is cut there."""
    photo = png(5, (400, 300))
    at = dropped(show(), ("photo.png", photo))
    size, across, down = at.slider
    assert (size.value, across.value, down.value) == (100, 50, 50) and down.disabled and not across.disabled
    size.set_value(50).run()
    at.slider[1].set_value(0).run()
    at.slider[2].set_value(90).run()
    assert not at.exception, at.exception
    assert [slider.value for slider in at.slider] == [50, 19, 75]  # as far as the frame can go
    pixels = np.asarray(Image.open(io.BytesIO(photo)))
    assert pictures.address(resize(pixels[150:, :150], 32)) in html(at)


def run_page_functions() -> dict[str, object]:
    """The page's own functions, without drawing it."""
    source = (ROOT / "pages" / "classify.py").read_text()
    namespace: dict[str, object] = {"__name__": "classify"}
    exec(compile(source.partition("with controls.kept(")[0], "classify.py", "exec"), namespace)
    return namespace


def test_a_changed_design_that_ships_is_called_by_its_own_name():
    def called(shipped, **changes):
        spec = catalogue.load("basenet").replace(changes)
        return model_choice.title(SimpleNamespace(spec=spec, shipped=shipped, id="wide", finished=""))

    assert called(True) == "basenet" and called(False) == "basenet, wide"
    assert (
        called(True, **{"network.width": 2}) == "wide"
        and called(False, **{"network.width": 2}) == "basenet, changed, wide"
    )
