"""Numbers as people read them: three significant digits, a unit, the same on every page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from training import data
from training.data import DataInfo


def count(value: float) -> str:
    """950, 14.7 k, 3.08 M, 232 M, 1.2 G: three significant digits."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{_three(value / size)} {unit}"
    return f"{value:,.0f}"


def size(number: float) -> str:
    """Bytes: 512 B, 58.9 kB, 12.3 MB (powers of 1000)."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 0.9995 * one:
            return f"{_three(number / one)} {unit}"
    return f"{number:.0f} B"


def percent(share: float, digits: int = 1) -> str:
    """0.7932 -> "79.3 %"."""
    return f"{100 * share:.{digits}f} %"


def change(new: float, old: float) -> str:
    """The relative change: "+26 %", "−53 %", "×15", "same"."""
    if new == old:
        return "same"
    if not old:
        return "new"
    ratio = new / old
    if ratio >= 3:
        return f"×{_three(ratio) if ratio < 10 else f'{ratio:,.0f}'}"
    text = f"{100 * (ratio - 1):+.0f} %" if abs(ratio - 1) >= 0.01 else f"{100 * (ratio - 1):+.1g} %"
    return text.replace("-", "−")


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign and a true minus: "+3.1", "−0.4"."""
    return f"{value:+.{digits}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 20 s, 1 h 05 min, 2 d 3 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10 and rest:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"


def pictures(info: DataInfo) -> str:
    """What a data set holds: "25 classes, 11,250 pictures to train on, 1,250 for validation, 2,500 for the test"."""
    return (
        f"{plural(info.classes, 'class', 'classes')}, {info.train:,} pictures to train on, "
        f"{info.validation:,} for validation, {info.test:,} for the test"
    )


def data_title(name: str) -> str:
    """A data set's title, or the name itself where none is called so."""
    return data.info(name).title if name in data.NAMES else name


def told_apart(words: Mapping[str, str]) -> dict[str, str]:
    """The words for each id, all different: Streamlit knows a choice by its words."""
    seen = Counter(words.values())
    return {key: f"{word} · {key}" if seen[word] > 1 else word for key, word in words.items()}


def epochs(number: float) -> str:
    """Epochs, whole or not: "0.31", "27", "1,234"."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"


def plain(words: str, most: int = 600) -> str:
    """Words of an address, a file's name or an error, for where Markdown is read: shown letter for letter, shortened."""
    words = " ".join(words.split())
    kept = words if len(words) <= most else words[: most - 1] + "…"
    return re.sub(r"([\\`*_\[\]<>&~$:!#|])", r"\\\1", kept)


def plural(number: int, one: str, many: str | None = None) -> str:
    """ "1 run", "3 runs"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _three(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.0f}" if magnitude >= 99.95 else f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"
