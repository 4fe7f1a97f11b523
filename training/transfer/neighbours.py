"""The training pictures that look most like a picture to a head's backbone.

Pictures are alike where the cosine of their pooled features is large.  The features of all
training pictures are computed once and kept (`training.transfer.features`).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from training.transfer import features, heads

if TYPE_CHECKING:
    from training.data import Dataset
    from training.spec import RunSpec
    from training.transfer.predict import Extractor


class Neighbours:
    """The training pictures of a head, on the backbone `extractor`; the pictures are read when they are asked for."""

    def __init__(self, spec: RunSpec, extractor: Extractor):
        self._spec, self._extractor = spec, extractor

    @cached_property
    def pictures(self) -> Dataset:
        """The pictures; raises `DataError` where they are not here."""
        return heads.pictures(self._spec)

    @cached_property
    def _folder(self) -> Any:
        return features.store(**self._extractor.store(self.pictures.images, pooled=True))

    def done(self) -> int:
        """Of how many training pictures the features are there."""
        return features.done(self._folder)

    def compute(self, progress: features.Progress | None = None) -> None:
        """Compute the features that are not there yet."""
        self._extractor.stored(self.pictures.images, True, progress)

    @cached_property
    def _unit(self) -> np.ndarray:
        stored = np.asarray(self._extractor.stored(self.pictures.images, True), np.float32)
        return stored / np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-6)

    def find(self, asked: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """For pooled features (n, channels), the `count` nearest training pictures: int (n, count), the nearest
        first, and their cosines, float32 (n, count)."""
        unit = asked / np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-6)
        cosines = unit.astype(np.float32) @ self._unit.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        return nearest, np.take_along_axis(cosines, nearest, 1)
