"""Networks from scratch: the ladder as the report climbed it, then networks and recipes of our own, then other readings
of the report's runs."""

from __future__ import annotations

from training.catalogue.entry import TABLE, Report, add, conv
from training.network_spec import Dense, Dropout, Flatten, GlobalPool, Network, Pool
from training.spec import Augmentation, Data, EarlyStopping, Fit, RunSpec

# The course's LeNet-like network.  The places for dropout are those the report used later:
# after the poolings and before the last Dense.
_BASENET = Network(
    blocks=(
        conv(6, "valid", 5), Pool(), Dropout(),
        conv(16, "valid", 5), Pool(), Dropout(),
        Flatten(), Dense(units=50), Dropout(),
    ),
)  # fmt: skip

_PROVISIONAL = Network(
    blocks=(
        conv(32), conv(64, "valid"), conv(64, "valid"), Pool(), Dropout(),
        conv(128), conv(128, "valid"), Dropout(),
        conv(256), conv(256), Pool(), Dropout(),
        conv(512), conv(1024), Pool(), Dropout(),
        Flatten(), Dense(units=512), Dense(units=256), Dropout(),
    ),
    batch_norm="all", pooling="average", dropout=(0.2, 0.2, 0.2, 0.2, 0.5),
)  # fmt: skip

_FINAL = Network(
    blocks=(
        conv(32), conv(64, "valid"), conv(64, "valid"), Pool(), Dropout(),
        conv(128), conv(128, "valid"), Dropout(),
        conv(256), conv(256), Pool(), Dropout(),
        conv(256), Pool(), Dropout(),
        Flatten(), Dense(units=512), Dense(units=256), Dropout(),
    ),
    batch_norm="all", pooling="average", dropout=(0.35, 0.35, 0.35, 0.55, 0.7),
)  # fmt: skip

_REPORT_AUGMENTATION = Augmentation(width_shift=0.05, height_shift=0.1, zoom=0.2, horizontal_flip=True)
_IMPROVED_DATA = Data(normalization="featurewise", augmentation=_REPORT_AUGMENTATION)
_IMPROVED_FIT = Fit(early_stopping=EarlyStopping())

add("basenet", None, None, "BaseNet",
    "The course's LeNet-like network, no help of any kind; 27 epochs, where the report's validation loss was least.",
    Report(1.9901, 0.4412, 27, further=(0.452, 0.4288)),
    RunSpec(name="basenet", network=_BASENET))  # fmt: skip
add("basenet-norm", "basenet", "normalization", "+ normalization",
    "Each channel is centred and scaled by the training pictures' mean and standard deviation.",
    Report(2.1888, 0.4356, 27, before=0.452), data__normalization="featurewise")  # fmt: skip
add("basenet-norm-aug", "basenet-norm", "augmentation", "+ augmentation",
    "Small random shifts, zoom and horizontal flips: the same picture never comes twice.",
    Report(1.6808, 0.5, 27, before=0.4288),
    data__augmentation=_REPORT_AUGMENTATION.model_dump())  # fmt: skip
add("basenet-norm-aug-es", "basenet-norm-aug", "early_stopping", "+ early stopping",
    "Train until validation loss has not fallen for 20 epochs, then go back to the best weights.",
    fit__early_stopping=EarlyStopping().model_dump())  # fmt: skip
add("basenet-bn", "basenet-norm-aug-es", "batch_norm", "+ batch normalization",
    "Each layer's outputs are normalized over the batch, after every convolution and hidden dense layer, before ReLU.",
    Report(1.5094, 0.5552, 80, before=0.4288), network__batch_norm="all")  # fmt: skip
add("basenet-bn-dropout", "basenet-bn", "dropout", "+ dropout",
    "Activations are dropped at random in training: 0.1 after each pooling, 0.25 before the last Dense.",
    Report(1.5421, 0.5364, 80, before=0.4288), network__dropout=[0.1, 0.1, 0.25])  # fmt: skip
add("basenet-3x3", "basenet-bn-dropout", "split_5x5", "5x5 as two 3x3",
    "Each 5x5 convolution becomes two 3x3: the same field of view and one more ReLU. Fewer operations for equal "
    "channels (18 against 25 C²), but 26 % more here, where channels grow from 3 to 6 to 16.",
    network__split_5x5=True)  # fmt: skip
add("basenet-avgpool", "basenet-3x3", "pooling", "average pooling",
    "The mean of each 2x2 instead of its maximum. The report: almost no difference, average wins slightly.",
    network__pooling="average")  # fmt: skip
add("provisional", "basenet-avgpool", "network", "Provisional design",
    "The report's deep network: nine convolutions up to 1,024 channels.",
    Report(0.8293, 0.7912, 76, "about 14 s an epoch on a 2020 Colab GPU"),
    RunSpec(name="provisional", network=_PROVISIONAL, data=_IMPROVED_DATA, fit=_IMPROVED_FIT))  # fmt: skip
add("final", "provisional", "network", "Final design",
    "It ends in one convolution of 256 in place of 512 and 1,024, and uses more dropout: about half the operations, "
    "a quarter of the weights, less overfitting.",
    Report(0.7305, 0.7932, 129, "130 epochs run, about 7 s an epoch on a 2020 Colab GPU"),
    RunSpec(name="final", network=_FINAL, data=_IMPROVED_DATA, fit=_IMPROVED_FIT))  # fmt: skip
add("final-recipe", "final", "recipe", "Final design, short recipe",
    "The same network, a quarter of the epochs: a higher learning rate that warms up and falls to 0, Nesterov momentum, "
    "weight decay, label smoothing, and an average of the weights. It ends far below its parent: full dropout is too much for "
    "so few epochs.",
    fit__early_stopping=None, fit__epochs=35, fit__learning_rate=0.05, fit__nesterov=True, fit__schedule="cosine",
    fit__warmup_epochs=2, fit__weight_decay=5e-4, fit__label_smoothing=0.1, fit__average=0.999)  # fmt: skip
