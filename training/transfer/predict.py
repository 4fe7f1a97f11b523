"""A head on its backbone as a classifier: what `training.predict` asks of a model.

The backbone's maps of the last pictures are kept, so that several heads compared on a
picture, and what spoke for their answers, cost one pass through the backbone.
"""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from training import explain, predict, weights
from training.rundir import RunDir, RunError
from training.transfer import backbones, features, folded, heads, pretrained
from training.transfer.neighbours import Neighbours
from training.unlike import Subspace, fit_subspace

BATCH = 32
KEPT_MAPS = 2 * BATCH  # pictures whose maps are kept


class Extractor:
    """A backbone with its weights: uint8 pictures to float32 maps.  `key` names the weights."""

    def __init__(self, backbone: backbones.Backbone, model: Any, key: str):
        self._backbone, self._model, self._key = backbone, model, key
        self._graphs: dict[int, Any] = {}  # one for each size of pictures, for any number of them: traced once
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def network(self, pixels: Any, precision: str = "float32") -> Any:
        """float32 maps of float32 pixels, both tensors; the convolutions compute in `precision`."""
        import tensorflow as tf

        maps = folded.forward(self._model, precision)
        return tf.cast(maps(self._backbone.preprocess(heads.enlarged(pixels, self._backbone.size))), tf.float32)

    def _forward(self, pixels: np.ndarray) -> Any:
        import tensorflow as tf

        size = pixels.shape[1]
        if size not in self._graphs:
            signature = [tf.TensorSpec((None, size, size, 3), tf.uint8)]
            self._graphs[size] = tf.function(
                lambda x: self.network(tf.cast(x, tf.float32)), input_signature=signature, autograph=False
            )
        return self._graphs[size](pixels)

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (n, rows, columns, channels) of uint8 (n, size, size, 3), at most `BATCH` pictures."""
        keys = [hashlib.sha256(np.ascontiguousarray(picture).data).digest() for picture in pixels]
        if new := [place for place, key in enumerate(keys) if key not in self._kept]:
            for place, found in zip(new, self._forward(pixels[new]).numpy(), strict=True):
                self._kept[keys[place]] = found
        maps = np.stack([self._kept[key] for key in keys])
        while len(self._kept) > KEPT_MAPS:
            self._kept.popitem(last=False)
        return maps

    def store(self, pictures: np.ndarray, pooled: bool) -> dict[str, Any]:
        """What names the store of a data set's features."""
        key = heads.store_key(self._backbone, self._key, pooled)
        return {"pictures": pictures, "shape": heads.shape(self._backbone, pooled), "key": key}

    def stored(self, pictures: np.ndarray, pooled: bool, progress: features.Progress | None = None) -> np.ndarray:
        """Features of a data set, uint8 (n, size, size, 3), from the store or computed now; float16, memory-mapped."""
        import tensorflow as tf

        network = (lambda pixels: tf.reduce_mean(self.network(pixels), (1, 2))) if pooled else self.network
        return features.extract(make=lambda: network, progress=progress, **self.store(pictures, pooled))


def _shared(backbone: backbones.Backbone) -> Extractor:
    """A backbone with the weights that it ships with, held once for all heads on it."""
    file = backbone.deployed()
    return _held(backbone.name, backbone.size, backbone.stage, file, backbone.key(file))


@lru_cache(maxsize=3)
def _held(name: str, size: int, stage: str, file: Path, key: str) -> Extractor:
    backbone = backbones.get(name, size, stage)
    return Extractor(backbone, backbone.load(file), key)


