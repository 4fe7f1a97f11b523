"""Which pixels spoke for a class: Grad-CAM and occlusion, as heat maps the size of the picture.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) weighs the last convolution's channels by
the class's gradient.  Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901) covers one square
after the other and measures how much of the class's logit is lost.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

METHODS = {"grad-cam": "Grad-CAM", "occlusion": "Covering parts"}

Logits = Callable[[np.ndarray], np.ndarray]


def grad_cam(features: np.ndarray, gradients: np.ndarray, size: int) -> np.ndarray:
    """Heat, float32 (size, size), 0 to 1: where the channels that speak for the class are active.

    features, gradients: (height, width, channels), the last convolution's output and the
    gradient of the class's logit with respect to it.
    """
    weights = gradients.mean((0, 1))
    return _scaled(_enlarge(np.maximum(features @ weights, 0), size))


def occlusion(logits: Logits, pixels: np.ndarray, index: int, fill: np.ndarray) -> np.ndarray:
    """Heat, float32 (size, size), 0 to 1: the mean loss of class `index`'s logit where a pixel is covered.

    `logits` maps uint8 (n, size, size, 3) to (n, classes); `pixels` is one such picture;
    `fill`, uint8 (3,), covers squares of a quarter of the side, an eighth apart.
    """
    size = pixels.shape[0]
    window, stride = max(size // 4, 1), max(size // 8, 1)
    places = [(y, x) for y in _starts(size, window, stride) for x in _starts(size, window, stride)]
    covered = np.repeat(pixels[None], len(places) + 1, axis=0)
    for picture, (y, x) in zip(covered[1:], places, strict=True):
        picture[y : y + window, x : x + window] = fill
    scores = logits(covered)[:, index]
    bell = np.hanning(window + 2)[1:-1]
    weight = np.outer(bell, bell)  # most for the middle of a square, so that the map is smooth
    heat, total = np.zeros((size, size)), np.zeros((size, size))
    for lost, (y, x) in zip(scores[0] - scores[1:], places, strict=True):
        heat[y : y + window, x : x + window] += lost * weight
        total[y : y + window, x : x + window] += weight
    return _scaled(np.maximum(heat / total, 0))


def _starts(size: int, window: int, stride: int) -> list[int]:
    starts = list(range(0, size - window + 1, stride))
    return starts if starts[-1] == size - window else [*starts, size - window]


def _enlarge(heat: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(heat.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _scaled(heat: np.ndarray) -> np.ndarray:
    top = float(heat.max())
    return (heat / top if top > 0 else np.zeros_like(heat)).astype(np.float32)
