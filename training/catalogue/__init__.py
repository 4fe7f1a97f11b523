"""The catalogue: every variant of the report as one entry, a ladder as the report climbed it.

An entry names its parent and differs from it by one toggle.  `report` holds the report's
own figures (test loss and accuracy, epochs); where the report gives none, it is empty.
"""

from __future__ import annotations

from training import spelling
from training.catalogue import backbone_heads, ladder  # noqa: F401 - they fill the table
from training.catalogue.entry import TABLE, Report, Variant
from training.spec import RunSpec, SpecError, parse

__all__ = ["Report", "Variant", "below", "children", "heads", "known", "line", "load", "names", "variant", "variants"]


def names() -> list[str]:
    """The names of the networks on pictures, in the ladder's order."""
    return [entry.name for entry in variants()]


def variants() -> list[Variant]:
    """The networks on pictures, in the ladder's order."""
    return [entry for entry in TABLE.values() if entry.spec.data.backbone is None]


def heads() -> list[Variant]:
    """The heads on a pretrained backbone, in the report's order."""
    return [entry for entry in TABLE.values() if entry.spec.data.backbone is not None]


def variant(name: str) -> Variant:
    """The entry called `name`; raises `SpecError` with the nearest names if there is none."""
    if name in TABLE:
        return TABLE[name]
    told = spelling.advice(name, TABLE, "`python -m training list` names all.")
    raise SpecError(f"There is no variant {name!r} in the catalogue. {told}")


def known(name: str) -> bool:
    """Whether an entry is called so, a network on pictures or a head."""
    return name in TABLE


def children(name: str) -> list[Variant]:
    """The entries whose parent is `name`."""
    return [entry for entry in TABLE.values() if entry.parent == name]


def below(name: str) -> list[str]:
    """The names of an entry and of all that descend from it, in the ladder's order."""
    return [entry for entry in names() if name in line(entry)]


def line(name: str) -> list[str]:
    """The names of an entry's ancestors, the first entry of the ladder first, and its own."""
    parent = variant(name).parent
    return [*(line(parent) if parent else ()), name]


def load(source: str) -> RunSpec:
    """The spec of a catalogue entry, or of the JSON file at path `source`.  Raises `SpecError`."""
    from pathlib import Path

    if source in TABLE:
        return TABLE[source].spec
    path = Path(source)
    if path.suffix == ".json" or path.is_file():
        try:
            return parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SpecError(f"The spec file {source} cannot be read: {reason}.") from None
    return variant(source).spec
