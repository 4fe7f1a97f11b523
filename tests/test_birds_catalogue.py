"""The report's five bird systems and the CIFAR head: every line of its tables, from the spec alone."""

import pytest

from training import catalogue
from training.describe import describe

MAP = "7x7x2048"
TABLES = {
    "birds-fc-basic": ["2048", "Dense 200 200", "Softmax 200"],
    "birds-fc": [
        MAP, "Flatten 100352", "Dense 1024 1024", "ReLU 1024", "Dense 512 512", "ReLU 512", "Dropout 0.7 512",
        "Dense 200 200", "Softmax 200",
    ],
    "birds-conv": [
        MAP, "Conv 1024, 3x3, valid 5x5x1024", "Batch norm 5x5x1024", "ReLU 5x5x1024",
        "Conv 1024, 3x3, valid 3x3x1024", "Batch norm 3x3x1024", "ReLU 3x3x1024", "Dropout 0.5 3x3x1024",
        "Flatten 9216", "Dense 1024 1024", "ReLU 1024", "Dropout 0.7 1024", "Dense 200 200", "Softmax 200",
    ],
    "birds-finetune-simple": [
        MAP, "Flatten 100352", "Dense 2048 2048", "ReLU 2048", "Dropout 0.7 2048", "Dense 200 200", "Softmax 200",
    ],
    "cifar-fc-basic": ["2048", "Dense 25 25", "Softmax 25"],
    "cifar10-fc-basic": ["2048", "Dense 10 10", "Softmax 10"],
}  # fmt: skip
TABLES["birds-finetune-fc"] = TABLES["birds-fc"]

# name: report's loss, accuracy, epochs; weights of the head
FIGURES = {
    "birds-fc-basic": (2.3410, 0.4352, 20, 2048 * 200 + 200),
    "birds-fc": (2.4658, 0.43455, 40, 100352 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 200 + 200),
    "birds-conv": (3.2243, 0.3956, 40, 9 * 1024 * (2048 + 1024) + 2 * 5 * 1024 + 9216 * 1024 + 1024 + 1024 * 200 + 200),
    "birds-finetune-fc": (3.3414, 0.3274, 20, 100352 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 200 + 200),
    "birds-finetune-simple": (2.6948, 0.4128, 20, 100352 * 2048 + 2048 + 2048 * 200 + 200),
    "cifar-fc-basic": (None, None, None, 2048 * 25 + 25),
    "cifar10-fc-basic": (None, None, None, 2048 * 10 + 10),
}


def test_all_heads_are_there_and_apart_from_the_ladder():
    assert {entry.name for entry in catalogue.heads()} == {*FIGURES, "birds-finetune-repaired", "birds-best"}
    assert not set(FIGURES) & set(catalogue.names())


@pytest.mark.parametrize("name", TABLES)
def test_every_line_of_the_reports_tables(name):
    entry = catalogue.variant(name)
    shape = "x".join(map(str, entry.spec.network.input_shape))
    layers = describe(entry.spec.network).layers
    assert [shape] + [f"{layer.title} {'x'.join(map(str, layer.output_shape))}" for layer in layers] == TABLES[name]
    loss, accuracy, epochs, weights = FIGURES[name]
    assert (entry.report.loss, entry.report.accuracy, entry.report.epochs) == (loss, accuracy, epochs)
    assert describe(entry.spec.network).params == weights
    assert entry.spec.data.backbone == "resnet50"
    assert entry.spec.fit.fine_tune == ("all at once" if "finetune" in name else "off")
    if epochs:
        assert entry.spec.fit.epochs == epochs
