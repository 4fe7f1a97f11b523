"""A design as plain Keras code: what a person would write by hand, ready to copy and run.

The code needs nothing of Plumage.  Its network has the same layers under the same names, and
it is fitted with the same settings; `tests/test_keras_code.py` runs it and compares.  Random
draws differ, and augmented pictures are a little more blurred: Keras's layers resample a picture for
each change, Plumage once for all of them.  Pictures are mixed before they are moved, not after:
Keras's ways.
"""

from __future__ import annotations

from training.describe import Layer, describe
from training.engine.augment_reference import GREY
from training.keras_code_classes import classes, grows_dropout
from training.spec import Augmentation, Fit, RunSpec
from training.teacher import SHARE


def keras_code(spec: RunSpec, title: str = "") -> str:
    """A Python module with `build_network()` and `train(images, labels, ...)` for `spec`.

    `title` is what its first line calls it, in place of the spec's name.
    """
    pictures = len(spec.network.input_shape) == 3
    parts = [
        _header(spec, title or spec.name),
        *classes(spec),
        _network(spec),
        _train(spec, pictures),
    ]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _header(spec: RunSpec, title: str) -> str:
    clock = "import time\n\n" if spec.fit.minutes else ""
    arrays = "\nimport numpy as np" if spec.data.augmentation.mixes or spec.network.whitening else ""
    return (
        f'"""{title} as plain Keras (3.x), written by Plumage."""\n\n{clock}import keras{arrays}\n'
        "from keras import layers"
    )


def _network(spec: RunSpec) -> str:
    stack = describe(spec.network).layers
    dropout = "GrowingDropout" if grows_dropout(spec) else "layers.Dropout"
    shape = tuple(spec.network.input_shape)
    sources = {layer.source for layer in stack if layer.source}
    if sources:
        steps = [f'    x = pictures = keras.Input({shape}, name="pictures")']
        for layer in stack:
            kept = f"{layer.name} = " if layer.name in sources else ""
            inputs = f"[x, {layer.source}]" if layer.source else "x"
            steps.append(f"    x = {kept}{_layer(layer, dropout)}({inputs})")
        return "\n".join(["def build_network():", *steps, '    return keras.Model(pictures, x, name="network")'])
    lines = [_layer(layer, dropout) for layer in stack]
    return (
        "def build_network():\n"
        "    return keras.Sequential(\n"
        "        [\n"
        f'            keras.Input({shape}, name="pictures"),\n'
        + "".join(f"            {line},\n" for line in lines)
        + "        ],\n"
        '        name="network",\n'
        "    )"
    )


def _layer(layer: Layer, dropout: str) -> str:
    name = f'name="{layer.name}"'
    match layer.kind:
        case "conv":
            if layer.fixed:
                return f"layers.Conv2D({layer.filters}, {layer.kernel}, use_bias=False, trainable=False, {name})"
            stride = f"strides={layer.stride}, " if layer.stride > 1 else ""
            return f'layers.Conv2D({layer.filters}, {layer.kernel}, {stride}padding="{layer.padding}", {name})'
        case "batch_norm":
            return f"layers.BatchNormalization({name})"
        case "activation":
            return f'layers.Activation("{layer.activation}", {name})'
        case "add":
            return f"layers.Add({name})"
        case "pool":
            return f"layers.{'Average' if layer.pooling == 'average' else 'Max'}Pooling2D({layer.size}, {name})"
        case "dropout":
            return f"{dropout}({layer.rate:g}, {name})"
        case "flatten":
            return f"layers.Flatten({name})"
        case "global_pool":
            return f"layers.GlobalAveragePooling2D({name})"
        case "dense":
            return f"layers.Dense({layer.units}, {name})"
    return f"layers.Softmax({name})"


