"""How the cost of training grows: `python -m training.bench.growth`.

Images a second and peak memory of the engine against batch size, width and number of
classes, one of them changed at a time.  Every point is measured in a process of its own, so
that its peak of memory is its own; the points are visited in turn, round after round, so
that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from training import catalogue
from training.describe import describe
from training.spec import RunSpec, SpecError

NETWORKS = ("basenet-norm-aug", "final")
POINTS: dict[str, tuple[str, tuple[float, ...]]] = {
    "batch size": ("fit.batch_size", (16, 32, 64, 128, 256)),
    "width": ("network.width", (0.25, 0.5, 1, 2)),
    "classes": ("network.classes", (10, 25, 100, 1000)),
}
MODULE = "training.bench.growth"
PICTURES = 1024  # random ones: speed does not depend on what they show


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, write JSON; the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="How the cost of training grows.")
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="catalogue entries")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a measurement")
    parser.add_argument("--out", type=Path, default=Path("growth.json"))
    parser.add_argument("--point", help=argparse.SUPPRESS)  # the process of one point
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    if options.point:
        print(json.dumps(measure(RunSpec.model_validate_json(options.point), options.seconds)))
        return 0
    try:
        points = [point for name in options.networks for point in plan(name)]
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2
    for turn in range(options.rounds):
        for number, point in enumerate(points, 1):
            print(
                f"round {turn + 1}, {number} of {len(points)}: {point['network']}, {point['what']} {point['value']:g}"
            )
            point["measured"].append(_process(point["spec"], options.seconds))
    report = {
        "device": points[0]["measured"][0]["device"],
        "rounds": options.rounds,
        "points": [_summary(p) for p in points],
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(tables(report)))
    return 0


def plan(name: str) -> list[dict[str, Any]]:
    """The points of one network: each quantity changed alone.  Raises `SpecError`."""
    spec = catalogue.variant(name).spec
    return [
        {"network": name, "what": what, "value": value, "measured": [],
         "spec": spec.replace({path: int(value) if path != "network.width" else value})}
        for what, (path, values) in POINTS.items() for value in values
    ]  # fmt: skip


def measure(spec: RunSpec, seconds: float) -> dict[str, Any]:
    """Milliseconds a step (wall and processor) and megabytes: the peak, and what TensorFlow alone takes."""
    import tensorflow as tf

    from training.bench.sides import noise
    from training.engine.engine import Engine

    tf.constant(0)
    alone = _peak()
    data = noise(spec, PICTURES)
    engine = Engine(spec, data)
    engine.train(0, 0, 2)
    start = time.perf_counter()
    engine.train(0, 2, 2)
    steps = max(2, min(500, round(2 * seconds / (time.perf_counter() - start))))
    wall, cpu = time.perf_counter(), time.process_time()
    engine.train(0, 4, steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"ms": 1e3 * wall / steps, "cpu_ms": 1e3 * cpu / steps, "peak_mb": _peak(), "alone_mb": alone,
            "device": engine.device, "precision": engine.precision}  # fmt: skip


def _peak() -> float:
    """The most memory that this process has held, in MB."""
    try:  # Linux: getrusage there counts the memory of the parent before it became this process
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass  # another system, or a kernel that does not tell
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _process(spec: RunSpec, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", MODULE, "--seconds", str(seconds), "--point", spec.model_dump_json()]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])


def _summary(point: dict[str, Any]) -> dict[str, Any]:
    spec, measured = point["spec"], point["measured"]
    middle = {key: statistics.median(m[key] for m in measured) for key in ("ms", "cpu_ms", "peak_mb", "alone_mb")}
    network = describe(spec.network)
    return {
        "network": point["network"], "what": point["what"], "value": point["value"], **middle,
        "images_per_second": 1e3 * spec.fit.batch_size / middle["ms"],
        "cpu_ms_an_image": middle["cpu_ms"] / spec.fit.batch_size,
        "precision": measured[0]["precision"], "macs": network.macs, "parameters": network.params,
    }  # fmt: skip


def tables(report: dict[str, Any]) -> list[str]:
    """The points as lines of Markdown, a table for each network."""
    lines = [f"{report['device']}; medians of {report['rounds']} rounds."]
    for name in dict.fromkeys(point["network"] for point in report["points"]):
        points = [point for point in report["points"] if point["network"] == name]
        lines += ["", f"### {name}, {points[0]['precision']}", ""]
        lines += ["| changed | images/s | processor ms an image | peak memory, MB | above TensorFlow, MB "
                  "| M multiply-adds | parameters |", "|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
        for p in points:
            lines.append(
                f"| {p['what']} {p['value']:g} | {p['images_per_second']:,.0f} "
                f"| {p['cpu_ms_an_image']:.2f} "
                f"| {p['peak_mb']:,.0f} | {p['peak_mb'] - p['alone_mb']:,.0f} | {p['macs'] / 1e6:,.1f} | {p['parameters']:,} |"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