class HeadNetwork(predict.Classifier):
    """A head and its backbone."""

    def __init__(self, run: RunDir):
        import keras

        super().__init__(run)
        spec, card = run.spec(), run.card() or {}
        model, self._mean, self._std = weights.load_model(run)
        self.picture_size = int(card["picture_size"])
        self._head = keras.Model(model.input, model.get_layer("output").output)
        self._pooled = len(spec.network.input_shape) == 1
        self._is_frozen = spec.fit.fine_tune == "off"
        self._extractor = extractor(run)
        self.neighbours = Neighbours(spec, self._extractor)

    def _head_logits(self, features: Any) -> Any:
        return self._head((features - self._mean) / self._std, training=False)

    def _logits(self, maps: Any) -> Any:
        """Logits of maps, both tensors."""
        import tensorflow as tf

        return self._head_logits(tf.reduce_mean(maps, (1, 2)) if self._pooled else maps)

    def answer(self, pixels: Any, precision: str) -> Any:
        return self._logits(self._extractor.network(pixels, precision))

    def classify(self, pixels: np.ndarray) -> tuple[np.ndarray, list[str] | None]:
        probabilities, flags = [], []
        for some in _pieces(pixels):
            shares, own = super().classify(some)
            probabilities.append(shares)
            flags += own or []
        return np.concatenate(probabilities), flags if self.unlike else None

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (n, classes) for uint8 (n, size, size, 3)."""
        if len(pixels) > BATCH and (self._is_frozen or self._pooled):  # a data set: its features are kept
            stored = self._extractor.stored(pixels, self._pooled)
            parts = [self._head_logits(stored[i : i + 512]) for i in range(0, len(pixels), 512)]
        else:
            parts = [self._logits(self._extractor.maps(some)) for some in _pieces(pixels)]
        return np.concatenate([part.numpy() for part in parts])

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """The backbone's features, the mean over its map: float (n, channels) for uint8 (n, size, size, 3)."""
        if len(pixels) > BATCH:
            return self._extractor.stored(pixels, pooled=True)
        return self._extractor.maps(pixels).mean((1, 2))

    def flags(self, pixels: np.ndarray, logits: np.ndarray) -> list[str] | None:
        """How each picture is unlike the training pictures."""
        return self.unlike.flags(self.features(pixels)) if self.unlike else None

    def fit_unlike(self, train: np.ndarray, validation: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
        """Fit the measure of the unlike to pictures; what the card is to hold of it."""
        self.unlike = fit_subspace(self.features(train), self.features(validation))
        return self.unlike.save(self.run)

    def _measures(self, tree: dict[str, Any]) -> Subspace | None:
        if "max_residual" not in tree:
            return None
        try:
            return Subspace.load(self.run, tree)
        except RunError as error:  # it answers without, and can be calibrated again
            print(f"{self.run.id} cannot tell what is unlike its pictures: {error}", file=sys.stderr)
            return None

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
        return explain.occlusion(lambda many: np.concatenate([*map(self.logits, _pieces(many))]), pixels, index, fill)


def _pieces(pixels: np.ndarray) -> list[np.ndarray]:
    """A person's own pictures, in pieces of which no features are kept, as a data set's are."""
    return [pixels[i : i + BATCH] for i in range(0, len(pixels), BATCH)]


def extractor(run: RunDir) -> Extractor:
    """The backbone of a head: a shared one, or, fine-tuned, its own from the head's file.  Raises `RunError`."""
    spec = run.spec()
    try:
        if spec.fit.fine_tune == "off":
            return _shared(backbones.of(spec.data))
        file = run.file("weights.npz")
        if file == pretrained.tuned_file():  # it serves as a backbone too: held once, asked once
            tuned = backbones.RESNET50V2_TUNED.name
            return _shared(backbones.get(tuned, spec.data.backbone_size, spec.data.backbone_stage))
        key = f"{spec.data.backbone}-{pretrained.sha256(file)[:12]}"
        return Extractor(*_backbone(run), key)
    except pretrained.WeightsError as error:
        raise RunError(str(error)) from None


def _backbone(run: RunDir) -> tuple[backbones.Backbone, Any]:
    """A head's backbone and a model of it with its weights; raises `WeightsError`."""
    spec = run.spec()
    backbone = backbones.of(spec.data)
    if spec.fit.fine_tune == "off":
        return backbone, backbone.load(backbone.deployed())
    trained = backbone.network()
    weights.into(trained, weights.load(run.file("weights.npz"))[0])
    return backbone, trained


def behind_backbone(run: RunDir, head: Any) -> Any:
    """One Keras model from pictures, float32 (n, any, any, 3), 0 to 255, to what `head` makes of their features.

    They are brought to `data.backbone_size` inside it, as everywhere (see `heads.enlarged`).

    Raises `RunError` where the backbone's weights are missing.
    """
    import keras

    try:
        backbone, model = _backbone(run)
    except pretrained.WeightsError as error:
        raise RunError(f"{run.id} cannot be exported without its backbone: {error}") from None
    size = run.spec().data.backbone_size
    pixels = keras.Input((None, None, 3), name="pixels")
    # Told so: its own default would put all layers behind it into training mode where the model is called with none.
    sized = keras.layers.Resizing(size, size, "bicubic", antialias=True, name="sized")(pixels, training=False)
    maps = model(backbone.preprocess(keras.ops.clip(sized, 0.0, 255.0)))
    if len(head.input_shape) == 2:
        maps = keras.layers.GlobalAveragePooling2D(name="pooled")(maps)
    return keras.Model(pixels, head(maps), name="network")
