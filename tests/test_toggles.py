"""Toggles: each is one field, and a design survives its address."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import address, catalogue, switching, toggles
from training.spec import SpecError


@pytest.mark.parametrize("toggle", toggles.TOGGLES, ids=lambda toggle: toggle.key)
def test_switching_on_and_off(toggle):
    spec = catalogue.load("basenet-bn-dropout")
    on = toggles.default_rates(spec) if toggle.kind == "rates" else toggle.on
    switched = toggle.write(toggle.write(spec, toggle.off), on)
    assert toggle.read(switched) == on
    assert toggle.from_text(toggle.to_text(on), spec) == on
    assert toggle.from_text(toggle.to_text(toggle.off), spec) == toggle.off


@pytest.mark.parametrize("name", catalogue.names())
def test_every_entry_survives_its_address(name):
    spec = catalogue.load(name)
    assert address.to_query(spec) == {"from": name}
    assert address.from_query({"from": name}) == (spec, {})


VALUES = {
    toggle.key: st.sampled_from(
        toggle.options
        or (
            (toggle.on, toggle.off)
            if toggle.kind in ("switch", "model")
            else (toggle.low, toggle.low + toggle.step, toggle.on)
        )
    )
    for toggle in toggles.TOGGLES
    if toggle.kind != "rates"
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([n for n in catalogue.names() if n.startswith(("basenet", "final"))]),
    st.fixed_dictionaries({}, optional=VALUES),
)
def test_every_design_survives_its_address(name, settings_):
    spec, errors = switching.settle(catalogue.load(name), settings_)
    assert set(errors) <= {"momentum", "optimizer"}  # 1 is not for Adam
    assert address.from_query(address.to_query(spec)) == (spec, {})


@given(st.floats(1e-6, 1), st.floats(0, 0.999), st.floats(0, 0.9))
def test_numbers_between_the_usual_ones_survive_exactly(rate, smoothing, zoom):
    changes = {"fit.learning_rate": rate, "fit.label_smoothing": smoothing, "data.augmentation.zoom": zoom}
    spec = catalogue.load("basenet-norm-aug").replace(changes)
    assert address.from_query(address.to_query(spec)) == (spec, {}) and address.in_address(spec)


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({"data.name": "drawn", "fit.epochs": 3, "fit.seed": 7}, True),
        ({"network.blocks.0.filters": 8}, False),
        ({"fit.nesterov": True}, False),
        ({"fit.teacher": "final"}, True),
        ({"name": "my-own"}, False),
    ],
)
def test_it_is_known_which_designs_an_address_holds(changes, whole):
    assert address.in_address(catalogue.load("basenet").replace(changes)) is whole
    assert all(address.in_address(entry.spec) for entry in catalogue.variants())
    assert not any(address.in_address(entry.spec) for entry in catalogue.heads())


def test_dropout_comes_with_the_entrys_rates():
    assert toggles.default_rates(catalogue.load("basenet")) == [0.1, 0.1, 0.25]
    assert toggles.default_rates(catalogue.load("final")) == [0.35, 0.35, 0.35, 0.55, 0.7]
    assert list(switching.apply(catalogue.load("basenet"), {"dropout": "on"}).network.dropout) == [0.1, 0.1, 0.25]
    assert toggles.default_rates(catalogue.load("birds-conv")) == [0.5, 0.7]


def test_dropout_is_refused_where_no_place_is_for_it():
    with pytest.raises(SpecError, match="no place for dropout"):
        switching.apply(catalogue.load("sprint"), {"dropout": "on"})


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("pool", "max", "pooling"),
        ("pooling", "min", "max, average"),
        ("dropout", "much", "0.1,0.1,0.25"),
        ("dropout", "0.1,2,0.1", "less than 1"),
        ("zoom", "near", "a number"),
        ("depth", "1.5", "a whole number"),
        ("normalization", "{", "on or off"),
        ("zoom", "7", "less than 1"),
    ],
)
def test_wrong_settings_get_a_sentence(key, text, words):
    with pytest.raises(SpecError, match=words):
        switching.apply(catalogue.load("basenet"), {key: text})


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*toggles.BY_KEY, "from", "present", "x"]), st.text()))
def test_any_address_is_a_design_and_a_sentence_for_what_it_leaves_out(query):
    spec, errors = address.from_query(query)
    assert address.from_query(address.to_query(spec)) == (spec, {})
    assert set(errors) <= set(query) and all(errors.values())


def test_only_what_is_impossible_is_left_out():
    base = catalogue.variant("basenet").spec
    spec, errors = switching.settle(base, {"dropout": [0.1], "pooling": "average", "momentum": 0.5})
    assert spec.network.pooling == "average" and spec.fit.momentum == 0.5 and spec.network.dropout == ()
    assert set(errors) == {"dropout"}
    spec, errors = address.from_query({"from": "nothing", "pooling": "average", "zoom": "near", "x": "1"})
    assert spec == base.replace({"network.pooling": "average"}) and set(errors) == {"from", "zoom"}


@pytest.mark.parametrize(
    "name, optimizer, rate",
    [
        ("basenet", "adam", 0.001),
        ("basenet", "muon", 0.002),
        ("basenet", "sgd", None),
        ("plumage-muon", "sgd", 0.05),
    ],
)
def test_another_optimizer_wants_another_learning_rate(name, optimizer, rate):
    base = catalogue.load(name)
    assert switching.suited_rate(base.replace({"fit.optimizer": optimizer}), base) == rate
    chosen = base.replace({"fit.optimizer": optimizer, "fit.learning_rate": 0.005})
    assert switching.suited_rate(chosen, base) is None, "whoever chose a rate keeps it"
