"""What the command line shows to people: tables, sentences, progress."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from training.transfer import backbones

if TYPE_CHECKING:
    from training.data.duplicates import NearDuplicates
    from training.describe import Description
    from training.spec import RunSpec

LOG_SECONDS = 10.0  # between two lines of progress where there is no terminal


def problem(what: object, code: int) -> int:
    """Say what is wrong, in one line on stderr; returns the exit code."""
    print(" ".join(str(what).split()), file=sys.stderr)
    return code


@contextmanager
def quiet(file: Path | None = None) -> Iterator[None]:
    """What TensorFlow's libraries say on stderr goes to `file`, or nowhere; Python's own output stays."""
    kept = os.dup(2)
    target = os.open(file or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    before = sys.stderr
    if before is sys.__stderr__:
        sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1, errors="backslashreplace")
    os.dup2(target, 2)
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)
        sys.stderr = before


def cell(value: Any) -> str:
    """A value as it stands in a table: counts with commas, other figures with four digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns; numbers to the right."""
    rows = [list(row) for row in rows]
    right = [all(row[i] is None or isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    lines = [list(head), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            text.rjust(w) if r else text.ljust(w) for text, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def aligned(markdown: str) -> str:
    """Text whose Markdown tables are set in aligned columns."""
    parts: list[str] = []
    for marked, lines in itertools.groupby(markdown.replace("`", "").splitlines(), lambda line: line.startswith("|")):
        if marked:
            head, _, *rows = ([part.strip() for part in line.strip("|").split("|")] for line in lines)
            parts.append(table(head, rows))
        else:
            parts.extend(lines)
    return "\n".join(parts)


def described(spec: RunSpec, network: Description) -> str:
    """A network layer by layer, and in all; of a head, what its backbone adds."""
    rows = [(number, layer.name, layer.title, "x".join(map(str, layer.output_shape)), layer.params, layer.macs)
            for number, layer in enumerate(network.layers, 1)]  # fmt: skip
    text = table(("", "layer", "what", "output", "parameters", "multiply-adds"), rows)
    head = "the head alone: " if spec.data.backbone else ""
    text += f"\n{spec.name}: {head}{network.params:,} parameters ({network.trainable_params:,} trainable), " \
            f"{network.macs:,} multiply-adds, {network.weight_bytes / 1e6:.1f} MB of weights."  # fmt: skip
    if spec.data.backbone:
        backbone = backbones.of(spec.data)
        text += f"\nIts backbone, {backbone.title}, takes up to {backbone.operations:,.0f} multiply-adds more and is "
        text += "not trained." if spec.fit.fine_tune == "off" else "trained, too, or its upper layers are."
    return text


def outcome(tree: dict[str, Any]) -> str:
    """How a run ended."""
    lines = [f"{tree['run']}: {tree['state']}. {tree['message'] or ''}".rstrip()]
    if validation := (tree["figures"] or {}).get("validation"):
        lines.append(f"Validation accuracy {validation['accuracy']:.4f}, loss {validation['loss']:.4f} "
                     f"after {tree['figures']['epochs']:g} epochs.")  # fmt: skip
    if tree["state"] == "stopped":
        lines.append(f"Go on with: python -m training fit --resume --run-dir {tree['directory']}")
    return "\n".join([*lines, tree["directory"]])


def tested(found: dict[str, Any]) -> str:
    """Test figures, and whether they are those of the card."""
    test, card = found["test"], found["card"]
    text = f"{found['run']} on {test['pictures']:,} test pictures of {found['data']}: " \
           f"accuracy {test['accuracy']:.4f}, loss {test['loss']:.4f}"  # fmt: skip
    if card is not None:
        same = all(card[name] == test[name] for name in ("loss", "accuracy"))
        text += " (as in its card)" if same else f" (its card: {card['accuracy']:.4f}, {card['loss']:.4f})"
    if rest := test.get("without_near_duplicates"):
        text += f"\nwithout the {test['pictures'] - rest['pictures']:,} that have a near-duplicate among the training " \
                f"pictures: accuracy {rest['accuracy']:.4f}, loss {rest['loss']:.4f}"  # fmt: skip
    if both := test.get("with_flips"):
        text += f"\nwith mirror images: accuracy {both['accuracy']:.4f}, loss {both['loss']:.4f}"
    return text


def duplicates(found: NearDuplicates, path: Path) -> str:
    """How many test pictures have a near-duplicate, and of which kinds."""
    pairs, share = found.pairs, len(found.pairs) / found.pictures
    mirrored, other = sum(pair.mirrored for pair in pairs), sum(not pair.same_class for pair in pairs)
    return (
        f"{len(pairs):,} of {found.pictures:,} test pictures of {found.data} ({100 * share:.1f} %) are nearly a training "
        f"picture: {mirrored} of these by its mirror image, {other} by one of another class.\n{path}"
    )


def predictions(tree: dict[str, Any]) -> str:
    """The top classes of each picture."""
    lines = []
    if not tree["calibrated"]:
        lines.append(f"Not calibrated, so these are raw: python -m training calibrate {tree['model']}")
    for picture in tree["pictures"]:
        lines.append(f"{picture['file']}{'  (unlike the training pictures)' if picture['unlike'] else ''}")
        lines += [f"  {100 * entry['probability']:5.1f} %  {entry['class']}" for entry in picture["top"]]
    return "\n".join(lines)


def calibrated(name: str, report: dict[str, Any]) -> str:
    """How far a model's probabilities and its flags of unlike pictures can be trusted."""
    unlike = report["unlike"]
    lines = [f"{name}: logits divided by {report['temperature']:.3f}, calibration error {report['ece']['before']:.4f} "
             f"before and {report['ece']['after']:.4f} after, on {report['pictures']:,} validation pictures",
             f"flags {unlike['false_alarms']:.3f} of its own validation pictures"]  # fmt: skip
    lines += [
        f"flags {share['share']:.3f} of {share['pictures']:,} of {other}"
        for other, share in unlike["detection"].items()
    ]
    if shrunk := unlike.get("shrunk"):
        lines.append(f"flags {shrunk['share']:.3f} of its own shrunk to {shrunk['size']} pixels")
    return "\n".join(lines)


