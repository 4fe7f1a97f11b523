"""Features kept on disk, and a head from its spec to its answers, on a small backbone with random weights."""

from dataclasses import replace

import numpy as np
import pytest

from training import catalogue, data, rundir, weights
from training.evaluate import evaluate, figures
from training.fit import fit
from training.spec import SpecError
from training.transfer import backbones, features, heads, pretrained
from training.transfer import predict as answers
from training.transfer.species import written

CLASSES = ("001.Black_footed_Albatross", "002.Blue_Jay", "003.Ovenbird")


# --- Features ---------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))


def means(calls):
    """A "network" whose features are the mean colours of the picture's left half; counts its uses."""

    def make():
        calls.append("made")
        import tensorflow as tf

        return lambda pixels: tf.cast(tf.reduce_mean(pixels[:, :, :4], (1, 2)), tf.float16)

    return make


PIXELS = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)


def test_features_are_computed_once_and_open_as_a_memory_map(cache):
    calls = []
    first = features.extract(PIXELS, means(calls), (3,), "means")
    assert isinstance(first, np.memmap) and first.dtype == np.float16 and not first.flags.writeable
    assert np.allclose(first, PIXELS[:, :, :4].mean((1, 2)), rtol=1e-3)
    features.extract(PIXELS, means(calls), (3,), "means")
    assert calls == ["made"]
    mirrored = features.extract(PIXELS, means(calls), (3,), "means", mirror=True)
    assert np.allclose(mirrored, PIXELS[:, :, 4:].mean((1, 2)), rtol=1e-3)
    features.extract(PIXELS, means(calls), (3,), "other weights")
    features.extract(PIXELS[::-1].copy(), means(calls), (3,), "means")
    assert len(calls) == 4


def test_an_extraction_that_ended_midway_goes_on(cache):
    def stop(done, total):
        if done >= 280:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.extract(PIXELS, means([]), (3,), "means", progress=stop)
    seen = []
    found = features.extract(PIXELS, means([]), (3,), "means", progress=lambda done, total: seen.append(done))
    assert seen[0] == 256 + 32 and seen[-1] == 300  # 256 were stored for certain
    assert np.allclose(found, PIXELS[:, :, :4].mean((1, 2)), rtol=1e-3)


# --- A head, from spec to answer ------------------------------------------------------------------


