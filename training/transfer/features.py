"""Features computed once: a frozen network over many pictures, kept on disk.

A store is a folder of the cache keyed by everything the numbers depend on (pictures,
network, weights, preprocessing, number format).  It is written batch by batch into a
memory-mapped file, so memory stays bounded, a run that was killed goes on where it was,
and a finished store is opened without reading it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from training import paths
from training.data import DataError
from training.data.store import check_space
from training.files import write_whole

Progress = Callable[[int, int], None]  # pictures done, pictures in all


def fingerprint(*parts: Any) -> str:
    """A short SHA-256 over arrays (dtype, shape and bytes), text and numbers."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
        digest.update(b"|")
    return digest.hexdigest()[:16]


def store(pictures: np.ndarray, shape: tuple[int, ...], key: str, mirror: bool = False) -> Path:
    """The folder in which `extract` keeps these features."""
    return paths.cache_dir() / "features" / f"{key}-{fingerprint(pictures, mirror, 'float16', shape)}"


def extract(pictures: np.ndarray, make: Callable[[], Callable[[Any], Any]], shape: tuple[int, ...], key: str, *,
            mirror: bool = False, batch: int = 32, progress: Progress | None = None) -> np.ndarray:  # fmt: skip
    """Features of uint8 `pictures` (n, height, width, 3), a read-only float16 memory map (n, *shape).

    `make` gives the function from float32 pixels to features, called only where some are
    missing; `key` names it, its weights and preprocessing (the pictures are added here).
    With `mirror` the pictures are flipped left to right.  Raises `DataError` if the cache cannot hold them.
    """
    folder = store(pictures, shape, key, mirror)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            there = done(folder)
            if there < len(pictures):
                if not there:
                    check_space(folder, (len(pictures), *shape), "float16")
                _extract(folder, there, pictures, make(), shape, mirror, batch, progress)
    except OSError as error:
        raise DataError(f"The features cannot be written into {folder}: {error.strerror or error}.") from None
    return np.load(folder / "features.npy", mmap_mode="r")


def _extract(folder: Path, done: int, pictures: np.ndarray, network: Callable[[Any], Any], shape: tuple[int, ...],
             mirror: bool, batch: int, progress: Progress | None) -> None:  # fmt: skip
    import tensorflow as tf

    # One graph for every batch, the last one's few pictures included.
    signature = tf.TensorSpec((None, *pictures.shape[1:]), tf.uint8)
    forward = tf.function(lambda x: network(tf.cast(x, tf.float32)), autograph=False).get_concrete_function(signature)
    store = np.lib.format.open_memmap(
        folder / "features.npy", "r+" if done else "w+", "float16", (len(pictures), *shape)
    )
    for number, start in enumerate(range(done, len(pictures), batch), 1):
        chunk = np.asarray(pictures[start : start + batch])
        end = start + len(chunk)
        store[start:end] = forward(tf.constant(chunk[:, :, ::-1] if mirror else chunk)).numpy()
        if number % 8 == 0 or end == len(pictures):
            store.flush()
            write_whole(folder / "done.json", json.dumps(end))
        if progress:
            progress(end, len(pictures))


def lines(what: str, every: int = 320) -> Progress:
    """A progress that prints a line now and then."""

    def show(done: int, total: int) -> None:
        if done % every == 0 or done == total:
            print(f"{what}: {done} of {total} pictures", flush=True)

    return show


def done(folder: Path) -> int:
    """Pictures whose features a store already has for certain."""
    try:
        count = json.loads((folder / "done.json").read_text())
        return int(count) if (folder / "features.npy").is_file() else 0
    except (OSError, ValueError):
        return 0
