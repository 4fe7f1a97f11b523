"""The yardstick for CIFAR-10 is the network that it says it is."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from docs import cifar10, resnet18, resnet18_processor
from training import results
from training.rundir import read_arrays


def test_it_is_resnet_18_for_small_pictures():
    weights, moving = resnet18.initial(0, 10)
    assert (
        sum(value.size for value in weights.values()) == 11_173_962
    )  # torchvision's 11,689,512 with another stem and head
    pictures = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
    for training in (True, False):
        logits, new = jax.eval_shape(lambda x, t=training: resnet18.forward(weights, moving, x, t), pictures)
        assert logits.shape == (4, 10) and {k: v.shape for k, v in new.items()} == {
            k: v.shape for k, v in moving.items()
        }


def test_its_operations_are_counted():
    weights, moving = resnet18.initial(0, 10)
    pictures = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    lowered = jax.jit(lambda x: resnet18.forward(weights, moving, x, False)[0]).lower(pictures)
    assert resnet18.multiply_adds(10) == 555_422_720
    share = lowered.cost_analysis()["flops"] / (2 * resnet18.multiply_adds(10))
    assert 0.85 < share < 0.9  # XLA leaves out the products with the pixels of 0 around a map: more, the smaller it is


def test_pictures_are_cut_at_random_and_mirrored():
    pictures = np.arange(64 * 8 * 8 * 3, dtype=np.float32).reshape(64, 8, 8, 3) + 1
    changed = np.asarray(resnet18.changed(jax.random.PRNGKey(0), jnp.asarray(pictures)))
    assert changed.shape == pictures.shape
    mirrored = 0
    for before, after in zip(pictures, changed, strict=True):
        padded = np.pad(before, ((4, 4), (4, 4), (0, 0)))
        cuts = [padded[y : y + 8, x : x + 8] for y in range(9) for x in range(9)]
        plain, flipped = (any(np.array_equal(cut, one) for cut in cuts) for one in (after, after[:, ::-1]))
        assert plain or flipped
        mirrored += flipped and not plain
    assert 16 < mirrored < 48


@pytest.fixture
def short(monkeypatch):
    """Half of its stages, with few channels: JAX takes a minute for one step of all, on a processor."""
    monkeypatch.setattr(resnet18, "STAGES", ((16, 1), (32, 2)))
    for module in (resnet18, resnet18_processor):
        monkeypatch.setattr(module, "BLOCKS", resnet18.BLOCKS[:4])


def arrays():
    weights, moving = resnet18.initial(0, 10)
    random = np.random.default_rng(1)
    moving = {name: value + random.uniform(0, 0.2, value.shape).astype("f4") for name, value in moving.items()}
    return weights, moving, {name: np.full_like(value, 0.01) for name, value in weights.items()}


def test_a_processor_computes_the_same_network_and_the_same_step(monkeypatch, short):
    for module, changed in ((resnet18, lambda key, x: x), (resnet18_processor, lambda random, x: x)):
        monkeypatch.setattr(module, "changed", changed)
    monkeypatch.setattr(resnet18, "FORMAT", jnp.float32)
    random = np.random.default_rng(2)
    pictures = random.normal(size=(8, 8, 8, 3)).astype("f4")
    labels, order = random.integers(0, 10, 8), np.arange(8).reshape(1, 8)
    programs = resnet18.Accelerator, resnet18_processor.Processor
    both = [program(*arrays(), pictures, labels) for program in programs]
    one, other = (network.logits(pictures) for network in both)
    assert one.shape == (8, 10) and one.std() > 0.1
    np.testing.assert_allclose(other, one, atol=1e-3)
    losses = [network.epoch(order, np.array([0.1], "f4"), 0) for network in both]
    assert abs(losses[0] - losses[1]) < 1e-3
    before = arrays()
    for part, (theirs, ours) in enumerate(zip(both[0].state(), both[1].state(), strict=True)):
        assert theirs.keys() == ours.keys()
        for name, value in theirs.items():
            moves, own = value - before[part][name], ours[name] - before[part][name]
            assert np.linalg.norm(own - moves) < 0.01 * np.linalg.norm(moves), (part, name)


class Counting:
    """A network that remembers what it was given."""

    device = "none"

    def __init__(self, weights, moving, momenta, pictures, labels):
        self.trees = [weights, moving, momenta]

    def epoch(self, order, rates, seed):
        if self.trees[0]["output"][0, 0] == 2:
            raise KeyboardInterrupt
        self.trees[0]["output"] = np.full_like(self.trees[0]["output"], 1 + (self.trees[0]["output"][0, 0] == 1))
        self.trees[2]["output/bias"] = self.trees[2]["output/bias"] + rates.sum() * (seed + 1) * order[0, 0]
        return 0.0

    def logits(self, pictures):
        return np.eye(10)[np.full(len(pictures), 3)]

    def state(self):
        return self.trees


class Whole(Counting):
    def epoch(self, *given):
        self.trees[0]["output"] = np.zeros_like(self.trees[0]["output"])
        return super().epoch(*given)


def test_a_killed_training_goes_on(tmp_path, short, monkeypatch):
    monkeypatch.setattr(resnet18, "KEEP_SECONDS", 0)
    pictures, labels = np.zeros((256, 8, 8, 3), np.uint8), np.arange(256) % 10
    pictures[:, 0] = np.arange(256)[:, None, None]
    dataset = SimpleNamespace(
        images=pictures, labels=labels, validation_images=pictures, validation_labels=labels, class_names=list(range(10)),
        sha256="", title="", origin="",
    )  # fmt: skip
    killed, whole = tmp_path / "killed.npz", tmp_path / "whole.npz"
    with pytest.raises(KeyboardInterrupt):
        resnet18.train(4, 0, dataset, lambda: (pictures, labels), killed, Counting)
    assert read_arrays(killed)["epochs"] == 2
    found = [resnet18.train(4, 0, dataset, lambda: (pictures, labels), file, Whole) for file in (killed, whole)]
    assert found[0]["test"] == found[1]["test"] == 26 / 256
    one, other = (read_arrays(file)["2/output/bias"] for file in (killed, whole))
    np.testing.assert_array_equal(one, other)
    assert np.all(one > 0)


def test_the_yardstick_stands_only_among_networks_on_the_same_pictures(tmp_path, monkeypatch):
    shipped = next(card for card in results.cards("sprint-cifar10"))
    told = {"epochs": 8, "usual_epochs": 200, "macs": 1, "train": 45_000, "seconds": 60, "device": "a processor",
            "validation": 0.5, "test": 0.5, "pictures": shipped["data"]["sha256"]}  # fmt: skip
    monkeypatch.setattr(cifar10, "YARDSTICK", tmp_path / "resnet18.json")
    cifar10.YARDSTICK.write_text(json.dumps(told))
    assert "| ResNet-18, usual recipe | 8 |" in cifar10.table() and "lower bound" in cifar10.table()
    cifar10.YARDSTICK.write_text(json.dumps(told | {"pictures": "of exact pixels"}))
    assert "ResNet-18 is not measured yet" in cifar10.table()


def test_a_short_try_out_takes_no_long_measurement_s_place(tmp_path, monkeypatch, capsys):
    (tmp_path / "long.json").write_text('{"epochs": 200}')
    monkeypatch.setattr("sys.argv", ["resnet18", "--epochs", "1", "--to", str(tmp_path / "long.json")])
    with pytest.raises(SystemExit):
        resnet18.main()
    assert "holds 200 epochs" in capsys.readouterr().err
