"""Heads: networks of the catalogue that learn on a frozen backbone's features.

A head is a spec like any other, with `data.backbone` set, and is fitted, resumed, listed and
compared like any other run.  Only its pictures differ: `dataset` gives features in place of
pixels.  Where the spec flips pictures, the features of the mirror images stand beside those
of the pictures, so that an epoch covers both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training import data
from training.transfer import features, folded
from training.transfer.backbones import SIZE, WHOLE, Backbone, of
from training.transfer.pretrained import WeightsError

if TYPE_CHECKING:
    from training.data import Dataset
    from training.spec import RunSpec


def feature_model(backbone: Backbone, pooled: bool, file: Path | None = None) -> Any:
    """The backbone with its weights: RGB pixels 0-255, float32 (n, any size, same, 3), to features.

    Pictures of another size than the backbone's are brought to it (bicubic).  `pooled`: (n, channels), the
    mean over the map, else (n, *backbone.map_shape).
    """
    import tensorflow as tf

    network = folded.forward(backbone.load(file))

    def run(pixels: Any) -> Any:
        maps = network(backbone.preprocess(enlarged(pixels, backbone.size)))
        return tf.reduce_mean(maps, (1, 2)) if pooled else maps

    return run


def enlarged(pixels: Any, size: int) -> Any:
    """Float pixels, 0 to 255, at `size` a side."""
    import tensorflow as tf

    if pixels.shape[1:3] == (size, size):
        return pixels
    shrunk = pixels.shape[1] > size
    return tf.clip_by_value(tf.image.resize(pixels, (size, size), "bicubic", antialias=shrunk), 0.0, 255.0)


def extract(backbone: Backbone, pictures: np.ndarray, pooled: bool, mirror: bool = False, file: Path | None = None,
            progress: features.Progress | None = None) -> np.ndarray:  # fmt: skip
    """Features of uint8 `pictures`, from the store or computed now; float16, memory-mapped.

    The backbone's weights come from `file`, else from its own source.
    """

    def make() -> Any:
        return feature_model(backbone, pooled, file)

    key = store_key(backbone, backbone.key(file), pooled)
    return features.extract(pictures, make, shape(backbone, pooled), key, mirror=mirror, progress=progress)


def shape(backbone: Backbone, pooled: bool) -> tuple[int, ...]:
    """Shape of the features of one picture: of the map, or, `pooled`, of the mean over it."""
    return backbone.map_shape[-1:] if pooled else backbone.map_shape


def store_key(backbone: Backbone, weights: str, pooled: bool) -> str:
    """What names a store of features beside its pictures: the key of the weights, the kind of features, size and stage."""
    unusual = [str(backbone.size)] * (backbone.size != SIZE) + [backbone.stage] * (backbone.stage != WHOLE)
    return "-".join([weights, "pooled" if pooled else "map", *unusual])


def views(spec: RunSpec) -> int:
    """How many features of each picture a head learns on: 2 with the mirror images."""
    return 2 if spec.data.augmentation.horizontal_flip else 1


def pictures(spec: RunSpec) -> Dataset:
    """The spec's pictures."""
    found = data.load(spec.data.name, spec.data.validation)
    return replace(found, origin=origin(found))


def dataset(spec: RunSpec, progress: features.Progress | None = None) -> Dataset:
    """The features of the spec's training and validation pictures, in place of pixels.

    Raises `DataError` for missing pictures, and for missing weights with what gets them.
    """
    own = pictures(spec)
    backbone, pooled = of(spec.data), len(spec.network.input_shape) == 1
    try:
        stores = [
            extract(backbone, own.images, pooled, mirror, progress=progress) for mirror in (False, True)[: views(spec)]
        ]
        validation = extract(backbone, own.validation_images, pooled, progress=progress)
    except WeightsError as error:
        raise data.DataError(str(error)) from None
    images = np.concatenate(stores)
    return replace(own, images=images, labels=np.tile(own.labels, len(stores)), validation_images=validation)


def origin(found: Dataset) -> str:
    """What the pictures are, with what must be said beside every figure on the cut birds."""
    cut = found.name == "birds" and "cut" in found.origin
    return found.origin + (", about three in ten with a black border" if cut else "")


def card_fields(spec: RunSpec) -> dict[str, Any]:
    """What the card of a head says beside what every card does."""
    backbone = of(spec.data)
    tuned = spec.fit.fine_tune != "off"  # such a one begins with the compact file
    return {
        "picture_size": data.info(spec.data.name).picture_size[0],
        "backbone": {
            "name": backbone.name,
            "title": backbone.title,
            "origin": backbone.origin,
            "key": backbone.key(backbone.deployed() if tuned else None),
        },
    }
