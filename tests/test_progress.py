"""What a checkpoint keeps of a training's progress: there and back, and refused where it is something else."""

from __future__ import annotations

import json

import pytest

from training.progress import Progress
from training.spec import EarlyStopping, Fit


def test_progress_goes_to_json_and_back() -> None:
    progress = Progress(Fit(), 10)
    progress.add(10, 2.0, 0.5)
    progress.pass_time(3.0)
    progress.best, progress.best_epoch, progress.validated = 1.5, 1, 10
    again = Progress(Fit(), 10)
    again.restore(json.loads(json.dumps(progress.to_json())))
    assert again == progress and (again.loss, again.fraction(), again.global_step()) == (20.0, 1.0, 10)


@pytest.mark.parametrize("wrong", [{"step": "many"}, {"elapsed": None}, {"best": "low"}, {"loss": True}])
def test_what_is_no_progress_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Progress(Fit(), 10).restore(Progress(Fit(), 10).to_json() | wrong)


def test_a_training_ends_with_its_epochs_its_minutes_or_its_patience() -> None:
    assert Progress(Fit(epochs=2), 10, epoch=2).done() and not Progress(Fit(epochs=2), 10, epoch=1, step=9).done()
    late = Progress(Fit(minutes=1), 10, epoch=1, elapsed=60.0)
    assert late.done() and late.seconds_left() == 0 and "The time, 1 minute, was over after 1 of" in late.last_word()
    waited = Progress(Fit(early_stopping=EarlyStopping(patience=3)), 10, epoch=5, best_epoch=2)
    assert waited.done() and "No lower validation loss for 3 epochs" in waited.last_word()
