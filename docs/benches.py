"""The benchmarks that were committed in docs/bench, one of each kind of processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training import catalogue
from training.bench import sides

PROCESSORS = {"amx": "AMX, which computes bfloat16", "avx2": "AVX2 alone"}  # by the name of the file
KERAS = [(sides.FED, "float32")]  # what anyone would do
ENGINE = [(sides.ENGINE, "bfloat16"), (sides.ENGINE, "float32")]  # first what the machine trains in


def benches() -> dict[str, dict[str, Any]]:
    """The benchmarks by the kind of processor in words."""
    files = {path.stem: path for path in (Path(__file__).parent / "bench").glob("*.json")}
    return {
        words: json.loads(files[name].read_text(encoding="utf-8"))
        for name, words in PROCESSORS.items()
        if name in files
    }


def step(measured: dict[str, Any], name: str, sides: list[tuple[str, str]]) -> float | None:
    """Processor milliseconds of a step of an entry's network, in the first of `sides` that was measured; None without,
    and with a teacher, whose answers take time of their own."""
    spec = catalogue.variant(name).spec
    same = next((n for n in measured["networks"] if catalogue.variant(n).spec.network == spec.network), None)
    if same is None or spec.fit.teacher:
        return None
    found = {(side["side"], side["format"]): side["cpu_ms"] for side in measured["networks"][same]["sides"]}
    return next(found[side] for side in sides if side in found)
