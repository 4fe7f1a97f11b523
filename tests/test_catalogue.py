"""The ladder: parents, single toggles, and the report's tables and counts."""

import subprocess
import sys
from itertools import pairwise

import pytest

from training import catalogue, describe, spec, toggles
from training.describe import expand

LADDER = [
    "basenet", "basenet-norm", "basenet-norm-aug", "basenet-norm-aug-es", "basenet-bn", "basenet-bn-dropout",
    "basenet-3x3", "basenet-avgpool", "provisional", "final", "final-recipe", "final-ramp",
    "final-maxpool", "final-bottleneck", "plumage", "plumage-cutmix", "plumage-long", "plumage-decay", "plumage-muon",
    "plumage-taught", "sprint",
]  # fmt: skip


def test_the_ladder_is_the_reports():
    assert [name for name in catalogue.names() if name in LADDER] == LADDER
    for earlier, later in pairwise(LADDER[:9]):
        assert catalogue.variant(later).parent == earlier
    assert catalogue.line("basenet-avgpool") == LADDER[:8]
    assert catalogue.variant("final-maxpool").parent == catalogue.variant("final-bottleneck").parent == "final-ramp"


@pytest.mark.parametrize("name", [name for name in catalogue.names() if catalogue.variant(name).parent])
def test_an_entry_differs_from_its_parent_by_its_one_toggle(name):
    entry = catalogue.variant(name)
    paths = set(spec.difference(catalogue.variant(entry.parent).spec, entry.spec)) - {"name"}
    if entry.toggle == "network":  # a network of its own: blocks, and the dropout and pooling that belong to them
        assert all(path.startswith("network.") for path in paths)
    elif entry.toggle == "recipe":
        assert paths and all(path.startswith(("fit.", "data.augmentation.")) for path in paths)
    elif entry.toggle == "augmentation":
        assert paths and all(path.startswith("data.augmentation.") for path in paths)
    else:
        field = toggles.BY_KEY[entry.toggle].path
        assert paths and all(path == field or path.startswith(field + ".") for path in paths)


def test_operations_and_weights():
    def counts(name):
        network = describe.describe(catalogue.load(name).network)
        return network.macs, network.kernel_weights

    assert counts("basenet")[0] == 614_050
    assert counts("basenet-3x3")[0] == 775_882
    assert counts("final") == (232_012_032, 3_069_024)
    assert counts("final-bottleneck") == (108_951_808, 1_893_472)


def test_plumage_costs_less_than_final():
    final, plumage = (describe.describe(catalogue.load(name).network) for name in ("final", "plumage"))
    assert plumage.params <= 3_100_000 and plumage.macs <= final.macs


def test_finals_table_line_by_line():
    """SOURCE: the report's final design; 39 layers and the output layer."""
    bn_relu = ["Batch norm", "ReLU"]
    table = [
        "Conv 32, 3x3, same", *bn_relu, "Conv 64, 3x3, valid", *bn_relu, "Conv 64, 3x3, valid", *bn_relu,
        "Average pool 2x2", "Dropout 0.35",
        "Conv 128, 3x3, same", *bn_relu, "Conv 128, 3x3, valid", *bn_relu, "Dropout 0.35",
        "Conv 256, 3x3, same", *bn_relu, "Conv 256, 3x3, same", *bn_relu, "Average pool 2x2", "Dropout 0.35",
        "Conv 256, 3x3, same", *bn_relu, "Average pool 2x2", "Dropout 0.55",
        "Flatten", "Dense 512", *bn_relu, "Dense 256", *bn_relu, "Dropout 0.7", "Dense 25", "Softmax",
    ]  # fmt: skip
    layers = expand(catalogue.load("final").network)
    assert [layer.title for layer in layers] == table
    assert len(table) - 2 == 39  # the report counts without the output layer and its softmax
    sizes = [layer.output_shape[0] for layer in layers if layer.kind in ("conv", "pool")]
    assert sizes == [32, 30, 28, 14, 14, 12, 12, 12, 6, 6, 3]
    assert [layer.output_shape for layer in layers if layer.kind == "flatten"] == [(2304,)]


def test_provisionals_sizes():
    """SOURCE: 'Sizes: 32, 30, 28, pool 14, 14, 12, 12, 12, pool 6, 6, 6, pool 3', Flatten 9216."""
    layers = expand(catalogue.load("provisional").network)
    sizes = [layer.output_shape[0] for layer in layers if layer.kind in ("conv", "pool")]
    assert sizes == [32, 30, 28, 14, 14, 12, 12, 12, 6, 6, 6, 3]
    assert [layer.output_shape for layer in layers if layer.kind == "flatten"] == [(9216,)]
    assert len(layers) - 2 == 42


def test_describing_imports_no_tensorflow():
    code = "import sys, training.toggles, training.describe; sys.exit(any(m in sys.modules for m in ('tensorflow','keras','streamlit')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_get_suggestions(tmp_path):
    with pytest.raises(spec.SpecError, match=r"'basnet'.*basenet"):
        catalogue.load("basnet")
    with pytest.raises(spec.SpecError, match=r"cannot be read"):
        catalogue.load(str(tmp_path / "none.json"))
    broken = tmp_path / "broken.json"
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(spec.SpecError, match="UTF-8"):
        catalogue.load(str(broken))
