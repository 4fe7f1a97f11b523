"""The birds' rows come from stored cards, with the backbone named, and every row of the report is there."""

import json

import pytest

from tests.made import stored
from training import catalogue
from training.transfer import results


def store(folder, model, name, backbone, test, seed=0):
    data = {"title": "Birds", "origin": "cut, about three in ten with a black border"}
    figures = {"epochs": 20, "test": test and {"pictures": 3033, **test}}
    stored(folder / model, name, seed, data, figures, backbone={"name": backbone, "title": backbone})


def test_every_head_has_a_row_and_only_cards_give_figures(tmp_path):
    tested = {"loss": 1.5, "accuracy": 0.638, "top5": 0.886}
    store(tmp_path, "a", "birds-fc-basic", "EfficientNet-Lite0", tested)
    store(tmp_path, "b", "birds-fc-basic", "ResNet-50 v2 (conv1–4 ImageNet, conv5 birds)", tested)
    store(tmp_path, "c", "birds-fc", "EfficientNet-Lite0", None)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "card.json").write_text("{")
    table = results.rows(tmp_path)
    assert [row.name for row in table[:3]] == ["birds-fc-basic", "birds-fc-basic", "birds-fc"]
    assert {row.name for row in table} == {entry.name for entry in catalogue.heads()}
    assert table[0].accuracy.mean == 0.638 and table[0].report_accuracy == 0.4352 and table[2].accuracy is None
    text = results.to_markdown(table)
    assert "conv5 birds" in text and "0.638" in text and "not trained yet" in text and "black border" in text
    json.dumps(results.to_json(table))


def test_seeds_are_one_row_and_fine_tuning_is_measured_against_the_frozen_head_of_its_backbone(tmp_path):
    lite0, other = "EfficientNet-Lite0", "ResNet-50 v2 (conv1–4 ImageNet, conv5 birds)"
    for backbone, accuracies in ((lite0, (0.63, 0.64, 0.65)), (other, (0.5,))):
        for seed, accuracy in enumerate(accuracies):
            test = {"loss": 1.5, "accuracy": accuracy, "top5": 0.8}
            store(tmp_path, f"head-{backbone[:3]}", "birds-fc-basic", backbone, test, seed)
    for seed, accuracy in enumerate((0.68, 0.69)):
        store(tmp_path, "tuned", "birds-finetune-repaired", lite0, {"loss": 1, "accuracy": accuracy}, seed)
    store(tmp_path, "tuned-other", "birds-finetune-repaired", other, {"loss": 1, "accuracy": 0.6})
    table = {row.model: row for row in results.rows(tmp_path) if row.model}
    assert set(table) == {"head-Eff", "head-Res", "tuned", "tuned-other"}
    tuned = table["tuned"]
    assert tuned.seeds == (0, 1) and tuned.accuracy.n == 2 and tuned.top5 is None
    assert tuned.effect.difference == pytest.approx(0.045) and tuned.effect.low < 0.045 < tuned.effect.high
    assert table["tuned-other"].effect.low is None and table["tuned-other"].effect.difference == pytest.approx(0.1)
    assert table["head-Eff"].effect is None
    assert "0.6850 ± 0.0071" in results.to_markdown(list(table.values()))
    beside = results.fine_tuning(list(table.values())).splitlines()
    assert beside[0].endswith(f"| {lite0} | {other} |")
    assert beside[2].endswith("| 0.4352 | 0.6400 ± 0.0100 | 0.5000 (one seed) |")
    repaired = next(line for line in beside if "`birds-finetune-repaired`" in line)
    assert repaired.endswith("| – | 0.6850 ± 0.0071 | 0.6000 (one seed) |")
    assert next(line for line in beside if "`birds-finetune-fc`" in line).endswith("| 0.3274 | – | – |")


def test_a_row_says_by_what_other_rate_or_teacher_it_was_trained(tmp_path):
    store(tmp_path, "own", "birds-fc", "EfficientNet-Lite0", {"loss": 1, "accuracy": 0.6})
    store(tmp_path, "other", "birds-fc", "EfficientNet-Lite0", {"loss": 1, "accuracy": 0.6})
    file = tmp_path / "other" / "card.json"
    card = json.loads(file.read_text())
    card["spec"]["fit"]["learning_rate"] = 0.003
    file.write_text(json.dumps(card | {"teacher": {"name": "birds-best"}}))
    table = [row for row in results.rows(tmp_path) if row.model]
    title = "`birds-fc` Birds: three dense layers"
    rows = results.to_markdown(table).splitlines()[2:4]
    assert [row.split(" | ")[0] for row in rows] == [
        f"| {title}, taught by `birds-best`, learning rate 0.003",
        f"| {title}",
    ]
