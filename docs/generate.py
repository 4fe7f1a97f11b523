"""Everything in the documentation that comes from the program: `python -m docs.generate`, or `make docs`.

docs/toggles.md and docs/report.md are written whole; in other files only what stands between two marks changes.
`--check` writes nothing and fails where a file is not what the program would write.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs import cifar10, report
from docs.benches import ENGINE, KERAS, benches, missed, step
from training import catalogue, cost, registry, results, rundir, toggles
from training.bench import growth, side_by_side
from training.engine import batches
from training.status import whole_epochs
from training.toggles import Toggle
from training.transfer import results as birds

ROOT = Path(__file__).resolve().parent.parent


def _allowed(toggle: Toggle) -> str:
    if toggle.kind == "switch":
        return "`on`, `off`"
    if toggle.kind == "choice":
        return ", ".join(f"`{toggle.to_text(option)}`" for option in toggle.options)
    if toggle.kind == "rates":
        return f"`on` (the entry's own rates), `off`, or a rate for each place, each 0 to {toggle.high:g}"
    if toggle.kind == "model":
        return "`off`, or the name of a fitted model of the same pictures"
    kind = "whole numbers" if isinstance(toggle.step, int) else "numbers"
    return f"{kind}, {toggle.low:g} to {toggle.high:g}"


def toggles_page() -> str:
    """docs/toggles.md: every toggle with its words, its field and its values."""
    lines = [
        "# Toggles",
        "",
        "Every choice that can be switched, as `training/toggles.py` defines it; this page is made from there by",
        "`make docs`. A key is the name of the switch in the address of a design (`/design?from=final&pooling=max`) and",
        "on the command line (`python -m training fit final --pooling max`, with dashes for underscores). A field is the",
        "same choice in a spec's JSON, and is set by its dotted path. So is whatever no switch names: `--set fit.nesterov=true`.",
        "Other numbers, also beyond these, are possible within the bounds of the field.",
    ]
    for group in toggles.GROUPS:
        lines += ["", f"## {group}", "", "| key | what it does | values | field |", "|---|---|---|---|"]
        lines += [
            f"| `{toggle.key}` | **{toggle.label}.** {toggle.help} | {_allowed(toggle)} | `{toggle.path}` |"
            for toggle in toggles.TOGGLES
            if toggle.group == group
        ]
    lines += [
        "",
        "## The ladder",
        "",
        "Each entry of the catalogue differs from its parent by one step: a toggle of this page, or `augmentation`, "
        "`network`, `recipe`, `data`, `backbone` or `fine_tune`, which set several fields at once.",
        "",
        "| entry | parent | toggle | what it is |",
        "|---|---|---|---|",
    ]
    for entry in (*catalogue.variants(), *catalogue.heads()):
        parent, toggle = (f"`{text}`" if text else "–" for text in (entry.parent, entry.toggle))
        lines.append(f"| `{entry.name}` | {parent} | {toggle} | {entry.why} |")
    return "\n".join(lines) + "\n"


def findings() -> str:
    """What single switches did, of README.md: the entries that differ from their parent by a toggle, where seeds tell the noise."""
    lines = ["| choice | in | effect on test accuracy, points | in the report |", "|---|---|---|---|"]
    rows = {row.name: row for row in results.rows()}
    for entry in catalogue.variants():
        effect = rows[entry.name].effect
        if entry.toggle in (None, "network", "recipe") or entry.aside or effect is None or effect.low is None:
            continue
        parent = catalogue.variant(entry.parent or "")
        there = "–"
        if entry.report.accuracy and parent.report.accuracy:
            there = f"{100 * (entry.report.accuracy - parent.report.accuracy):+.1f}"
        lines.append(f"| {entry.title.rpartition(', ')[2].removeprefix('+ ')} | `{parent.name}` | {effect} | {there} |")
    final = catalogue.variant("final")
    same = [row for row in rows.values() if row.accuracy and catalogue.load(row.name).network == final.spec.network]
    if not same:
        return "\n".join(lines)
    best = max(same, key=lambda row: _validated(row.name))  # the test pictures choose nothing
    told = f"The report's last network, `final`: {final.report.accuracy:.4f} there, {rows['final'].accuracy} here; "
    told += f"the same network with the recipe of `{best.name}`, {best.accuracy}"
    if teacher := catalogue.load(best.name).fit.teacher:
        told += f" (it learns from `{teacher}`, which has {rows[teacher].accuracy})"
    return "\n".join([*lines, "", " ".join(_findings_notes(rows)), "", f"{told}."])


def _validated(name: str) -> float:
    """Validation accuracy of an entry, the mean over its stored seeds."""
    found = results.cards(name)
    return sum(card["figures"]["validation"]["accuracy"] for card in found) / len(found)


def _findings_notes(rows: dict[str, results.Row]) -> list[str]:
    """What a reader of the findings would else take for more than it is."""
    notes = []
    for entry in catalogue.variants():
        if entry.toggle == "early_stopping" and (trained := rows[entry.name].epochs):
            parent = catalogue.load(entry.parent or "").fit.epochs
            most = entry.spec.fit.max_epochs
            notes.append(f"Early stopping replaces {parent} fixed epochs by up to {most} ({trained.mean:.0f} on average), "
                         "so its effect includes the longer training.")  # fmt: skip
    beside = [f"{entry.title.removeprefix('+ ')} {100 * (entry.report.accuracy - entry.report.before):+.1f}"
              for entry in catalogue.variants() if entry.report.accuracy and entry.report.before and not entry.aside]  # fmt: skip
    notes.append("In the report: its figures subtracted, row by row. Beside each it also sets a run of BaseNet as it was; against "
                 f"that, with all changes before included: {', '.join(beside)}.")  # fmt: skip
    return notes


def results_table() -> str:
    """The table of README.md: the report's figures beside those in the shipped cards."""
    return results.to_markdown([*results.rows(), *results.apart()])


