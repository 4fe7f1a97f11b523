"""The network of a spec: a list of blocks, and the toggles that change them.

`training.describe` expands it to layers, and thereby says whether it is possible.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, revalidate_instances="never")


class Conv(Frozen):
    """A square convolution, followed by the network's batch norm (if on) and activation."""

    kind: Literal["conv"] = "conv"
    filters: int = Field(ge=1, le=8192)
    kernel: int = Field(default=3, ge=1, le=11)
    padding: Literal["same", "valid"] = "same"


class Pool(Frozen):
    """A place where the spatial size shrinks `size` times; how, is `Network.pooling`."""

    kind: Literal["pool"] = "pool"
    size: int = Field(default=2, ge=2, le=8)


class Dropout(Frozen):
    """A place where dropout may act; the rates of all places are `Network.dropout`."""

    kind: Literal["dropout"] = "dropout"


class Flatten(Frozen):
    kind: Literal["flatten"] = "flatten"


class GlobalPool(Frozen):
    """Global average pooling: (height, width, channels) to (channels,)."""

    kind: Literal["global_pool"] = "global_pool"


class Dense(Frozen):
    """A hidden fully connected layer.  The output layer is added by the network itself."""

    kind: Literal["dense"] = "dense"
    units: int = Field(ge=1, le=65536)


Block = Annotated[Conv | Pool | Dropout | Flatten | GlobalPool | Dense, Field(discriminator="kind")]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Network(Frozen):
    """A plain feed-forward classifier: blocks, then a softmax layer of `classes` outputs.

    The fields below `blocks` are the toggles: each changes every block it concerns.
    """

    input_shape: tuple[int, int, int] | tuple[int] = (32, 32, 3)
    blocks: tuple[Block, ...]
    classes: int = Field(default=25, ge=2, le=10000)
    activation: Literal["relu", "elu", "gelu", "silu", "tanh"] = "relu"
    batch_norm: Literal["off", "convolutions", "all"] = "off"
    pooling: Literal["max", "average", "strided"] = "max"
    dropout: tuple[Rate, ...] = ()
    split_5x5: bool = False
    bottleneck: bool = False
    residual: bool = False
    whitening: bool = False
    depth: int = Field(default=1, ge=1, le=4)
    width: float = Field(default=1.0, ge=0.125, le=4)

    @field_validator("input_shape")
    @classmethod
    def _positive_shape(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= size <= 1_000_000 for size in shape):
            raise ValueError("every size must be from 1 to 1,000,000")
        return shape

    @field_validator("dropout", mode="before")
    @classmethod
    def _one_rate_is_a_list(cls, rates: Any) -> Any:
        return (rates,) if isinstance(rates, int | float) and not isinstance(rates, bool) else rates

    @property
    def dropout_places(self) -> int:
        """Number of places in `blocks` where dropout may act."""
        return sum(block.kind == "dropout" for block in self.blocks)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        from training.describe import expand  # describe needs the classes of this module

        if self.dropout and len(self.dropout) != self.dropout_places:
            raise ValueError(
                f"dropout = {list(self.dropout)} is not possible: this network has {self.dropout_places} places for "
                "dropout, so give that many rates, or none to switch it off"
            )
        expand(self)
        return self