def pictures(count, seed):
    """Three classes of different colours."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 120, (count, 40, 40, 3))
    for image, label in zip(images, labels, strict=True):
        image[..., label] += 120
    return images.astype(np.uint8), labels.astype(np.int32)


def small_backbone():
    def build(size=224):
        import keras

        keras.utils.set_random_seed(0)
        layers, image = keras.layers, keras.Input((size, size, 3))
        x = layers.Conv2D(16, 32, 32, activation="relu", name="conv")(image)
        x = layers.BatchNormalization(name="norm")(layers.Conv2D(16, 1, use_bias=False, name="top")(x))
        return keras.Model(image, layers.ReLU(name="last")(x))

    return backbones.Backbone(
        "efficientnet-lite0", "A small backbone", {"conv4": ("conv", 16), "conv5": ("last", 16)}, "random", build, lambda pixels: pixels / 255,
        lambda: backbones.Path(__file__), lambda model, path: None,
    )  # fmt: skip


@pytest.fixture
def birds(cache, tmp_path, monkeypatch):
    """Small "birds" and a small backbone, in place of the real ones."""
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PLUMAGE_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(backbones._BACKBONES, "efficientnet-lite0", small_backbone())
    monkeypatch.setattr(answers, "_held", answers._held.__wrapped__)  # keep the small one out of what is kept loaded
    (images, labels), (kept, kept_labels) = pictures(60, 1), pictures(15, 2)
    names = tuple(map(written, CLASSES))
    dataset = data.Dataset("birds", "Birds", "cut round the bird", names, images, labels, kept, kept_labels, "0" * 64)
    info = data.DataInfo("birds", "Birds", 3, 60, 15, 15, (40, 40, 3), True, "", "")
    monkeypatch.setattr(data, "load", lambda name, validation="stratified": dataset)
    monkeypatch.setattr(data, "info", lambda name: info)
    monkeypatch.setattr(data, "load_test", lambda name: pictures(15, 3))
    return dataset


def spec(shape, name="birds-fc-basic", **changes):
    return catalogue.load(name).replace(
        {"data.backbone": "efficientnet-lite0", "network.classes": 3, "network.input_shape": list(shape),
         "fit.epochs": 5, "fit.batch_size": 10} | changes
    )  # fmt: skip


def test_a_pooled_head_is_fitted_stored_and_answers(birds):
    from training import predict

    run = rundir.create(spec((16,), **{"fit.learning_rate": 0.1}))
    assert fit(run)["state"] == "finished"
    card_ = run.card()
    assert card_["picture_size"] == 40 and card_["backbone"]["title"] == "A small backbone"
    assert card_["data"]["classes"][0] == "Black-footed Albatross"
    assert card_["data"]["origin"] == "cut round the bird, about three in ten with a black border"
    assert card_["data"]["train"] == 60, "mirror images are no further pictures"
    classifier = predict.load(run)
    images, labels = pictures(15, 3)
    probabilities, flags = classifier.classify(images)
    assert probabilities.shape == (15, 3) and np.allclose(probabilities.sum(1), 1) and flags is None
    kept = figures(classifier.logits(birds.validation_images), birds.validation_labels)
    for name, value in card_["figures"]["validation"].items():  # the stored head and the trained one are one
        assert kept[name] == pytest.approx(value, abs=1e-2)
    alone = classifier.logits(images[:1])
    assert np.allclose(alone, classifier.logits(images)[:1], atol=1e-3)
    many = np.concatenate([images] * 3)  # more than a batch: by way of the store, in half precision
    assert np.allclose(classifier.logits(many)[:15], classifier.logits(images), atol=0.02)
    assert evaluate(run)["test"]["accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean())


def test_a_picture_goes_through_the_backbone_once(birds):
    run = rundir.create(spec((16,)))
    fit(run)
    extractor = answers.extractor(run)
    asked, forward = [], extractor._forward
    extractor._forward = lambda pixels: asked.append(len(pixels)) or forward(pixels)
    images, _ = pictures(5, 3)
    maps = extractor.maps(images[:3])
    assert np.allclose(extractor.maps(images[1:])[:2], maps[1:]) and np.array_equal(
        extractor.maps(images[:1]), maps[:1]
    )
    assert asked == [3, 2]
    many, _ = pictures(90, 4)
    for start in range(0, 90, answers.BATCH):
        extractor.maps(many[start : start + answers.BATCH])
    assert len(extractor._kept) == answers.KEPT_MAPS


def test_what_spoke_for_an_answer_of_a_head_on_the_map(birds, monkeypatch):
    """Covering parts asks about fifty pictures, of which no features are kept: they are nobody's data set."""
    from training import predict

    run = rundir.create(spec((7, 7, 16), "birds-fc", **{"network.width": 0.125, "network.dropout": [0.0]}))
    fit(run)
    images, _ = pictures(15, 3)
    classifier = predict.load(run)
    monkeypatch.setattr(answers.Extractor, "stored", lambda *given: pytest.fail("features are kept"))
    for method in ("grad-cam", "occlusion"):
        heat = classifier.explain(images[0], 0, method)
        assert heat.shape == (40, 40) and heat.dtype == np.float32 and 0 <= heat.min() <= heat.max() <= 1


def test_normalization_is_by_channel_over_pictures_and_mirror_images(birds):
    from training.engine.engine import Engine

    set_ = heads.dataset(spec((7, 7, 16), "birds-fc"))
    assert set_.images.shape == (120, 7, 7, 16) and len(set_.labels) == 120
    engine = Engine(spec((7, 7, 16), "birds-fc", **{"network.width": 0.125}), set_)
    values = np.asarray(set_.images, np.float64)
    assert np.allclose(engine.mean, values.mean((0, 1, 2)), atol=1e-4)
    assert np.allclose(engine.std, values.std((0, 1, 2)), atol=2e-3)


def test_missing_weights_are_told_in_the_runs_status(birds, monkeypatch):
    def missing():
        raise pretrained.WeightsError("The weights are nowhere; get them.")

    broken = backbones.Backbone(**{**vars(small_backbone()), "source": missing})
    monkeypatch.setitem(backbones._BACKBONES, "efficientnet-lite0", broken)
    for wanted in (spec((16,)), spec((7, 7, 16), "birds-finetune-fc")):
        status = fit(rundir.create(wanted))
        assert (status["state"], status["message"]) == ("failed", "The weights are nowhere; get them.")


# --- Pictures unlike the training pictures, and pictures alike ------------------------------------


