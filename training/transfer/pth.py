"""Read the tensors of a torch checkpoint without torch and without running what it says.

A `.pth` of torch's first format is five pickles followed by the raw storages.  A pickle can
call any function it names, so this reader knows four names and refuses every other.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Reader(pickle.Unpickler):
    """Rebuilds tensors as (storage key, offset, shape, strides); anything else is an error."""

    def __init__(self, file: Any):
        super().__init__(file)
        self.storages: dict[str, tuple[np.dtype, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in a file of weights")

    def persistent_load(self, saved: Any) -> str:
        kind, dtype, key, _location, count, view = saved
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError("a view of a storage is not expected in a file of weights")
        self.storages[key] = (dtype, count)
        return key


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors by name.  Raises ValueError where the file is anything else or cut short."""
    try:
        with path.open("rb") as file:
            if _Reader(file).load() != _MAGIC or _Reader(file).load() != 1001:
                raise ValueError("it is not a torch checkpoint of the first format")
            if not _Reader(file).load()["little_endian"]:
                raise ValueError("it was written on a big-endian machine")
            reader = _Reader(file)
            state = reader.load()
            data = {}
            for key in _Reader(file).load():
                dtype, count = reader.storages[key]
                file.seek(8, 1)  # the count again
                data[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
            return {name: _tensor(data[key], *rest) for name, (key, *rest) in state.items()}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it is not a torch checkpoint of plain tensors ({error})") from None


def _tensor(storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min((offset, *strides, *shape), default=0) < 0 or last >= len(storage):
        raise ValueError("a tensor lies outside its storage")
    view = np.lib.stride_tricks.as_strided(storage[offset:], shape, [s * storage.itemsize for s in strides])
    return view.copy()
