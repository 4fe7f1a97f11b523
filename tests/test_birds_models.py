"""The bird models that ship: they answer on a machine that has no data, and know real birds."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from training import catalogue, data, paths, registry, rundir
from training.transfer import backbones, pretrained

HEADS = [run.id for run in registry.models() if run.spec().data.backbone]
SHIPPED = [name for name in HEADS if registry.find(name).spec().data.name == "birds"]


@pytest.fixture
def alone(monkeypatch):
    """A fresh machine: no data, no package of weights."""
    found = os.environ.get("PLUMAGE_DATA")
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    monkeypatch.setattr(pretrained, "_LITE0_PACKAGE", "no_such_package")
    return found


def real(folder, name):
    """The real pictures, read past `alone`."""
    os.environ["PLUMAGE_DATA"] = folder
    found = data.load(name)
    del os.environ["PLUMAGE_DATA"]
    return found


def test_some_ship():
    assert SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_say_what_the_models_are(name):
    run = registry.find(name)
    spec, card = run.spec(), run.card()
    assert spec.name in [entry.name for entry in catalogue.heads()]
    assert card["backbone"]["name"] == spec.data.backbone and card["picture_size"] == 224
    assert card["data"]["train"] == 2700 and card["data"]["validation"] == 300
    assert len(card["data"]["classes"]) == 200 and "Black-footed Albatross" in card["data"]["classes"]
    assert "black border" in card["data"]["origin"]
    assert card["figures"]["test"]["pictures"] == 3033
    tuned = spec.fit.fine_tune != "off"  # then the head's file holds the backbone too
    file = run.file("weights.npz") if tuned else backbones.of(spec.data).deployed()
    assert file.is_file() and paths.models_dir() in file.parents, "a fresh machine has it"


@pytest.mark.parametrize("name", [run.id for run in registry.without_weights()])
def test_what_ships_without_weights_says_so_when_it_is_asked(name):
    from training import predict

    with pytest.raises(rundir.RunError, match=f"The weights of {name} are not here, only .* training fit .*spec.json"):
        predict.load(registry.find(name))


def test_the_fine_tuned_network_and_the_heads_on_it_share_one_backbone():
    from training.transfer.predict import extractor

    tuned = extractor(registry.find(pretrained.TUNED_MODEL))
    assert extractor(registry.find("birds-fc-basic-resnet50v2-tuned")) is tuned
    assert extractor(registry.find("birds-fc-basic-efficientnet-lite0")) is not tuned


@pytest.mark.parametrize("name", SHIPPED)
def test_real_birds_get_their_species(name, alone):
    """24 validation birds, not used in training: most of them in the top five, as the card's figures promise."""
    from training import predict

    classifier = predict.load(registry.find(name))
    if alone is None:
        probabilities, _ = classifier.classify(np.full((1, 224, 224, 3), 128, np.uint8))
        assert np.allclose(probabilities.sum(1), 1)
        pytest.skip("PLUMAGE_DATA is not set: no real birds here, only that the model answers was tested")
    birds = real(alone, "birds")
    images, labels = np.asarray(birds.validation_images[::13]), birds.validation_labels[::13]
    probabilities, flags = classifier.classify(images)
    rank = (probabilities > probabilities[np.arange(len(labels)), labels][:, None]).sum(1)
    assert (rank < 5).mean() > 0.6 and sum(map(bool, flags)) <= len(flags) // 4
    heat = classifier.explain(images[0], int(probabilities[0].argmax()), "grad-cam")
    assert heat.shape == (224, 224) and heat.max() == 1


def test_the_features_of_a_persons_own_pictures_are_not_kept(tmp_path, monkeypatch):
    from training import predict

    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path))
    classifier = predict.load(registry.find("birds-fc-basic-efficientnet-lite0"))
    pictures = np.random.default_rng(0).integers(0, 256, (33, 224, 224, 3), np.uint8)
    probabilities, flags = classifier.classify(pictures)
    assert probabilities.shape == (33, 200) and len(flags) == 33
    assert not list(tmp_path.glob("features/*"))
    np.testing.assert_allclose(probabilities[32:], classifier.classify(pictures[32:])[0], rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in HEADS if name not in SHIPPED])
def test_a_head_for_cifar_knows_real_pictures(name, alone):
    """Pictures of 32x32, of all classes in turn, enlarged by the worker's own path."""
    from training import predict

    run = registry.find(name)
    own, card, classifier = run.spec().data.name, run.card(), predict.load(run)
    assert card["data"]["name"] == own and card["figures"]["test"]["pictures"] == data.info(own).test
    if alone is None:
        pytest.skip("PLUMAGE_DATA is not set: no real pictures here")
    os.environ["PLUMAGE_DATA"] = alone
    found = data.samples(own, 32)  # without reading the whole set, which takes a third of a minute
    del os.environ["PLUMAGE_DATA"]
    images, labels = np.stack([sample.image for sample in found]), np.array([sample.label for sample in found])
    probabilities, _ = classifier.classify(images)
    right = (probabilities.argmax(1) == labels).mean()
    assert right > card["figures"]["validation"]["accuracy"] - 0.2  # 32 pictures: three deviations are 0.18
    heat = classifier.explain(images[0], int(probabilities[0].argmax()), "grad-cam")
    assert heat.ndim == 2 and heat.max() == 1


def test_an_exported_head_is_whole_and_plain_keras_opens_it(alone, tmp_path):
    """In a process that knows nothing of Plumage: a picture in, the same probabilities out."""
    from training import predict, weights
    from training.calibration import softmax

    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels.astype(np.float32))
    names = "birds-best", "birds-fc-basic-resnet50v2-tuned"  # its own backbone, enlarging; another file's backbone
    for name in names:
        weights.export(registry.find(name), tmp_path / f"{name}.keras")
    opened = "import sys, keras, numpy as np\n" \
             "for name in sys.argv[1:]:\n" \
             "    model = keras.saving.load_model(name + '.keras', safe_mode=True)\n" \
             "    pixels = np.load('pixels.npy')\n" \
             "    np.save(name, [model(pixels), model.predict(pixels, verbose=0)])"  # fmt: skip
    subprocess.run([sys.executable, "-c", opened, *names], cwd=tmp_path, check=True, capture_output=True)
    for name in names:
        expected = softmax(predict.load(registry.find(name)).logits(pixels))
        assert np.abs(np.load(tmp_path / f"{name}.npy") - expected).max() < 1e-4


def test_backbones_come_with_their_notice():
    folder = pretrained.shipped("x").parent
    notice = (folder / "NOTICE.txt").read_text()
    for file in folder.glob("*.npz"):
        assert file.name in notice
    for file in folder.glob("*.json"):
        card = json.loads(file.read_text())
        after = card["figures"]["validation"]["after_compacting"]["accuracy"]
        assert abs(after - card["figures"]["validation"]["before_compacting"]["accuracy"]) < 0.03