def _augmentation(augmentation: Augmentation) -> list[str]:
    """The layers that change pictures.

    Each samples what the one before it gave, so that the first is the last map from the output's places to the input's:
    rotation, shift, zoom is the engine's rotation of the shifted, zoomed places.  Flips come last there, too.
    """
    a, lines = augmentation, []
    edge = 'fill_mode="nearest"'
    if a.rotation:
        lines.append(f"layers.RandomRotation({a.rotation:g} / 360, {edge}),")
    if a.height_shift or a.width_shift:
        whole = ', interpolation="nearest"' if a.whole_pixels else ""
        lines.append(f"layers.RandomTranslation({a.height_shift:g}, {a.width_shift:g}, {edge}{whole}),")
    if a.zoom:
        lines.append(f"layers.RandomZoom({a.zoom:g}, {a.zoom:g}, {edge}),  # height and width apart")
    if a.horizontal_flip:
        lines.append('layers.RandomFlip("horizontal"),')
    if a.vertical_flip:
        lines.append('layers.RandomFlip("vertical"),')
    if a.cutout:
        area = a.cutout**2
        lines.append(f"layers.RandomErasing((1, 1), scale=({area:g}, {area:g}), fill_value={GREY}),")
    return lines


def _train(spec: RunSpec, pictures: bool) -> str:
    fit, shape = spec.fit, ", ".join(map(str, spec.network.input_shape))
    kind = "uint8" if pictures else "float32"
    lines = [
        f"def train(images, labels, validation_images, validation_labels{', teacher' if fit.teacher else ''}):",
        f'    """images: {kind} (n, {shape}); labels: whole numbers (n,), 0 to {spec.network.classes - 1}.{_teacher(fit)}"""',
        f"    keras.utils.set_random_seed({fit.seed})",
        "    network = build_network()",
    ]
    before: list[str] = []
    if pictures:
        before = _augmentation(spec.data.augmentation)
        if spec.data.normalization == "featurewise":
            lines += [
                "    # Centre and scale each colour channel by the training pictures.",
                "    normalize = layers.Normalization(mean=images.mean((0, 1, 2)), variance=images.var((0, 1, 2)))",
            ]
        else:
            lines.append("    normalize = layers.Rescaling(1 / 255)")
        if spec.network.whitening:
            lines.append(
                '    network.get_layer("whitening").set_weights([whitening(normalize(images[:: max(1, len(images) // 2000)][:2000]))])'
            )
        lines += _model(shape, before, bool(fit.teacher))
    else:
        lines.append("    model = network")
    if spec.data.validation == "ordered" and before:
        lines += [
            "    # The report's program changed the validation pictures, too.",
            f"    for layer in {'change' if fit.teacher else 'model'}.layers[:{len(before)}]:",
            '        validation_images = layer(keras.ops.cast(validation_images, "float32"), training=True)',
        ]
    lines += _steps(spec)
    lines += _optimizer(fit)
    labels, validation_labels = "labels", "validation_labels"
    mixes = spec.data.augmentation.mixes
    if fit.label_smoothing or mixes or fit.teacher:
        classes = spec.network.classes
        smoothing = f"label_smoothing={fit.label_smoothing:g}" if fit.label_smoothing else ""
        loss = f"keras.losses.CategoricalCrossentropy({smoothing})"
        labels, validation_labels = (
            f"keras.utils.to_categorical({name}, {classes})" for name in (labels, validation_labels)
        )
    else:
        loss = '"sparse_categorical_crossentropy"'
    lines.append(f"    loss = {loss}")
    metrics, watched = ['"accuracy"'], '"val_loss"'
    # Keras smooths the labels of the validation pictures, too, and weighs their loss.
    if (fit.label_smoothing or fit.teacher) and fit.early_stopping:
        metrics.append('keras.metrics.CategoricalCrossentropy(name="plain_loss")')
        watched = '"val_plain_loss", mode="min"'
    weighed = f", loss_weights=[{1 - SHARE:g}]" if fit.teacher else ""
    lines.append(f"    model.compile(optimizer=optimizer, loss=loss{weighed}, metrics=[{', '.join(metrics)}])")
    callbacks = []
    if grows_dropout(spec):
        callbacks.append(f"GrowDropout({fit.dropout_ramp * fit.max_epochs:g} * steps)")
    if fit.average:
        callbacks.append(f"AverageWeights({fit.average:g})")
    if fit.early_stopping:
        patience = fit.early_stopping.patience
        callbacks.append(f"keras.callbacks.EarlyStopping({watched}, patience={patience}, restore_best_weights=True)")
    if fit.minutes:
        callbacks.append(f"StopAfter({fit.minutes:g})")
    lines.append("    history = model.fit(")
    if mixes:
        lines.append(f"        Mixed(images, {labels}, {fit.batch_size}),")
    else:
        lines += ["        images,", f"        {labels},", f"        batch_size={fit.batch_size},"]
    lines.append(f"        epochs={fit.max_epochs},")
    if fit.epoch_length == "test set":
        lines.append("        steps_per_epoch=steps,")
    lines.append(f"        validation_data=(validation_images, {validation_labels}),")
    if callbacks:
        lines.append(f"        callbacks=[{', '.join(callbacks)}],")
    lines += ["    )", "    return network, history"]
    return "\n".join(lines)


