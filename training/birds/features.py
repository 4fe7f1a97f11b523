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


def extract(pictures: np.ndarray, model: Any, preprocess: Callable[[Any], Any], key: str, *, mirror: bool = False,
            batch: int = 32, dtype: str = "float16", progress: Progress | None = None) -> np.ndarray:  # fmt: skip
    """Features of uint8 `pictures` (n, height, width, 3), as a read-only memory map (n, *feature shape).

    `key` names the network, its weights and preprocessing; the pictures themselves are added
    to it here.  With `mirror` the pictures are flipped left to right.
    """
    import tensorflow as tf

    shape = tuple(model.output_shape[1:])
    folder = paths.cache_dir() / "features" / f"{key}-{fingerprint(pictures, mirror, dtype, shape)}"
    folder.mkdir(parents=True, exist_ok=True)
    forward = tf.function(lambda x: tf.cast(model(preprocess(tf.cast(x, tf.float32)), training=False), dtype))
    with FileLock(folder / "lock"):
        done = _done(folder)
        if done < len(pictures):
            mode = "r+" if done else "w+"
            store = np.lib.format.open_memmap(folder / "features.npy", mode, dtype, (len(pictures), *shape))
            for start in range(done, len(pictures), batch):
                chunk = np.asarray(pictures[start : start + batch])
                store[start : start + len(chunk)] = forward(chunk[:, :, ::-1] if mirror else chunk).numpy()
                if (start // batch) % 8 == 7 or start + batch >= len(pictures):
                    store.flush()
                    _save_done(folder, start + len(chunk))
                if progress:
                    progress(start + len(chunk), len(pictures))
            del store
    return np.load(folder / "features.npy", mmap_mode="r")


def pooled(model: Any) -> Any:
    """`model` followed by global average pooling: (n, channels)."""
    import keras

    return keras.Model(model.input, keras.layers.GlobalAveragePooling2D(name="pooled")(model.output))


def _done(folder: Path) -> int:
    """Pictures already stored for certain."""
    try:
        done = json.loads((folder / "done.json").read_text())
        return int(done) if (folder / "features.npy").is_file() else 0
    except (OSError, ValueError):
        return 0


def _save_done(folder: Path, done: int) -> None:
    temporary = folder / "done.json.tmp"
    temporary.write_text(json.dumps(done))
    temporary.replace(folder / "done.json")
