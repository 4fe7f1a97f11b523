"""The frozen specification of a run: network (see `training.network_spec`), data, augmentation and fit.

Everything in Plumage starts from a `RunSpec`: describing a network, building it, fitting
it, storing it and comparing it.  A spec is immutable, validates itself and goes to JSON
and back unchanged.  Impossible values raise `SpecError`, whose message names the field,
the value and what is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from training.network_spec import Frozen, Network
from training.spec_errors import explain


class SpecError(ValueError):
    """A spec, or one field of it, is not possible.  The message is made to be shown."""


class Augmentation(Frozen):
    """Random changes to the training pictures, drawn anew for every picture and epoch.

    Shifts are fractions of the picture's height or width, with `whole_pixels` rounded to pixels; `zoom` z draws a factor from
    [1 - z, 1 + z] for each axis apart, `rotation` is in degrees, either way.  `cutout` covers a
    square of that share of the side.  `mixup` and `cutmix` are the alpha of the Beta distribution
    from which the second picture's share is drawn (see `training.engine.mix`).
    """

    width_shift: float = Field(default=0.0, ge=0, le=0.5)
    height_shift: float = Field(default=0.0, ge=0, le=0.5)
    whole_pixels: bool = False
    zoom: float = Field(default=0.0, ge=0, lt=1)
    rotation: float = Field(default=0.0, ge=0, le=180)
    horizontal_flip: bool = False
    vertical_flip: bool = False
    cutout: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0, le=1)
    cutmix: float = Field(default=0.0, ge=0, le=1)

    @property
    def on(self) -> bool:
        """Whether any operation changes a picture."""
        return self.changes or self.mixes

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        return any(
            (self.width_shift, self.height_shift, self.zoom, self.rotation, self.horizontal_flip, self.vertical_flip)
        )

    @property
    def changes(self) -> bool:
        """Whether any operation changes a picture by itself, mixing apart."""
        return self.moves or bool(self.cutout)

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed, and their labels with them."""
        return bool(self.mixup or self.cutmix)


