"""A head on its backbone as a classifier: what `training.predict` asks of a model.

The backbone's map of the last pictures is kept, so that several heads compared on one
picture cost one pass through the backbone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import lru_cache
from typing import Any

import numpy as np

from training import calibration, explain, weights
from training.birds import backbones, heads
from training.rundir import RunDir, RunError
from training.unlike import Unlike

BATCH = 32
KEPT_MAPS = 8  # answers' worth of pictures whose maps are kept


class Extractor:
    """A backbone with its weights: uint8 pictures to float32 maps."""

    def __init__(self, backbone: backbones.Backbone, model: Any):
        import tensorflow as tf

        self.shape = backbone.feature_shape
        self._forward = tf.function(
            lambda pixels: model(backbone.preprocess(heads.enlarged(tf.cast(pixels, tf.float32))), training=False),
            reduce_retracing=True,
        )
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (n, rows, columns, channels) of uint8 (n, size, size, 3), at most `BATCH` pictures."""
        key = hashlib.sha256(np.ascontiguousarray(pixels).data).digest()
        if key not in self._kept:
            self._kept[key] = self._forward(pixels).numpy()
            while len(self._kept) > KEPT_MAPS:
                self._kept.popitem(last=False)
        return self._kept[key]


@lru_cache(maxsize=3)
def _frozen(name: str) -> Extractor:
    backbone = backbones.get(name)
    return Extractor(backbone, backbone.load(backbone.deployed()))


class BirdNetwork:
    """A head and its backbone, as a `training.predict.Classifier`."""

    def __init__(self, run: RunDir):
        import keras

        spec, card = run.spec(), run.card() or {}
        model, self._mean, self._std = weights.load_model(run)
        self.picture_size = int(card["picture_size"])
        report = card.get("calibration") or {}
        self.temperature = float(report.get("temperature", 1.0))
        self.unlike = Unlike.from_dict(report["unlike"]) if report.get("unlike") else None
        self._head = keras.Model(model.input, model.get_layer("output").output)
        self._pooled = len(spec.network.input_shape) == 1
        name = spec.data.backbone or ""
        self._frozen = name if spec.fit.fine_tune == "off" else ""
        if spec.fit.fine_tune != "off":  # its own copy of the backbone, in the same file
            backbone = backbones.get(name)
            trained = backbone.build()
            weights.into(trained, weights.load(run.file("weights.npz"))[0])
            self._extractor = Extractor(backbone, trained)
        else:
            try:
                self._extractor = _frozen(name)
            except backbones.WeightsError as error:
                raise RunError(str(error)) from None

    def _logits(self, maps: Any) -> Any:
        """Logits of maps, both tensors."""
        import tensorflow as tf

        return self._head_logits(tf.reduce_mean(maps, (1, 2)) if self._pooled else maps)

    def _head_logits(self, features: Any) -> Any:
        return self._head((features - self._mean) / self._std, training=False)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (n, classes) for uint8 (n, size, size, 3)."""
        if self._frozen and len(pixels) > BATCH:  # a data set: its features are kept
            backbone = backbones.get(self._frozen)
            stored = heads.extract(backbone, pixels, self._pooled, file=backbone.deployed())
            parts = [self._head_logits(stored[i : i + 512]) for i in range(0, len(pixels), 512)]
            return np.concatenate([part.numpy() for part in parts])
        parts = [
            self._logits(self._extractor.maps(pixels[i : i + BATCH])).numpy() for i in range(0, len(pixels), BATCH)
        ]
        return np.concatenate(parts)

    def classify(self, pixels: np.ndarray) -> tuple[np.ndarray, list[str] | None]:
        """Calibrated probabilities, and for each picture "" or how it is unlike the training pictures."""
        logits = self.logits(pixels)
        flags = self.unlike.flags(pixels, logits) if self.unlike else None
        return calibration.softmax(logits, self.temperature), flags

    def explain(self, pixels: np.ndarray, index: int, method: str) -> np.ndarray:
        """Heat, float32 (size, size), 0 to 1, for class `index` of one picture."""
        import tensorflow as tf

        if method == "grad-cam":
            maps = tf.constant(self._extractor.maps(pixels[None]))
            with tf.GradientTape() as tape:
                tape.watch(maps)
                score = self._logits(maps)[0, index]
            gradients = tape.gradient(score, maps)
            return explain.grad_cam(maps[0].numpy(), gradients[0].numpy(), self.picture_size)
        fill = pixels.mean((0, 1)).astype(np.uint8)
        return explain.occlusion(self.logits, pixels, index, fill)


def load(run: RunDir) -> BirdNetwork:
    """The head of a finished run or a shipped model with its backbone; raises `RunError`."""
    return BirdNetwork(run)
