"""The same network in PyTorch, one side of the benchmark where torch is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from training.describe import Layer, describe
from training.spec import RunSpec


def steps(spec: RunSpec, images: np.ndarray, labels: np.ndarray) -> Callable[[int], Any]:
    """The same network in PyTorch, channels last, on normalized arrays."""
    import torch
    from torch import nn

    layers = describe(spec.network).layers

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(_layer(layer) for layer in layers)

        def forward(self, x: Any) -> Any:
            outputs: dict[str, Any] = {}
            for layer, part in zip(layers, self.parts, strict=True):
                x = outputs[layer.name] = x + outputs[layer.source] if layer.kind == "add" else part(x)
            return x

    network = Network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), spec.fit.learning_rate, spec.fit.momentum)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    y, size = torch.from_numpy(labels.astype(np.int64)), spec.fit.batch_size

    def run(steps: int) -> None:
        for step in range(steps):
            first = step * size % (len(x) - size + 1)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[first : first + size]), y[first : first + size]).backward()
            optimizer.step()

    return run


def _layer(layer: Layer) -> Any:
    from torch import nn

    match layer.kind:
        case "conv":
            padding = layer.kernel // 2 if layer.padding == "same" else 0
            return nn.Conv2d(
                layer.input_shape[-1], layer.filters, layer.kernel, layer.stride, padding, bias=not layer.fixed
            )
        case "batch_norm":
            norm = nn.BatchNorm2d if len(layer.output_shape) == 3 else nn.BatchNorm1d
            return norm(layer.output_shape[-1], eps=1e-3, momentum=0.01)
        case "activation":
            return {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}[
                layer.activation
            ]()
        case "pool":
            return (nn.AvgPool2d if layer.pooling == "average" else nn.MaxPool2d)(layer.size)
        case "dropout":
            return nn.Dropout(layer.rate)
        case "flatten":
            return nn.Flatten()
        case "global_pool":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case "dense":
            return nn.Linear(layer.input_shape[0], layer.units)
    return nn.Identity()  # an addition has no module; softmax is in the loss
