"""The birds' rows come from stored cards, with the backbone named, and every row of the report is there."""

import json

from training import catalogue
from training.birds import results


def store(folder, directory, name, backbone, test):
    spec = json.loads(catalogue.load(name).to_json())
    data = {"title": "Birds", "origin": "cut, about three in ten with a black border"}
    card = {"spec": spec, "data": data, "figures": {"epochs": 20, "test": test}, "backbone": {"title": backbone}}
    (folder / directory).mkdir(parents=True)
    (folder / directory / "card.json").write_text(json.dumps(card))


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
    assert table[0].accuracy == 0.638 and table[0].report_accuracy == 0.4352 and table[2].accuracy is None
    text = results.to_markdown(table)
    assert "conv5 birds" in text and "0.638" in text and "not trained yet" in text and "black border" in text
    json.dumps(results.to_json(table))
