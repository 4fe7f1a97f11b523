"""What is described is what Keras builds: names, shapes and parameters."""

import time

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from training import catalogue
from training.describe import describe
from training.engine.model import build
from training.network_spec import Network


def check(network: Network) -> None:
    model, description = build(network), describe(network)
    layers = model.layers[1:]
    assert [layer.name for layer in layers] == [layer.name for layer in description.layers]
    assert [tuple(layer.output.shape[1:]) for layer in layers] == [layer.output_shape for layer in description.layers]
    assert [layer.count_params() for layer in layers] == [layer.params for layer in description.layers]
    assert model.count_params() == description.params
    assert sum(v.numpy().size for v in model.trainable_variables) == description.trainable_params
    kernels = [v for v in model.variables if v.name == "kernel"]
    assert sum(v.numpy().size for v in kernels) == description.kernel_weights


@pytest.mark.parametrize("name", catalogue.names())
def test_every_catalogue_entry(name):
    check(catalogue.variant(name).spec.network)


def test_macs_are_those_of_the_shapes_keras_finds():
    """Counted anew from the Keras layers: outputs times the kernel's weights."""
    for name in catalogue.names():
        network = catalogue.variant(name).spec.network
        macs = 0
        for layer in build(network).layers:
            if hasattr(layer, "kernel"):
                places = layer.output.shape[1] * layer.output.shape[2] if len(layer.output.shape) == 4 else 1
                macs += places * layer.kernel.numpy().size
        assert describe(network).macs == macs, name


def test_strided_pooling_is_a_convolution_that_keeps_the_channels():
    """Springenberg et al. 2014: 3x3 with strides of 2 in place of a 2x2 pooling, then what follows any convolution."""
    network = catalogue.variant("basenet-bn").spec.network.model_copy(update={"pooling": "strided"})
    check(network)
    layers = describe(network).layers
    assert [layer.title for layer in layers[3:6]] == ["Conv 6, 3x3, same, stride 2", "Batch norm", "ReLU"]
    assert layers[3].output_shape == (14, 14, 6) and layers[3].macs == 14 * 14 * 6 * 6 * 9
    wide = network.model_copy(update={"bottleneck": True, "width": 25.0})
    assert [layer.kernel for layer in describe(wide).layers if layer.kind == "conv"] == [5, 1, 3, 5, 1, 3]


@pytest.mark.parametrize("name", catalogue.names())
def test_describing_takes_under_five_milliseconds(name):
    network = catalogue.variant(name).spec.network
    times = []
    for _ in range(20):
        describe.cache_clear()
        start = time.process_time()
        describe(network)
        times.append(time.process_time() - start)
    assert min(times) < 0.005


conv = st.fixed_dictionaries(
    {
        "kind": st.just("conv"),
        "filters": st.integers(1, 12),
        "kernel": st.sampled_from([1, 2, 3, 5]),
        "padding": st.sampled_from(["same", "valid"]),
    }
)
pool = st.fixed_dictionaries({"kind": st.just("pool"), "size": st.integers(2, 3)})
drop = st.just({"kind": "dropout"})
dense = st.fixed_dictionaries({"kind": st.just("dense"), "units": st.integers(1, 20)})


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Any network that is possible."""
    blocks = draw(st.lists(st.one_of(conv, pool, drop), max_size=5))
    blocks += [draw(st.sampled_from([{"kind": "flatten"}, {"kind": "global_pool"}]))]
    blocks += draw(st.lists(st.one_of(dense, drop), max_size=3))
    places = sum(block["kind"] == "dropout" for block in blocks)
    side = st.integers(4, 16)
    try:
        return Network(
            input_shape=(draw(side), draw(side), draw(st.sampled_from([1, 3, 128]))),
            blocks=tuple(blocks),
            classes=draw(st.integers(2, 30)),
            activation=draw(st.sampled_from(["relu", "elu", "gelu", "silu", "tanh"])),
            batch_norm=draw(st.sampled_from(["off", "convolutions", "all"])),
            pooling=draw(st.sampled_from(["max", "average", "strided"])),
            dropout=tuple(draw(st.lists(st.sampled_from([0, 0.1, 0.5]), min_size=places, max_size=places))),
            split_5x5=draw(st.booleans()),
            bottleneck=draw(st.booleans()),
            residual=draw(st.booleans()),
            depth=draw(st.integers(1, 3)),
            width=draw(st.sampled_from([0.25, 0.5, 1.0, 2.0])),
        )
    except ValidationError:  # one in six: valid padding or pooling leaves no pixel
        reject()


@settings(max_examples=40, deadline=None)
@given(networks())
def test_random_networks(network):
    check(network)
