"""The benchmarks that were committed in docs/bench, one of each kind of processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training import catalogue
from training.bench import side_by_side, sides

PROCESSORS = {"amx": "AMX, which computes bfloat16", "avx2": "AVX2 alone"}  # by the name of the file
KERAS = {  # in words: what anyone would do, and the fastest that one could
    "Keras, float32, augmented by numpy": [(sides.FED, "float32")],
    "Keras, mixed precision, not augmented": [(sides.MIXED, "bfloat16")],
}
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
    return next((found[kind] for kind in kinds if kind in found), None)


def missed() -> str:
    """The aims that a measured ratio misses by wall time, a line each, for docs/speed.md."""
    lines = []
    for words, measured in benches().items():
        told = [
            f"  - `{name}`: {', '.join(ratio['of'])} / {', '.join(ratio['to'])} {ratio['ratio']:.2f}; {ratio['promise']}"
            + f" ({ratio['cpu_ratio']:.2f} by processor time)" * side_by_side.met(ratio)[1]
            for name, result in measured["networks"].items()
            for ratio in result["ratios"]
            if not side_by_side.met(ratio)[0]
        ]
        if told:
            lines += [f"- With {words}, by wall time, and what was aimed at:", *told]
    return "\n".join(lines)
