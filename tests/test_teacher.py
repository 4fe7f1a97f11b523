"""A teacher: its answers are most of the loss, the card names it, and a run goes on with the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests import small
from training import fit, predict, rundir, teacher
from training.engine.engine import Engine
from training.rundir import RunDir, RunError
from training.spec import SpecError


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path))
    run = rundir.create(small.spec(fit__learning_rate=0.1), tmp_path / "teacher")
    fit.fit(run, False, lambda line: None, small.dataset())
    return run


def test_its_answers_to_the_same_mixed_pictures_are_most_of_the_loss(model: RunDir) -> None:
    student = small.spec(fit__teacher=model.id, fit__seed=1, data__augmentation__mixup=0.5)
    taught, alone = (Engine(spec, small.dataset()) for spec in (student, student.replace({"fit.teacher": None})))
    x, targets = taught.inputs(np.arange(10), 3)
    assert all(map(np.array_equal, (x, targets), alone.inputs(np.arange(10), 3)))
    pixels = x * taught.std + taught.mean
    assert tf.reduce_min(pixels) >= -0.01 and tf.reduce_max(pixels) > 100, "the teacher gets pixels"
    answers = tf.nn.softmax(predict.load(model).answer(pixels, "float32"))
    logits = tf.constant(np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32))
    cross_entropy = -tf.reduce_mean(tf.reduce_sum(answers * tf.nn.log_softmax(logits), 1))
    expected = teacher.SHARE * cross_entropy + (1 - teacher.SHARE) * alone._loss(x, targets, logits)
    assert float(taught._loss(x, targets, logits)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_it_answers_as_it_classifies(model: RunDir, precision: str, tolerance: float) -> None:
    classifier, pictures = predict.load(model), small.pictures(20, 5)[0]
    answer = classifier.answer(tf.constant(pictures, tf.float32), precision).numpy()
    np.testing.assert_allclose(answer, classifier.logits(pictures), atol=tolerance, rtol=tolerance)


def test_the_card_names_it_and_a_checkpoint_knows_it(model: RunDir, tmp_path: Path) -> None:
    run = rundir.create(small.spec(fit__teacher=model.id, fit__epochs=1), tmp_path / "student")
    assert fit.fit(run, False, lambda line: None, small.dataset())["state"] == "finished"
    engine = Engine(run.spec(), small.dataset())
    assert run.card()["teacher"] == engine.notes["teacher"] and run.card()["teacher"]["name"] == "teacher"  # type: ignore[index]
    state = engine.state()
    Engine(run.spec(), small.dataset()).restore(state)
    file = model.file("weights.npz")
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ValueError, match="has changed since this run began"):
        Engine(run.spec(), small.dataset()).restore(state)
    with pytest.raises(ValueError, match="has changed since this run began"):
        Engine(run.spec(), small.dataset()).restore(Engine(small.spec(), small.dataset()).state())


def test_one_of_other_pictures_or_none_is_a_sentence(model: RunDir) -> None:
    for changes, sentence in (
        ({"fit__teacher": "nobody"}, r"fit\.teacher = nobody is not possible: There is no run and no shipped model"),
        ({"data__name": "cifar10"}, "fitted to cifar10 with .*; teacher is .* fitted to drawn"),
        ({"data__validation": "ordered"}, "with validation ordered; .* validation stratified"),
        ({"network__input_shape": [16, 16, 3]}, "a network for 16-pixel .*; teacher is a network for 8-pixel"),
    ):
        with pytest.raises(RunError, match=sentence):
            teacher.of(small.spec(**{"fit__teacher": model.id} | changes))
    model.file("weights.npz").unlink()
    with pytest.raises(RunError, match="The weights of teacher are not here"):
        teacher.of(small.spec(fit__teacher=model.id))
    with pytest.raises(SpecError, match=r"fit\.teacher"):
        small.spec(fit__teacher="../x")


def test_one_that_was_fitted_to_another_copy_of_the_pictures_is_refused(model: RunDir) -> None:
    spec, others = small.spec(fit__teacher=model.id), replace(small.dataset(), sha256="1" * 64)
    with pytest.raises(
        RunError, match=r"fit\.teacher = teacher is not possible: .* may have learned from some of these"
    ):
        Engine(spec, others)
    model.change_card(lambda card: card["data"].pop("sha256"))
    Engine(spec, others)  # a card of before does not say
