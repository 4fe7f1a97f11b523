"""A network as boxes: the layers that have a shape of their own, each with the stripes that act on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from pages.shared import style
from training.describe import Layer, describe
from training.network_spec import Network


@dataclass(frozen=True)
class Box:
    """A layer that has a shape of its own, and the stripes that act on it without changing it."""

    layer: Layer | None  # None is the input
    shape: tuple[int, ...]
    stripes: tuple[Layer, ...] = field(default=())
    source: int | None = None  # the box that a shortcut comes from

    @property
    def color(self) -> str:
        return style.LAYER[self.layer.kind] if self.layer else style.MUTED

    @property
    def title(self) -> str:
        return self.layer.title if self.layer else "Input"

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two boxes the same layer, wherever they stand and whatever comes in."""
        if self.layer and self.layer.kind == "flatten":
            return ("Flatten",)
        return (self.title, *(stripe.title for stripe in self.stripes))

    @property
    def tip(self) -> str:
        parts = [self.title, *(stripe.title for stripe in self.stripes), "gives " + "×".join(map(str, self.shape))]
        if self.layer and self.layer.params:
            params = sum(layer.params for layer in (self.layer, *self.stripes))
            parts += [f"{params:,} parameters", f"{self.layer.macs:,} multiply-adds"]
        return ", ".join(parts)


@lru_cache(maxsize=64)
def boxes(network: Network) -> tuple[Box, ...]:
    """The network as boxes with stripes, the input first, the output last."""
    found: list[Box] = [Box(None, tuple(network.input_shape))]
    places: dict[str, int] = {}  # the box of each layer
    for layer in describe(network).layers:
        if layer.kind in ("batch_norm", "activation", "add", "dropout", "softmax"):
            last = found[-1]
            source = places[layer.source] if layer.source else last.source
            found[-1] = Box(last.layer, last.shape, (*last.stripes, layer), source)
        else:
            found.append(Box(layer, layer.output_shape))
        places[layer.name] = len(found) - 1
    return tuple(found)