class Data(Frozen):
    """Which pictures, and how they reach the network.

    `validation` is "stratified" (a fixed tenth of every class) or "ordered" (the first
    tenth, augmented like the training pictures: what `ImageDataGenerator(validation_split=0.1)`
    did in the report).  `backbone` names a feature extractor in front of the network, which sees the
    pictures at `backbone_size` pixels a side, enlarged or shrunk to it, and gives what it has seen by the end of
    `backbone_stage`: its map has a 32nd of their pixels a side after conv5, a 16th after conv4, an 8th after conv3.
    """

    name: str = Field(default="cifar100-25", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    normalization: Literal["off", "featurewise"] = "off"
    augmentation: Augmentation = Augmentation()
    validation: Literal["stratified", "ordered"] = "stratified"
    backbone: Literal["resnet50", "resnet50v2", "resnet50v2-tuned", "efficientnet-lite0"] | None = None
    backbone_size: int = Field(default=224, ge=64, le=448, multiple_of=32)
    backbone_stage: Literal["conv3", "conv4", "conv5"] = "conv5"


class EarlyStopping(Frozen):
    """Stop after `patience` epochs without a lower validation loss and keep the best weights.

    It replaces the fixed number of epochs by the ceiling `max_epochs`.
    """

    patience: int = Field(default=20, ge=1, le=1000)
    max_epochs: int = Field(default=150, ge=1, le=10000)


class Fit(Frozen):
    """How the weights are found.

    `optimizer` is the rule of a step (see `training.engine.optimizer`); `momentum` is also Adam's beta_1, and `nesterov` is for SGD
    and Muon.
    `epoch_length` is the report's open question: its formula, read literally, uses the size
    of the test set (35 steps of 64 an epoch on cifar100-25), read kindly that of the training
    set (176 steps).  `decay` is Keras's old learning-rate decay, lr / (1 + decay * step).
    `average` is the decay of a moving average of the weights, taken after each step; the
    average is what is validated and kept, 0 keeps the last weights.
    `dropout_ramp` is the share of the training in which dropout's rates grow from 0 to the network's; at 0 they act in
    full from the first step.
    `fine_tune` trains the backbone in front of the network too: "all at once" as the report did, or
    "head first", the repaired way (see `training.transfer.finetune`).  `teacher` names a fitted model of the
    same pictures whose answers are learned beside the labels (distillation): for a network without a backbone,
    or with "head first".
    """

    epochs: int = Field(default=27, ge=1, le=10000)
    minutes: float | None = Field(default=None, gt=0, le=10000)
    batch_size: int = Field(default=64, ge=1, le=4096)
    optimizer: Literal["sgd", "adam", "muon"] = "sgd"
    learning_rate: float = Field(default=0.01, gt=0, le=10)
    momentum: float = Field(default=0.9, ge=0, le=1)
    nesterov: bool = False
    schedule: Literal["inverse-time", "constant", "cosine"] = "inverse-time"
    decay: float = Field(default=1e-6, ge=0, le=1)
    warmup_epochs: float = Field(default=0.0, ge=0, le=1000)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    dropout_ramp: float = Field(default=0.0, ge=0, le=1)
    average: float = Field(default=0.0, ge=0, lt=1)
    early_stopping: EarlyStopping | None = None
    fine_tune: Literal["off", "all at once", "head first"] = "off"
    teacher: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    epoch_length: Literal["training set", "test set"] = "training set"
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _momentum_of_adam(self) -> Self:
        if self.optimizer != "sgd" and self.momentum == 1:
            raise ValueError(f"momentum = 1 is not possible with optimizer = {self.optimizer}: it is less than 1")
        return self

    @property
    def max_epochs(self) -> int:
        """Epochs after which the run ends at the latest (unless `minutes` ends it before)."""
        return self.early_stopping.max_epochs if self.early_stopping else self.epochs


class RunSpec(Frozen):
    """All of a run.  `name` is the catalogue entry it started from, or the user's own word."""

    name: str = Field(default="custom", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    network: Network
    data: Data = Data()
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        augmentation = self.data.augmentation
        frozen = self.data.backbone and self.fit.fine_tune == "off"
        if frozen and augmentation != Augmentation(horizontal_flip=augmentation.horizontal_flip):
            raise ValueError(
                "data.augmentation: this network learns on a backbone's features, computed once of each picture and of "
                "its mirror image; only horizontal_flip is possible, set the others to 0 or off"
            )
        if self.fit.fine_tune == "all at once" and self.data.normalization == "featurewise":
            raise ValueError(
                "data.normalization = featurewise is not possible with fit.fine_tune = all at once, whose features change "
                "at every step; set it to off"
            )
        if self.fit.fine_tune != "off" and self.data.backbone is None:
            raise ValueError("fit.fine_tune is possible only with data.backbone; set it to off, or name a backbone")
        if self.fit.teacher and self.data.backbone and self.fit.fine_tune != "head first":
            raise ValueError(
                'fit.teacher on a backbone is possible only with fit.fine_tune = "head first"; leave it out'
            )
        if self.data.backbone and self.data.validation == "ordered":
            raise ValueError(
                "data.validation = ordered is possible only without data.backbone, whose weights may have learned from "
                "those pictures; set it to stratified"
            )
        for field in ("backbone_size", "backbone_stage"):
            usual = Data.model_fields[field].default
            if self.data.backbone is None and getattr(self.data, field) != usual:
                raise ValueError(f"data.{field} is of use only with data.backbone; leave it at {usual}")
        for field in ("average", "dropout_ramp"):
            value = getattr(self.fit, field)
            if value and self.fit.fine_tune != "off":
                raise ValueError(f"fit.{field} = {value:g} is not possible with fine-tuning; set it to 0")
        return self

    def to_json(self) -> str:
        """The spec as indented JSON; `parse` gives back an equal spec."""
        return self.model_dump_json(indent=2)

    def with_seed(self, seed: int) -> RunSpec:
        """The same run with another seed, 0 or more."""
        return self.model_copy(update={"fit": self.fit.model_copy(update={"seed": seed})})

    def replace(self, changes: Mapping[str, Any] | None = None) -> RunSpec:
        """A new, validated spec with dotted fields set, as in {"fit.seed": 1}.

        Raises `SpecError` for an unknown field or an impossible value.
        """
        tree = self.model_dump(mode="json")
        for path, value in (changes or {}).items():
            set_field(tree, path, value)
        return parse(tree)


# --- Reading, changing and comparing specs ---------------------------------------------------


def parse(source: str | bytes | Mapping[str, Any]) -> RunSpec:
    """A `RunSpec` from JSON text or a tree of dictionaries; raises `SpecError`."""
    try:
        tree = json.loads(source) if isinstance(source, str | bytes) else source
    except (ValueError, RecursionError) as error:
        raise SpecError(f"The spec is not valid JSON: {error}") from None
    if not isinstance(tree, Mapping):
        raise SpecError(f"A spec is a JSON object with the keys {', '.join(RunSpec.model_fields)}.")
    try:
        return RunSpec.model_validate(tree)
    except ValidationError as error:
        raise SpecError(explain(error)) from None


def set_field(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set the dotted `path` of a spec tree (as from `model_dump`) to `value`, in place.

    Lists take an index: "network.blocks.0.filters".  Raises `SpecError` for an unknown path.
    """
    node: Any = tree
    parts = path.split(".")
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        here = ".".join(parts[:depth]) or "the spec"
        if isinstance(node, list):
            if not (part.isascii() and part.isdecimal() and int(part) < len(node)):
                places = f"has the places 0 to {len(node) - 1}" if node else "is empty"
                raise SpecError(f"{path} is not a field: {here} {places}.")
            if last:
                node[int(part)] = value
            else:
                node = node[int(part)]
        elif isinstance(node, dict):
            if part not in node:
                raise SpecError(f"{path} is not a field: {here} has {', '.join(node)}.")
            if last:
                node[part] = value
            else:
                if node[part] is None and part == "early_stopping":
                    node[part] = EarlyStopping().model_dump(mode="json")
                node = node[part]
        else:
            raise SpecError(f"{path} is not a field: {here} is a single value.")


def flatten(spec: RunSpec) -> dict[str, Any]:
    """Every leaf of the spec under its dotted path; tuples of plain values stay whole."""

    def walk(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for key, child in node.items():
                yield from walk(f"{prefix}.{key}" if prefix else key, child)
        elif isinstance(node, list) and any(isinstance(child, dict) for child in node):
            for index, child in enumerate(node):
                yield from walk(f"{prefix}.{index}", child)
        else:
            yield prefix, node

    return dict(walk("", spec.model_dump(mode="json")))


def difference(a: RunSpec, b: RunSpec) -> dict[str, tuple[Any, Any]]:
    """The fields in which two specs differ, as {path: (value in a, value in b)}; absent is None."""
    left, right = flatten(a), flatten(b)
    paths = [*left, *(path for path in right if path not in left)]
    return {p: (left.get(p), right.get(p)) for p in paths if left.get(p) != right.get(p)}
