"""The worker is started, asked, killed, stalled and abandoned for real; a small program without TensorFlow answers."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.waiting import until
from training.worker import Worker, WorkerError

PROGRAM = """
    import os, sys, time
    from pathlib import Path
    from training.worker import serve

    IDLE = float(sys.argv[1]) if len(sys.argv) > 1 else 60

    def handlers():
        print("a library's chatter on stdout")
        return {
            "echo": lambda fields, data: ({"got": fields, "pid": os.getpid()}, data[::-1]),
            "sleep": lambda fields, data: (time.sleep(fields["seconds"]), ({}, b""))[1],
            "die": lambda fields, data: os.kill(os.getpid(), 9),
            "die once": once(lambda: os.kill(os.getpid(), 9)),
            "stall once": once(lambda: time.sleep(60)),
            "wait": wait,
            "wrong": lambda fields, data: 1 / 0,
            "refuse": refuse,
        }

    def once(act):
        def answer(fields, data):
            flag = Path(fields["flag"])
            if not flag.exists():
                flag.touch()
                act()
            return {"survived": True}, b""

        return answer

    def wait(fields, data):
        while not Path(fields["flag"]).exists():
            time.sleep(0.01)
        return {}, b""

    def refuse(fields, data):
        raise LookupError("There is no model 'x'.")

    serve(handlers, (LookupError,), IDLE)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return str(path)


@pytest.fixture
def worker(program):
    worker = Worker((program,), timeout=20)
    yield worker
    worker.close()


def test_a_process_that_cannot_be_started_is_a_sentence(worker, monkeypatch):
    def full(*command, **more):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("training.worker.subprocess.Popen", full)
    for ask in (worker.start, lambda: worker.request("load", model="x")):
        with pytest.raises(WorkerError, match="cannot be started: Resource temporarily unavailable"):
            ask()


def test_plain_data_and_bytes_go_both_ways(worker):
    fields, data = worker.request("echo", bytes(range(256)) * 5000, word="Ä", numbers=[1, 2.5, None])
    assert fields["got"] == {"word": "Ä", "numbers": [1, 2.5, None]}
    assert data == (bytes(range(256)) * 5000)[::-1]


def test_it_starts_in_the_background_and_stays(worker):
    assert worker.pid is None
    before = time.monotonic()
    worker.start()
    assert time.monotonic() - before < 1
    until(lambda: worker.ready)
    assert worker.request("echo")[0]["pid"] == worker.request("echo")[0]["pid"] == worker.pid


def test_killed_between_requests_it_is_there_again(worker):
    first = worker.request("echo")[0]["pid"]
    os.kill(first, signal.SIGKILL)
    assert worker.request("echo")[0]["pid"] != first


def test_killed_in_the_middle_the_request_is_asked_again(worker, tmp_path):
    first, begun = worker.request("echo")[0]["pid"], tmp_path / "begun"
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(worker.request, "stall once", flag=str(begun))
        until(begun.exists)
        os.kill(first, signal.SIGKILL)
        assert answer.result() == ({"survived": True}, b"")
    assert worker.pid not in (None, first)


def test_a_request_that_kills_it_once_is_answered_and_one_that_always_does_is_a_sentence(worker, tmp_path):
    assert worker.request("die once", flag=str(tmp_path / "flag"))[0] == {"survived": True}
    with pytest.raises(WorkerError, match="ended twice"):
        worker.request("die")
    assert worker.request("echo")[0]["pid"] == worker.pid


def test_one_that_stalls_is_ended_in_time(worker):
    first = worker.request("echo")[0]["pid"]
    before = time.monotonic()
    with pytest.raises(WorkerError, match="within 1 seconds"):
        worker.request("sleep", seconds=30, timeout=1)
    assert time.monotonic() - before < 3
    assert not psutil.pid_exists(first)
    assert worker.request("echo")[0]["pid"] != first


def test_waiting_for_ones_turn_takes_nothing_of_the_time_to_answer(worker):
    first = worker.request("echo")[0]["pid"]
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(worker.request("sleep", seconds=1, timeout=2.5)))
        for _ in range(4)  # the last waits for 3 seconds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert answers == [({}, b"")] * 4 and worker.pid == first


def test_one_whose_turn_does_not_come_is_told_and_the_process_stays(worker, tmp_path):
    first, flag = worker.request("echo")[0]["pid"], tmp_path / "flag"
    with ThreadPoolExecutor() as pool:
        other = pool.submit(worker.request, "wait", flag=str(flag))
        until(worker._turn.locked)
        worker.wait = 0.2
        with pytest.raises(WorkerError, match="busy with other requests"):
            worker.request("echo")
        flag.touch()
        assert other.result() == ({}, b"")
    assert worker.pid == first


def test_errors_are_sentences_and_do_not_end_it(worker):
    with pytest.raises(WorkerError, match="There is no model 'x'"):
        worker.request("refuse")
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        worker.request("wrong")
    assert worker.request("echo")[0]["pid"] == worker.pid


def test_many_threads_each_get_their_own_answer(worker):
    def ask(number):
        fields, data = worker.request("echo", str(number).encode(), n=number)
        return fields["got"], data

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(40)))
    assert answers == [({"n": number}, str(number).encode()[::-1]) for number in range(40)]


def test_it_leaves_when_idle_and_comes_back_when_asked(program):
    worker = Worker((program, "0.5"))
    first = worker.request("echo")[0]["pid"]
    until(lambda: worker.pid is None)
    assert worker.request("echo")[0]["pid"] != first
    worker.close()


@pytest.mark.parametrize("busy", [False, True])
def test_it_does_not_outlive_an_app_that_is_killed(program, busy, tmp_path):
    begun = tmp_path / "begun"
    script = f"""
import threading, time
from training.worker import Worker
worker = Worker(({program!r},))
print(worker.request("echo")[0]["pid"], flush=True)
if {busy}:
    threading.Thread(target=lambda: worker.request("stall once", flag={str(begun)!r}), daemon=True).start()
time.sleep(60)
"""
    root = Path(__file__).resolve().parent.parent
    app = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    pid = int(app.stdout.readline())
    until(lambda: begun.exists() or not busy)
    assert psutil.pid_exists(pid)
    app.kill()
    app.wait()
    app.stdout.close()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, seconds=5)


def test_the_apps_end_imports_no_tensorflow():
    code = "import sys, training.worker, training.pictures; sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras')))"
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