def _model(shape: str, changes: list[str], taught: bool) -> list[str]:
    """`model`: the changes of the pictures, `normalize` and `network`; `taught` by `teacher`, who sees what is changed."""
    own = ["normalize,", "network,"] if not taught else []
    noted = ["# Random in training, drawn anew for every picture; without effect afterwards."] if changes else []
    inner = [f"            {line}" for line in (f"keras.Input(({shape})),", *noted, *changes, *own)]
    name = "change" if taught else "model"
    lines = [f"    {name} = keras.Sequential(", "        [", *inner, "        ]", "    )"]
    if taught:
        lines = lines if changes else ["    change = layers.Identity()"]
        lines.append(f"    student = keras.Sequential([keras.Input(({shape})), normalize, network])")
        lines.append("    model = Taught(change, student, teacher)")
    return lines


def _teacher(fit: Fit) -> str:
    if not fit.teacher:
        return ""
    return (
        f"\n\n    teacher: a Keras model that takes pixels, 0 to 255, and gives probabilities, such as\n"
        f"    `python -m training export {fit.teacher} teacher.keras` writes.\n    "
    )


def _steps(spec: RunSpec) -> list[str]:
    """`steps`, the steps of an epoch, where something needs it."""
    fit = spec.fit
    if fit.epoch_length == "test set":
        return [f"    steps = max(1, len(images) // 5 // {fit.batch_size})  # the report's formula, read literally"]
    if fit.schedule == "cosine" or fit.warmup_epochs or grows_dropout(spec):
        return [f"    steps = -(-len(images) // {fit.batch_size})  # of an epoch"]
    return []


def _optimizer(fit: Fit) -> list[str]:
    rate, lines = repr(float(fit.learning_rate)), []  # Keras takes no whole number for one
    warmup = f"{fit.warmup_epochs:g} * steps"
    schedules = "keras.optimizers.schedules"
    if fit.schedule == "inverse-time":
        lines.append(f"    rate = {schedules}.InverseTimeDecay({rate}, decay_steps=1, decay_rate={fit.decay:g})")
    elif fit.schedule == "cosine":
        less = f" - {warmup}" if fit.warmup_epochs else ""
        decay_steps = f"{fit.max_epochs} * steps{less}" if fit.max_epochs > fit.warmup_epochs else "1"
        lines.append(f"    rate = {schedules}.CosineDecay({rate}, decay_steps={decay_steps})")
    elif fit.warmup_epochs:
        lines.append(f"    rate = {schedules}.InverseTimeDecay({rate}, decay_steps=1, decay_rate=0.0)  # constant")
    else:
        lines.append(f"    rate = {rate}")
    if fit.warmup_epochs:
        shift = warmup if fit.schedule == "cosine" else "0"
        lines.append(f"    rate = WarmUp(rate, {warmup}, {shift})")
    momentum, decay = f"{float(fit.momentum)!r}", f"{fit.weight_decay:g}"
    if fit.optimizer == "muon":  # whose defaults are not none
        name, arguments = "Muon", ["rate", f"momentum={momentum}", f"adam_beta_1={momentum}"]
        arguments += [f"nesterov={fit.nesterov}", f"weight_decay={decay}", f"adam_weight_decay={decay}"]
    else:
        adam = fit.optimizer == "adam"
        name = "keras.optimizers.Adam" if adam else "keras.optimizers.SGD"
        arguments = ["rate", f"{'beta_1' if adam else 'momentum'}={momentum}"]
        arguments += ["nesterov=True"] if fit.nesterov and not adam else []
        arguments += [f"weight_decay={decay}"] if fit.weight_decay else []
    if len(arguments) <= 4:
        lines.append(f"    optimizer = {name}({', '.join(arguments)})")
    else:
        lines += [f"    optimizer = {name}(", f"        {', '.join(arguments)}", "    )"]
    if fit.weight_decay:
        lines.append('    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])')
    return lines
