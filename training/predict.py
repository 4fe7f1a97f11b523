"""What a trained network says of a picture, and which pixels made it say so.

`choices` lists the models a person can pick and imports no TensorFlow.  `load` builds one
from its spec and weights; `handlers` is what the worker process answers.  A bird model is
one more model, with its own picture size and class names, from `training.transfer.predict`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from training import calibration, explain, unlike
from training.describe import describe, expand
from training.pictures import resize, square
from training.registry import called, find_fitted, models, runs
from training.rundir import RunDir, RunError
from training.spec import RunSpec
from training.transfer import backbones
from training.unlike import Unlike
from training.worker import Handler, Reply

THUMBNAIL = 112  # pixels of a nearest picture
KEPT_MODELS = 8  # loaded at a time; the one unused for longest goes first
BATCH = 250


@dataclass(frozen=True)
class Choice:
    """A model that can answer: what the page shows of it before it is loaded."""

    id: str  # as `training.registry.find_fitted` takes it
    spec: RunSpec
    shipped: bool  # or a run of this machine
    data: str  # the data set's name
    data_title: str
    origin: str  # what the pictures are: "JPEG copy", ...
    class_names: tuple[str, ...]
    picture_size: int
    validation_accuracy: float | None
    test_accuracy: float | None
    calibration: dict[str, Any] | None
    finished: str  # "2026-11-24T22:04:05Z", or empty
    changed: float  # when its weights or its card last changed, Unix seconds

    @property
    def operations(self) -> float:
        """Multiply-adds for one picture, a backbone's included (to its end, whatever the stage)."""
        own = float(describe(self.spec.network).macs)
        if self.spec.data.backbone:
            own += backbones.of(self.spec.data).operations
        return own


def choices() -> list[Choice]:
    """All shipped models and finished runs that have weights; shipped ones first, the best of each first."""
    found = [choice for shipped, group in ((True, models()), (False, runs())) for run in group
             if (choice := _choice(run, shipped)) is not None]  # fmt: skip
    return sorted(found, key=lambda choice: (not choice.shipped, -(choice.validation_accuracy or 0)))


def _choice(run: RunDir, shipped: bool) -> Choice | None:
    if not shipped and run.status()["state"] != "finished":
        return None
    card = run.card()
    if card is None or not run.file("weights.npz").is_file():
        return None
    try:
        spec = run.spec()
        figures, pictures = card["figures"], card["data"]
        return Choice(
            called(run), spec, shipped,
            pictures["name"], pictures["title"], pictures["origin"], class_names(card),
            card.get("picture_size") or spec.network.input_shape[0],
            (figures["validation"] or {}).get("accuracy"), (figures["test"] or {}).get("accuracy"),
            card.get("calibration"), card.get("finished", ""), _changed(run),
        )  # fmt: skip
    except (RunError, KeyError, TypeError, AttributeError):
        return None  # a card of another version, or a broken one: not a model that can be picked


def _changed(run: RunDir) -> float:
    files = (run.file("weights.npz"), run.file("card.json"))
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def class_names(card: dict[str, Any]) -> tuple[str, ...]:
    """The class names of a card, as people write them: "aquarium fish"."""
    return tuple(name.replace("_", " ") for name in card["data"]["classes"])


