"""The validation split: disjoint, stratified, and a function of the pictures alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import split

many_labels = st.lists(st.integers(0, 6), min_size=1, max_size=300).map(lambda labels: np.array(labels, np.int32))


def keys_of(labels: np.ndarray) -> split.Keys:
    return split.digests(b"picture %d" % i for i in range(len(labels)))


@given(many_labels)
def test_every_picture_is_on_one_side_and_a_tenth_is_kept(labels):
    order, kept = split.stratified(keys_of(labels), labels)
    assert sorted(order) == list(range(len(labels)))
    assert kept == len(labels) // 10


@given(many_labels)
def test_every_class_gives_a_tenth_rounded_down_or_up(labels):
    order, kept = split.stratified(keys_of(labels), labels)
    for label in np.unique(labels):
        size = int((labels == label).sum())
        given_up = int((labels[order[:kept]] == label).sum())
        assert size // 10 <= given_up <= size // 10 + 1


@given(many_labels, st.randoms(use_true_random=False))
def test_another_order_of_the_records_changes_nothing(labels, random):
    keys = keys_of(labels)
    shuffled = list(range(len(labels)))
    random.shuffle(shuffled)
    order, kept = split.stratified(keys, labels)
    other, other_kept = split.stratified(keys[shuffled], labels[shuffled])
    assert kept == other_kept
    assert (keys[order] == keys[shuffled][other]).all()
    assert split.checksum(keys, labels) == split.checksum(keys[shuffled], labels[shuffled])


def test_the_checksum_sees_a_changed_label_and_a_changed_picture():
    labels = np.arange(20) % 4
    keys = keys_of(labels)
    relabelled, redrawn = labels.copy(), keys.copy()
    relabelled[3] += 1
    redrawn[3] = split.digests([b"another"])[0]
    assert len({split.checksum(keys, labels), split.checksum(keys, relabelled), split.checksum(redrawn, labels)}) == 3


def test_the_parts_are_not_sorted_by_class():
    labels = np.repeat(np.arange(10), 50)
    order, kept = split.stratified(keys_of(labels), labels)
    assert len(set(labels[order[kept : kept + 40]])) > 5


def test_equal_pictures_keep_together():
    labels = np.zeros(40, np.int32)
    keys = np.repeat(keys_of(labels)[:20], 2)  # every picture twice; 4 are kept
    order, kept = split.stratified(keys, labels)
    assert not set(keys[order[:kept]]) & set(keys[order[kept:]])


def test_ordered_is_the_first_tenth_of_the_file():
    labels = np.array([2, 0, 1, 0, 2] * 8)
    order, kept = split.arrange("ordered", keys_of(labels), labels)
    assert (order == np.arange(40)).all()
    assert kept == 4


def test_ordered_takes_the_classes_in_turn_where_the_file_lists_them_one_by_one():
    labels = np.repeat([0, 1, 2, 3], 10)
    order, kept = split.arrange("ordered", keys_of(labels), labels)
    assert order[:8].tolist() == [0, 10, 20, 30, 1, 11, 21, 31]
    assert kept == 4


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'random' is not possible: it is stratified or ordered"):
        split.arrange("random", keys_of(np.zeros(3)), np.zeros(3, int))
