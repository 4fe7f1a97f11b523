"""The catalogue: every variant of the report as one entry, a ladder as the report climbed it.

An entry names its parent and differs from it by one toggle.  `report` holds the report's
own figures (test loss and accuracy, epochs); where the report gives none, it is empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from training.network_spec import Block, Conv, Dense, Dropout, Flatten, GlobalPool, Network, Pool
from training.spec import Augmentation, Data, EarlyStopping, Fit, RunSpec, SpecError, parse


@dataclass(frozen=True)
class Report:
    """What the report states: figures on its 2,500 test pictures, and its epochs."""

    loss: float | None = None
    accuracy: float | None = None
    epochs: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Variant:
    """One entry of the catalogue."""

    name: str
    title: str
    why: str  # one sentence: what it changes and what the report says of it
    spec: RunSpec
    parent: str | None = None
    # The toggle (see `training.toggles`) by which it differs from its parent; "network" stands for a new list of
    # blocks, "recipe" for another way to train.
    toggle: str | None = None
    report: Report = field(default_factory=Report)

    @property
    def aside(self) -> bool:
        """Whether it is another reading of its parent, not a step on from it."""
        return self.toggle in ("epoch_length", "validation", "batch_size")


_CATALOGUE: dict[str, Variant] = {}


def _add(name: str, parent: str | None, toggle: str | None, title: str, why: str, report: Report = Report(),
         spec: RunSpec | None = None, **changes: Any) -> None:  # fmt: skip
    if spec is None:
        assert parent is not None
        spec = _CATALOGUE[parent].spec.replace(
            {"name": name} | {path.replace("__", "."): value for path, value in changes.items()}
        )
    _CATALOGUE[name] = Variant(name, title, why, spec, parent, toggle, report)


def _conv(filters: int, padding: str = "same", kernel: int = 3) -> Block:
    return Conv(filters=filters, kernel=kernel, padding=padding)  # type: ignore[arg-type]


# The course's LeNet-like network.  The places for dropout are those the report used later:
# after the poolings and before the last Dense.
_BASENET = Network(
    blocks=(
        _conv(6, "valid", 5), Pool(), Dropout(),
        _conv(16, "valid", 5), Pool(), Dropout(),
        Flatten(), Dense(units=50), Dropout(),
    ),
)  # fmt: skip

_PROVISIONAL = Network(
    blocks=(
        _conv(32), _conv(64, "valid"), _conv(64, "valid"), Pool(), Dropout(),
        _conv(128), _conv(128, "valid"), Dropout(),
        _conv(256), _conv(256), Pool(), Dropout(),
        _conv(512), _conv(1024), Pool(), Dropout(),
        Flatten(), Dense(units=512), Dense(units=256), Dropout(),
    ),
    batch_norm="all", pooling="average", dropout=(0.2, 0.2, 0.2, 0.2, 0.5),
)  # fmt: skip

_FINAL = Network(
    blocks=(
        _conv(32), _conv(64, "valid"), _conv(64, "valid"), Pool(), Dropout(),
        _conv(128), _conv(128, "valid"), Dropout(),
        _conv(256), _conv(256), Pool(), Dropout(),
        _conv(256), Pool(), Dropout(),
        Flatten(), Dense(units=512), Dense(units=256), Dropout(),
    ),
    batch_norm="all", pooling="average", dropout=(0.35, 0.35, 0.35, 0.55, 0.7),
)  # fmt: skip

_REPORT_AUGMENTATION = Augmentation(width_shift=0.05, height_shift=0.1, zoom=0.2, horizontal_flip=True)
_IMPROVED_DATA = Data(normalization="featurewise", augmentation=_REPORT_AUGMENTATION)
_IMPROVED_FIT = Fit(early_stopping=EarlyStopping())

_add("basenet", None, None, "BaseNet",
     "The course's LeNet-like network, no help of any kind; 27 epochs, where the report's validation loss was least.",
     Report(1.9901, 0.4412, 27, "two further runs gave 0.452 and 0.4288"),
     RunSpec(name="basenet", network=_BASENET))  # fmt: skip
_add("basenet-norm", "basenet", "normalization", "+ normalization",
     "Each channel is centred and scaled by the training pictures' mean and standard deviation.",
     Report(2.1888, 0.4356, 27, "its own 'before' run gave 0.452"), data__normalization="featurewise")  # fmt: skip
_add("basenet-norm-aug", "basenet-norm", "augmentation", "+ augmentation",
     "Small random shifts, zoom and horizontal flips: the same picture never comes twice.",
     Report(1.6808, 0.5, 27, "its own 'before' run gave 0.4288"),
     data__augmentation=_REPORT_AUGMENTATION.model_dump())  # fmt: skip
_add("basenet-norm-aug-es", "basenet-norm-aug", "early_stopping", "+ early stopping",
     "Train until validation loss has not fallen for 20 epochs, then go back to the best weights.",
     fit__early_stopping=EarlyStopping().model_dump())  # fmt: skip
_add("basenet-bn", "basenet-norm-aug-es", "batch_norm", "+ batch normalization",
     "Each layer's outputs are normalized over the batch, after every convolution and hidden dense layer, before ReLU.",
     Report(1.5094, 0.5552, 80), network__batch_norm="all")  # fmt: skip
_add("basenet-bn-dropout", "basenet-bn", "dropout", "+ dropout",
     "Activations are dropped at random in training: 0.1 after each pooling, 0.25 before the last Dense.",
     Report(1.5421, 0.5364, 80), network__dropout=[0.1, 0.1, 0.25])  # fmt: skip
_add("basenet-3x3", "basenet-bn-dropout", "split_5x5", "5x5 as two 3x3",
     "Each 5x5 convolution becomes two 3x3: the same field of view and one more ReLU. Fewer operations for equal "
     "channels (18 against 25 C²), but 26 % more here, where channels grow from 3 to 6 to 16.",
     network__split_5x5=True)  # fmt: skip
_add("basenet-avgpool", "basenet-3x3", "pooling", "average pooling",
     "The mean of each 2x2 instead of its maximum. The report: almost no difference, average wins slightly.",
     network__pooling="average")  # fmt: skip
_add("provisional", "basenet-avgpool", "network", "Provisional design",
     "The report's deep network: nine convolutions up to 1,024 channels.",
     Report(0.8293, 0.7912, 76, "about 14 s an epoch on a 2020 Colab GPU"),
     RunSpec(name="provisional", network=_PROVISIONAL, data=_IMPROVED_DATA, fit=_IMPROVED_FIT))  # fmt: skip
_add("final", "provisional", "network", "Final design",
     "It ends in one convolution of 256 in place of 512 and 1,024, and uses more dropout: about half the operations, "
     "a quarter of the weights, less overfitting.",
     Report(0.7305, 0.7932, 129, "130 epochs run, about 7 s an epoch on a 2020 Colab GPU"),
     RunSpec(name="final", network=_FINAL, data=_IMPROVED_DATA, fit=_IMPROVED_FIT))  # fmt: skip
_add("final-recipe", "final", "recipe", "Final design, short recipe",
     "The same network, a quarter of the epochs: a higher learning rate that warms up and falls to 0, Nesterov momentum, "
     "weight decay, label smoothing, and an average of the weights. It ends far below its parent: full dropout is too much for "
     "so few epochs.",
     fit__early_stopping=None, fit__epochs=35, fit__learning_rate=0.05, fit__nesterov=True, fit__schedule="cosine",
     fit__warmup_epochs=2, fit__weight_decay=5e-4, fit__label_smoothing=0.1, fit__average=0.999)  # fmt: skip
_add("final-ramp", "final-recipe", "recipe", "Final design, dropout grows",
     "Dropout rises from nothing to its rates in the course of the training, and kernels shrink forty times as fast: the "
     "network learns first and is made robust then, where full dropout from the start lets it learn but slowly. Which of the "
     "two counts for more was not separated.",
     fit__dropout_ramp=1, fit__weight_decay=0.02)  # fmt: skip
_add("final-taught", "final-ramp", "recipe", "Final design, 100 epochs, taught",
     "A hundred epochs, and most of the loss is no longer the label but the answer of Plumage's own network, fitted before: "
     "it says which other classes a picture resembles, too. Most of the gain is the longer training.", fit__epochs=100, fit__teacher="plumage-long")  # fmt: skip
_add("final-maxpool", "final-ramp", "pooling", "Final design, max pooling",
     "Max in place of average pooling. The report: hardly any effect.", network__pooling="max")  # fmt: skip
_add("final-bottleneck", "final-ramp", "bottleneck", "Final design, bottlenecks",
     "A 1x1 convolution to a quarter of the channels before each 3x3 that 128 channels or more enter: "
     "less than half the operations. The report describes it and did not try it.", network__bottleneck=True)  # fmt: skip
_add("plumage", "final-recipe", "network", "Plumage's network",
     "Four stages of three convolutions each, the last two of them a residual pair, and global average pooling in place "
     "of wide dense layers and heavy dropout: fewer weights and fewer operations than the final design.",
     network__residual=True, network__depth=3, network__pooling="max", network__dropout=[],
     network__blocks=[block.model_dump() for block in (
         _conv(64), Pool(), _conv(96), Pool(), _conv(192), Pool(), _conv(256), GlobalPool(), Dropout())])  # fmt: skip
_add("plumage-cutmix", "plumage", "cutmix", "Plumage, cutmix",
     "A square of another picture in each picture, and the labels mixed by area: the network cannot learn the training "
     "pictures by heart.", data__augmentation__cutmix=0.5)  # fmt: skip
_add("plumage-long", "plumage-cutmix", "recipe", "Plumage, cutmix, long",
     "Twice the epochs, since mixed pictures are learned slowly, and forty times the weight decay, which gives most of the gain: "
     "compare plumage-decay.",
     fit__weight_decay=0.02, fit__epochs=70)  # fmt: skip
_add("plumage-decay", "plumage", "weight_decay", "Plumage, more decay",
     "Kernels shrink forty times as fast: the training pictures are learned a little later, and others are known better.",
     fit__weight_decay=0.02)  # fmt: skip
_add("plumage-muon", "plumage-cutmix", "optimizer", "Plumage, cutmix, Muon",
     "Muon moves every kernel equally far in all directions, where SGD hardly moves it in most. Twice the batch, so that its "
     "own work is done half as often.",
     fit__optimizer="muon", fit__learning_rate=0.02, fit__weight_decay=0.1, fit__batch_size=128, fit__average=0.998)  # fmt: skip
_add("sprint", "plumage", "network", "Sprint",
     "Made to be trained fast, after Keller Jordan's airbench94 (2024, arXiv:2404.00498): six convolutions behind a layer "
     "that whitens patches; a little more than half of the operations of Plumage's network.",
     network__residual=False, network__depth=1, network__whitening=True, network__activation="silu",
     network__blocks=[block.model_dump() for block in (
         _conv(64), Pool(), _conv(64), _conv(256), Pool(), _conv(256), _conv(256), Pool(), _conv(256), Pool(size=3),
         Flatten())])  # fmt: skip
_add("basenet-35-steps", "basenet", "epoch_length", "BaseNet, 35 steps an epoch",
     "The report's formula for the steps of an epoch, read literally: it counts the test pictures, a fifth as many.",
     Report(1.9901, 0.4412, 27, "the same run of the report in the other reading"),
     fit__epoch_length="test set")  # fmt: skip
_add("final-35-steps", "final", "epoch_length", "Final design, 35 steps an epoch",
     "The report's formula for the steps of an epoch, read literally: it counts the test pictures, a fifth as many.",
     Report(0.7305, 0.7932, 129, "the same run of the report in the other reading"),
     fit__epoch_length="test set")  # fmt: skip
_add("basenet-norm-aug-ordered", "basenet-norm-aug", "validation", "+ augmentation, the report's validation",
     "The validation pictures are the file's first tenth and augmented like the others, as the report's program had them.",
     Report(1.6808, 0.5, 27, "the same run of the report, validated as its program did"),
     data__validation="ordered")  # fmt: skip
for _parent in ("basenet", "basenet-norm", "basenet-norm-aug"):
    _whole = _CATALOGUE[_parent]
    _add(f"{_parent}-batch-128", _parent, "batch_size", f"{_whole.title}, batches of 128",
         "Half as many steps in an epoch as with the report's 64: do the report's first rows fit that number better?",
         Report(_whole.report.loss, _whole.report.accuracy, 27, "the same run of the report, in half as many steps"),
         fit__batch_size=128)  # fmt: skip


# Heads on a frozen ResNet-50, birds.  The report states neither optimizer nor rate nor batch
# for them: these are Plumage's, chosen on validation birds.  Features are standardized and
# those of the mirror images stand beside them.  With another backbone, sizes follow its map.
_BIRD_DATA = Data(name="birds", backbone="resnet50", normalization="featurewise",
                  augmentation=Augmentation(horizontal_flip=True))  # fmt: skip
_HEAD_FIT = Fit(epochs=20, learning_rate=0.03, schedule="cosine", weight_decay=0.1)
_FC = Network(input_shape=(7, 7, 2048), classes=200, dropout=(0.7,),
              blocks=(Flatten(), Dense(units=1024), Dense(units=512), Dropout()))  # fmt: skip

_add("birds-fc-basic", None, None, "Birds: one softmax layer",
     "Dense 200 on ResNet-50's 2,048 pooled features: logistic regression, seconds to train.",
     Report(2.3410, 0.4352, 20),
     RunSpec(name="birds-fc-basic", network=Network(input_shape=(2048,), classes=200, blocks=()),
             data=_BIRD_DATA, fit=_HEAD_FIT))  # fmt: skip
_add("birds-fc", "birds-fc-basic", "network", "Birds: three dense layers",
     "Dense 1,024 and 512 on all 100,352 values of the 7x7x2048 map: 103 million weights, no better in the report.",
     Report(2.4658, 0.43455, 40),
     RunSpec(name="birds-fc", network=_FC, data=_BIRD_DATA, fit=_HEAD_FIT.model_copy(update={"epochs": 40})))  # fmt: skip
_add("birds-conv", "birds-fc", "network", "Birds: two convolutions more",
     "Two 3x3 convolutions of 1,024 on the 7x7x2048 map before the dense layers; the weakest frozen head in the report.",
     Report(3.2243, 0.3956, 40), network__batch_norm="convolutions", network__dropout=[0.5, 0.7],
     network__blocks=[block.model_dump() for block in (
         _conv(1024, "valid"), _conv(1024, "valid"), Dropout(), Flatten(), Dense(units=1024), Dropout())])  # fmt: skip
_add("birds-finetune-fc", "birds-fc", "fine_tune", "Birds: all of ResNet-50 trained, three dense layers",
     "The backbone learns too, as the report did it: worse than frozen. Its batch norm follows small batches, and one "
     "learning rate serves new and pretrained weights.",
     Report(3.3414, 0.3274, 20), fit__fine_tune="all at once", fit__epochs=20,
     fit__weight_decay=0, fit__learning_rate=0.01, data__normalization="off",
     data__augmentation=Augmentation().model_dump())  # fmt: skip
_add("birds-finetune-simple", "birds-finetune-fc", "network", "Birds: all of ResNet-50 trained, simple head",
     "One hidden layer of 2,048 on the 100,352 values instead of two: 206 million weights.",
     Report(2.6948, 0.4128, 20),
     network__blocks=[block.model_dump() for block in (Flatten(), Dense(units=2048), Dropout())])  # fmt: skip
_add("birds-finetune-repaired", "birds-fc-basic", "fine_tune", "Birds: fine-tuning repaired",
     "The head first, then layers from the top down; batch norm's statistics stay, low layers learn slower or not at "
     "all; warm-up, cosine, label smoothing, flips, zoom, mixup, and dropout, without which the head knows every "
     "training picture before the backbone has learned.",
     network__blocks=[Dropout().model_dump()], network__dropout=[0.6],
     fit__fine_tune="head first", fit__epochs=24, fit__batch_size=32, fit__learning_rate=0.004, fit__weight_decay=0,
     fit__warmup_epochs=1, fit__label_smoothing=0.1,
     data__augmentation=Augmentation(
         width_shift=0.1, height_shift=0.1, zoom=0.2, horizontal_flip=True, mixup=0.3).model_dump())  # fmt: skip
_add("birds-best", "birds-finetune-repaired", "backbone", "Birds: EfficientNet-Lite0 on larger pictures",
     "EfficientNet-Lite0 fine-tuned in the same way, every picture enlarged to 288 pixels a side: finer maps, 1.7 times "
     "the work of 224.",
     data__backbone="efficientnet-lite0", data__backbone_size=288, network__input_shape=[1280])  # fmt: skip
_add("cifar-fc-basic", "birds-fc-basic", "network", "25 classes of CIFAR-100: one softmax layer on ResNet-50",
     "The same single layer on features of the enlarged pictures: what ImageNet knows, beside networks from scratch.",
     spec=RunSpec(name="cifar-fc-basic", network=Network(input_shape=(2048,), classes=25, blocks=()),
                  data=_BIRD_DATA.model_copy(update={"name": "cifar100-25"}), fit=_HEAD_FIT))  # fmt: skip
_add("cifar10-fc-basic", "cifar-fc-basic", "data", "CIFAR-10: one softmax layer on ResNet-50",
     "The same on ten things that people have pictures of: cats, dogs, cars, ships.",
     data__name="cifar10", network__classes=10)  # fmt: skip


def names() -> list[str]:
    """The names of the networks on pictures, in the ladder's order."""
    return [entry.name for entry in variants()]


