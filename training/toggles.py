"""The toggles: every choice a person can switch, each defined once.

The app's switches, the command line's options, the address of a design (`training.address`) and the table in
the documentation all derive from `TOGGLES`.  A toggle is one field of the spec, under a
short key that is also its name in addresses and on the command line.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from training import catalogue
from training.spec import EarlyStopping, RunSpec, SpecError


@dataclass(frozen=True)
class Toggle:
    """One choice.  `kind` says how it is shown:

    switch   `off` or `on`, any two values of the field
    choice   one of `options`
    slider   a number from `low` to `high` in steps of `step`
    number   a number typed in, from `low` to `high`
    rates    one dropout rate for each place of the network; switched on with the entry's own rates
    model    the name of a fitted model, or None
    """

    key: str
    path: str  # dotted path of the spec field
    label: str
    help: str  # one line: what it does and why
    group: str
    kind: str
    off: Any = None
    on: Any = None
    options: tuple[Any, ...] = ()
    low: float = 0
    high: float = 1
    step: float = 1

    def read(self, spec: RunSpec) -> Any:
        """The field's value in `spec`, as plain JSON types."""
        node: Any = spec
        for part in self.path.split("."):
            node = getattr(node, part)
        if hasattr(node, "model_dump"):
            return node.model_dump(mode="json")
        return list(node) if isinstance(node, tuple) else node

    def is_on(self, spec: RunSpec) -> bool:
        """Whether the toggle is anything but off."""
        return self.read(spec) != (self.off if self.kind != "rates" else [])

    def write(self, spec: RunSpec, value: Any) -> RunSpec:
        """`spec` with this toggle set; raises `SpecError` where that is impossible."""
        return spec.replace({self.path: value})

    def to_text(self, value: Any) -> str:
        """The value as written in an address and on the command line."""
        if self.kind == "switch":
            return (
                "on" if value == self.on else "off" if value == self.off else json.dumps(value, separators=(",", ":"))
            )
        if self.kind == "rates":
            return ",".join(map(_short, value)) or "off"
        if self.kind == "model":
            return value or "off"
        return _short(value)

    def from_text(self, text: str, spec: RunSpec | None = None) -> Any:
        """The value that `text` stands for; raises `SpecError` if it stands for none.

        `spec` is the design to be changed: "on" of the dropout means its entry's own rates.
        """
        text = text.strip()
        if self.kind == "switch":
            if text in ("on", "off"):
                return self.on if text == "on" else self.off
            if text.startswith("{"):
                with suppress(ValueError, RecursionError):
                    return json.loads(text)
            raise SpecError(f"{self.key} = {text!r} is not possible: it is on or off.")
        if self.kind == "model":
            return None if text == "off" else text
        if self.kind == "choice":
            by_text = {self.to_text(option): option for option in self.options}
            if text in by_text:
                return by_text[text]
            if not isinstance(self.options[0], str):  # a number between the usual ones
                with suppress(ValueError):
                    return type(self.options[0])(text)
            raise SpecError(f"{self.key} = {text!r} is not possible: it is one of {', '.join(by_text)}.")
        if self.kind == "rates":
            if text == "off":
                return []
            if text == "on":
                if spec and not spec.network.dropout_places:
                    raise SpecError(f"{self.key} = 'on' is not possible: this network has no place for dropout.")
                return default_rates(spec) if spec else []
            try:
                return [float(rate) for rate in text.split(",")]
            except ValueError:
                raise SpecError(
                    f"{self.key} = {text!r} is not possible: give rates such as 0.1,0.1,0.25, or off."
                ) from None
        try:
            return int(text) if isinstance(self.step, int) else float(text)
        except ValueError:
            kind = "a whole number" if isinstance(self.step, int) else "a number"
            raise SpecError(f"{self.key} = {text!r} is not possible: it is {kind}.") from None


