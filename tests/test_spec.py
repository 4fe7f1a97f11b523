"""Specs: JSON round trips, immutability, and refusals that name field, value and rule."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from training import catalogue, spec
from training.spec import RunSpec, SpecError


@pytest.mark.parametrize("name", catalogue.names())
def test_json_round_trip(name):
    original = catalogue.load(name)
    again = spec.parse(original.to_json())
    assert again == original and hash(again) == hash(original)
    assert spec.difference(original, again) == {}


def test_specs_are_frozen():
    with pytest.raises(ValidationError):
        catalogue.load("basenet").name = "other"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network.dropout": [1.0, 0.1, 0.1]}, ["network.dropout.0", "1.0", "less than 1"]),
        ({"network.dropout": [-0.1, 0.1, 0.1]}, ["network.dropout.0", "-0.1", "greater than or equal to 0"]),
        ({"network.dropout": [0.1]}, ["network.dropout", "[0.1]", "3 places"]),
        ({"network.input_shape": [4, 4, 3]}, ["network.blocks.0.kernel", "5", "4x4"]),
        ({"network.blocks.0.kernel": 11, "network.blocks.3.kernel": 11}, ["network.blocks.4.size", "2", "1x1"]),
        ({"network.pooling": "min"}, ["network.pooling", "min", "'max', 'average' or 'strided'"]),
        ({"network.blocks.0.filters": 0}, ["network.blocks.0.filters", "0", "greater than or equal to 1"]),
        ({"fit.learning_rate": float("nan")}, ["fit.learning_rate", "NaN", "finite"]),
        ({"fit.learning_rate": -1}, ["fit.learning_rate", "-1", "greater than 0"]),
        ({"fit.warp": 9}, ["fit.warp", "not a field", "learning_rate"]),
        ({"network.blocks.99.filters": 1}, ["network.blocks", "0 to 8"]),
        ({"network.blocks.².filters": 1}, ["network.blocks", "0 to 8"]),
        ({"network.blocks.2": {"kind": "dropout", "rate": 1}}, ["network.blocks.2.rate", "not a field"]),
        ({"network.dropout.0": 0.5}, ["network.dropout is empty"]),
        ({"name": "../../etc"}, ["name", "../../etc"]),
        ({"data.name": "/etc/passwd"}, ["data.name", "/etc/passwd"]),
    ],
)
def test_impossible_values_are_refused_in_a_sentence(changes, words):
    with pytest.raises(SpecError) as error:
        catalogue.load("basenet").replace(changes)
    message = str(error.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and message.endswith(".")


FLAGS = ("vertical_flip", "whole_pixels")


@pytest.mark.parametrize(
    "name", ["width_shift", "zoom", "rotation", "vertical_flip", "whole_pixels", "cutout", "mixup"]
)
def test_a_head_on_features_refuses_augmentation_that_cannot_reach_it(name):
    with pytest.raises(SpecError, match="only horizontal_flip is possible"):
        catalogue.load("birds-fc-basic").replace({f"data.augmentation.{name}": 0.1 if name not in FLAGS else True})


def test_features_that_change_at_every_step_are_not_standardized():
    with pytest.raises(SpecError, match="fine_tune = all at once"):
        catalogue.load("birds-finetune-simple").replace({"data.normalization": "featurewise"})


def test_no_validation_on_pictures_that_a_backbone_has_learned_from():
    with pytest.raises(SpecError, match="set it to stratified"):
        catalogue.load("birds-fc-basic").replace({"data.validation": "ordered"})


@pytest.mark.parametrize("blocks", [
    [{"kind": "flatten"}, {"kind": "conv", "filters": 3}],
    [{"kind": "flatten"}, {"kind": "flatten"}, {"kind": "pool"}],
    [{"kind": "conv", "filters": 3}],
    [{"kind": "conv", "filters": 3}, {"kind": "dense", "units": 3}],
    [{"kind": "global_pool"}, {"kind": "global_pool"}],
    [{"kind": "flatten"}, {"kind": "dense", "units": 65536}, {"kind": "dense", "units": 65536}],
    [{"kind": "warp"}],
])  # fmt: skip
def test_layers_that_do_not_fit_are_refused(blocks):
    with pytest.raises(SpecError, match=r"^network\.blocks"):
        spec.parse({"network": {"blocks": blocks}})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"network.input_shape": [32, 32]}, "network.input_shape.2 is missing."),
        (
            {"network.blocks.0": {"filters": 3}},
            'network.blocks.0 = {"filters": 3} is not possible: its kind is one of conv, ',
        ),
        (
            {"network.blocks.0": {"kind": "warp"}},
            'network.blocks.0 = {"kind": "warp"} is not possible: its kind is one of conv, ',
        ),
        ({"fit.fine_tune": "all at once"}, "fit.fine_tune is possible only with data.backbone"),
    ],
)
def test_sentences_name_fields_and_nothing_of_what_checks_them(changes, told):
    with pytest.raises(SpecError) as refused:
        catalogue.load("basenet").replace(changes)
    assert str(refused.value).startswith(told)


def test_unknown_keys_are_refused():
    tree = json.loads(catalogue.load("basenet").to_json())
    tree["network"]["colour"] = "red"
    with pytest.raises(SpecError, match=r"network\.colour is not a field"):
        spec.parse(tree)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(
                        ["network", "blocks", "data", "fit", "name", "kind", "filters"]), inner), max_leaves=20))  # fmt: skip
def test_any_tree_is_a_spec_or_a_sentence(tree):
    try:
        assert isinstance(spec.parse(tree), RunSpec)
    except SpecError as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.binary())
def test_any_text_is_a_spec_or_a_sentence(text):
    with pytest.raises(SpecError):
        spec.parse(text)
