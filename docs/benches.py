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


def step(measured: dict[str, Any], name: str, kinds: list[tuple[str, str]]) -> float | None:
    """Processor milliseconds of a step of an entry's network, in the first of `kinds` (side and format) that was
    measured; None where no step of this network, optimizer and batch was, and with a teacher, whose answers take time
    of their own."""
    spec = catalogue.variant(name).spec
    timed = {other: catalogue.variant(other).spec for other in measured["networks"]}
    alike = (o for o, s in timed.items() if (s.network, s.fit.optimizer) == (spec.network, spec.fit.optimizer))
    same = next(alike, None)
    if same is None or spec.fit.teacher or spec.fit.batch_size != measured["batch_size"]:
        return None
    found = {(side["side"], side["format"]): side["cpu_ms"] for side in measured["networks"][same]["sides"]}
    return next(found[kind] for kind in kinds if kind in found)
