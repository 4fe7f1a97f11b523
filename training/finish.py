"""What a training leaves when it ends: the weights, the model for plain Keras, the card, its calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from training import calibration, card, weights
from training.engine import model as networks
from training.rundir import RunDir, RunError

if TYPE_CHECKING:
    from training.data import Dataset
    from training.engine.engine import Engine


def write_model(
    run: RunDir, dataset: Dataset, engine: Engine, elapsed_seconds: float, last_word: Callable[[], None]
) -> str:
    """Write the files of the model that `engine` holds; says what is lacking, "" where nothing is.

    `last_word` is called before the card, from which on the run counts as trained; it raises where
    somebody else has ended the run meanwhile.
    """
    mean, std = engine.mean, engine.std
    weights.save(run.file("weights.npz"), engine.weights(), mean, std)
    model = None if engine.spec.data.backbone else engine.model  # a head alone is of no use; `export` joins them
    if model:
        weights.save_keras(run.file("model.keras"), networks.exportable(engine.spec.network, model, mean, std))
    made = card.make(run, dataset, engine, elapsed_seconds)
    if before := run.card():  # killed after it, the run finishes once more: what was measured meanwhile stands
        made["figures"]["test"] = before["figures"].get("test")
    last_word()
    run.write_card(made)
    if model:
        try:
            calibration.calibrate(run, detection=False, pictures=dataset)
        except RunError as error:  # a finished training is worth more than its temperature
            return f"Its confidence is not calibrated ({error}): python -m training calibrate {run.id}"
    return ""
