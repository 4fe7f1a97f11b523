"""A run directory: everything of a run, in plain files, readable and whole at any instant.

    spec.json        the frozen spec
    status.json      queued, running, stopped, finished or failed; process, progress
    history.jsonl    a line an epoch, and finer points within the epochs
    checkpoint.npz   from which the run goes on; best.npz: early stopping's best weights (best.new.npz until a checkpoint says so)
    weights.npz      the trained network, which the app, the command line and teachers read
    model.keras      the same for plain Keras (takes pixels 0 to 255); not of a head on a backbone, or where JAX fitted it
    card.json        spec, data, versions, machine, figures: written at the end
    unlike.npz, confusions.json  what calibration and `evaluate` measured beside the card
    log.txt          what the process printed
    stop             a request to stop, removed by the run when it has stopped

Files are replaced in one step, so that a reader never sees half of one.  A shipped model
(`models/NAME`) is read through the same interface.  No TensorFlow here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from training import card_schema
from training import spec as specs
from training.files import advice, read_json, write_whole
from training.paths import cache_dir, runs_dir
from training.process import alive
from training.spec import RunSpec, SpecError
from training.status import is_line, sound


class RunError(Exception):
    """A run directory is missing, broken or busy.  The message is one sentence for people."""


def write_atomic(path: Path, content: bytes | memoryview | str, durable: bool = True) -> None:
    """`files.write_whole`; raises `RunError` where the disk refuses."""
    try:
        write_whole(path, content, durable)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}; {advice(error)}.") from None


def write_arrays(path: Path, arrays: dict[str, np.ndarray], compressed: bool = False) -> None:
    """Write named arrays as an .npz in one step, no pickle."""
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, allow_pickle=False, **{name.replace("/", "|"): value for name, value in arrays.items()})
    write_atomic(path, buffer.getbuffer())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Named arrays of an .npz; raises `RunError` where it is missing or broken."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name.replace("|", "/"): file[name] for name in file.files}
    except FileNotFoundError:
        raise RunError(f"{path} is missing.") from None
    except Exception as error:  # zipfile, numpy and OS errors alike mean: not a whole .npz
        raise RunError(f"{path} is broken ({type(error).__name__}): it is not a whole .npz of plain arrays.") from None


@dataclass(frozen=True)
class RunDir:
    """One run directory, or one shipped model; `named` where its name is not the directory's."""

    path: Path
    named: str = ""

    @property
    def id(self) -> str:
        """The name by which the app and the command line know the run."""
        return self.named or self.path.name

    def file(self, name: str) -> Path:
        return self.path / name

    def spec(self) -> RunSpec:
        """The run's spec; raises `RunError`."""
        try:
            return specs.parse(self.file("spec.json").read_bytes())
        except OSError:
            raise RunError(f"{self.path} is not a run: it has no spec.json.") from None
        except SpecError as error:
            raise RunError(f"{self.file('spec.json')} is broken: {error}") from None

    def status(self) -> dict[str, Any]:
        """state, progress and message.  A run whose process is gone is "stopped", whatever it last wrote, and "crashed"."""
        status = sound(_read_json(self.file("status.json")))
        if not status:
            done = self.file("card.json").is_file()
            return {"state": "finished" if done else "stopped", "message": "", "epoch": 0, "step": 0}
        if status.get("state") == "running" and not alive(status):
            status["state"], status["crashed"] = "stopped", True  # nobody stopped it
            status["message"] = (
                f"The process ended without a word (killed, or out of memory); resume goes on from {self.whence}."
            )
        return status

    @property
    def created(self) -> float:
        """When it was made, in seconds since 1970; 0 where that is not known."""
        return float(sound(_read_json(self.file("status.json"))).get("created", 0))

    @property
    def whence(self) -> str:
        """From where a run that is not finished goes on."""
        return "the last checkpoint" if self.file("checkpoint.npz").is_file() else "the beginning"

    def write_status(self, **fields: Any) -> None:
        """Change fields of status.json, keeping the others."""
        file = self.file("status.json")
        try:
            status = read_json(file) | fields
        except OSError as error:  # what is in it must not be lost
            raise RunError(f"{file} cannot be read: {error.strerror}; {advice(error)}.") from None
        write_atomic(file, json.dumps(status), durable=False)

    def history(self) -> list[dict[str, Any]]:
        """The lines of history.jsonl; a line cut short by a kill is left out."""
        lines = []
        try:
            text = self.file("history.jsonl").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
        return [line for line in lines if is_line(line)]

    def begun(self) -> bool:
        """Whether its history has a first point."""
        try:
            return self.file("history.jsonl").stat().st_size > 0
        except OSError:
            return False

    def append_history(self, line: dict[str, Any]) -> None:
        """Add one line; a line is written whole or, by a kill, cut, and then not read.

        An epoch's holds after a loss of power: a checkpoint that follows says which epoch is the best, the card its figures.
        """
        try:
            with self.file("history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                if line["kind"] == "epoch":
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror}; {advice(error)}.") from None

    def truncate_history(self, step: int, validated: int) -> None:
        """Forget the points after global step `step`, where a resumed run goes on, and epochs after `validated`."""
        kept = [line for line in self.history() if line["step"] <= (validated if line["kind"] == "epoch" else step)]
        write_atomic(self.file("history.jsonl"), "".join(json.dumps(line) + "\n" for line in kept))

    def card(self) -> dict[str, Any] | None:
        """The card of a finished run; None where there is none, or a broken one."""
        card = _read_json(self.file("card.json"))
        return card if card and not card_schema.problem(card) else None

    def finished_card(self) -> dict[str, Any]:
        """The card, for what needs one; raises `RunError` where there is none, or a broken one."""
        if (card := self.card()) is not None:
            return card
        file = self.file("card.json")
        if file.is_file():
            wrong = card_schema.problem(_read_json(file)) if _read_json(file) else "it is not whole"
            raise RunError(f"{file} is broken ({wrong}): put the old file back, or train {self.id} again.")
        raise RunError(f"{self.id} is {self.status()['state']}: let it finish first.")

    def lock(self, seconds: float) -> FileLock:
        """A lock on this directory, there or not, to be waited for so long; raises `OSError`, and `Timeout` when taken."""
        folder = cache_dir() / "locks"  # not within: shipped models hold nothing but what ships
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
        return FileLock(folder / f"{name}.lock", timeout=seconds)

    def change_card(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let `change` alter the card that is there now, whoever else noted something in it meanwhile."""
        try:
            with self.lock(seconds=30):
                card = self.finished_card()
                change(card)
                self.write_card(card)
        except (OSError, Timeout) as error:
            reason = getattr(error, "strerror", None) or "another process holds it"
            raise RunError(f"{getattr(error, 'filename', None) or self.path} cannot be written: {reason}.") from None

    def write_card(self, card: dict[str, Any]) -> None:
        write_atomic(self.file("card.json"), json.dumps(card, indent=2) + "\n")

    def clear_partial(self) -> None:
        """Remove what a kill in the middle of a write left; only for the process that trains the run."""
        for name in (
            "checkpoint.npz",
            "best.npz",
            "best.new.npz",
            "weights.npz",
            "history.jsonl",
            "card.json",
            "model",
        ):
            for file in self.path.glob(f".{name}.*"):
                with suppress(OSError):
                    file.unlink()

    def request_stop(self) -> None:
        """Ask the run's process to stop; it does within 2 seconds and keeps its checkpoint."""
        write_atomic(self.file("stop"), "")

    def stop_requested(self) -> bool:
        return self.file("stop").exists()

    def forget_old_stop(self) -> None:
        """Remove a request from before this process began: it is not meant for it."""
        import psutil

        with suppress(OSError):
            # A process's birth is known within a second.
            if self.file("stop").stat().st_mtime < psutil.Process().create_time() - 2:
                self.file("stop").unlink()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, 0.1)
    except OSError:
        return {}


def create(spec: RunSpec, path: Path | None = None, queued: bool = False) -> RunDir:
    """A new run directory; raises `RunError` if `path` holds another run.

    `queued` puts it into the launcher's queue; else it waits for whoever made it to begin.
    """
    try:
        if path is None:
            path = _new_directory(spec.name)
        else:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The run directory {path or runs_dir()} cannot be made: {error.strerror}.") from None
    run = RunDir(path.resolve())
    if run.file("spec.json").exists():
        raise RunError(f"{path} already holds a run; resume it (--resume) or choose another directory (--run-dir).")
    run.write_status(
        state="queued" if queued else "stopped", message="" if queued else "Not begun yet.", queued=time.time(),
        created=time.time(), epoch=0, step=0, max_epochs=spec.fit.max_epochs, minutes=spec.fit.minutes,
        elapsed_seconds=0.0,
    )  # fmt: skip
    write_atomic(run.file("spec.json"), spec.to_json() + "\n")
    return run


def _new_directory(name: str) -> Path:
    """A directory that no other run has, made at once so that none can take it."""
    runs_dir().mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    while True:
        path = runs_dir() / f"{name}-{stamp}{f'-{number}' if number > 1 else ''}"
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1
