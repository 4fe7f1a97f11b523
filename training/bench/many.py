"""A side of the benchmark: several networks trained at once, in processes of one thread each, as `training all` does."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from training.bench.sides import MANY, Side, noise
from training.spec import RunSpec, parse


class Many(Side):
    """`count` trainings of one spec that begin and end each turn together; a figure is that of a step of one of them."""

    def __init__(self, spec: RunSpec, count: int, precision: str):
        super().__init__(MANY.format(count), precision, self._turn)
        context = get_context("spawn")
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for _ in range(count):
            own, other = context.Pipe()
            process = context.Process(target=_train, args=(other, spec.to_json(), precision), daemon=True)
            process.start()
            other.close()  # so that the end of the process is seen
            self._connections.append(own)
            self._processes.append(process)

    def _turn(self, steps: int) -> float:
        """Let each do so many steps; their processor seconds together.  Raises `EOFError` where one has died."""
        for connection in self._connections:
            connection.send(steps)
        return sum(connection.recv() for connection in self._connections)

    def measure(self) -> None:
        start = time.perf_counter()
        seconds = self._turn(self.steps)
        self.wall.append(1e3 * (time.perf_counter() - start) / self.steps / len(self._processes))
        self.cpu.append(1e3 * seconds / self.steps / len(self._processes))

    def close(self) -> None:
        """End the processes."""
        for connection, process in zip(self._connections, self._processes, strict=True):
            connection.close()
            process.join()


def _train(connection: Connection, spec: str, precision: str) -> None:
    """The process of one training: steps when they are asked for, until the other end closes."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    from training.engine.engine import Engine

    own = parse(spec).replace({"fit.precision": precision})
    data: Any = noise(own)
    engine = Engine(own, data)
    while True:
        try:
            steps = connection.recv()
        except (EOFError, OSError):
            return
        start = time.process_time()
        engine.train(0, 0, steps)
        connection.send(time.process_time() - start)
