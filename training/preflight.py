"""What a training needs before it begins: memory, its pictures, its backbone, its teacher, and that they fit the network."""

from __future__ import annotations

from training import cost, data, hardware, teacher
from training.spec import RunSpec, SpecError
from training.transfer import backbones, pretrained


def check(spec: RunSpec) -> None:
    """Raise `DataError` or `SpecError` where the run could not begin: its pictures are missing or do not fit, or memory."""
    if spec.data.name not in data.NAMES:
        raise SpecError(f"data.name = {spec.data.name!r} is not possible: it is one of {', '.join(data.NAMES)}.")
    info = data.info(spec.data.name)
    if not info.available:
        raise data.DataError(f"{info.title} is not here; get it with: {info.how}")
    if spec.data.backbone is None and tuple(spec.network.input_shape) != tuple(info.picture_size):
        shapes = ["x".join(map(str, shape)) for shape in (info.picture_size, spec.network.input_shape)]
        raise SpecError(f"The pictures of {info.name} are {shapes[0]} and the network takes {shapes[1]}; "
                        "choose other pictures, or set network.input_shape.")  # fmt: skip
    if spec.data.backbone:
        try:
            backbone = backbones.of(spec.data)
            # Where all is trained at once, training begins with the file that ships.
            backbone.check(compact=spec.fit.fine_tune == "all at once")
        except pretrained.WeightsError as error:
            raise data.DataError(str(error)) from None
        map_shape = backbone.map_shape
        if spec.network.input_shape not in (map_shape, map_shape[-1:]):
            raise SpecError(f"network.input_shape = {list(spec.network.input_shape)} is not possible: {spec.data.backbone} "
                            f"gives {list(map_shape[-1:])} pooled, or {list(map_shape)}, of pictures of "
                            f"{spec.data.backbone_size} pixels a side, to the end of {spec.data.backbone_stage}.")  # fmt: skip
    if spec.fit.teacher:
        teacher.of(spec)
    if spec.network.classes != info.classes:
        raise SpecError(f"{info.name} has {info.classes} classes and the network {spec.network.classes}; "
                        f"set network.classes={info.classes}.")  # fmt: skip
    (needed, _), there = cost.training_bytes(spec), hardware.memory()
    if needed > there:
        raise SpecError(f"Training this takes at least {needed / 1e9:.2f} GB of memory and this machine has {there / 1e9:.2f}: "
                        "take smaller batches (batch_size), or a network with fewer filters (width) or layers (depth).")  # fmt: skip