@pytest.fixture
def head(birds, monkeypatch):
    """A trained head; no data set but its own is here."""
    monkeypatch.setattr(data, "NAMES", ("birds",))
    run = rundir.create(spec((16,), **{"fit.learning_rate": 0.1}))
    fit(run)
    return run


def test_a_head_tells_by_its_features_what_is_unlike(head, birds, monkeypatch):
    from training import predict, unlike
    from training.calibration import calibrate

    monkeypatch.setattr(unlike, "DIRECTIONS", 4)  # of 16 channels
    report = calibrate(head)["unlike"]
    assert report["false_alarms"] == pytest.approx(1 / 15) and "precision" not in report
    assert head.file(unlike.FILE).stat().st_size < 2000
    classifier = predict.load(head)
    _, flags = classifier.classify(birds.validation_images)
    assert sum(map(bool, flags)) == 1
    stripes = np.zeros((4, 40, 40, 3), np.uint8)
    stripes[:, ::2] = 255
    assert classifier.classify(stripes)[1] == [unlike.FEATURES] * 4


def test_without_the_file_of_the_subspace_a_head_answers_says_so_and_can_be_calibrated_again(head, capsys):
    from training import predict, unlike
    from training.calibration import calibrate

    calibrate(head)
    head.file(unlike.FILE).write_bytes(b"broken")
    images, _ = pictures(3, 1)
    probabilities, flags = predict.load(head).classify(images)
    assert len(probabilities) == 3 and flags is None
    assert "cannot tell what is unlike" in capsys.readouterr().err
    calibrate(head)
    assert predict.load(head).classify(images)[1] is not None


def test_the_nearest_training_pictures_are_found_once_their_features_are_there(head, birds):
    from training import predict

    images, labels = pictures(15, 3)
    neighbours = predict.load(head).neighbours
    assert neighbours.done() == 60, "the features the head was trained on are those of its backbone"
    nearest, cosines = neighbours.find(predict.load(head).features(images), 5)
    assert nearest.shape == (15, 5) and (np.diff(cosines) <= 0).all() and cosines.max() <= 1.0001
    assert (birds.labels[nearest] == labels[:, None]).mean() > 0.8
    own, cosine = neighbours.find(predict.load(head).features(birds.images[7:8]), 1)
    assert own[0, 0] == 7 and cosine[0, 0] == pytest.approx(1, abs=1e-3)


def test_the_worker_says_how_far_the_features_are(head, birds, monkeypatch, tmp_path):
    from training import predict

    fields = {"model": head.id, "count": 1, "most": 5}
    found, small = predict._nearest(fields, birds.images[7].tobytes())
    assert found["done"] == found["pictures"] == 60 and found["labels"][0][0] == birds.labels[7]
    assert len(small) == 5 * predict.THUMBNAIL**2 * 3
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "other"))
    predict._loaded.clear()
    assert predict._nearest(fields, birds.images[7].tobytes()) == ({"done": 0, "pictures": 60}, b"")
    predict._model(head.id).neighbours.compute()
    assert predict._nearest(fields, birds.images[7].tobytes()) == (found, small)


def test_an_exported_head_without_its_backbone_is_a_sentence(head, monkeypatch, tmp_path):
    from training import weights

    def missing():
        raise pretrained.WeightsError("The weights are nowhere; get them.")

    broken = backbones.Backbone(**{**vars(small_backbone()), "source": missing})
    monkeypatch.setitem(backbones._BACKBONES, "efficientnet-lite0", broken)
    with pytest.raises(rundir.RunError, match=r"cannot be exported without its backbone: The weights are nowhere"):
        weights.export(head, tmp_path / "m.keras")


# --- Fine-tuning ------------------------------------------------------------------------------


def tuned(birds, **changes):
    return rundir.create(
        spec((16,), "birds-finetune-repaired", **{"fit.epochs": 2, "fit.learning_rate": 0.002} | changes)
    )


def backbone_weights(run):
    from training import weights

    return weights.load(run.file("weights.npz"))[0]


