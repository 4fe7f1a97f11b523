"""`python -m training bench`: this engine, Keras and the convolutions alone, side by side.

All sides run in one process and take turns, round by round, so that a machine that slows
down slows all of them.  A figure is the median over the rounds of the time of a step: wall
time, and the processor time of all threads, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from training import catalogue, hardware
from training.bench.many import Many
from training.bench.sides import BOUND, ENGINE, FED, FIT, INPUT, MANY, MIXED, TORCH, Side, every_side
from training.describe import describe
from training.spec import RunSpec

WORDS = {  # whether the aim is met (by wall time, by processor time)
    (True, True): "met", (False, False): "missed",
    (True, False): "met by wall time alone", (False, True): "met by processor time alone",
}  # fmt: skip
AT_ONCE = 8  # small networks; of large ones as many as there are cores


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, write JSON; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training bench", description=__doc__.split("\n\n")[1])
    parser.add_argument("networks", nargs="*", default=["final", "basenet-norm-aug"], help="catalogue entries")
    parser.add_argument("--rounds", type=int, default=5, help="turns that every side takes (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn (default 2)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON file to write (default bench.json)")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        specs = [catalogue.variant(name).spec for name in options.networks]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if heads := [spec.name for spec in specs if spec.data.backbone]:
        print(
            f"bench compares networks on pictures, and {heads[0]} is a head on a pretrained network.", file=sys.stderr
        )
        return 2
    try:
        options.out.open("a").close()  # now, not after the measuring
    except OSError as error:
        parser.error(f"{options.out} cannot be written: {error.strerror}")
    report: dict[str, Any] = {"machine": machine(), "batch_size": options.batch_size, "rounds": options.rounds}
    report["networks"] = {}
    for spec in specs:
        spec = spec.replace({"fit.batch_size": options.batch_size})
        report["networks"][spec.name] = result = compare(spec, options.rounds, options.seconds)
        print("\n".join(table(spec.name, result)))
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nWritten to {options.out}.")
    return 0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import keras
    import tensorflow as tf

    return {
        "device": hardware.number_format("auto")[1], "computes bfloat16": hardware.computes_bfloat16(),
        "AVX2": hardware.has_avx2(),
        "load before": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__,
    }  # fmt: skip


def compare(spec: RunSpec, rounds: int, seconds: float) -> dict[str, Any]:
    """All sides of one network in turns; medians and ratios."""
    sides: list[Side] = []
    try:
        for side in chain(every_side(spec), [many(spec)]):
            sides.append(side)
            side.warm_up(seconds)
        for turn in range(rounds):
            for side in sides[turn % 2 :: 2] + sides[1 - turn % 2 :: 2]:  # not always after the same neighbour
                side.measure()
    finally:
        for side in sides:
            side.close()
    figures = [
        {
            "side": side.name, "format": side.format, "steps": side.steps,
            "ms": statistics.median(side.wall), "cpu_ms": statistics.median(side.cpu), "all_ms": side.wall,
            "images_per_second": 1e3 * spec.fit.batch_size / statistics.median(side.wall),
        }
        for side in sides
    ]  # fmt: skip
    return {"macs": describe(spec.network).macs, "sides": figures, "ratios": ratios(spec, sides)}


def large(spec: RunSpec) -> bool:
    """Whether a network is of the size of `final`, not of `basenet`."""
    return describe(spec.network).macs > 50e6


def many(spec: RunSpec) -> Many:
    """Networks like this one trained at once, in the format that this machine would train them in."""
    count = max(2, hardware.cores()) if large(spec) else AT_ONCE
    precision = "bfloat16" if hardware.computes_bfloat16() else "float32"
    return Many(spec, count, precision)


def promised(spec: RunSpec) -> list[tuple[tuple[str, str], tuple[str, str], str, float]]:
    """Ratios to report: side above, side below, and what is promised of them.

    The bound and the share of the input are promised for networks of the size of `final`,
    the feeding from numpy and several at once for small ones such as `basenet`.
    """
    single, half = (ENGINE, "float32"), (ENGINE, "bfloat16")
    wanted = [
        ((FIT, "float32"), single, "at least", 1.5), ((FIT, "float32"), half, "at least", 2.2),
        ((MIXED, "bfloat16"), half, "at least", 1.5), ((TORCH, "float32"), single, "at least", 1.5),
    ]  # fmt: skip
    for ours in (single, half):
        if large(spec):
            wanted += [(ours, (BOUND, ours[1]), "at most", 1.35), ((INPUT, "float32"), ours, "at most", 0.05)]
        else:
            wanted.append(((FED, "float32"), ours, "at least", 4.0))
            wanted.append((ours, (MANY.format(AT_ONCE), ours[1]), "at least", 3.0))
    return wanted


def ratios(spec: RunSpec, sides: list[Side]) -> list[dict[str, Any]]:
    """The promised ratios, each the median over the rounds of the two sides' ratio in that round."""
    by_key = {(side.name, side.format): side for side in sides}
    found = []
    for above, below, word, target in promised(spec):
        if above in by_key and below in by_key:
            a, b = by_key[above], by_key[below]
            wall, cpu = (
                statistics.median(x / y for x, y in zip(p, q, strict=True))
                for p, q in ((a.wall, b.wall), (a.cpu, b.cpu))
            )
            found.append({"of": above, "to": below, "ratio": wall, "cpu_ratio": cpu, "promise": f"{word} {target}"})
    return found


def table(name: str, result: dict[str, Any]) -> list[str]:
    """The figures as lines of Markdown."""
    lines = [f"\n### {name}: {result['macs'] / 1e6:.1f} M multiply-adds a picture\n"]
    lines += ["| side | format | ms a step | processor ms | images/s |", "|---|---|---|---|---|"]
    lines += [
        f"| {f['side']} | {f['format']} | {f['ms']:.1f} | {f['cpu_ms']:.1f} | {f['images_per_second']:.0f} |"
        for f in result["sides"]
    ]
    lines += ["", "| ratio | wall | processor | aim |", "|---|---|---|---|"]
    lines += [
        f"| {', '.join(r['of'])} / {', '.join(r['to'])} | {r['ratio']:.2f} | {r['cpu_ratio']:.2f} "
        f"| {r['promise']}: {verdict(r)} |"
        for r in result["ratios"]
    ]
    return lines


def verdict(ratio: dict[str, Any]) -> str:
    """Whether a measured ratio meets its aim, by either clock."""
    return WORDS[met(ratio)]


def met(ratio: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a measured ratio meets its aim by wall time and by processor time."""
    word, target = ratio["promise"].rsplit(" ", 1)
    wall, cpu = (
        found <= float(target) if word == "at most" else found >= float(target)
        for found in (ratio["ratio"], ratio["cpu_ratio"])
    )
    return wall, cpu