class Classifier(ABC):
    """A loaded model: a network whose logits become calibrated probabilities, as the model's card says."""

    picture_size: int

    def __init__(self, run: RunDir):
        report = (run.card() or {}).get("calibration") or {}
        self.run, self.temperature = run, float(report.get("temperature", 1.0))
        self.unlike = self._measures(report.get("unlike") or {})

    @abstractmethod
    def answer(self, pixels: Any, precision: str) -> Any:
        """What a teacher says: logits of float32 pixels (n, size, size, 3), 0 to 255, both tensors, also inside a graph.

        Layers compute in `precision`, "float32" or "bfloat16".
        """

    @abstractmethod
    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (n, classes) for uint8 (n, size, size, 3)."""

    @abstractmethod
    def explain(self, pixels: np.ndarray, index: int, method: str) -> np.ndarray:
        """Heat, float32 (size, size), 0 to 1: what in one picture, uint8 (size, size, 3), spoke for class `index`."""

    def classify(self, pixels: np.ndarray) -> tuple[np.ndarray, list[str] | None]:
        """Calibrated probabilities (n, classes), and for each picture "" or how it is unlike the training
        pictures (see `training.unlike`); None where the model has no measure of that."""
        logits = self.logits(pixels)
        return calibration.softmax(logits, self.temperature), self.flags(pixels, logits)

    def _measures(self, tree: dict[str, Any]) -> Any:
        """The measures of the unlike that a card holds; None where it has none."""
        return Unlike.from_dict(tree) if "precision" in tree else None

    def flags(self, pixels: np.ndarray, logits: np.ndarray) -> list[str] | None:
        """How each picture is unlike the training pictures."""
        return self.unlike.flags(pixels, logits) if self.unlike else None

    def fit_unlike(self, train: np.ndarray, validation: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
        """Fit the measures of the unlike to pictures, uint8 (n, size, size, 3), and the validation pictures' logits.

        Gives what the card is to hold of them.
        """
        self.unlike = unlike.fit(train, validation, logits)
        return self.unlike.to_dict()


class Network(Classifier):
    """A network that was trained from scratch, as a `Classifier`."""

    def __init__(self, run: RunDir):
        import keras

        from training import weights
        from training.engine import model as networks

        super().__init__(run)
        spec = run.spec()
        model, self.mean, self.std = weights.load_model(run)
        self.picture_size = spec.network.input_shape[0]
        logits = model.get_layer("output").output
        # The last that was learned: whitening, which is computed, passes no gradient.
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.trainable]
        # Grad-CAM looks at the last convolution after its activation, which stands one or two layers behind it.
        behind = model.layers[model.layers.index(convolutions[-1]) :] if convolutions else []
        activation = next((layer for layer in behind if isinstance(layer, keras.layers.Activation)), None)
        self._layers, self._variables = expand(spec.network), networks.variables(model)
        self._logits = keras.Model(model.input, logits)
        self._features = keras.Model(model.input, [activation.output, logits]) if activation else None

    def answer(self, pixels: Any, precision: str) -> Any:
        from training.engine import model as networks

        weights = networks.cast(self._variables, precision)
        return networks.forward(self._layers, weights, (pixels - self.mean) / self.std)[0]

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        parts = [
            self._logits(self._normalized(pixels[i : i + BATCH]), training=False).numpy()
            for i in range(0, len(pixels), BATCH)
        ]
        return np.concatenate(parts)

    def explain(self, pixels: np.ndarray, index: int, method: str) -> np.ndarray:
        if method == "grad-cam" and self._features is not None:
            import tensorflow as tf

            with tf.GradientTape() as tape:
                features, logits = self._features(self._normalized(pixels[None]), training=False)
                score = logits[0, index]
            gradients = tape.gradient(score, features)
            return explain.grad_cam(features[0].numpy(), gradients[0].numpy(), self.picture_size)
        fill = pixels.mean((0, 1)).astype(np.uint8)  # the picture's own mean colour hides, and adds no edge of its own
        return explain.occlusion(self.logits, pixels, index, fill)

    def _normalized(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels.astype(np.float32) - self.mean) * (1 / self.std)


def load(run: RunDir) -> Classifier:
    """The model of a finished run or a shipped model; raises `RunError`."""
    from training import weights

    weights.present(run)
    if run.spec().data.backbone is None:
        return Network(run)
    from training.transfer.predict import HeadNetwork

    return HeadNetwork(run)


# --- Answering for the worker ------------------------------------------------------------------


def handlers() -> dict[str, Handler]:
    """The worker's operations; TensorFlow is loaded here, before the first request."""
    import keras
    import tensorflow  # noqa: F401

    keras.ops.relu(np.zeros((1, 1), np.float32))  # the first operation starts TensorFlow's threads
    return {"load": _load, "classify": _classify, "explain": _explain, "nearest": _nearest}


_loaded: OrderedDict[tuple[str, float], Classifier] = OrderedDict()


def _model(name: str) -> Classifier:
    """The model called `name`, loaded once, and again when its weights or its card have changed."""
    run = find_fitted(name)
    key = (str(run.path), _changed(run))
    if key not in _loaded:
        _loaded[key] = load(run)
        while len(_loaded) > KEPT_MODELS:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def _pixels(fields: dict[str, Any], data: bytes, classifier: Classifier) -> np.ndarray:
    size = classifier.picture_size
    if len(data) != fields["count"] * size * size * 3:
        raise RunError(f"{fields['model']} takes pictures of {size} x {size} pixels.")
    return np.frombuffer(data, np.uint8).reshape(-1, size, size, 3)


def _load(fields: dict[str, Any], data: bytes) -> Reply:
    classifier = _model(fields["model"])
    classifier.logits(np.zeros((1, classifier.picture_size, classifier.picture_size, 3), np.uint8))
    return {}, b""


def _classify(fields: dict[str, Any], data: bytes) -> Reply:
    classifier = _model(fields["model"])
    start = time.monotonic()
    probabilities, flags = classifier.classify(_pixels(fields, data, classifier))
    return {"flags": flags, "seconds": time.monotonic() - start}, probabilities.astype("<f4").tobytes()


def _explain(fields: dict[str, Any], data: bytes) -> Reply:
    classifier = _model(fields["model"])
    heat = classifier.explain(_pixels(fields, data, classifier)[0], fields["index"], fields["method"])
    return {}, heat.astype("<f4").tobytes()


def _nearest(fields: dict[str, Any], data: bytes) -> Reply:
    """The training pictures nearest to each picture, for a head on a backbone.

    Where their features are not all there yet, no more than {"done", "pictures"}: to compute
    them takes minutes, and is the command `features`.  Else also "labels" and "cosines", lists
    for each picture, and the pictures, uint8 (n, most, THUMBNAIL, THUMBNAIL, 3).
    """
    classifier = _model(fields["model"])
    asked = classifier.features(_pixels(fields, data, classifier))  # type: ignore[attr-defined]
    neighbours = classifier.neighbours  # type: ignore[attr-defined]
    known = neighbours.pictures
    reply = {"done": neighbours.done(), "pictures": len(known.images)}
    if reply["done"] < reply["pictures"]:
        return reply, b""
    nearest, cosines = neighbours.find(asked, fields["most"])
    small = [resize(square(np.asarray(known.images[i])), THUMBNAIL) for i in nearest.ravel()]
    found = {"labels": known.labels[nearest].tolist(), "cosines": cosines.tolist()}
    return reply | found, np.stack(small).tobytes()