def variants() -> list[Variant]:
    """The networks on pictures, in the ladder's order."""
    return [entry for entry in _CATALOGUE.values() if entry.spec.data.backbone is None]


def heads() -> list[Variant]:
    """The heads on a pretrained backbone, in the report's order."""
    return [entry for entry in _CATALOGUE.values() if entry.spec.data.backbone is not None]


def variant(name: str) -> Variant:
    """The entry called `name`; raises `SpecError` with the nearest names if there is none."""
    if name in _CATALOGUE:
        return _CATALOGUE[name]
    import difflib

    near = difflib.get_close_matches(name, _CATALOGUE, n=3)
    told = f"Did you mean {', '.join(near)}?" if near else "`python -m training list` names all."
    raise SpecError(f"There is no variant {name!r} in the catalogue. {told}")


def children(name: str) -> list[Variant]:
    """The entries whose parent is `name`."""
    return [entry for entry in _CATALOGUE.values() if entry.parent == name]


def below(name: str) -> list[str]:
    """The names of an entry and of all that descend from it, in the ladder's order."""
    return [entry for entry in names() if name in line(entry)]


def line(name: str) -> list[str]:
    """The names of an entry's ancestors, the first entry of the ladder first, and its own."""
    parent = variant(name).parent
    return [*(line(parent) if parent else ()), name]


def load(source: str) -> RunSpec:
    """The spec of a catalogue entry, or of the JSON file at path `source`.  Raises `SpecError`."""
    from pathlib import Path

    if source in _CATALOGUE:
        return _CATALOGUE[source].spec
    path = Path(source)
    if path.suffix == ".json" or path.is_file():
        try:
            return parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SpecError(f"The spec file {source} cannot be read: {reason}.") from None
    return variant(source).spec
