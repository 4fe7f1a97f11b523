"""Describe a network from its spec alone: layers, shapes, parameters, operations, memory.

No TensorFlow here.  `expand` turns the blocks and toggles of a `Network` into the list of
Keras layers; `training.engine.model` builds exactly that list, so what is described is what is
trained.  Counts are per picture; operations are multiply-accumulates (MACs) of the
convolutions and dense layers, the custom of the field: batch norm, activations and
pooling are left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.network_spec import Network

MAX_PARAMETERS = 1_000_000_000
BOTTLENECK_FROM = 128  # incoming channels from which a 3x3 gets a 1x1 in front
WHITENING_SIZE = 2  # of the patches that a whitening layer whitens, in pixels
WHITENING_CHANNELS = 4  # of a picture, at most, for such a layer


@dataclass(frozen=True, slots=True)
class Layer:
    """One Keras layer.  Shapes are per picture, without the batch axis."""

    kind: str  # conv, batch_norm, activation, add, pool, dropout, flatten, global_pool, dense, softmax
    name: str  # the Keras layer's name
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    block: int | None = None  # index in Network.blocks; None for the output layer
    params: int = 0  # all variables, batch norm's moving statistics included (Keras's count_params)
    kernel_weights: int = 0  # the weights of convolution and dense kernels, without biases
    macs: int = 0
    filters: int = 0
    kernel: int = 0
    padding: str = ""
    stride: int = 0
    pooling: str = ""  # "max" or "average"
    size: int = 0
    rate: float = 0.0
    units: int = 0
    activation: str = ""
    source: str = ""  # of an add: the layer whose output is added
    fixed: bool = False  # a convolution without bias, whose kernel `training.engine.whitening` computes

    @property
    def activation_bytes(self) -> int:
        """Bytes of the layer's output for one picture in float32."""
        return 4 * prod(self.output_shape)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the layer's variables in float32."""
        return 4 * self.params

    @property
    def title(self) -> str:
        """A short line as in the report's tables: 'Conv 64, 3x3, valid'."""
        match self.kind:
            case "conv":
                if self.fixed:
                    return f"Whitening {self.filters}, {self.kernel}x{self.kernel}"
                stride = f", stride {self.stride}" if self.stride > 1 else ""
                return f"Conv {self.filters}, {self.kernel}x{self.kernel}, {self.padding}{stride}"
            case "batch_norm":
                return "Batch norm"
            case "activation":
                return _ACTIVATION_TITLES.get(self.activation, self.activation)
            case "add":
                return "Add"
            case "pool":
                return f"{'Average' if self.pooling == 'average' else 'Max'} pool {self.size}x{self.size}"
            case "dropout":
                return f"Dropout {self.rate:g}"
            case "flatten":
                return "Flatten"
            case "global_pool":
                return "Global average pool"
            case "dense":
                return f"Dense {self.units}"
        return "Softmax"


_ACTIVATION_TITLES = {"relu": "ReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU", "tanh": "tanh"}