def test_repaired_fine_tuning_starts_from_a_trained_head_and_changes_the_backbone(birds, monkeypatch):
    from training import predict
    from training.transfer import finetune
    from training.transfer.finetune import FineTune

    monkeypatch.setattr(finetune, "LOWEST", 0.5)  # of three layers, all but the first
    run = tuned(birds)
    before = FineTune(run.spec(), birds)
    loss, accuracy, _ = before.evaluate(birds.validation_images, birds.validation_labels)
    assert accuracy > 0.8 and loss < 1.0, "the head has learned on frozen features"
    original = before.weights()
    status = fit(run)
    assert status["state"] == "finished", status
    changed = {name for name, value in backbone_weights(run).items() if not np.array_equal(value, original[name])}
    assert changed == {"top/kernel", "norm/gamma", "norm/beta", "output/kernel", "output/bias"}, (
        "the lowest layer and batch norm's statistics stay"
    )
    classifier = predict.load(run)
    logits = classifier.logits(birds.validation_images)
    right = (logits.argmax(1) == birds.validation_labels).mean()
    assert right == pytest.approx(run.card()["figures"]["validation"]["accuracy"]) and right > 0.6
    assert run.card()["data"]["train"] == 60
    exported = whole(run).predict(birds.validation_images.astype(np.float32), verbose=0)
    assert exported.argmax(1).tolist() == logits.argmax(1).tolist()


def whole(run):
    """The run as plain Keras opens it, backbone and head in one."""
    import keras

    from training import weights

    weights.export(run, run.file("whole.keras"))
    return keras.saving.load_model(run.file("whole.keras"), safe_mode=True)


def test_fine_tuning_resumes_to_the_same_weights(birds):
    from training.transfer.finetune import FineTune

    run = tuned(birds)
    whole, broken = FineTune(run.spec(), birds), FineTune(run.spec(), birds)
    for epoch in range(2):
        whole.train(epoch, 0, whole.steps_per_epoch)
    broken.train(0, 0, 4)
    state = broken.state()
    again = FineTune(run.spec(), birds)
    again.restore(state)
    again.train(0, 4, again.steps_per_epoch - 4)
    again.train(1, 0, again.steps_per_epoch)
    for name, value in whole.weights().items():
        assert np.allclose(value, again.weights()[name], atol=1e-6), name