add("final-ramp", "final-recipe", "recipe", "Final design, dropout grows",
    "Dropout rises from nothing to its rates in the course of the training, and kernels shrink forty times as fast: the "
    "network learns first and is made robust then, where full dropout from the start lets it learn but slowly. Which of the "
    "two counts for more was not separated.",
    fit__dropout_ramp=1, fit__weight_decay=0.02)  # fmt: skip
add("final-taught", "final-ramp", "recipe", "Final design, 100 epochs, taught",
    "A hundred epochs, and most of the loss is no longer the label but the answer of Plumage's own network, fitted before: "
    "it says which other classes a picture resembles, too. In one seed the length brought more of the gain than the teacher.", fit__epochs=100, fit__teacher="plumage-long")  # fmt: skip
add("final-maxpool", "final-ramp", "pooling", "Final design, max pooling",
    "Max in place of average pooling. The report: hardly any effect.", network__pooling="max")  # fmt: skip
add("final-bottleneck", "final-ramp", "bottleneck", "Final design, bottlenecks",
    "A 1x1 convolution to a quarter of the channels before each 3x3 that 128 channels or more enter: "
    "less than half the operations. The report describes it and did not try it.", network__bottleneck=True)  # fmt: skip
add("plumage", "final-recipe", "network", "Plumage's network",
    "Four stages of three convolutions each, the last two of them a residual pair, and global average pooling in place "
    "of wide dense layers and heavy dropout: fewer weights and fewer operations than the final design.",
    network__residual=True, network__depth=3, network__pooling="max", network__dropout=[],
    network__blocks=[block.model_dump() for block in (
        conv(64), Pool(), conv(96), Pool(), conv(192), Pool(), conv(256), GlobalPool(), Dropout())])  # fmt: skip
add("plumage-cutmix", "plumage", "cutmix", "Plumage, cutmix",
    "A square of another picture in each picture, and the labels mixed by area: the network cannot learn the training "
    "pictures by heart.", data__augmentation__cutmix=0.5)  # fmt: skip
add("plumage-long", "plumage-cutmix", "recipe", "Plumage, cutmix, long",
    "Twice the epochs, since mixed pictures are learned slowly, and forty times the weight decay. How the two share the gain "
    "was not separated; plumage-decay has the decay alone, without cutmix.",
    fit__weight_decay=0.02, fit__epochs=70)  # fmt: skip
add("plumage-decay", "plumage", "weight_decay", "Plumage, more decay",
    "Kernels shrink forty times as fast: the training pictures are learned a little later, and others are known better.",
    fit__weight_decay=0.02)  # fmt: skip
add("plumage-muon", "plumage-cutmix", "recipe", "Plumage, cutmix, Muon",
    "SGD gives way to Muon, which moves each hidden kernel equally far in all directions; rate, weight decay and averaging "
    "suit it, and the batch is twice as large, since Muon's own work in a step is the same for any.",
    fit__optimizer="muon", fit__learning_rate=0.02, fit__weight_decay=0.1, fit__batch_size=128, fit__average=0.998)  # fmt: skip
add("plumage-taught", "plumage-muon", "recipe", "Plumage, Muon, 70 epochs, taught",
    "Twice the epochs, and most of the loss is no longer the label but the answer of the same network, fitted before by SGD. "
    "How the two share the gain was not separated.", fit__epochs=70, fit__teacher="plumage-long")  # fmt: skip
add("sprint", "plumage", "network", "Sprint",
    "Made to be trained fast, after Keller Jordan's airbench94 (2024, arXiv:2404.00498): six convolutions behind a layer "
    "that whitens patches; a little more than half of the operations of Plumage's network.",
    network__residual=False, network__depth=1, network__whitening=True, network__activation="silu",
    network__blocks=[block.model_dump() for block in (
        conv(64), Pool(), conv(64), conv(256), Pool(), conv(256), conv(256), Pool(), conv(256), Pool(size=3),
        Flatten())])  # fmt: skip
add("basenet-35-steps", "basenet", "epoch_length", "BaseNet, 35 steps an epoch",
    "The report's formula for the steps of an epoch, read literally: it counts the test pictures, a fifth as many.",
    Report(1.9901, 0.4412, 27, "the same run of the report in the other reading"),
    fit__epoch_length="test set")  # fmt: skip
add("final-35-steps", "final", "epoch_length", "Final design, 35 steps an epoch",
    "The report's formula for the steps of an epoch, read literally: it counts the test pictures, a fifth as many.",
    Report(0.7305, 0.7932, 129, "the same run of the report in the other reading"),
    fit__epoch_length="test set")  # fmt: skip
add("basenet-norm-aug-ordered", "basenet-norm-aug", "validation", "+ augmentation, the report's validation",
    "The validation pictures are the file's first tenth and augmented like the others, as the report's program had them.",
    Report(1.6808, 0.5, 27, "the same run of the report, validated as its program did"),
    data__validation="ordered")  # fmt: skip
for _parent in ("basenet", "basenet-norm", "basenet-norm-aug"):
    _whole = TABLE[_parent]
    add(f"{_parent}-batch-128", _parent, "batch_size", f"{_whole.title}, batches of 128",
        "Half as many steps in an epoch as with the report's 64: do the report's first rows fit that number better?",
        Report(_whole.report.loss, _whole.report.accuracy, 27, "the same run of the report, in half as many steps"),
        fit__batch_size=128)  # fmt: skip