def shipped(name: str, card: dict[str, Any], card_only: bool) -> str:
    """What a model that ships is worth."""
    figures = card["figures"]
    what = (
        f"{name}/seed-{card['spec']['fit']['seed']}: card and curves"
        if card_only
        else f"{name}: {card['weights']} weights"
    )
    return (
        f"models/{what}, validation accuracy {figures['validation']['accuracy']:.4f}, "
        f"test accuracy {figures['test']['accuracy']:.4f}"
    )


def counted(what: str) -> Callable[[int, int], None]:
    """A progress that says "what: 300 of 2,500" on stderr: in one line on a terminal, now and then in a log."""
    terminal, shown = sys.stderr.isatty(), time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        if done < total and time.monotonic() - shown < (0.2 if terminal else LOG_SECONDS):
            return
        shown = time.monotonic()
        end = "\n" if done == total or not terminal else ""
        print(f"{chr(13) if terminal else ''}{what}: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)

    return show


class FitProgress:
    """A training's progress: a bar on a terminal, a plain line an epoch in a log, nothing if `quiet`.  On stderr."""

    def __init__(self, max_epochs: int, minutes: float | None, name: str, quiet: bool = False):
        self.max_epochs, self.minutes, self.name = max_epochs, minutes, name
        self.terminal, self.quiet = sys.stderr.isatty() and not quiet, quiet
        self._bar: Any = None
        self._share = 0.0

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"),
                TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task(f"{self.name}: loading", total=1.0, figures="")
            self._bar.start()
        elif not self.quiet:
            print(f"{self.name}: at most {self.max_epochs} epochs", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, line: dict[str, Any]) -> None:
        """One line of the history."""
        whole = line["kind"] == "epoch"
        figures = f"loss {line['loss']:.4f}, accuracy {line['accuracy']:.4f}"
        if whole:
            figures += f", validation loss {line['val_loss']:.4f}, accuracy {line['val_accuracy']:.4f}"
        if self._bar:
            share = line["epoch"] / self.max_epochs
            if self.minutes and not whole:  # an epoch's line has the seconds of the epoch
                share = max(share, line["seconds"] / (60 * self.minutes))
            self._share = share = max(share, self._share)
            text = f"Epoch {line['epoch']:.2f} of {self.max_epochs}"
            self._bar.update(self._task, description=text, completed=share, figures=figures)
        elif whole and not self.quiet:
            text = f"epoch {line['epoch']:g} of {self.max_epochs}: {figures}, {line['seconds']:.1f} s"
            print(text, file=sys.stderr, flush=True)


class Download:
    """A download's progress: a line that is rewritten on a terminal, a line now and then in a log.  On stderr."""

    def __init__(self) -> None:
        self.terminal, self._last, self._what = sys.stderr.isatty(), 0.0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.terminal and self._what:
            print(file=sys.stderr)

    def show(self, what: str, done: int, total: int) -> None:
        """`done` of `total` bytes of `what`; total 0 where it is not known."""
        now = time.monotonic()
        if what == self._what and now - self._last < (0.2 if self.terminal else LOG_SECONDS) and done != total:
            return
        size = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB" if done else ""
        line = f"{what} {size}".rstrip()
        print(
            f"\r\033[K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True
        )
        self._last, self._what = now, what
