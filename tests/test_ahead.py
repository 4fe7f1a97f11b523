"""Networks built before they are asked for: the run is the same, and nothing else is ever taken for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import small
from tests.waiting import until
from training import data, rundir
from training.engine.engine import Engine
from training.fit import fit
from training.queue import handover, launcher, standby
from training.queue.ahead import MOST, Ahead
from training.rundir import RunDir, read_arrays
from training.spec import RunSpec


@pytest.fixture(autouse=True)
def pictures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(data, "load", lambda name, validation: small.dataset())
    yield
    for thread in threading.enumerate():  # what nobody took may still be under way
        if thread.name == "ahead":
            thread.join()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    """The specs of the engines that are built."""
    specs: list[RunSpec] = []
    plain = Engine.__init__

    def counted(self: Engine, spec: RunSpec, *arguments: Any) -> None:
        specs.append(spec)
        plain(self, spec, *arguments)

    monkeypatch.setattr(Engine, "__init__", counted)
    return specs


def run_of(spec: RunSpec, folder: Path) -> RunDir:
    run = rundir.create(spec, folder)
    run.write_status(places=handover.places())
    return run


def validation(run: RunDir) -> list[tuple[float, float]]:
    return [(line["val_loss"], line["val_accuracy"]) for line in run.history() if line["kind"] == "epoch"]


def test_a_run_whose_network_was_built_ahead_is_the_run_that_it_is_without(
    tmp_path: Path, built: list[RunSpec]
) -> None:
    spec, ahead = small.spec(fit__epochs=2, fit__average=0.9), Ahead()
    ahead.expect(handover.brought(spec))
    one, other = run_of(spec, tmp_path / "ahead"), run_of(spec, tmp_path / "plain")
    assert fit(one, ahead=ahead)["state"] == "finished" and built == [spec], "it was built once, ahead"
    assert fit(other)["state"] == "finished" and built == [spec, spec]
    assert validation(one) == validation(other) != []
    weights, same = (read_arrays(run.file("weights.npz")) for run in (one, other))
    assert weights.keys() == same.keys() and all((weights[name] == same[name]).all() for name in weights)


def test_another_run_than_the_expected_builds_its_own(tmp_path: Path, built: list[RunSpec]) -> None:
    expected, asked, ahead = small.spec(), small.spec(fit__epochs=1, fit__seed=7), Ahead()
    ahead.expect(handover.brought(expected))
    run = run_of(asked, tmp_path / "run")
    assert fit(run, ahead=ahead)["state"] == "finished"
    assert built == [expected, asked] and (run.card() or {})["spec"]["fit"]["seed"] == 7


def test_a_network_is_given_once_and_only_for_its_spec_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = handover.brought(small.spec())
    monkeypatch.setenv("PLUMAGE_DATA", "elsewhere")
    theirs = handover.brought(small.spec())
    monkeypatch.delenv("PLUMAGE_DATA")
    for other in (theirs, handover.brought(small.spec(fit__seed=1)), {}):
        ahead = Ahead()
        assert ahead.expect(mine) and ahead.take(other) is None
    ahead = Ahead()
    ahead.expect(mine)
    taken = ahead.take(mine)
    assert taken is not None and isinstance(taken[1], Engine) and ahead.take(mine) is None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Pictures that are loaded only once this event is set."""
    event = threading.Event()

    def load(name: str, validation: str) -> data.Dataset:
        event.wait(60)
        return small.dataset()

    monkeypatch.setattr(data, "load", load)
    yield event
    event.set()


def test_while_one_is_built_the_next_has_to_wait(slow: threading.Event, built: list[RunSpec]) -> None:
    first, second = (handover.brought(small.spec(fit__seed=seed)) for seed in (0, 1))
    ahead = Ahead()
    assert ahead.expect(first) and not ahead.expect(second)
    slow.set()
    until(lambda: ahead.expect(second))
    taken = ahead.take(second)
    assert taken is not None and taken[1].spec.fit.seed == 1 and [spec.fit.seed for spec in built] == [0, 1]


def test_what_is_not_wanted_any_more_is_not_built_to_its_end(slow: threading.Event, built: list[RunSpec]) -> None:
    ahead = Ahead()
    ahead.expect(handover.brought(small.spec()))
    assert ahead.take(handover.brought(small.spec(fit__seed=1))) is None  # at once, though nothing is loaded yet
    slow.set()
    ahead._thread.join()
    assert built == []


def test_a_run_is_stopped_also_while_its_network_is_still_built(tmp_path: Path, slow: threading.Event) -> None:
    spec, ahead = small.spec(), Ahead()
    ahead.expect(handover.brought(spec))
    run = run_of(spec, tmp_path / "run")
    threading.Timer(0.5, run.request_stop).start()
    start = time.monotonic()
    status = fit(run, ahead=ahead)
    assert status["state"] == "stopped" and "from the beginning" in status["message"]
    assert time.monotonic() - start < 10, "it waited for the pictures"


