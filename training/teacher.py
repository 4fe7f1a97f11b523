"""Learning from the answers of a fitted model beside the labels: `fit.teacher`.

The teacher looks at what the student looks at, augmented and mixed pictures included (Beyer et al., "Knowledge
distillation: a good teacher is patient and consistent", 2022), and most of the loss is the cross-entropy with its
answer (Hinton et al., 2015).
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training import weights
from training.data import DataError
from training.registry import find_fitted, models, runs
from training.rundir import RunDir, RunError
from training.transfer.pretrained import sha256

if TYPE_CHECKING:
    from training.data import Dataset
    from training.spec import RunSpec

SHARE = 0.7  # of the loss, what the teacher's answer has; the label has the rest


def of(spec: RunSpec) -> RunDir:
    """The model that the spec names; raises `RunError` where there is none with weights, or one of another task."""
    try:
        run = find_fitted(spec.fit.teacher or "")
        theirs = run.spec()
        weights.present(run)
    except RunError as error:
        raise RunError(f"fit.teacher = {spec.fit.teacher} is not possible: {error}") from None
    own, its = (_task(one) for one in (spec, theirs))
    if own != its:
        raise RunError(f"fit.teacher = {run.id} is not possible: a teacher is {own}; {run.id} is {its}.")
    return run


def candidates(spec: RunSpec) -> list[str]:
    """The models that can teach `spec`: those that ship, by name, then finished runs, the newest first."""
    task, found = _task(spec), []
    for run in (*models(), *runs()):
        with suppress(RunError, OSError):
            if _task_of(run.path, run.file("spec.json").stat().st_mtime) == task:
                weights.present(run)
                found.append(run.id)
    return list(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def _task_of(path: Path, modified: float) -> str:
    """`_task` of a run; `modified` makes a spec that changed be read again.  Design asks at every click."""
    return _task(RunDir(path).spec())


def _task(spec: RunSpec) -> str:
    """What student and teacher must have in common, in words."""
    kind = (
        "a head on a backbone" if spec.data.backbone else f"a network for {spec.network.input_shape[0]}-pixel pictures"
    )
    return f"{kind}, fitted to {spec.data.name} with validation {spec.data.validation}"


class Teacher:
    """The model that the spec names, loaded; it answers in `precision`.

    Raises `RunError` as `of`, and where it was fitted to other pictures than the student's.
    """

    def __init__(self, spec: RunSpec, precision: str, pictures: Dataset):
        from training import predict

        run = of(spec)
        try:
            pictures.check((run.card() or {"data": {}})["data"].get("sha256", ""), run.id)
        except DataError as error:
            raise RunError(f"fit.teacher = {run.id} is not possible: {error}") from None
        self.name = spec.fit.teacher
        self.sha256 = sha256(run.file("weights.npz"))
        self._model, self._precision = predict.load(run), precision

    def loss(self, pixels: Any, logits: Any, own: Any) -> Any:
        """The loss of a student's `logits` for float32 `pixels`, 0 to 255; `own` is the one from the labels."""
        import tensorflow as tf

        answers = tf.stop_gradient(tf.nn.softmax(self._model.answer(pixels, self._precision)))
        taught = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(answers, logits))
        return (1 - SHARE) * own + SHARE * taught

    @property
    def note(self) -> dict[str, Any]:
        """What a card says of it."""
        return {"name": self.name, "sha256": self.sha256}


def signature(notes: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a checkpoint keeps, so that a run goes on with the teacher that it began with; `notes` are a card's."""
    taught = notes.get("teacher")
    return {"teacher": np.frombuffer(bytes.fromhex(taught["sha256"]), np.uint8)} if taught else {}


def check(notes: dict[str, Any], state: dict[str, np.ndarray]) -> None:
    """Raise ValueError where a checkpoint was written with another teacher."""
    for name, value in signature(notes).items():
        if name not in state or not np.array_equal(state[name], value):
            raise ValueError(f"fit.teacher = {notes['teacher']['name']} has changed since this run began; begin anew.")
