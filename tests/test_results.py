"""The results table comes from stored cards and from nothing else."""

import json

import pytest

from tests.made import stored
from training import catalogue, results


def store(folder, name, seed, accuracy, test=True, rest=None, pictures="a"):
    tested = {"loss": 1.0, "accuracy": accuracy, "pictures": 2500}
    if rest:
        tested["without_near_duplicates"] = {"loss": 1.0, "accuracy": rest, "pictures": 2236}
    data = {"title": "CIFAR-100, first 25 classes", "origin": "exact pixels", "sha256": pictures}
    figures = {"epochs": 27, "test": tested if test else None}
    stored(folder / name, name, seed, data, figures, wall_seconds=120.0, precision="float32")


def test_mean_deviation_and_effect(tmp_path):
    for seed, (parent, child) in enumerate([(0.40, 0.50), (0.42, 0.51), (0.41, 0.52)]):
        store(tmp_path, "basenet", seed, parent)
        store(tmp_path, "basenet-norm", seed, child)
    rows = {row.name: row for row in results.rows(tmp_path)}
    assert list(rows) == catalogue.names()
    row = rows["basenet-norm"]
    assert row.accuracy.mean == pytest.approx(0.51) and row.accuracy.deviation == pytest.approx(0.01)
    assert row.seeds == (0, 1, 2)
    # Welch: 0.10 ± 2.776 * sqrt(2 * 0.01² / 3), 4 degrees of freedom
    assert row.effect.difference == pytest.approx(0.10)
    assert row.effect.high - row.effect.difference == pytest.approx(2.776 * 0.01 * (2 / 3) ** 0.5, rel=1e-3)
    assert rows["final"].accuracy is None and rows["final"].effect is None


@pytest.mark.parametrize("part", [("data", "title"), ("figures", "epochs"), ("spec", "network")])
def test_a_card_that_is_not_whole_is_no_figure(tmp_path, part):
    for seed in (0, 1):
        store(tmp_path, "basenet", seed, 0.4)
    file = tmp_path / "basenet" / "card.json"
    card = json.loads(file.read_text())
    place = card if len(part) == 1 else card[part[0]]
    del place[part[-1]]
    file.write_text(json.dumps(card))
    row = next(row for row in results.rows(tmp_path) if row.name == "basenet")
    assert row.seeds == (1,) and row.accuracy.n == 1


@pytest.mark.parametrize(
    ("freedom", "quantile"),  # of a printed table, 0.975 one-sided
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (10, 2.2281), (11, 2.2010), (20, 2.0860), (30, 2.0423),
     (120, 1.9799)],
)  # fmt: skip
def test_students_t(freedom, quantile):
    assert results.t95(freedom) == pytest.approx(quantile, abs=1e-4)


def test_welchs_interval_is_that_of_r():
    """SOURCE: R's documentation of t.test, Student's sleep data: df = 17.776, -3.3654832 to 0.2054832."""
    drug_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    drug_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = results.effect(drug_1, drug_2)
    assert (found.low, found.high) == (pytest.approx(-3.3654832, abs=1e-5), pytest.approx(0.2054832, abs=1e-5))


def test_an_effect_of_single_seeds_has_no_interval_and_says_so():
    assert str(results.effect([0.5], [0.4, 0.42])) == "+9.0 (no interval)"
    assert str(results.effect([0.5, 0.5], [0.4, 0.4])) == "+10.0 (no interval)", "equal by chance is no certainty"


def test_what_is_of_another_spec_or_another_seed_s_twin_is_no_figure_and_other_pictures_give_no_effect(tmp_path):
    for name in ("basenet", "basenet-norm"):
        for seed in (0, 1):
            store(tmp_path, name, seed, 0.4)
    twin, other = (tmp_path / "basenet" / f"seed-{number}" for number in (8, 9))
    for place in (twin, other):
        place.mkdir()
    card = json.loads((tmp_path / "basenet" / "card.json").read_text())
    (twin / "card.json").write_text(json.dumps(card))
    card["spec"]["fit"] |= {"seed": 9, "learning_rate": 0.5}
    (other / "card.json").write_text(json.dumps(card))
    rows = {row.name: row for row in results.rows(tmp_path)}
    assert rows["basenet"].seeds == (0, 1) and rows["basenet-norm"].effect is not None
    store(tmp_path, "basenet-norm", 2, 0.4, pictures="b")
    rows = {row.name: row for row in results.rows(tmp_path)}
    assert rows["basenet-norm"].effect is None


def test_one_seed_says_so_and_unevaluated_or_broken_cards_are_no_figures(tmp_path):
    store(tmp_path, "basenet", 0, 0.4)
    store(tmp_path, "basenet", 1, 0.9, test=False)
    (tmp_path / "basenet" / "seed-2").mkdir()
    (tmp_path / "basenet" / "seed-2" / "card.json").write_text('{"figures": ')
    row = results.rows(tmp_path)[0]
    assert row.seeds == (0,) and row.accuracy.mean == 0.4 and row.accuracy.deviation is None
    text = results.to_markdown(results.rows(tmp_path))
    assert "0.4000 (one seed)" in text and "not trained yet" in text and "0.4412" in text
    json.dumps(results.to_json(results.rows(tmp_path)))


def test_networks_on_other_pictures_have_rows_of_their_own(tmp_path):
    store(tmp_path, "birds-fc-basic", 0, 0.6)
    for seed, accuracy in enumerate((0.9, 0.92), 1):  # none of them with weights
        store(tmp_path, "basenet", seed, accuracy, pictures="b")
    (tmp_path / "basenet").rename(tmp_path / "basenet-cifar10")
    assert [row.name for row in results.rows(tmp_path)] == catalogue.names()
    [row] = results.apart(tmp_path)
    assert (row.name, row.title, row.seeds) == (
        "basenet-cifar10",
        "BaseNet on CIFAR-100, first 25 classes, 27 epochs",
        (1, 2),
    )
    assert row.accuracy.mean == pytest.approx(0.91) and row.parameters == 24_197 and row.effect is None


def test_without_near_duplicates_is_shown_where_every_seed_has_it(tmp_path):
    store(tmp_path, "basenet", 0, 0.4, rest=0.36)
    store(tmp_path, "basenet", 1, 0.42, rest=0.38)
    store(tmp_path, "basenet-norm", 0, 0.4, rest=0.36)
    store(tmp_path, "basenet-norm", 1, 0.42)
    rows = {row.name: row for row in results.rows(tmp_path)}
    assert rows["basenet"].without_near_duplicates.mean == pytest.approx(0.37)
    assert rows["basenet-norm"].without_near_duplicates is None
    assert "| 0.3700 | 2 |" in results.to_markdown(list(rows.values()))


def test_seeds_stand_in_their_order_and_mixed_arithmetic_is_said(tmp_path):
    for seed in (0, 1):
        store(tmp_path, "basenet", seed, 0.4)
    file = tmp_path / "basenet" / "card.json"
    card = json.loads(file.read_text()) | {"precision": "bfloat16"}
    card["spec"]["fit"]["seed"] = 5
    file.write_text(json.dumps(card))
    rows = results.rows(tmp_path)
    assert rows[0].seeds == (1, 5)
    assert "partly in bfloat16: `basenet` (1 of 2 in bfloat16)." in results.to_markdown(rows)
