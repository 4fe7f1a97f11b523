"""Make compact backbones: python -m training.transfer.publish

`efficientnet-lite0` ships in `models/birds-backbones/`.  `resnet50v2`, whose conv5 was trained here, is what
fine-tuning begins with and stays in the cache; `models/birds-backbones/` gets its card, with its figures before and
after compacting.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from training import data, paths, weights
from training.card import versions
from training.evaluate import figures
from training.rundir import RunError, write_atomic
from training.transfer import conv5, features, heads, resnet_v2
from training.transfer.backbones import CONV4, LITE0, RESNET50V2
from training.transfer.pretrained import WeightsError, joined_conv5, shipped


def save(path: Path, model: Any, form: weights.Format) -> Path:
    """Write the weights of `model`."""
    from training.engine import model as networks

    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: variable.numpy() for name, variable in networks.variables(model).items()}
    weights.save(path, values, np.zeros(1), np.ones(1), form)
    return path


def joined(trained: Any) -> Any:
    """All of `resnet50v2`: conv1 to conv4 with their ImageNet weights, conv5 from the model `trained`."""
    model = resnet_v2.full()
    for part in (CONV4.load(), trained):
        for layer in part.layers:
            if layer.weights and layer.name in {mine.name for mine in model.layers}:
                model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


def resnet50v2(folder: Path) -> dict[str, Any]:
    """Join the conv5 trained in `folder` to conv1 to conv4; its card."""
    trainee, history = conv5.restore(folder)
    path = save(joined_conv5(), joined(trainee), "int8")
    birds = data.load("birds")
    pooled = heads.extract(RESNET50V2, birds.validation_images, True, file=path, progress=features.lines("validation"))
    kernel, bias = trainee.get_layer("logits").get_weights()
    after = figures(pooled.astype(np.float32) @ kernel + bias, birds.validation_labels)
    card = {
        "name": RESNET50V2.name,
        "title": RESNET50V2.title,
        "origin": RESNET50V2.origin,
        "data": {"name": birds.name, "title": birds.title, "origin": heads.origin(birds), "sha256": birds.sha256,
                 "train": len(birds.labels), "validation": len(birds.validation_labels)},
        "recipe": json.loads((folder / "recipe.json").read_text()) | {"hint_weight": conv5.HINT_WEIGHT},
        "weights": "int8",
        "bytes": path.stat().st_size,
        "figures": {"epochs": len(history), "validation": {
            "before_compacting": {key.removeprefix("val_"): history[-1][key] for key in ("val_loss", "val_accuracy", "val_top5")},
            "after_compacting": after,
        }},
        "history": history,
        "wall_seconds": round(sum(line["seconds"] for line in history), 1),
        "versions": versions(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    write_atomic(shipped(RESNET50V2.name).with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    return card


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the compact backbones that ship.")
    parser.add_argument("backbone", choices=[RESNET50V2.name, LITE0.name])
    parser.add_argument("--folder", type=Path, default=None, help="where conv5 was trained")
    options = parser.parse_args()
    try:
        if options.backbone == LITE0.name:
            # Not int8: a depthwise kernel has one channel a filter, for which it is too coarse.
            print(save(shipped(LITE0.name), LITE0.load(), "half"))
        else:
            print(json.dumps(resnet50v2(options.folder or paths.cache_dir() / "conv5")["figures"], indent=1))
    except (RunError, WeightsError, data.DataError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
