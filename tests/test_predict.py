"""Models answer and explain: in this process against plain Keras, and through the worker, killed on the way."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.models import CLASSES, make_model
from tests.waiting import until
from training import explain, paths, predict, registry
from training.worker import Worker, WorkerError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)


CALIBRATION = {"temperature": 2.0, "pictures": 9, "ece": {"before": 0.2, "after": 0.1},
               "loss": {"before": 2.0, "after": 1.9}}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder of models and one of runs, with one model in each."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("PLUMAGE_MODELS", "PLUMAGE_RUNS"):
            patch.setenv(variable, str(tmp_path_factory.mktemp("places")))
        make_model(paths.models_dir() / "shipped", "basenet", 1)
        make_model(paths.runs_dir() / "trained", "basenet-bn-dropout", 2, CALIBRATION)
        yield


# The worker itself, but a classification with the field "begun" makes that file, and has no answer if it is new.
WORKER = """
import time
from pathlib import Path
from training import predict, worker

plain = predict._classify

def classify(fields, data):
    answer, begun = plain(fields, data), Path(fields.get("begun", "."))
    if not begun.exists():
        begun.touch()
        time.sleep(3600)
    return answer

predict._classify = classify
worker._main()
"""


@pytest.fixture(scope="module")
def worker(places):
    worker = Worker(("-c", WORKER), timeout=240)  # a busy machine takes a minute to load TensorFlow
    yield worker
    worker.close()


def test_what_can_be_chosen(places):
    broken = paths.models_dir() / "broken"
    broken.mkdir()
    for name, content in (("card.json", "{}"), ("spec.json", "{"), ("weights.npz", "")):
        (broken / name).write_text(content)
    shipped, trained = predict.choices()
    assert (shipped.id, shipped.shipped, trained.id, trained.shipped) == ("shipped", True, "trained", False)
    assert shipped.class_names[3] == "class 3" and len(shipped.class_names) == len(CLASSES)
    assert shipped.picture_size == 32 and shipped.calibration is None and trained.calibration == CALIBRATION
    assert shipped.validation_accuracy == pytest.approx(0.51) and shipped.test_accuracy is None


@pytest.mark.parametrize("name", ["shipped", "trained"])
def test_answers_are_those_of_plain_keras(places, name):
    from training import weights

    run = registry.find(name)
    model, mean, std = weights.load_model(run)
    expected = model.predict((PIXELS - mean) / std, verbose=0)
    classifier = predict.load(run)
    probabilities, flags = classifier.classify(PIXELS)
    assert flags is None and probabilities.shape == (7, 25)
    sharper = probabilities ** (2.0 if name == "trained" else 1.0)  # takes its temperature of 2 away again
    assert np.abs(sharper / sharper.sum(1, keepdims=True) - expected).max() < 1e-5


def test_a_run_with_the_name_of_a_shipped_model_is_asked_by_its_folder(places):
    twin = paths.runs_dir() / "shipped"
    make_model(twin, "basenet-bn", 3)
    theirs = paths.models_dir() / "shipped"
    shipped = next(choice for choice in predict.choices() if choice.shipped)
    [mine] = [choice for choice in predict.choices() if choice.spec.name == "basenet-bn" and choice.id != "trained"]
    try:
        assert (shipped.id, mine.id) == (str(theirs), str(twin))
        assert [registry.find_fitted(choice.id).path for choice in (shipped, mine)] == [theirs, twin]
    finally:
        shutil.rmtree(twin)
    assert registry.called(registry.find("shipped")) == "shipped"


def test_a_network_whose_only_convolution_is_whitening_explains_by_covering_parts(places):
    changes = {"network.blocks": [{"kind": "flatten"}], "network.whitening": True}
    make_model(paths.models_dir() / "white", "basenet", 1, changes=changes)
    heat = predict.load(registry.find("white")).explain(PIXELS[0], 4, "grad-cam")
    shutil.rmtree(paths.models_dir() / "white")
    assert heat.shape == (32, 32) and heat.max() == 1


def test_grad_cam_is_the_gradient_weighed_sum_of_the_last_convolution(places):
    import tensorflow as tf

    from training import weights
    from training.engine import model as networks

    run = registry.find("shipped")
    model, mean, std = weights.load_model(run)
    heat = predict.load(run).explain(PIXELS[0], 4, "grad-cam")
    kernels = networks.variables(model)
    x = tf.constant((PIXELS[:1] - mean) / std, tf.float32)
    for number in (1, 2):  # basenet by hand: two convolutions, a pooling between them
        x = tf.nn.relu(tf.nn.conv2d(x, kernels[f"conv_{number}/kernel"], 1, "VALID") + kernels[f"conv_{number}/bias"])
        if number == 1:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    with tf.GradientTape() as tape:
        tape.watch(x)
        flat = tf.reshape(tf.nn.max_pool2d(x, 2, 2, "VALID"), [1, -1])
        hidden = tf.nn.relu(flat @ kernels["dense_1/kernel"] + kernels["dense_1/bias"])
        score = (hidden @ kernels["output/kernel"] + kernels["output/bias"])[0, 4]
    expected = explain.grad_cam(x[0].numpy(), tape.gradient(score, x)[0].numpy(), 32)
    assert heat.shape == (32, 32) and heat.dtype == np.float32
    assert np.abs(heat - expected).max() < 1e-3


def test_occlusion_finds_the_pixels_that_a_known_function_looks_at():
    picture = np.full((32, 32, 3), 10, np.uint8)
    picture[20:28, 4:12] = 250

    def logits(pixels):  # class 1 is the brightness of one place, class 0 always 0
        bright = pixels[:, 20:28, 4:12].mean((1, 2, 3))
        return np.stack([np.zeros_like(bright), bright], 1)

    fill = np.array([10, 10, 10], np.uint8)
    heat = explain.occlusion(logits, picture, 1, fill)
    inside = heat[20:28, 4:12].mean()
    assert inside > 0.6 and heat[:16, 16:].max() == 0 and heat.max() == 1
    assert not explain.occlusion(logits, picture, 0, fill).any()


def test_the_worker_answers_as_the_model_does(worker):
    fields, data = worker.request("classify", PIXELS.tobytes(), model="trained", count=7)
    expected, _ = predict.load(registry.find("trained")).classify(PIXELS)
    assert fields["flags"] is None
    assert np.abs(np.frombuffer(data, "<f4").reshape(7, 25) - expected).max() < 1e-6
    _, heat = worker.request("explain", PIXELS[:1].tobytes(), model="trained", count=1, index=3, method="occlusion")
    assert np.frombuffer(heat, "<f4").shape == (32 * 32,)


def test_wrong_requests_are_sentences(worker):
    with pytest.raises(WorkerError, match=r"no run and no shipped model 'nowhere'"):
        worker.request("classify", b"", model="nowhere", count=0)
    with pytest.raises(WorkerError, match="takes pictures of 32 x 32 pixels"):
        worker.request("classify", b"abc", model="shipped", count=1)


def test_it_survives_kill_9_in_the_middle_of_its_work(worker, tmp_path):
    worker.request("load", model="shipped")
    expected, _ = predict.load(registry.find("shipped")).classify(PIXELS)
    pid, begun = worker.pid, tmp_path / "begun"
    with ThreadPoolExecutor() as pool:
        asked = {"model": "shipped", "count": 7, "begun": str(begun)}
        answer = pool.submit(worker.request, "classify", PIXELS.tobytes(), **asked)
        until(begun.exists)
        os.kill(pid, signal.SIGKILL)
        found = np.frombuffer(answer.result()[1], "<f4").reshape(7, 25)
    assert worker.pid not in (None, pid)
    assert np.abs(found - expected).max() < 1e-5


def test_a_model_that_was_trained_anew_answers_anew(worker):
    run = registry.find("trained")
    ask = lambda: worker.request("classify", PIXELS.tobytes(), model="trained", count=7)[1]  # noqa: E731
    before = ask()
    other = make_model(run.path.with_name("other"), "basenet-bn-dropout", 9)
    other.file("weights.npz").replace(run.file("weights.npz"))
    assert ask() != before