def birds_table() -> str:
    """The table of docs/birds.md: the report's figures beside those in the cards, a row a head and backbone."""
    return birds.to_markdown(birds.rows())


def fine_tuning_table() -> str:
    """A table of docs/birds.md: the report's fine-tuning beside the repaired one."""
    return birds.fine_tuning(birds.rows())


def models_table() -> str:
    """The table of models/README.md: a line a shipped model, all from its card."""
    lines = [
        "| model | pictures | parameters | weights, kB | validation accuracy | test accuracy | epochs | trained on (device, arithmetic) |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for model in registry.models():
        card = model.card() or {}
        data, figures = card["data"], card["figures"]
        test = f"{figures['test']['accuracy']:.4f}" if figures["test"] else "not taken"
        weights = model.file("weights.npz").stat().st_size if model.file("weights.npz").is_file() else 0
        lines.append(
            f"| `{model.id}` | {data['title']}: {data['origin']} | {_parameters(card)} "
            f"| {weights / 1000:,.0f} | {figures['validation']['accuracy']:.4f} | {test} | {figures['epochs']} "
            f"| {card['device']}, {card['precision']} |"
        )
    return "\n".join(lines)


def _parameters(card: dict[str, Any]) -> str:
    head = ", head alone" if card["spec"]["data"]["backbone"] else ""
    return f"{card['parameters']:,}{head}"


def bench_table() -> str:
    """The tables of docs/speed.md, from the last benchmark that was committed of each kind of processor."""
    lines: list[str] = []
    for words, measured in benches().items():
        machine = ", ".join(f"{name} {measured['machine'][name]}" for name in ("tensorflow", "keras", "python"))
        load = measured["machine"]["load before"]
        lines += [f"## A processor with {words}", "", f"{measured['machine']['device']}; {machine}; "
                  f"batches of {measured['batch_size']}, {measured['rounds']} rounds."]  # fmt: skip
        lines += [f"Load of the machine before: {load[0]:.1f}."] if load else []
        for name, result in measured["networks"].items():
            lines += side_by_side.table(name, result)
        lines.append("")
    return "\n".join(lines).rstrip()


def time_to_accuracy() -> str:
    """Two tables of docs/speed.md: what each recipe reached and the time of its steps; the time until validation says so.

    Cards say epochs and accuracy; their own wall times were taken on machines that did other work, so time is steps
    times the benchmark's processor milliseconds, all sides of which were measured in turns in one run.
    """
    rows = {row.name: row for row in results.rows()}
    names = [name for name in ("final", *catalogue.below("final-recipe")) if rows[name].accuracy]
    if "final" not in names:
        return "`final` is not trained yet."
    whole = _times_table("test accuracy", {name: (rows[name].epochs.mean, str(rows[name].accuracy)) for name in names})
    curves = {name: [_validation(run) for run, _ in results.stored(name)] for name in names}
    mark = min(max(curve) for curve in curves["final"])
    until = {name: [_first(curve, mark) for curve in curves[name]] for name in names}
    passed = {
        name: (sum(firsts) / len(firsts), ", ".join(map(str, firsts))) for name, firsts in until.items() if all(firsts)
    }
    told = (
        f"At its best, every run of the report's recipe had {mark:.4f} or more on the validation pictures. Until validation "
        "has that, seed by seed; a recipe is missing where a seed never does:"
    )
    return "\n".join([*whole, "", told, "", *_times_table("epoch of each seed", passed)])


def _validation(run: rundir.RunDir) -> list[float]:
    """Validation accuracy epoch by epoch."""
    return [line["val_accuracy"] for line in whole_epochs(run.history())]


def _first(curve: list[float], mark: float) -> int | None:
    return next((epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= mark), None)


def _times_table(title: str, entries: dict[str, tuple[float, str]]) -> list[str]:
    """Lines of a table of `entries`, {name: (epochs, what stands under `title`)}, `final` among them."""
    plain = entries["final"][0]
    heads = "".join(f" processor minutes, {words} | share |" for words in benches())
    lines = [
        f"| network and recipe | in | epochs | {title} |{heads}",
        "|---|---|---|---|" + "---|---|" * len(benches()),
    ]
    lines += [
        f"| `final`, the report's | {words} | {plain:.0f} | – | {_times('final', sides, plain, plain)} |"
        for words, sides in KERAS.items()
    ]
    for name, (epochs, told) in entries.items():
        lines.append(f"| `{name}` | this engine | {epochs:.0f} | {told} | {_times(name, ENGINE, epochs, plain)} |")
    return lines


def _times(name: str, sides: list[tuple[str, str]], epochs: float, plain: float) -> str:
    """Cells: for each processor, minutes of so many epochs, and their share of `plain` epochs of `final` in Keras."""
    cells = []
    for measured in benches().values():
        there = _minutes(measured, "final", next(iter(KERAS.values())), plain)
        took = _minutes(measured, name, sides, epochs)
        cells.append(f"{took:,.0f} | {took / there:.2f}" if took and there else "not measured | –")
    return " | ".join(cells)


def _minutes(measured: dict[str, Any], name: str, sides: list[tuple[str, str]], epochs: float) -> float | None:
    milliseconds = step(measured, name, sides)
    return (
        milliseconds
        and milliseconds * batches.steps_per_epoch(catalogue.variant(name).spec.fit, cost.PICTURES) * epochs / 6e4
    )


def recipes_table() -> str:
    """A table of docs/speed.md: what was changed in the training of `final` and `plumage`, and what validation said of it."""
    lines = [
        "| recipe | epochs | optimizer, rate | batch | weight decay | cutmix | dropout grows | taught by | validation accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in catalogue.below("final-recipe"):
        if cards := results.cards(name):
            spec = catalogue.variant(name).spec
            accuracies = ", ".join(f"{card['figures']['validation']['accuracy']:.4f}" for card in cards)
            mixed = spec.data.augmentation.cutmix or "–"
            grows = "over all epochs" if spec.fit.dropout_ramp == 1 else f"over {spec.fit.dropout_ramp:.0%}"
            grows = grows if spec.fit.dropout_ramp and spec.network.dropout else "–"
            taught = f"`{spec.fit.teacher}`" if spec.fit.teacher else "–"
            lines.append(
                f"| `{name}` | {spec.fit.max_epochs} | {spec.fit.optimizer}, {spec.fit.learning_rate:g} | {spec.fit.batch_size} "
                f"| {spec.fit.weight_decay:g} | {mixed} | {grows} | {taught} | {accuracies} |"
            )
    return "\n".join(lines)


def growth_tables() -> str:
    """The tables of docs/growth.md, from the last measurement that was committed."""
    path = ROOT / "docs" / "growth.json"
    if not path.is_file():
        return "Not measured yet: `python -m training.bench.growth --out docs/growth.json`, on a machine that does nothing else."
    return "\n".join(growth.tables(json.loads(path.read_text(encoding="utf-8"))))


Part = tuple[str, str | None, Callable[[], str]]
PARTS: tuple[Part, ...] = (  # file, the name of its marks (None: the whole file), what makes the text
    ("docs/toggles.md", None, toggles_page),
    ("docs/report.md", None, report.page),
    ("README.md", "findings", findings),
    ("README.md", "results", results_table),
    ("models/README.md", "models", models_table),
    ("docs/birds.md", "results", birds_table),
    ("docs/birds.md", "fine-tuning", fine_tuning_table),
    ("docs/speed.md", "bench", bench_table),
    ("docs/speed.md", "time", time_to_accuracy),
    ("docs/speed.md", "recipes", recipes_table),
    ("docs/speed.md", "missed", missed),
    ("docs/speed.md", "cifar10", cifar10.table),
    ("docs/growth.md", "growth", growth_tables),
)


def between(text: str, mark: str, new: str) -> str:
    """`text` with what stands between `<!-- mark -->` and `<!-- /mark -->` replaced by `new`."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"The marks <!-- {mark} --> and <!-- /{mark} --> are missing.")
    return pattern.sub(lambda found: f"{found[1]}\n{new.strip()}\n\n{found[2]}", text)


def outdated() -> dict[Path, str]:
    """The files that differ from what the program says, each with its right text."""
    texts: dict[Path, str] = {}
    for name, mark, make in PARTS:
        path = ROOT / name
        old = texts.get(path) or (path.read_text(encoding="utf-8") if path.is_file() else "")
        texts[path] = between(old, mark, make()) if mark else make()
    return {p: text for p, text in texts.items() if not p.is_file() or p.read_text(encoding="utf-8") != text}


def main(arguments: list[str]) -> int:
    files = outdated()
    if "--check" in arguments:
        for path in files:
            print(f"{path.relative_to(ROOT)} is out of date: run make docs.", file=sys.stderr)
        return 1 if files else 0
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
