"""What `training.keras_code` writes for choices that Keras has no layer or argument for."""

from __future__ import annotations

from training.engine.whitening import EPSILON
from training.spec import RunSpec
from training.teacher import SHARE


def grows_dropout(spec: RunSpec) -> bool:
    """Whether dropout's rates grow in the course of the training."""
    return bool(spec.fit.dropout_ramp and spec.network.dropout)


def classes(spec: RunSpec) -> list[str]:
    """The source of each class, and function, that the code for `spec` needs."""
    parts, fit, augmentation = [], spec.fit, spec.data.augmentation
    if spec.network.whitening:
        parts.append(f'''
def whitening(pictures):
    """A kernel after which the values of a patch of 2x2 are uncorrelated and equally strong; each with both signs."""
    pictures = np.asarray(pictures)
    height, width, channels = pictures.shape[1] - 1, pictures.shape[2] - 1, pictures.shape[3]
    patches = [pictures[:, y : y + height, x : x + width] for y in (0, 1) for x in (0, 1)]
    patches = np.concatenate(patches, -1).reshape(-1, 4 * channels)
    variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
    directions = directions[:, ::-1] / np.sqrt(np.maximum(variances[::-1], 0) + {EPSILON:g})
    return np.concatenate([directions, -directions], 1).reshape(2, 2, channels, -1)''')
    if augmentation.mixes:
        mixers = [f"layers.MixUp({augmentation.mixup:g})"] if augmentation.mixup else []
        if augmentation.cutmix:
            mixers.append(f"layers.CutMix(({augmentation.cutmix:g}, {augmentation.cutmix:g}))")
        parts.append(f'''
class Mixed(keras.utils.PyDataset):
    """Batches in a random order; each picture is mixed with another of its batch, and so are their labels."""

    def __init__(self, images, labels, batch_size):
        super().__init__()
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.mixers = [{", ".join(mixers)}]
        self.random = np.random.default_rng({fit.seed})
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.images))

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = {{"images": self.images[chosen].astype("float32"), "labels": self.labels[chosen]}}
        batch = self.mixers[self.random.integers(len(self.mixers))](batch)
        return batch["images"], batch["labels"]''')
    if fit.warmup_epochs:
        parts.append('''
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly during the first steps; the schedule itself starts `shift` steps late."""

    def __init__(self, schedule, steps, shift):
        self.schedule, self.steps, self.shift = schedule, steps, shift

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        share = keras.ops.minimum(1.0, (step + 1) / self.steps)
        return share * self.schedule(keras.ops.maximum(step - self.shift, 0.0))''')
    if fit.optimizer == "muon":
        parts.append('''
class Muon(keras.optimizers.Muon):
    """Muon for the kernels of convolutions, too, each as a matrix of patches by filters; all else by Adam."""

    def _should_use_adamw(self, variable):
        return not variable.path.endswith("kernel") or "output" in variable.path or variable.shape[-1] == 1

    def _muon_update_step(self, gradient, variable, lr, m):
        m.assign(self.momentum * m + gradient)
        direction = gradient + self.momentum * m if self.nesterov else m
        matrix = keras.ops.reshape(direction, (-1, variable.shape[-1]))
        step = self.lr_adjust(self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        variable.assign_sub(lr * keras.ops.reshape(step, variable.shape))''')
    if grows_dropout(spec):
        parts.append('''
dropout_share = keras.Variable(1.0, trainable=False)  # of the rates of all dropout layers, what acts


class GrowingDropout(layers.Dropout):
    """Dropout of which only `dropout_share` acts."""

    def call(self, inputs, training=False):
        if not training:
            return inputs
        kept = 1 - self.rate * keras.ops.convert_to_tensor(dropout_share)
        mask = keras.random.uniform(keras.ops.shape(inputs), seed=self.seed_generator) < kept
        return keras.ops.where(mask, inputs / kept, 0)


class GrowDropout(keras.callbacks.Callback):
    """Let dropout grow from nothing to its full rates in the first `steps` steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_begin(self, logs=None):
        self.done = 0

    def on_train_batch_begin(self, batch, logs=None):
        dropout_share.assign(min(1.0, self.done / self.steps))
        self.done += 1''')
    if fit.teacher:
        parts.append(f'''
class Taught(keras.Model):
    """A network that learns mostly from a teacher's answers to the very pictures that it sees, changes and all."""

    def __init__(self, change, network, teacher):
        super().__init__()
        self.change, self.network, self.teacher = change, network, teacher
        teacher.trainable = False

    def call(self, pictures, training=False):
        pictures = self.change(pictures, training=training)
        answers = self.network(pictures, training=training)
        if training:
            taught = keras.losses.categorical_crossentropy(self.teacher(pictures, training=False), answers)
            self.add_loss({SHARE:g} * keras.ops.mean(taught))
        return answers''')
    if fit.average:
        parts.append('''
class AverageWeights(keras.callbacks.Callback):
    """A moving average of the weights is validated and kept; at first it moves fast, to forget where they began."""

    def __init__(self, decay):
        super().__init__()
        self.decay, self.done, self.trained = decay, 0, []

    def floats(self):
        return [weights for weights in self.model.weights if "float" in str(weights.dtype)]

    def on_train_begin(self, logs=None):
        self.average = [weights.numpy() for weights in self.floats()]

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        share = 1 - min(self.decay, self.done / (self.done + 10))
        for average, weights in zip(self.average, self.floats()):
            average += share * (weights.numpy() - average)

    def on_test_begin(self, logs=None):
        self.trained = [weights.numpy() for weights in self.floats()]
        for weights, average in zip(self.floats(), self.average):
            weights.assign(average)

    def on_epoch_begin(self, epoch, logs=None):
        for weights, trained in zip(self.floats(), self.trained):
            weights.assign(trained)''')
    if fit.minutes:
        parts.append('''
class StopAfter(keras.callbacks.Callback):
    """End the training after so many minutes."""

    def __init__(self, minutes):
        super().__init__()
        self.seconds = 60 * minutes

    def on_train_begin(self, logs=None):
        self.start = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True''')
    return parts
