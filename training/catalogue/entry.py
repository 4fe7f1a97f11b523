"""What an entry of the catalogue is, and the table that holds them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from training.network_spec import Block, Conv
from training.spec import RunSpec


@dataclass(frozen=True)
class Report:
    """What the report states: figures on its 2,500 test pictures, and its epochs."""

    loss: float | None = None
    accuracy: float | None = None
    epochs: int | None = None
    note: str = ""
    further: tuple[float, ...] = ()  # accuracy of more runs of the same
    before: float | None = None  # accuracy of the run of BaseNet that it sets beside this one

    @property
    def remarks(self) -> str:
        """What else it says, in words; empty where nothing."""
        further = (
            f"{len(self.further)} further runs gave {' and '.join(map(str, self.further))}" if self.further else ""
        )
        before = f"the run of BaseNet that it sets beside this one gave {self.before}" if self.before else ""
        return "; ".join(filter(None, (self.note, further, before)))


@dataclass(frozen=True)
class Variant:
    """One entry of the catalogue."""

    name: str
    title: str
    why: str  # one sentence: what it changes and what the report says of it
    spec: RunSpec
    parent: str | None = None
    # The toggle (see `training.toggles`) by which it differs from its parent; "network" stands for a new list of
    # blocks, "recipe" for another way to train.
    toggle: str | None = None
    report: Report = field(default_factory=Report)

    @property
    def aside(self) -> bool:
        """Whether it is another reading of its parent, not a step on from it."""
        return self.toggle in ("epoch_length", "validation", "batch_size")


TABLE: dict[str, Variant] = {}


def add(name: str, parent: str | None, toggle: str | None, title: str, why: str, report: Report = Report(),
        spec: RunSpec | None = None, **changes: Any) -> None:  # fmt: skip
    """Put an entry into the table: the parent's spec with `changes` (`fit__epochs` is the field `fit.epochs`), or `spec`."""
    if spec is None:
        assert parent is not None
        spec = TABLE[parent].spec.replace(
            {"name": name} | {path.replace("__", "."): value for path, value in changes.items()}
        )
    TABLE[name] = Variant(name, title, why, spec, parent, toggle, report)


def conv(filters: int, padding: str = "same", kernel: int = 3) -> Block:
    """A convolution of `kernel` x `kernel` pixels with `filters` output channels."""
    return Conv(filters=filters, kernel=kernel, padding=padding)  # type: ignore[arg-type]
