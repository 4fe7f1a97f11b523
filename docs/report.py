"""docs/report.md: the report's questions, answered from the stored cards.  Sentences are fixed, figures and verdicts are not."""

from __future__ import annotations

from math import sqrt

from docs import overfitting
from docs.benches import ENGINE, benches, step
from training import catalogue, results
from training.card import on_gpu
from training.describe import describe
from training.results import Row

TEST_PICTURES = 2500
STEPS = {"training set": 176, "test set": 35}  # of 64 pictures, in the two readings of the report's epoch
WISHED = 0.80
EPOCH_SECONDS = {"provisional": 14, "final": 7}  # the report's, on a 2020 Colab GPU


def page() -> str:
    """The whole page as Markdown."""
    rows = {row.name: row for row in results.rows()}
    parts = [
        _HEAD.format(apart=100 * (max(_basenet_runs()) - min(_basenet_runs()))),
        _epoch(rows),
        _reached(rows),
        _half_the_steps(rows),
        _question("Is augmentation worth what the report says?", rows, [("basenet-norm-aug", "basenet-norm")]),
        _question("Does dropout beside batch normalization hurt?", rows, [("basenet-bn-dropout", "basenet-bn")]),
        _question("Is average pooling ahead of max pooling?", rows,
                  [("basenet-avgpool", "basenet-3x3"), ("final-ramp", "final-maxpool")]),
        _question("What do 1x1 bottlenecks save, and what do they cost?", rows, [("final-bottleneck", "final-ramp")],
                  _saving("final-bottleneck", "final-ramp")),
        overfitting.section(),
        _stable(),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _basenet_runs() -> list[float]:
    """The accuracies of all the report's runs of BaseNet."""
    report = catalogue.variant("basenet").report
    return [report.accuracy or 0.0, *report.further]


_HEAD = """# What the report says and what we find

Made from the cards of the stored models by `make docs`: it changes as they do. All accuracies are on the 2,500 official
test pictures of CIFAR-100's first 25 classes, unless they are called something else. An interval is Welch's, 95 %, over
seeds, on these test pictures; of twenty such intervals one is expected to miss by chance. The report has one run of each
network, and chance moves a run: its three runs of BaseNet, all alike, lie {apart:.1f} points apart."""


def _code(name: str) -> str:
    return f"`{name}`"


def _figure(row: Row) -> str:
    """ "0.4188 (one seed)", or that there is none."""
    return str(row.accuracy) if row.accuracy else "not trained yet"


def _accuracies(name: str) -> list[float]:
    return [card["figures"]["test"]["accuracy"] for card in results.cards(name)]


def _compared(rows: dict[str, Row], child: str, parent: str) -> str:
    """One sentence: the difference of two variants, its uncertainty, and what follows from it."""
    effect = results.effect(_accuracies(child), _accuracies(parent))
    if effect is None:
        missing = " and ".join(_code(name) for name in (child, parent) if not rows[name].accuracy)
        return f"Here: {missing} not trained yet."
    both = f"{_code(child)} {_figure(rows[child])}, {_code(parent)} {_figure(rows[parent])}"
    points = 100 * effect.difference
    if effect.low is not None and effect.high is not None:
        sure = effect.low > 0 or effect.high < 0
        told = "more than the chance of seeds" if sure else "no difference beyond chance is shown"
        told = (
            f"Here: {both}: {points:+.1f} points, between {100 * effect.low:+.1f} and {100 * effect.high:+.1f}: {told}."
        )
        return told + _devices(child, parent)
    shares = [sum(_accuracies(name)) / len(_accuracies(name)) for name in (child, parent)]
    noise = 196 * sqrt(sum(share * (1 - share) / TEST_PICTURES for share in shares))
    told = "more than" if abs(points) > noise else "within"
    return (
        f"Here: {both}: {points:+.1f} points, {told} the ±{noise:.1f} that other test pictures could do at most. "
        "One side at least rests on one seed, so this is a hint and no finding."
    )


def _devices(child: str, parent: str) -> str:
    """A warning where two variants were not trained on the same kind of device."""
    gpu = {name: [on_gpu(card) for card in results.cards(name)] for name in (child, parent)}
    if sum(gpu[child]) * len(gpu[parent]) == sum(gpu[parent]) * len(gpu[child]):
        return ""
    told = ", ".join(f"{sum(found)} of {len(found)} of {_code(name)}" for name, found in gpu.items() if any(found))
    return f" Seeds trained on a GPU, in bfloat16 and with other random numbers: {told}; what that does was not measured apart."


def _reported(child: str, parent: str) -> str:
    here, there = (catalogue.variant(name).report.accuracy for name in (child, parent))
    if here is None or there is None:
        changed = child if catalogue.variant(child).parent == parent else parent  # a pair may be asked about either way
        return f"The report gives no figures; the catalogue describes the change so: {catalogue.variant(changed).why}"
    note = catalogue.variant(child).report.remarks
    told = f"The report: {there:.4f} before, {here:.4f} after, {100 * (here - there):+.1f} points"
    return f"{told} ({note})." if note else f"{told}."


def _question(title: str, rows: dict[str, Row], pairs: list[tuple[str, str]], more: str = "") -> str:
    answers = [f"{_reported(child, parent)} {_compared(rows, child, parent)}" for child, parent in pairs]
    return "\n\n".join([f"## {title}", *answers, *([more] if more else [])])


def _saving(child: str, parent: str) -> str:
    here, there = (describe(catalogue.load(name).network) for name in (child, parent))
    told = f"Multiply-adds: {here.macs / 1e6:.0f} M against {there.macs / 1e6:.0f} M, {100 * (1 - here.macs / there.macs):.0f} % less; "
    told += f"parameters: {here.params:,} against {there.params:,}."
    for words, measured in benches().items():
        ours, theirs = (step(measured, name, ENGINE) for name in (child, parent))
        if ours and theirs:
            told += (
                f" Processor time of a training step of {measured['batch_size']} pictures, in one run with {words}: "
                f"{ours:,.0f} ms against {theirs:,.0f}, {100 * (1 - ours / theirs):.0f} % less."
            )
    return told


def _epoch(rows: dict[str, Row]) -> str:
    """Which of the two readings of the report's epoch its figures speak for."""
    lines = [
        "## How many steps has the report's epoch?",
        f"Its formula, `len(x_test) * (1 - split) / batch`, read literally, gives {STEPS['test set']} steps of 64 pictures; with `x_train` in it, "
        f"{STEPS['training set']}. Both were run, all else equal.",
    ]
    near: list[bool] = []
    for name in ("basenet", "final"):
        long, short, report = rows[name], rows[f"{name}-35-steps"], catalogue.variant(name).report.accuracy
        assert report is not None
        lines.append(
            f"- {_code(name)}: the report {report:.4f}; {STEPS['training set']} steps {_figure(long)}, "
            f"{STEPS['test set']} steps {_figure(short)}."
        )
        if long.accuracy and short.accuracy:
            near.append(abs(long.accuracy.mean - report) < abs(short.accuracy.mean - report))
        elif short.accuracy:
            lines[-1] += (
                f" {STEPS['test set']} steps end {100 * (report - short.accuracy.mean):.1f} points below the report."
            )
        if catalogue.variant(name).spec.fit.early_stopping and (found := results.cards(short.name)):
            best, epochs = (found[0]["figures"][key] for key in ("best_epoch", "epochs"))
            lines[-1] += (
                f" With {STEPS['test set']}, it was best after {best:.0f} of {epochs:.0f} epochs, the report's run after "
            )
            lines[-1] += f"{catalogue.variant(name).report.epochs}."
    rates = []
    for name, seconds in EPOCH_SECONDS.items():
        macs = 3 * describe(catalogue.load(name).network).macs * 64
        rates.append(f"{macs * STEPS['training set'] / seconds / 1e9:,.0f} or {macs * STEPS['test set'] / seconds / 1e9:,.0f} "
                     f"billion multiply-adds a second for {_code(name)}")  # fmt: skip
    lines.append(
        f"- The report's times an epoch ({' s and '.join(map(str, EPOCH_SECONDS.values()))} s) mean {' and '.join(rates)}, "
        f"at {STEPS['training set']} and {STEPS['test set']} steps, the backward pass counted as two forward ones: a GPU of "
        "2020 can do both, so they decide nothing."
    )
    if near and all(near):
        verdict = (
            f"The figures speak for {STEPS['training set']} steps. All other entries take their batches from the whole training "
            f"set, too: {STEPS['training set']} steps of 64 pictures, or {STEPS['training set'] // 2} of 128 (below)."
        )
    elif near and not any(near):
        verdict = f"The figures speak for {STEPS['test set']} steps."
    else:
        verdict = "The networks do not agree." if near else "Not decided yet."
    return "\n".join([lines[0], "", lines[1], "", *lines[2:], "", verdict])


def _reached(rows: dict[str, Row]) -> str:
    """Whether the report's best figures are what one gets."""
    lines = [
        "## Is the report's accuracy what one gets?",
        "",
        "A run more of ours would lie, with 95 % probability, within the distance of our mean that the fourth column gives. "
        "Where the report's run is further away, chance does not explain it.",
        "",
        "| network | the report | here | one run more within, points | difference, points | could be chance |",
        "|---|---|---|---|---|---|",
    ]
    for entry in catalogue.variants():
        report, accuracy = entry.report.accuracy, rows[entry.name].accuracy
        if report is None or entry.aside:
            continue
        apart, within, chance = "–", "–", "–"
        if accuracy:
            apart = f"{100 * (accuracy.mean - report):+.1f}"
        if accuracy and accuracy.deviation is not None:
            room = results.t95(accuracy.n - 1) * accuracy.deviation * sqrt(1 + 1 / accuracy.n)
            within, chance = f"±{100 * room:.1f}", "yes" if abs(accuracy.mean - report) <= room else "no"
        lines.append(
            f"| {_code(entry.name)} | {report:.4f} | {_figure(rows[entry.name])} | {within} | {apart} | {chance} |"
        )
    theirs = _basenet_runs()
    if effect := results.effect(_accuracies("basenet"), theirs):
        lines += [
            "",
            f"The table takes one run of the report at a time. Against all {len(theirs)} runs of BaseNet that it has, ours are at {effect} points.",
        ]
    return "\n".join(lines)


def _half_the_steps(rows: dict[str, Row]) -> str:
    """What may explain the rows of 27 epochs: with batches twice as large, figures and the epoch of least loss come nearer."""
    lines = [
        "## Do steps or batches explain why the rows of 27 epochs come out lower here?",
        "",
        "Early stopping hides how long an epoch is; rows of a fixed number of epochs show it. The report chose 27 because its "
        "BaseNet's validation loss was least there. These are the same networks with batches of 64, as the report says, and of "
        "128, half as many steps. In brackets: after how many of the 27 epochs the validation loss was least.",
        "",
        "| network | the report | batches of 64 | batches of 128 |",
        "|---|---|---|---|",
    ]
    apart: dict[str, list[float]] = {"64": [], "128": []}
    pairs = [(entry.parent, entry.name) for entry in catalogue.variants() if entry.toggle == "batch_size"]
    for name, halved in pairs:
        assert name is not None
        report, cells = catalogue.variant(name).report.accuracy, []
        assert report is not None
        for batch, entry in (("64", name), ("128", halved)):
            least = ", ".join(f"{card['figures']['best_epoch']:.0f}" for card in results.cards(entry))
            cells.append(f"{_figure(rows[entry])} ({least})" if least else "not trained yet")
            if accuracy := rows[entry].accuracy:
                apart[batch].append(100 * abs(accuracy.mean - report))
        lines.append(f"| {_code(name)} | {report:.4f} | {' | '.join(cells)} |")
    if not all(len(differences) == len(pairs) for differences in apart.values()):
        return "\n".join([*lines, "", "Not decided yet."])
    whole, half = (sum(differences) / len(pairs) for differences in apart.values())
    told = f"On average these are {whole:.1f} and {half:.1f} points from the report: "
    told += (
        f"batches of 128 come nearer (batches of 128 less batches of 64, points: {_between(rows, pairs)}). They halve the steps "
        "and double the pictures of each; which of the two does it was not separated, and 35 steps of 64, the formula read "
        "literally, lie further off."
        if half < whole / 2
        else "batches of 128 do not explain it."
    )
    return "\n".join([*lines, "", told])


def _between(rows: dict[str, Row], pairs: list[tuple[str | None, str]]) -> str:
    return ", ".join(f"{_code(name or '')} {rows[other].effect}" for name, other in pairs)


def _stable() -> str:
    """The report's wish: every run near 0.80."""
    lines = [
        "## Is every run near 0.80, as the report wished?",
        "",
        "| network | test accuracy of each seed |",
        "|---|---|",
    ]
    always: list[str] = []
    for name in ("final", *catalogue.below("final-recipe")):
        accuracies = _accuracies(name)
        found = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
        lines.append(f"| {_code(name)} | {found or 'not trained yet'} |")
        if len(accuracies) > 2 and min(accuracies) >= WISHED:
            always.append(_code(name))
    if own := _accuracies("final"):
        count = sum(accuracy >= WISHED for accuracy in own)
        told = f"With the report's recipe, {count} of {len(own)} runs of `final` reach {WISHED:.2f}. "
        told += f"Every run, of three or more, does with {', '.join(always)}." if always else "No recipe always does."
        lines += ["", told]
    return "\n".join(lines)
