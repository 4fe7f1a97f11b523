"""Arrays made once and kept in the cache folder, memory-mapped from then on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from errno import ENOSPC
from math import prod
from pathlib import Path

import filelock
import numpy as np
from numpy.typing import DTypeLike

from training import paths
from training.data.base import DataError


def array(name: str, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """The array kept as `name`, read-only; if it is not there, `fill` writes into a new one.

    It is made under a lock and put in place by renaming, so that a process killed half-way
    leaves nothing that could be taken for the whole.  Pages are read when they are used: an
    array may be larger than the memory.  Raises `DataError` if the cache cannot hold it.
    """
    folder = paths.cache_dir() / "arrays"
    path = folder / f"{name}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f"{name}.lock"):
            found = _open(path, shape, dtype)
            if found is None:
                _make(path, shape, dtype, fill)
                found = _open(path, shape, dtype)
    except OSError as error:
        raise DataError(f"The cache folder {folder} cannot be written: {error.strerror or error}.") from None
    assert found is not None
    return found


def check_space(folder: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Raise OSError where `folder` has no room for an array: a full disk would kill a process that writes to a map."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if shutil.disk_usage(folder).free < 1.1 * size:
        raise OSError(ENOSPC, f"{size / 1e6:,.0f} MB are needed on the disk and not free")


def _open(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray | None:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):  # not there, or cut short
        return None
    return found if found.shape == shape and found.dtype == dtype else None


def _make(path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[np.ndarray], None]) -> None:
    check_space(path.parent, shape, dtype)
    partial = path.with_suffix(".partial")
    try:
        _write(partial, shape, dtype, fill)
        partial.replace(path)
    finally:
        with suppress(OSError):  # after an error Windows may hold it still, and the error is what there is to say
            partial.unlink(missing_ok=True)


def _write(path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[np.ndarray], None]) -> None:
    """The map is closed at the end: Windows replaces no file that is mapped."""
    out = np.lib.format.open_memmap(path, "w+", dtype, shape)
    fill(out)
    out.flush()
