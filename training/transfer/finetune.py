"""Fine-tuning: the backbone learns too.  The report's way, and the repaired one.

"all at once" is what the report did: a new head and all pretrained layers from the first
step, one learning rate, batch norm following its small batches.  It came out worse than
frozen features.  "head first" is Keras's own advice (keras.io/guides/transfer_learning) with
what the field adds to it: the head is trained on frozen features first; layers are unfrozen
from the top, as far down as `LOWEST`; batch norm stays in inference mode; lower layers learn
slower (Howard and Ruder, 2018).  Warm-up, cosine, label smoothing, flips, zoom, mixup and the
head's dropout are in the spec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training import catalogue, teacher
from training.data import DataError
from training.engine import batches
from training.engine import model as networks
from training.engine.augment import augment
from training.engine.engine import DROPOUT_STREAM, Engine
from training.transfer import folded, heads
from training.transfer.backbones import of
from training.transfer.pretrained import WeightsError

if TYPE_CHECKING:
    from training.data import Dataset
    from training.spec import RunSpec
    from training.transfer.features import Progress

Maps = Callable[[Any], tuple[Any, dict[str, Any]]]  # pixels to maps, and the moving statistics of batch norm

EVALUATION_BATCH = 32
LOWEST = 0.6  # depth (0 the input, 1 the head) of the lowest layer that learns: below it, nothing was gained
SLOWEST = 0.1  # of the head's learning rate, what a layer at depth 0 would get; at LOWEST it is 0.1 ** 0.4 = 0.4
UNFROZEN_AFTER = 0.3  # share of the training after which a layer at depth 0 would learn; at LOWEST it is 0.12


class FineTune(Engine):
    """An `Engine` whose network is a backbone and a head; the pictures are uint8 (n, height, width, 3)."""

    def __init__(self, spec: RunSpec, pictures: Dataset, progress: Progress | None = None):
        import tensorflow as tf

        if spec.fit.teacher:  # one that is not there is told before features are computed
            teacher.of(spec)
        self._careful = spec.fit.fine_tune == "head first"
        if self._careful:
            features = heads.dataset(spec, progress)
        else:  # the head's shape is all that is needed
            features = replace(pictures, images=np.zeros((1, *spec.network.input_shape), np.float16))
        super().__init__(spec, features)
        if self._careful:
            self.set_weights(_trained_head(spec, features))
        self._backbone = of(spec.data)
        if spec.fit.precision == "auto" and not (self._careful or self._backbone.half):
            self.precision = "float32"
        try:
            extractor = self._backbone.load(self._backbone.deployed())
        except WeightsError as error:
            raise DataError(str(error)) from None
        self._exact_maps = _still(folded.forward(extractor))  # for validation, in float32, as every figure of a card
        if self._careful:
            self._maps = _still(folded.forward(extractor, self.precision, learns=True))
        else:
            self._maps = folded.learning(extractor, self.precision)
        own = networks.variables(extractor)
        self._variables |= own
        learning = {name: variable for name, variable in own.items() if variable.trainable}
        self._depths = _depths(extractor, learning)
        lowest = LOWEST if self._careful else 0.0
        self._trainable |= {name: v for name, v in learning.items() if self._depths.get(name, 1.0) >= lowest}
        self._optimizer.add({name: v for name, v in self._trainable.items() if name in own})
        self._images, self._labels = tf.constant(np.asarray(pictures.images)), tf.constant(pictures.labels)
        self._count = len(pictures.images)
        self.steps_per_epoch = batches.steps_per_epoch(spec.fit, self._count)
        self._predict = tf.function(self._answers, reduce_retracing=True, autograph=False)

    def _prepare(self, x: Any, seed: Any, changed: bool = True) -> Any:
        """Augmented pixels: the backbone normalizes them in its own way, and the head normalizes features.

        Only training prepares its pictures here, so `changed` has nothing to say.
        """
        import tensorflow as tf

        return augment(tf.cast(x, tf.float32), self.spec.data.augmentation, seed)

    def _pixels(self, x: Any) -> Any:
        return x

    def _learn(self, x: Any, step: Any) -> tuple[Any, dict[str, Any]]:
        return self._forward(self._maps, x, self._seed(DROPOUT_STREAM, step))

    def _rate(self, name: str, rate: Any, step: Any) -> Any:
        import tensorflow as tf

        done = tf.cast(step, tf.float32) / float(self.spec.fit.max_epochs * self.steps_per_epoch)
        return rate * self._share(name, done)

    def _share(self, name: str, done: Any) -> Any:
        """Of the learning rate, what a variable gets when `done` of the training is over."""
        import tensorflow as tf

        depth = self._depths.get(name)  # None: of the head
        if depth is None or not self._careful:
            return 1.0
        return tf.where(done >= (1 - depth) * UNFROZEN_AFTER, SLOWEST ** (1 - depth), 0.0)

    def _forward(self, extract: Maps, pixels: Any, seed: Any = None) -> tuple[Any, dict[str, Any]]:
        """Logits and, in training (`seed` given), the new moving statistics of batch norm."""
        import tensorflow as tf

        pixels = heads.enlarged(pixels, self._backbone.size)
        maps, moving = extract(self._backbone.preprocess(pixels))
        maps = tf.cast(maps, tf.float32)
        features = tf.reduce_mean(maps, (1, 2)) if len(self.spec.network.input_shape) == 1 else maps
        weights = self._variables if seed is None else self._cast()
        logits, own = networks.forward(self._layers, weights, (features - self.mean) / self.std, seed)
        return logits, moving | own

    def _answers(self, pixels: Any) -> Any:
        import tensorflow as tf

        return self._forward(self._exact_maps, tf.cast(pixels, tf.float32))[0]

    def _logits(self, images: np.ndarray, augmented: bool = False, draw: int = 0) -> np.ndarray:
        """Logits in small batches: a backbone's activations are large.  Validation pictures are never augmented."""
        parts = [
            self._predict(images[i : i + EVALUATION_BATCH]).numpy() for i in range(0, len(images), EVALUATION_BATCH)
        ]
        return np.concatenate(parts).astype(np.float64)


def _still(extract: Callable[[Any], Any]) -> Maps:
    """A backbone in inference mode: no statistic moves."""
    return lambda pixels: (extract(pixels), {})


def _trained_head(spec: RunSpec, features: Dataset) -> dict[str, np.ndarray]:
    """The head's weights after the training that a frozen head gets."""
    frozen = catalogue.load("birds-fc-basic")
    recipe = frozen.fit.model_copy(update={"seed": spec.fit.seed})
    data = spec.data.model_copy(update={"augmentation": frozen.data.augmentation})  # features cannot be mixed or moved
    engine = Engine(spec.model_copy(update={"fit": recipe, "data": data}), features)
    for epoch in range(recipe.epochs):
        engine.train(epoch, 0, engine.steps_per_epoch)
    return engine.weights()


def _depths(extractor: Any, trainable: dict[str, Any]) -> dict[str, float]:
    """For each trainable variable of the backbone, where its layer stands: 0 the lowest, 1 the highest."""
    order = [layer.name for layer in extractor.layers if layer.weights]
    place = {name: index / max(1, len(order) - 1) for index, name in enumerate(order)}
    return {name: place[name.split("/")[0]] for name in trainable if name.split("/")[0] in place}
