"""The training loop on the device: many steps a call, nothing but indices from the host.

The training pictures lie on the device once, as uint8.  A call of `Engine.train` runs
several steps inside one graph: gather the batch, augment, normalize, forward, backward,
update.  Every random number is a function of (seed, global step), so that a run that was
interrupted and restored ends with the weights of one that was not, on the same processor
with as many threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training import teacher
from training.calibration import cross_entropy
from training.card import COMPUTING
from training.describe import expand
from training.engine import batches, whitening
from training.engine import model as networks
from training.engine.augment import augment
from training.engine.augment_reference import moments, normalize, statistics
from training.engine.convolution import conv2d
from training.engine.losses import accuracy, losses
from training.engine.memory import keep_freed_memory
from training.engine.mix import beta, mix
from training.engine.optimizer import Optimizer
from training.engine.schedule import dropout_share, learning_rate
from training.hardware import number_format
from training.spec import RunSpec

if TYPE_CHECKING:
    import keras

    from training.data import Dataset

EVALUATION_BATCH = 250
AUGMENT_STREAM, DROPOUT_STREAM, VALIDATION_STREAM, MIX_STREAM = range(4)


class Engine:
    """Trains the network of `spec` on `dataset`.

    Epochs and steps count from 0; `training.engine.batches` says which pictures a step sees.
    """

    # What is otherwise where XLA computes: see `training.portable`.
    packages: tuple[str, ...] = COMPUTING
    convolve = staticmethod(conv2d)
    shares = staticmethod(beta)

    def __init__(self, spec: RunSpec, dataset: Dataset):
        import tensorflow as tf

        keep_freed_memory()
        fit = spec.fit
        images = self._take(spec, dataset)
        self.precision, self.device = number_format(fit.precision)
        self._teacher = teacher.Teacher(spec, self.precision, dataset) if fit.teacher else None
        self._layers = expand(spec.network)
        self.model: keras.Model | None = networks.build(spec.network, fit.seed)  # None only in `training.portable_fit`
        self._variables = networks.variables(self.model)
        self._trainable = networks.trainable(self.model)
        if spec.network.whitening:
            seen = normalize(whitening.sample(images), self.mean, self.std)
            self._variables["whitening/kernel"].assign(whitening.kernel(seen))
        self._optimizer = Optimizer(fit, self._trainable)
        self._averaged = self._variables
        if fit.average:  # at first the variables themselves, which the average moves away from
            self._averaged = {n: tf.Variable(v, trainable=False) for n, v in self._variables.items()}
        self._images, self._labels = tf.constant(images), tf.constant(np.asarray(dataset.labels, np.int32))
        scalar, batch = tf.TensorSpec([], tf.int32), fit.batch_size
        self._train = tf.function(
            self._steps,
            [tf.TensorSpec([None, batch], tf.int32), tf.TensorSpec([None], tf.float32), scalar],
            autograph=False,
        )
        pictures = tf.TensorSpec([None, *spec.network.input_shape], self._images.dtype)
        self._infer = tf.function(
            self._inference, [pictures, tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.bool)], autograph=False
        )

    def _take(self, spec: RunSpec, dataset: Dataset) -> np.ndarray:
        """Check that the pictures, or features, fit the spec, note what follows from them, and give them back."""
        self.spec, fit = spec, spec.fit
        images = np.asarray(dataset.images)
        self._pictures = images.dtype == np.uint8 and images.ndim == 4
        if images.shape[1:] != tuple(spec.network.input_shape):
            raise ValueError(
                f"The network takes {_size(spec.network.input_shape)} and the pictures of {dataset.name} are "
                f"{_size(images.shape[1:])}; set network.input_shape to theirs."
            )
        if len(dataset.class_names) > spec.network.classes:
            raise ValueError(
                f"The network has {spec.network.classes} classes and {dataset.name} {len(dataset.class_names)}; "
                "set network.classes to that."
            )
        self.mean, self.std = np.zeros(1, np.float32), np.ones(1, np.float32)
        if self._pictures:
            self.mean, self.std = statistics(images, spec.data.normalization)
        elif spec.data.normalization == "featurewise":
            self.mean, self.std = moments(images)
        self._count = len(images)
        self.steps_per_epoch = batches.steps_per_epoch(fit, self._count)
        return images

    # --- Training ---------------------------------------------------------------------------

    def train(self, epoch: int, first_step: int, steps: int) -> tuple[float, float]:
        """Run `steps` steps of `epoch` from `first_step`; their mean loss and accuracy.

        The loss is the one that is minimized, with dropout and label smoothing; NaN comes
        back as NaN.
        """
        first = epoch * self.steps_per_epoch + first_step
        rates = [self.learning_rate(epoch, first_step + k) for k in range(steps)]
        indices = np.stack([self.batch(first + k) for k in range(steps)])
        loss, accuracy = self._train(indices, np.asarray(rates, np.float32), np.int32(first))
        return float(loss), float(accuracy)

    def learning_rate(self, epoch: int, step: int) -> float:
        """The learning rate of step `step` of `epoch`, both from 0."""
        return learning_rate(self.spec.fit, epoch * self.steps_per_epoch + step, self.steps_per_epoch)

    def warm_up(self) -> None:
        """Trace and optimize the training step, so that the first call of `train` starts at once; trains nothing."""
        self._train(np.zeros((0, self.spec.fit.batch_size), np.int32), np.zeros(0, np.float32), np.int32(0))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the training pictures of global step `step`, int32 (batch_size,)."""
        return batches.batch(self.spec.fit, self._count, step)

    def _steps(self, indices: Any, rates: Any, first: Any, steps: Any = None) -> tuple[Any, Any]:
        """The first `steps` of those that `indices` and `rates` hold, or all of them."""
        import tensorflow as tf

        steps = tf.shape(indices)[0] if steps is None else steps

        def one(k: Any, loss: Any, accuracy: Any) -> tuple[Any, Any, Any]:
            step_loss, step_accuracy = self._step(indices[k], rates[k], first + k)
            return k + 1, loss + step_loss, accuracy + step_accuracy

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
        _, loss, accuracy = tf.while_loop(lambda k, *_: k < steps, one, start, parallel_iterations=1)
        return loss / tf.cast(steps, tf.float32), accuracy / tf.cast(steps, tf.float32)

    def _step(self, indices: Any, rate: Any, step: Any) -> tuple[Any, Any]:
        """One step: the gradient of a batch, weight decay, the optimizer, batch norm's statistics, the average."""
        import tensorflow as tf

        fit = self.spec.fit
        x, targets = self.inputs(indices, step)
        with tf.GradientTape() as tape:
            logits, moving = self._learn(x, step)
            loss = self._loss(x, targets, logits)
        gradients = tape.gradient(loss, self._trainable)
        for name, variable in self._trainable.items():
            own_rate = self._rate(name, rate, step)
            if fit.weight_decay and name.endswith("kernel"):
                variable.assign_sub(variable * (fit.weight_decay * own_rate))
            if gradients[name] is not None:  # None for a bias that batch norm takes away again
                self._optimizer.apply(name, variable, gradients[name], own_rate, step)
        for name, value in moving.items():
            self._variables[name].assign(value)
        self._average(step)
        return loss, accuracy(targets, logits)

    def _learn(self, x: Any, step: Any) -> tuple[Any, dict[str, Any]]:
        """Logits of a training pass, and the new moving statistics."""
        share = dropout_share(self.spec.fit, step, self.steps_per_epoch)
        return networks.forward(self._layers, self._cast(), x, self._seed(DROPOUT_STREAM, step), share, self.convolve)

    def _loss(self, x: Any, targets: Any, logits: Any) -> Any:
        """The loss of a step, which is minimized; `x` is what the network saw."""
        import tensorflow as tf

        own = tf.reduce_mean(losses(targets, logits, self.spec.fit.label_smoothing))
        return self._teacher.loss(self._pixels(x), logits, own) if self._teacher else own

    def _pixels(self, x: Any) -> Any:
        """The pixels, 0 to 255, of pictures that `_prepare` gave."""
        return x * self.std + self.mean

    def _rate(self, name: str, rate: Any, step: Any) -> Any:
        """The learning rate of one variable at a global step."""
        return rate

    def _average(self, step: Any) -> None:
        """Move the average towards the weights; its first steps count more, so that it forgets the initial weights."""
        import tensorflow as tf

        if self.spec.fit.average:
            done = tf.cast(step, tf.float32) + 1
            share = 1 - tf.minimum(self.spec.fit.average, done / (done + 10))
            for name, average in self._averaged.items():
                average.assign_add(share * (self._variables[name] - average))

    def inputs(self, indices: Any, step: Any) -> tuple[Any, Any]:
        """The training pictures `indices`, augmented for global step `step` and normalized, and targets (in the graph).

        Targets are labels, int32 (batch,), or, where pictures are mixed, shares, float32 (batch, classes).
        """
        import tensorflow as tf

        x = self._prepare(tf.gather(self._images, indices), self._seed(AUGMENT_STREAM, step))
        labels = tf.gather(self._labels, indices)
        if not self.spec.data.augmentation.mixes:
            return x, labels
        targets = tf.one_hot(labels, self.spec.network.classes)
        return mix(x, targets, self.spec.data.augmentation, self._seed(MIX_STREAM, step), self.shares)

    def _seed(self, stream: int, step: Any) -> Any:
        """The seed of one of the streams of random numbers at a global step, int32 (2,)."""
        import tensorflow as tf

        return tf.stack([tf.constant(self.spec.fit.seed, tf.int32), step * 1024 + 256 * stream])

    def _prepare(self, x: Any, seed: Any, changed: bool = True) -> Any:
        """Augmented (if `changed`) and normalized pictures, or normalized features, float32."""
        import tensorflow as tf

        x = tf.cast(x, tf.float32)
        if not self._pictures:
            return (x - self.mean) / self.std
        if changed and self.spec.data.augmentation.on:
            x = augment(x, self.spec.data.augmentation, seed)
        # Rows as one axis: broadcasting three channels alone is slow.
        shape, width = tf.shape(x), x.shape[2]
        mean, scale = np.tile(self.mean, width), np.tile(1 / self.std, width)
        return tf.reshape((tf.reshape(x, [-1, len(mean)]) - mean) * scale, shape)

    def _cast(self) -> dict[str, Any]:
        return networks.cast(self._variables, self.precision)

    # --- Evaluation -------------------------------------------------------------------------

    def evaluate(
        self, images: np.ndarray, labels: np.ndarray, augmented: bool = False, draw: int = 0
    ) -> tuple[float, float, float]:
        """Mean cross-entropy, accuracy and spread of the answers over `images` (uint8) and `labels`, computed in float32.

        The spread is the largest difference between two pictures' logits of one class: 0 where all get one answer.

        `augmented` changes the pictures at random, as `ImageDataGenerator(validation_split=…)`
        does with its validation pictures; `draw` (the epoch, say) selects the changes.
        """
        logits, labels = self._logits(images, augmented, draw), np.asarray(labels)
        return cross_entropy(logits, labels), float((logits.argmax(1) == labels).mean()), float(np.ptp(logits, 0).max())

    def _logits(self, images: np.ndarray, augmented: bool = False, draw: int = 0) -> np.ndarray:
        parts = []
        for first in range(0, len(images), EVALUATION_BATCH):
            number = (draw * 4096 + first // EVALUATION_BATCH) * 1024 + 256 * VALIDATION_STREAM
            seed = np.array([self.spec.fit.seed, number % 2**31], np.int32)
            parts.append(np.asarray(self._infer(images[first : first + EVALUATION_BATCH], seed, augmented)))
        return np.concatenate(parts or [np.zeros((0, self.spec.network.classes))]).astype(np.float64)

    def _inference(self, images: Any, seed: Any, augmented: Any) -> Any:
        import tensorflow as tf

        x = tf.cond(augmented, lambda: self._prepare(images, seed), lambda: self._prepare(images, seed, changed=False))
        return networks.forward(self._layers, self._averaged, x)[0]

    # --- State ------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Everything that training changes, by name: weights, batch norm's statistics, the optimizer's state."""
        kept = {name: variable.numpy() for name, variable in self._state().items()}
        return kept | teacher.signature(self.notes)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` returned.  Raises ValueError where it is of another network or another teacher."""
        teacher.check(self.notes, state)
        networks.assign(self._state(), state)

    def _state(self) -> dict[str, Any]:
        kept = self._variables | self._optimizer.state
        if self.spec.fit.average:
            kept |= {f"average/{name}": v for name, v in self._averaged.items()}
        return kept

    def weights(self) -> dict[str, np.ndarray]:
        """The model's variables by name, or their average where the spec asks for it; batch norm's statistics included."""
        return {name: variable.numpy() for name, variable in self._averaged.items()}

    @property
    def notes(self) -> dict[str, Any]:
        """What the card says of the training beside the spec."""
        return {"teacher": self._teacher.note} if self._teacher else {}

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Set the model's variables, and their average; what else `weights` holds is passed over."""
        networks.assign(self._variables, weights)
        networks.assign(self._averaged, weights)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