def test_a_run_goes_on_with_a_network_that_was_built_ahead(tmp_path: Path, built: list[RunSpec]) -> None:
    spec = small.spec(fit__epochs=4)
    whole, cut = run_of(spec, tmp_path / "whole"), run_of(spec, tmp_path / "cut")
    fit(whole)
    fit(cut, report=lambda line: cut.request_stop() if line["kind"] == "epoch" and line["epoch"] == 2 else None)
    assert cut.file("checkpoint.npz").is_file() and cut.status()["state"] == "stopped"
    ahead = Ahead()
    ahead.expect(handover.brought(spec))
    assert fit(cut, resume=True, ahead=ahead)["state"] == "finished" and len(built) == 3
    assert validation(cut) == validation(whole)


@pytest.mark.parametrize("brought", [{}, {"spec": 3}, {"spec": {"fit": {"epochs": -1}}, "places": None}])
def test_what_is_no_spec_is_passed_over(brought: dict[str, Any]) -> None:
    ahead = Ahead()
    assert ahead.expect(handover.brought(small.spec()))
    ahead._thread.join()
    assert ahead.expect(brought) and ahead.take(brought) is None


def test_what_cannot_be_built_is_said_by_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, validation: str) -> data.Dataset:
        raise data.DataError("The pictures are not here.")

    monkeypatch.setattr(data, "load", missing)
    spec, ahead = small.spec(), Ahead()
    ahead.expect(handover.brought(spec))
    status = fit(run_of(spec, tmp_path / "run"), ahead=ahead)
    assert (status["state"], status["message"]) == ("failed", "The pictures are not here.")
    ahead.expect(handover.brought(spec))
    ahead._thread.join()
    monkeypatch.setattr(data, "load", lambda name, validation: small.dataset())
    ahead.expect(handover.brought(spec))
    assert ahead.take(handover.brought(spec)) is not None, "it is tried again"


def test_one_process_builds_a_bounded_number_and_no_heads(built: list[RunSpec]) -> None:
    ahead, head = Ahead(), small.spec(data__backbone="efficientnet-lite0", data__augmentation={})
    assert ahead.expect(handover.brought(head)) and ahead.take(handover.brought(head)) is None
    wishes = [handover.brought(small.spec(fit__seed=seed)) for seed in range(MOST + 1)]
    taken = [ahead.expect(wish) and ahead.take(wish) for wish in wishes]
    assert all(taken[:MOST]) and taken[MOST] is None and len(built) == MOST
    assert ahead.worn, "a fresh process has to take its place"


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A folder of runs, a waiting process without TensorFlow of its own, and the processes that it starts."""
    started: list[None] = []
    monkeypatch.setenv("PLUMAGE_RUNS", str(tmp_path))
    monkeypatch.setattr(standby, "IDLE_SECONDS", 3.0)
    monkeypatch.setattr(standby, "SETTLED_SECONDS", 0.5)
    monkeypatch.setattr(standby, "warm_up", lambda: None)
    monkeypatch.setattr(launcher, "spawn", lambda: started.append(None))
    return started


def test_the_waiting_process_builds_what_the_train_page_would_start(
    waiting: list[None], built: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Settled(Ahead):
        def expect(self, brought: dict[str, Any]) -> bool:
            monkeypatch.setattr(standby, "IDLE_SECONDS", 0.0)  # nothing else is to be waited for
            return super().expect(brought)

    def choose() -> None:
        for seed in range(1, 6):
            time.sleep(0.1)
            launcher.expect(small.spec(fit__seed=seed))

    ahead, spec = Settled(), small.spec(fit__seed=5)
    monkeypatch.setattr(standby, "IDLE_SECONDS", 60.0)
    monkeypatch.setattr(standby, "SETTLED_SECONDS", 2.0)  # 20 times what lies between two choices
    launcher.expect(small.spec())
    choosing = threading.Thread(target=choose)
    choosing.start()
    assert standby.wait_for_run(launcher.lock("turn"), ahead) is None
    choosing.join()
    taken = ahead.take(handover.brought(spec))
    assert taken is not None and taken[1].spec == spec and built == [spec], "only what was settled on is built"


def test_nothing_is_built_beside_a_training(waiting: list[None], built: list[RunSpec]) -> None:
    with launcher.lock("turn"):
        launcher.expect(small.spec())
        assert standby.wait_for_run(launcher.lock("turn"), Ahead()) is None
    assert built == []


def test_a_process_that_has_built_enough_is_replaced(
    waiting: list[None], built: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.queue.ahead.MOST", 0)
    monkeypatch.setattr("os.nice", lambda by: by, raising=False)
    launcher.expect(small.spec())
    waiting.clear()
    standby.main()
    assert waiting == [None] and built == []


def test_a_run_that_is_taken_is_expected_no_more(waiting: list[None]) -> None:
    launcher.expect(small.spec())
    launcher.submit(small.spec())
    assert launcher.place("expected").is_file() and launcher.take_next() is not None
    assert not launcher.place("expected").exists()
