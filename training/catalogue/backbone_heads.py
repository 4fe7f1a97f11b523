"""Heads on a pretrained backbone, birds first; some train the backbone, too.

The report states neither optimizer nor rate nor batch for them: these are Plumage's, chosen on validation birds.
Features are standardized and those of the mirror images stand beside them.  With another backbone, sizes follow its map.
"""

from __future__ import annotations

from training.catalogue.entry import Report, add, conv
from training.network_spec import Dense, Dropout, Flatten, Network
from training.spec import Augmentation, Data, Fit, RunSpec

_BIRD_DATA = Data(name="birds", backbone="resnet50", normalization="featurewise",
                  augmentation=Augmentation(horizontal_flip=True))  # fmt: skip
_HEAD_FIT = Fit(epochs=20, learning_rate=0.03, schedule="cosine", weight_decay=0.1)
_FC = Network(input_shape=(7, 7, 2048), classes=200, dropout=(0.7,),
              blocks=(Flatten(), Dense(units=1024), Dense(units=512), Dropout()))  # fmt: skip

add("birds-fc-basic", None, None, "Birds: one softmax layer",
    "Dense 200 on ResNet-50's 2,048 pooled features: logistic regression, seconds to train.",
    Report(2.3410, 0.4352, 20),
    RunSpec(name="birds-fc-basic", network=Network(input_shape=(2048,), classes=200, blocks=()),
            data=_BIRD_DATA, fit=_HEAD_FIT))  # fmt: skip
add("birds-fc", "birds-fc-basic", "network", "Birds: three dense layers",
    "Dense 1,024 and 512 on all 100,352 values of the 7x7x2048 map: 103 million weights, no better in the report.",
    Report(2.4658, 0.43455, 40),
    RunSpec(name="birds-fc", network=_FC, data=_BIRD_DATA, fit=_HEAD_FIT.model_copy(update={"epochs": 40})))  # fmt: skip
add("birds-conv", "birds-fc", "network", "Birds: two convolutions more",
    "Two 3x3 convolutions of 1,024 on the 7x7x2048 map before the dense layers; the weakest frozen head in the report.",
    Report(3.2243, 0.3956, 40), network__batch_norm="convolutions", network__dropout=[0.5, 0.7],
    network__blocks=[block.model_dump() for block in (
        conv(1024, "valid"), conv(1024, "valid"), Dropout(), Flatten(), Dense(units=1024), Dropout())])  # fmt: skip
add("birds-finetune-fc", "birds-fc", "fine_tune", "Birds: all of ResNet-50 trained, three dense layers",
    "The backbone learns too, as the report did it: worse than frozen. Its batch norm follows small batches, and one "
    "learning rate serves new and pretrained weights.",
    Report(3.3414, 0.3274, 20), fit__fine_tune="all at once", fit__epochs=20,
    fit__weight_decay=0, fit__learning_rate=0.01, data__normalization="off",
    data__augmentation=Augmentation().model_dump())  # fmt: skip
add("birds-finetune-simple", "birds-finetune-fc", "network", "Birds: all of ResNet-50 trained, simple head",
    "One hidden layer of 2,048 on the 100,352 values instead of two: 206 million weights.",
    Report(2.6948, 0.4128, 20),
    network__blocks=[block.model_dump() for block in (Flatten(), Dense(units=2048), Dropout())])  # fmt: skip
add("birds-finetune-repaired", "birds-fc-basic", "fine_tune", "Birds: fine-tuning repaired",
    "The head first, then layers from the top down; batch norm's statistics stay, low layers learn slower or not at "
    "all; warm-up, cosine, label smoothing, flips, zoom, mixup, and dropout, without which the head knows every "
    "training picture before the backbone has learned.",
    network__blocks=[Dropout().model_dump()], network__dropout=[0.6],
    fit__fine_tune="head first", fit__epochs=24, fit__batch_size=32, fit__learning_rate=0.004, fit__weight_decay=0,
    fit__warmup_epochs=1, fit__label_smoothing=0.1,
    data__augmentation=Augmentation(
        width_shift=0.1, height_shift=0.1, zoom=0.2, horizontal_flip=True, mixup=0.3).model_dump())  # fmt: skip
add("birds-best", "birds-finetune-repaired", "backbone", "Birds: EfficientNet-Lite0 on larger pictures",
    "EfficientNet-Lite0 fine-tuned in the same way, every picture enlarged to 288 pixels a side: finer maps, 1.7 times "
    "the work of 224.",
    data__backbone="efficientnet-lite0", data__backbone_size=288, network__input_shape=[1280])  # fmt: skip
add("cifar-fc-basic", "birds-fc-basic", "network", "25 classes of CIFAR-100: one softmax layer on ResNet-50",
    "The same single layer on features of the enlarged pictures: what ImageNet knows, beside networks from scratch.",
    spec=RunSpec(name="cifar-fc-basic", network=Network(input_shape=(2048,), classes=25, blocks=()),
                 data=_BIRD_DATA.model_copy(update={"name": "cifar100-25"}), fit=_HEAD_FIT))  # fmt: skip
add("cifar10-fc-basic", "cifar-fc-basic", "data", "CIFAR-10: one softmax layer on ResNet-50",
    "The same on ten things that people have pictures of: cats, dogs, cars, ships.",
    data__name="cifar10", network__classes=10)  # fmt: skip