@dataclass(frozen=True, slots=True)
class Description:
    """A network's layers and their totals."""

    layers: tuple[Layer, ...]

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers)

    @property
    def trainable_params(self) -> int:
        """Without batch norm's moving mean and variance, half of its variables, and without fixed kernels."""
        learned = (layer for layer in self.layers if not layer.fixed)
        return sum(layer.params // 2 if layer.kind == "batch_norm" else layer.params for layer in learned)

    @property
    def kernel_weights(self) -> int:
        return sum(layer.kernel_weights for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass for one picture."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all layer outputs for one picture in float32: what training keeps."""
        return sum(layer.activation_bytes for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for `describe --json`."""
        totals = ("params", "trainable_params", "kernel_weights", "macs", "weight_bytes", "activation_bytes")
        rows = [
            {"title": layer.title, **asdict(layer), "activation_bytes": layer.activation_bytes} for layer in self.layers
        ]
        return {**{name: getattr(self, name) for name in totals}, "layers": rows}


@lru_cache(maxsize=512)
def describe(network: Network) -> Description:
    """The layers and totals of `network`; under 5 ms, cached."""
    return Description(expand(network))


class _Stack:
    """Appends layers and keeps the current shape and the counters for names."""

    def __init__(self, network: Network):
        self.network, self.shape = network, tuple(network.input_shape)
        self.layers: list[Layer] = []
        self.counts: dict[str, int] = {}
        self.block: int | None = None

    def name(self, prefix: str) -> str:
        self.counts[prefix] = self.counts.get(prefix, 0) + 1
        return f"{prefix}_{self.counts[prefix]}"

    def add(self, kind: str, name: str, shape: tuple[int, ...], **facts: Any) -> None:
        self.layers.append(Layer(kind, name, self.shape, shape, self.block, **facts))
        self.shape = shape

    def normalize_and_activate(self, name: str, batch_norm: bool, shortcut: Layer | None = None) -> None:
        if batch_norm:
            self.add("batch_norm", f"{name}_bn", self.shape, params=4 * self.shape[-1])
        if shortcut:
            self.add("add", self.name("add"), self.shape, source=shortcut.name)
        activation = self.network.activation
        self.add("activation", f"{name}_{activation}", self.shape, activation=activation)

    def whiten(self) -> None:
        if len(self.shape) != 3 or self.shape[-1] > WHITENING_CHANNELS:
            size = "x".join(map(str, self.shape))
            raise ValueError(
                f"whitening = true is not possible: it is of pictures of at most {WHITENING_CHANNELS} channels, and this "
                f"network takes {size}; switch it off"
            )
        *field, channels = self.shape
        height, width = (length - WHITENING_SIZE + 1 for length in field)
        if min(height, width) < 1:
            raise ValueError(
                f"whitening = true is not possible: it needs {WHITENING_SIZE} pixels a side; switch it off"
            )
        values = WHITENING_SIZE**2 * channels
        weights = values * 2 * values
        self.add(
            "conv", "whitening", (height, width, 2 * values), params=weights, kernel_weights=weights,
            macs=height * width * weights, filters=2 * values, kernel=WHITENING_SIZE, padding="valid", stride=1, fixed=True,
        )  # fmt: skip
        self.normalize_and_activate("whitening", batch_norm=False)

    def conv(self, filters: int, kernel: int, padding: str, shortcut: Layer | None = None, stride: int = 1) -> None:
        if len(self.shape) != 3:
            raise ValueError(
                f"blocks.{self.block} is a convolution, but its input is a vector of {self.shape[0]} values; "
                "convolutions are possible only on pictures, before flatten or global_pool"
            )
        if self.network.bottleneck and kernel == 3 and self.shape[-1] >= BOTTLENECK_FROM:
            self.conv(self.shape[-1] // 4, 1, "same")
        height, width, channels = self.shape
        if padding == "valid":
            height, width = height - kernel + 1, width - kernel + 1
            if height < 1 or width < 1:
                raise ValueError(
                    f"blocks.{self.block}.kernel = {kernel} is not possible: with valid padding a {kernel}x{kernel} "
                    f"convolution needs at least {kernel}x{kernel} pixels, and {self.shape[0]}x{self.shape[1]} arrive "
                    "here; use same padding, a smaller kernel or one pooling less before it"
                )
        height, width = -(-height // stride), -(-width // stride)
        weights = kernel * kernel * channels * filters
        self.add(
            "conv", name := self.name("conv"), (height, width, filters),
            params=weights + filters, kernel_weights=weights, macs=height * width * weights,
            filters=filters, kernel=kernel, padding=padding, stride=stride,
        )  # fmt: skip
        self.normalize_and_activate(name, self.network.batch_norm != "off", shortcut)

    def dense(self, units: int, name: str) -> None:
        if len(self.shape) != 1:
            what = "the output layer" if self.block is None else f"blocks.{self.block}, a dense layer,"
            size = "x".join(map(str, self.shape))
            raise ValueError(f"blocks: {what} needs a vector, and {size} arrives; put flatten or global_pool before it")
        weights = self.shape[0] * units
        self.add("dense", name, (units,), params=weights + units, kernel_weights=weights, macs=weights, units=units)


def expand(network: Network) -> tuple[Layer, ...]:
    """The Keras layers of `network`, in order, ending with the output layer and its softmax.

    Each 5x5 becomes two 3x3 with `split_5x5`; `depth` d puts d - 1 further convolutions of
    the same filters, same padding, after each; `bottleneck` puts a 1x1 to a quarter of the
    channels before each 3x3 to which 128 channels or more come in; `residual` adds the input of
    those convolutions of a place that keep the shape to their output, before the activation
    (He et al. 2015, arXiv:1512.03385); `whitening` puts a fixed convolution in front (see `training.engine.whitening`);
    `width` scales filters and units; "strided" `pooling` puts, in place of a pooling of n x n, a convolution of n + 1 x n + 1 that moves by n pixels and keeps the channels (Springenberg et al. 2014,
    arXiv:1412.6806).  Raises ValueError (pydantic makes a `SpecError` of it) where a size reaches 0 or layers do not
    fit, naming the block, the value and what is allowed.
    """
    stack = _Stack(network)
    scaled = lambda number: max(1, round(number * network.width))  # noqa: E731
    rates = iter(network.dropout)
    if network.whitening:
        stack.whiten()
    for stack.block, block in enumerate(network.blocks):
        if block.kind == "conv":
            filters = scaled(block.filters)
            parts = [(block.kernel, block.padding)]
            if network.split_5x5 and block.kernel == 5:
                parts = [(3, block.padding)] * 2
            parts += [(parts[0][0], "same")] * (network.depth - 1)
            shortcut: Layer | None = None
            for number, (kernel, padding) in enumerate(parts, 1):
                channels = stack.shape[-1]
                if network.residual and shortcut is None and (channels, padding) == (filters, "same") and stack.layers:
                    shortcut = stack.layers[-1]
                stack.conv(filters, kernel, padding, shortcut if number == len(parts) else None)
        elif block.kind == "pool":
            if len(stack.shape) != 3:
                raise ValueError(f"blocks.{stack.block} is a pooling, possible only before flatten or global_pool")
            height, width, channels = stack.shape
            if min(height, width) < block.size:
                raise ValueError(
                    f"blocks.{stack.block}.size = {block.size} is not possible: {height}x{width} pixels arrive here "
                    "and the pooling would leave none; remove it or use a smaller size"
                )
            if network.pooling == "strided":
                stack.conv(channels, block.size + 1, "same", stride=block.size)
                continue
            shape = (height // block.size, width // block.size, channels)
            stack.add("pool", stack.name("pool"), shape, size=block.size, pooling=network.pooling)
        elif block.kind == "dropout":
            rate = next(rates, 0.0)
            if rate:
                stack.add("dropout", stack.name("dropout"), stack.shape, rate=rate)
        elif block.kind == "flatten":
            stack.add("flatten", stack.name("flatten"), (prod(stack.shape),))
        elif block.kind == "global_pool":
            if len(stack.shape) != 3:
                raise ValueError(f"blocks.{stack.block} is a global pooling, possible only on pictures, and only once")
            stack.add("global_pool", stack.name("global_pool"), (stack.shape[-1],))
        else:
            name = stack.name("dense")
            stack.dense(scaled(block.units), name)
            stack.normalize_and_activate(name, network.batch_norm == "all")
    stack.block = None
    stack.dense(network.classes, "output")
    stack.add("softmax", "softmax", stack.shape, activation="softmax")
    params = sum(layer.params for layer in stack.layers)
    if params > MAX_PARAMETERS:
        raise ValueError(
            f"blocks: the network would have {params:,} parameters; at most {MAX_PARAMETERS:,} are allowed"
        )
    return tuple(stack.layers)
