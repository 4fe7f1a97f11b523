"""One warm process beside the app that classifies and explains, so that the app never loads TensorFlow.

`Worker` is the app's end: it starts the process, sends requests, and starts it again when it
has died.  `serve` is the process's end.  They talk over stdin and stdout in frames of a JSON
header and raw bytes: nothing is ever unpickled.  The process ends when the app does (its
stdin closes, however the app died) and after some minutes without a request.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from training.process import apart, environment

IDLE_SECONDS = 15 * 60
WAIT_SECONDS = 5 * 60  # for the requests of others, before one's own is asked
START_SECONDS = 60  # granted to a request beyond its own time while the process still loads
_HEAD = struct.Struct(">II")  # bytes of JSON, bytes of data
_MAX_JSON, _MAX_DATA = 2**26, 2**29

Reply = tuple[dict[str, Any], bytes]
Handler = Callable[[dict[str, Any], bytes], Reply]


class WorkerError(Exception):
    """A request that has no answer.  The message is one sentence, made to be shown."""


def _send(stream: IO[bytes], header: Mapping[str, Any], data: bytes = b"") -> None:
    text = json.dumps(header).encode()
    stream.write(_HEAD.pack(len(text), len(data)) + text)
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Reply | None:
    """The next frame; None where the other end has closed."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    text, data = _HEAD.unpack(head)
    if text > _MAX_JSON or data > _MAX_DATA:
        return None  # not a frame: something else wrote to the stream
    body = stream.read(text + data)
    return (json.loads(body[:text]), body[text:]) if len(body) == text + data else None


# --- The app's end ---------------------------------------------------------------------------


class _Process:
    """One life of the worker process, and a thread that collects its replies."""

    def __init__(self, arguments: tuple[str, ...]):
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow"),
            **apart(),
        )
        assert self.popen.stdin and self.popen.stdout
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self.replies: queue.Queue[Reply | None] = queue.Queue()
        self.ready = threading.Event()
        threading.Thread(target=self._collect, name="worker replies", daemon=True).start()

    def _collect(self) -> None:
        while reply := _receive(self.stdout):
            if reply[0].get("ready"):
                self.ready.set()
            else:
                self.replies.put(reply)
        self.replies.put(None)
        self.popen.wait()

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def ask(self, header: Mapping[str, Any], data: bytes, timeout: float) -> Reply | None:
        """The reply, or None where the process died.  Raises queue.Empty after `timeout` seconds."""
        try:
            _send(self.stdin, header, data)
        except OSError:
            return None
        return self.replies.get(timeout=timeout)

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()


class Worker:
    """The app's side of the worker; safe to use from many threads, which take turns."""

    def __init__(
        self, arguments: tuple[str, ...] = ("-m", "training.worker"), timeout: float = 60, wait: float = WAIT_SECONDS
    ):
        self.arguments, self.timeout, self.wait = arguments, timeout, wait
        self._process: _Process | None = None
        self._turn = threading.Lock()  # one request at a time
        self._starting = threading.Lock()
        atexit.register(self.close)

    def start(self) -> None:
        """Start the process if it is not there; returns at once, while it still loads.  Raises `WorkerError`."""
        self._running()

    def _running(self) -> _Process:
        with self._starting:
            if self._process is None or not self._process.alive:
                try:
                    self._process = _Process(self.arguments)
                except OSError as error:
                    raise WorkerError(f"The process that answers cannot be started: {error.strerror}.") from None
            return self._process

    @property
    def pid(self) -> int | None:
        """The process's id; None where it is not running."""
        process = self._process
        return process.popen.pid if process and process.alive else None

    @property
    def ready(self) -> bool:
        """Whether the process runs and has loaded what it needs."""
        process = self._process
        return process is not None and process.alive and process.ready.is_set()

    def request(self, operation: str, data: bytes = b"", timeout: float | None = None, **fields: Any) -> Reply:
        """What the worker answers to `operation`; raises `WorkerError`.

        A process that dies over a request is started again and asked once more; one that
        does not answer in time is ended, so that the next request finds a fresh one.  The time
        that it waits for its turn is not counted: a slow queue is no fault of the process.
        """
        seconds = timeout or self.timeout
        if not self._turn.acquire(timeout=self.wait):
            raise WorkerError(
                f"The classifier has been busy with other requests for {self.wait:.0f} seconds: try again later."
            )
        deadline = time.monotonic() + seconds
        try:
            for _ in range(2):
                process = self._running()
                try:
                    left = max(deadline - time.monotonic(), 0.1) + (0 if process.ready.is_set() else START_SECONDS)
                    reply = process.ask({"operation": operation, **fields}, data, left)
                except queue.Empty:
                    process.end()
                    raise WorkerError(
                        f"The classifier did not answer within {seconds:.0f} seconds and was started again: "
                        "try once more, with fewer pictures or models."
                    ) from None
                except BaseException:  # interrupted: its reply must not meet the next request
                    process.end()
                    raise
                if reply is not None:
                    if "error" in reply[0]:
                        raise WorkerError(reply[0]["error"])
                    return reply
                process.end()
            raise WorkerError(
                "The classifier's process ended twice over this request: try another picture or model, "
                "and see the terminal for its last words."
            )
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()


# --- The process's end -----------------------------------------------------------------------


def serve(handlers: Callable[[], Mapping[str, Handler]], known: tuple[type[Exception], ...] = (),
          idle_seconds: float = IDLE_SECONDS) -> None:  # fmt: skip
    """Answer requests until stdin closes or none came for `idle_seconds`.

    `handlers` is called once and may take its time: requests wait.  An exception of the
    kinds `known` is answered with its text, any other with a general sentence (its traceback
    goes to stderr); neither ends the process.
    """
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get among the frames
    requests: queue.Queue[Reply] = queue.Queue()

    def listen() -> None:
        while request := _receive(sys.stdin.buffer):
            requests.put(request)
        os._exit(0)  # the app is gone: nothing that is being computed is wanted any more

    threading.Thread(target=listen, daemon=True).start()
    table = handlers()
    _send(replies, {"ready": True})
    while True:
        try:
            header, data = requests.get(timeout=idle_seconds)
        except queue.Empty:
            os._exit(0)
        try:
            reply = table[header.pop("operation")](header, data)
        except known as error:
            reply = {"error": str(error)}, b""
        except Exception as error:
            import traceback

            traceback.print_exc()
            reply = {"error": f"The classifier could not answer ({type(error).__name__}): see the terminal."}, b""
        _send(replies, *reply)


def _main() -> None:
    from training.data import DataError
    from training.rundir import RunError

    def handlers() -> Mapping[str, Handler]:
        from training import predict

        return predict.handlers()

    serve(handlers, (RunError, DataError))


if __name__ == "__main__":
    _main()