def test_low_layers_learn_later_and_slower(birds):
    from training.transfer.finetune import FineTune

    engine = FineTune(tuned(birds).spec(), birds)
    engine._depths = {"low": 0.0, "middle": 0.5, "high": 1.0}
    shares = [[float(engine._share(name, np.float32(done))) for name in ("low", "middle", "high", "output")]
              for done in (0.0, 0.2, 0.5)]  # fmt: skip
    assert shares[0] == pytest.approx([0, 0, 1, 1])
    assert shares[1] == pytest.approx([0, 0.1**0.5, 1, 1])
    assert shares[2] == pytest.approx([0.1, 0.1**0.5, 1, 1])
    engine.spec = engine.spec.replace({"fit.epochs": 10})
    half = 5 * engine.steps_per_epoch
    assert float(engine._rate("middle", 0.4, half)) == pytest.approx(0.4 * 0.1**0.5)
    assert float(engine._rate("low", 0.4, half // 5)) == 0, "a tenth of the training is over"


def test_the_reports_fine_tuning_begins_with_a_new_head_and_one_rate(birds):
    from training.transfer.finetune import FineTune

    run = tuned(birds, **{"fit.fine_tune": "all at once", "data.normalization": "off"})
    engine = FineTune(run.spec(), birds)
    assert engine._share("conv/kernel", 0.0) == 1.0 and "conv/kernel" in engine._trainable
    assert engine.mean.tolist() == [0] and engine.std.tolist() == [1]
    assert engine.evaluate(birds.validation_images, birds.validation_labels)[1] < 0.8, "the head is new"
    fit(run)
    assert run.status()["state"] == "finished"


def test_a_teacher_sees_the_same_pixels_and_its_answer_is_most_of_the_loss(head, birds):
    import tensorflow as tf

    from training import predict
    from training.teacher import SHARE
    from training.transfer.finetune import FineTune

    run = tuned(birds, **{"fit.teacher": head.id})
    engine, plain = FineTune(run.spec(), birds), FineTune(tuned(birds).spec(), birds)
    pixels, targets = engine.inputs(np.arange(10), 3)
    assert all(map(np.array_equal, (pixels, targets), plain.inputs(np.arange(10), 3)))
    logits = tf.constant(np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32))
    answers = tf.nn.softmax(predict.load(head).answer(pixels, engine.precision))
    taught = -tf.reduce_mean(tf.reduce_sum(answers * tf.nn.log_softmax(logits), 1))
    expected = SHARE * taught + (1 - SHARE) * plain._loss(pixels, targets, logits)
    assert float(engine._loss(pixels, targets, logits)) == pytest.approx(float(expected), rel=1e-5)
    checksum = pretrained.sha256(head.file("weights.npz"))
    assert fit(run)["state"] == "finished"
    assert run.card()["teacher"] == {"name": head.id, "sha256": checksum}
    state = engine.state()
    head.file("weights.npz").write_bytes(head.file("weights.npz").read_bytes() + b" ")
    with pytest.raises(ValueError, match="has changed since this run began"):
        FineTune(run.spec(), birds).restore(state)


def test_a_teacher_of_other_pictures_or_none_is_a_sentence(head, birds):
    status = fit(tuned(birds, **{"fit.teacher": "nobody"}))
    assert status["state"] == "failed" and "There is no run and no shipped model 'nobody'" in status["message"]
    with pytest.raises(SpecError, match=r"fit\.teacher on a backbone is possible only with"):
        spec((16,), **{"fit.teacher": head.id})
    with pytest.raises(SpecError, match=r"fit\.fine_tune is possible only with data\.backbone"):
        catalogue.load("basenet").replace({"fit.fine_tune": "head first"})
    head.file("weights.npz").unlink()
    assert "are not here" in fit(tuned(birds, **{"fit.teacher": head.id}))["message"]


def test_pictures_are_enlarged_to_the_size_that_the_spec_names(birds):
    from training import predict

    run = rundir.create(spec((16,), **{"fit.learning_rate": 0.1, "data.backbone_size": 288}))
    assert fit(run)["state"] == "finished"
    classifier = predict.load(run)
    assert classifier._extractor.maps(birds.validation_images[:2]).shape == (2, 9, 9, 16)
    assert classifier.classify(birds.validation_images)[0].argmax(1).tolist() == birds.validation_labels.tolist()
    small, large = (heads.extract(replace(small_backbone(), size=size), birds.images, True) for size in (224, 288))
    assert small.shape == large.shape and not np.allclose(small, large, atol=1e-2), "kept apart in the store"
    with pytest.raises(SpecError, match="backbone_size"):
        catalogue.load("basenet").replace({"data.backbone_size": 288})


def test_an_exported_head_shrinks_pictures_as_the_app_does(birds, tmp_path):
    import keras

    from training import predict

    run = rundir.create(spec((16,), **{"fit.learning_rate": 0.1, "data.backbone_size": 64}))
    assert fit(run)["state"] == "finished", run.status()["message"]
    noisy = np.random.default_rng(0).integers(0, 256, birds.validation_images.shape).astype(np.uint8)
    probabilities, _ = predict.load(run).classify(noisy)
    weights.export(run, tmp_path / "small.keras")
    exported = keras.saving.load_model(tmp_path / "small.keras")(noisy.astype(np.float32))
    assert np.allclose(exported, probabilities, atol=1e-3)


def test_a_head_learns_on_the_stage_that_the_spec_names(birds, tmp_path):
    import keras

    from training import predict

    run = rundir.create(spec((16,), **{"fit.learning_rate": 0.1, "data.backbone_stage": "conv4"}))
    assert fit(run)["state"] == "finished"
    early, late = (
        heads.extract(replace(small_backbone(), stage=stage), birds.images, True) for stage in ("conv4", "conv5")
    )
    assert not np.allclose(early, late, atol=1e-2), "kept apart in the store"
    classifier = predict.load(run)
    assert classifier.features(birds.validation_images[:2]).shape == (2, 16)
    probabilities, _ = classifier.classify(birds.validation_images)
    assert probabilities.argmax(1).tolist() == birds.validation_labels.tolist()
    weights.export(run, tmp_path / "stage.keras")
    exported = keras.saving.load_model(tmp_path / "stage.keras")(birds.validation_images.astype(np.float32))
    assert np.allclose(exported, probabilities, atol=1e-3)
    with pytest.raises(SpecError, match="backbone_stage is of use only"):
        catalogue.load("basenet").replace({"data.backbone_stage": "conv4"})


def test_fine_tuning_and_export_see_the_larger_pictures_too(birds):
    from training import predict

    run = rundir.create(spec((9, 9, 16), "birds-finetune-simple", **{"fit.epochs": 1, "data.backbone_size": 288}))
    assert fit(run)["state"] == "finished", run.status()["message"]
    probabilities, _ = predict.load(run).classify(birds.validation_images)
    exported = whole(run).predict(birds.validation_images.astype(np.float32), verbose=0)
    assert np.abs(exported - probabilities).max() < 1e-4


def test_a_head_of_another_map_is_refused_before_anything_is_computed(birds, monkeypatch):
    from training import preflight

    monkeypatch.setattr(data, "NAMES", ("birds",))
    preflight.check(spec((9, 9, 16), "birds-fc", **{"data.backbone_size": 288}))
    for shape, size in (((7, 7, 16), 288), ((17,), 224)):
        with pytest.raises(SpecError, match=r"gives \[16\] pooled, or \[\d, \d, 16\]"):
            preflight.check(
                spec(shape, "birds-fc" if len(shape) > 1 else "birds-fc-basic", **{"data.backbone_size": size})
            )
    with pytest.raises(rundir.RunError, match="no run and no shipped model"):
        preflight.check(spec((16,), "birds-finetune-repaired", **{"fit.teacher": "nobody"}))


def test_a_fine_tuning_of_all_at_once_begins_with_the_file_that_ships(birds, monkeypatch, tmp_path):
    from training import preflight

    def missing():
        raise pretrained.WeightsError("The weights in full are not here.")

    monkeypatch.setattr(data, "NAMES", ("birds",))
    shipped = tmp_path / "compact.npz"
    shipped.touch()
    backbone = replace(backbones.of(spec((9, 9, 16), "birds-fc").data), source=missing)
    monkeypatch.setattr(backbones, "of", lambda _: backbone)
    monkeypatch.setattr(backbones, "shipped", lambda _: shipped)
    preflight.check(spec((7, 7, 16), "birds-finetune-fc"))
    for name, shape in (("birds-fc", (7, 7, 16)), ("birds-finetune-repaired", (16,))):
        with pytest.raises(data.DataError, match="in full are not here"):
            preflight.check(spec(shape, name))


def test_the_time_of_a_system_grows_with_the_area_of_its_pictures():
    from training.transfer import everything

    times = [
        everything.seconds(spec((16,), "birds-finetune-repaired", **{"data.backbone_size": size}), 0.01, 1e12, 100)
        for size in (224, 448)
    ]
    assert times[1] == pytest.approx(4 * times[0], rel=1e-3)


# --- All systems with one command ----------------------------------------------------------------


def test_one_command_trains_what_is_chosen_says_how_long_and_goes_on(birds, monkeypatch):
    from training.transfer import everything

    small = {name: spec((16,), name, **{"fit.epochs": 2}) for name in ("birds-fc-basic", "birds-finetune-repaired")}
    monkeypatch.setattr(everything, "adapted", lambda name, backbone: small[name])
    said = []
    assert everything.run("efficientnet-lite0", list(small), said.append)
    text = "\n".join(said)
    assert "birds-fc-basic-efficientnet-lite0" in text and "ends after about 0 minutes" in text
    assert [line for line in said if "birds-finetune-repaired" in line and "epoch 2" in line]
    again = []
    assert everything.run("efficientnet-lite0", list(small), again.append)
    assert len(again) == 1, "everything is finished: nothing is trained twice"


def test_the_queue_takes_what_is_not_finished(birds, monkeypatch):
    from training.queue import launcher
    from training.transfer import everything

    monkeypatch.setattr(launcher, "spawn", lambda: None)
    backbone = backbones.get("efficientnet-lite0")
    monkeypatch.setattr(everything, "adapted", lambda name, backbone: spec((16,), name))
    assert not everything.active(backbone)
    said = []
    assert everything.run(backbone.name, ["birds-fc-basic", "birds-fc"], said.append, queue=True)
    assert [run.id for run in launcher.queue()] == ["birds-fc-basic-efficientnet-lite0", "birds-fc-efficientnet-lite0"]
    assert said[-1].startswith("2 trainings are in the queue") and everything.active(backbone)


def test_other_backbones_change_the_input_alone():
    from training.transfer import everything

    assert everything.names()[:3] == ["birds-fc-basic", "birds-fc", "birds-conv"]
    for name in everything.names():
        ours, reports = everything.adapted(name, backbones.LITE0), catalogue.load(name)
        assert ours.network.input_shape == ((1280,) if len(reports.network.input_shape) == 1 else (7, 7, 1280))
        assert ours.fit == reports.fit and ours.network.blocks == reports.network.blocks