def _short(value: Any) -> str:
    """0.05, 1, max: as short as a number can be written exactly."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


TOGGLES: tuple[Toggle, ...] = (
    Toggle("normalization", "data.normalization", "Normalization",
           "Centre and scale each colour channel by the training pictures' mean and deviation; off, pixels are only "
           "divided by 255.", "Data", "switch", "off", "featurewise"),
    Toggle("width_shift", "data.augmentation.width_shift", "Shift sideways",
           "Move the picture left or right by up to this share of its width. The report: 0.05.",
           "Augmentation", "slider", 0.0, 0.05, high=0.5, step=0.05),
    Toggle("height_shift", "data.augmentation.height_shift", "Shift up and down",
           "Move the picture up or down by up to this share of its height. The report: 0.1.",
           "Augmentation", "slider", 0.0, 0.1, high=0.5, step=0.05),
    Toggle("whole_pixels", "data.augmentation.whole_pixels", "Shift by whole pixels",
           "Round the shifts to pixels: pictures stay as sharp as they are, where parts of a pixel blur them a little.",
           "Augmentation", "switch", False, True),
    Toggle("zoom", "data.augmentation.zoom", "Zoom",
           "Stretch or shrink by up to this share, each axis apart. The report: 0.2.",
           "Augmentation", "slider", 0.0, 0.2, high=0.9, step=0.05),
    Toggle("horizontal_flip", "data.augmentation.horizontal_flip", "Flip left and right",
           "Mirror half of the pictures: most things look as true in a mirror.", "Augmentation", "switch", False, True),
    Toggle("rotation", "data.augmentation.rotation", "Rotate",
           "Turn by up to this many degrees either way. The report tried it and rejected it.",
           "Augmentation", "slider", 0.0, 15.0, high=180, step=5.0),
    Toggle("vertical_flip", "data.augmentation.vertical_flip", "Flip upside down",
           "Mirror half of the pictures top to bottom. The report tried it and rejected it.",
           "Augmentation", "switch", False, True),
    Toggle("cutout", "data.augmentation.cutout", "Cutout",
           "Cover a square of this share of the side with grey: the network must not rely on one part alone.",
           "Augmentation", "slider", 0.0, 0.25, high=0.75, step=0.05),
    Toggle("mixup", "data.augmentation.mixup", "Mixup",
           "Blend two pictures and their labels. The number is the alpha of the Beta distribution of their shares: "
           "at 0.2 one picture usually dominates, at 1 every mixture is as likely.",
           "Augmentation", "slider", 0.0, 0.2, high=1, step=0.1),
    Toggle("cutmix", "data.augmentation.cutmix", "Cutmix",
           "Paste a square of another picture into this one, and mix the labels by area. Alpha as for mixup.",
           "Augmentation", "slider", 0.0, 1.0, high=1, step=0.1),
    Toggle("batch_norm", "network.batch_norm", "Batch normalization",
           "Normalize each layer's outputs over the batch before the activation: faster, steadier training. "
           "'convolutions' leaves the dense layers out.",
           "Network", "choice", "off", "all", options=("off", "convolutions", "all")),
    Toggle("dropout", "network.dropout", "Dropout",
           "Silence this share of the values at random in training, so that no unit relies on another.",
           "Network", "rates", [], None, high=0.9, step=0.05),
    Toggle("pooling", "network.pooling", "Pooling",
           "Shrink each 2x2 to its maximum (the strongest answer) or its average (all of them); or let a convolution that "
           "moves by two pixels learn how (strided).",
           "Network", "choice", "max", "average", options=("max", "average", "strided")),
    Toggle("activation", "network.activation", "Activation",
           "What follows each convolution and hidden dense layer. Without one, all layers together could do no more than one.",
           "Network", "choice", "relu", "tanh", options=("relu", "elu", "gelu", "silu", "tanh")),
    Toggle("split_5x5", "network.split_5x5", "Each 5x5 as two 3x3",
           "The same field of view with one more activation between; fewer operations only where channels are equal.",
           "Network", "switch", False, True),
    Toggle("bottleneck", "network.bottleneck", "1x1 bottlenecks",
           "Squeeze to a quarter of the channels before each 3x3 that 128 channels or more enter: far fewer operations.",
           "Network", "switch", False, True),
    Toggle("residual", "network.residual", "Shortcuts",
           "Add a layer's input to its output where both have one shape, so that the layers learn only the difference "
           "(residual learning). Deep networks train better.",
           "Network", "switch", False, True),
    Toggle("whitening", "network.whitening", "Whitening",
           "Begin with a layer that is computed, not learned: after it the values of each 2x2 patch are uncorrelated and equally "
           "strong, so that fine differences are learned as fast as brightness.",
           "Network", "switch", False, True),
    Toggle("depth", "network.depth", "Depth",
           "How many convolutions replace each one: more layers see more and cost more.",
           "Network", "slider", 1, 2, low=1, high=4, step=1),
    Toggle("width", "network.width", "Width",
           "Multiply the number of filters and units of every layer; operations grow nearly with its square.",
           "Network", "choice", 1.0, 2.0, options=(0.25, 0.5, 1.0, 1.5, 2.0)),
    Toggle("early_stopping", "fit.early_stopping", "Early stopping",
           "Stop after 20 epochs without a lower validation loss and keep the best weights, instead of a fixed number.",
           "Fit", "switch", None, EarlyStopping().model_dump(mode="json")),
    Toggle("optimizer", "fit.optimizer", "Optimizer",
           "How a gradient moves the weights. sgd steps along it; adam divides each weight's step by the size of its gradients; "
           "muon moves each kernel equally far in all directions. adam wants about a tenth of sgd's learning rate, muon a fifth to two fifths.",
           "Fit", "choice", "sgd", "adam", options=("sgd", "adam", "muon")),
    Toggle("learning_rate", "fit.learning_rate", "Learning rate",
           "The size of each step. The report tried 0.1 to 0.001 and kept 0.01, with sgd; adam and muon want less (see Optimizer).",
           "Fit", "choice", 0.01, 0.1, options=(0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)),
    Toggle("momentum", "fit.momentum", "Momentum",
           "How much of the last step carries on into the next. The report: 0.5 much worse, 0.9 kept, 1 unstable.",
           "Fit", "choice", 0.9, 0.5, options=(0.0, 0.5, 0.8, 0.9, 0.95, 1.0)),
    Toggle("epochs", "fit.epochs", "Epochs",
           "How often every training picture is seen, where early stopping does not decide.",
           "Fit", "number", 27, 27, low=1, high=1000, step=1),
    Toggle("batch_size", "fit.batch_size", "Batch size",
           "Pictures per step; the gradient is averaged over them.",
           "Fit", "choice", 64, 128, options=(16, 32, 64, 128, 256)),
    Toggle("schedule", "fit.schedule", "Learning-rate schedule",
           "inverse-time hardly falls (the report's decay 1e-6); cosine falls to 0 by the last epoch.",
           "Fit", "choice", "inverse-time", "cosine", options=("inverse-time", "constant", "cosine")),
    Toggle("label_smoothing", "fit.label_smoothing", "Label smoothing",
           "Ask for a little less than certainty: it guards against too much confidence, and may leave too little.",
           "Fit", "slider", 0.0, 0.1, high=0.5, step=0.05),
    Toggle("weight_decay", "fit.weight_decay", "Weight decay",
           "Shrink the weights a little with every step (decoupled: times the learning rate), against overfitting.",
           "Fit", "choice", 0.0, 0.005, options=(0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)),
    Toggle("average", "fit.average", "Weight averaging",
           "Validate and keep a moving average of the weights in place of the last ones: smoother, often better. "
           "The number is its decay a step.",
           "Fit", "choice", 0.0, 0.999, options=(0.0, 0.99, 0.995, 0.998, 0.999, 0.9995)),
    Toggle("dropout_ramp", "fit.dropout_ramp", "Dropout grows",
           "Let dropout grow from nothing to its rates over this share of the training: first learn, then be made robust. "
           "At 0 it acts in full from the start.",
           "Fit", "slider", 0.0, 1.0, high=1, step=0.25),
    Toggle("teacher", "fit.teacher", "Teacher",
           "Learn mostly from the answers of a model that was fitted to the same pictures: they say which other classes a "
           "picture resembles, too.", "Fit", "model", None, "plumage-long"),
    Toggle("epoch_length", "fit.epoch_length", "Steps in an epoch",
           "The report's formula, read literally, counts the test set (35 steps of 64), read kindly the training set (176).",
           "Fit", "choice", "training set", "test set", options=("training set", "test set")),
    Toggle("validation", "data.validation", "Validation pictures",
           "A fixed tenth of every class, unchanged; or, as the report's program did, the first tenth, augmented too.",
           "Data", "choice", "stratified", "ordered", options=("stratified", "ordered")),
)  # fmt: skip

BY_KEY = {toggle.key: toggle for toggle in TOGGLES}
GROUPS = tuple(dict.fromkeys(toggle.group for toggle in TOGGLES))


def default_rates(spec: RunSpec) -> list[float]:
    """The dropout rates with which `spec` switches dropout on.

    Its catalogue entry's own, else those of the first descendant that has some with as many
    places, else 0.25 everywhere.
    """
    places = spec.network.dropout_places
    if catalogue.known(spec.name):
        waiting = [catalogue.variant(spec.name)]
        while waiting:
            entry = waiting.pop(0)
            rates = entry.spec.network.dropout
            if rates and len(rates) == places:
                return list(rates)
            waiting += catalogue.children(entry.name)
    return [0.25] * places
