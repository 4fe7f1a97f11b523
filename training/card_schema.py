"""What a card holds, as far as anything reads it: a damaged one is found where it is read, not where it is used.

Fields beside these are kept as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class Measured(_Part):
    """Mean cross-entropy in nats and accuracy."""

    loss: FiniteFloat
    accuracy: Share


class Tested(Measured):
    """The same on so many test pictures."""

    pictures: Count
    top5: Share | None = None
    without_near_duplicates: Tested | None = None
    with_flips: Tested | None = None


class Figures(_Part):
    """Epochs are whole, or a part of one where the time ended it."""

    epochs: FiniteFloat
    best_epoch: FiniteFloat | None = None
    chosen_epoch: FiniteFloat | None = None
    train: Measured | None = None
    validation: Measured | None = None
    test: Tested | None = None


class Pictures(_Part):
    name: str
    title: str
    origin: str
    classes: list[str]
    sha256: str = ""
    train: Count = 0
    validation: Count = 0


class Change(_Part):
    before: FiniteFloat
    after: FiniteFloat


class Detected(_Part):
    share: Share
    pictures: Count


class Unlike(_Part):
    """See `training.unlike`: of a network, where its pictures' statistics lie; of a head, the largest residual."""

    false_alarms: Share
    detection: dict[str, Detected] = {}
    mean: list[FiniteFloat] | None = None
    precision: list[FiniteFloat] | None = None  # the upper half of a symmetric matrix
    max_distance: FiniteFloat | None = None
    min_energy: FiniteFloat | None = None
    max_residual: FiniteFloat | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        size = len(self.mean or ())
        if self.precision is not None and (
            len(self.precision) != size * (size + 1) // 2 or None in (self.max_distance, self.min_energy)
        ):
            raise ValueError("mean, precision, max_distance and min_energy do not fit each other")
        return self


class Calibration(_Part):
    temperature: Annotated[FiniteFloat, Field(gt=0)]
    ece: Change
    loss: Change
    pictures: Count
    unlike: Unlike | None = None


class Origin(_Part):
    """The backbone of a head."""

    name: str
    title: str


class Card(_Part):
    """See `training.card.make`, and `training.ship` for what a shipped model's has beside it."""

    data: Pictures
    figures: Figures
    name: str = ""
    spec: dict[str, Any] = {}
    device: str = ""
    precision: str = ""
    weights: Literal["float32", "half", "int8"] = "float32"
    parameters: Count = 0
    macs: Count = 0
    wall_seconds: FiniteFloat = 0.0
    finished: str = ""
    picture_size: Count | None = None
    backbone: Origin | None = None
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        network = self.spec.get("network")
        classes = network.get("classes") if isinstance(network, dict) else None
        if isinstance(classes, int) and classes != len(self.data.classes):
            raise ValueError(f"data.classes: {len(self.data.classes)} names for {classes} classes")
        return self


def problem(card: Any) -> str:
    """What is wrong with a card, "figures.epochs: Field required", or nothing."""
    try:
        Card.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))))
    except RecursionError:
        return "it is nested too deep"
    return ""
