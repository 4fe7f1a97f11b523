"""The commands over all of the report: train its table or its bird systems, show the results, measure the speed.

`training.cli.app` gives them their names.
"""

from __future__ import annotations

from typing import Annotated

import typer

from training.cli import console
from training.cli.options import Json, answer
from training.rundir import RunError
from training.spec import SpecError


def all_(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each variant.")] = 1,
    budget: Annotated[
        float | None,
        typer.Option(min=0, metavar="MINUTES", help="End after so many minutes; without it, when all is done."),
    ] = None,
) -> None:
    """Train the catalogue's networks on their 32x32 pictures, measure them on the test pictures and put them into models/.

    It takes days; killed or stopped, the same command goes on.
    """
    from training import sweep

    with console.quiet():
        done = sweep.run(sweep.cifar_names(), seeds, budget, lambda text: print(text, flush=True))
    if not done:
        raise typer.Exit(1)


def birds(
    backbone: Annotated[
        str, typer.Option(help="resnet50, resnet50v2, resnet50v2-tuned or efficientnet-lite0.")
    ] = "resnet50",
    only: Annotated[
        list[str] | None, typer.Option(help="Only this system; may be given again; without it, all.")
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Leave the trainings to the queue, in the background.")
    ] = False,
) -> None:
    """Train the report's bird systems on a backbone; killed or stopped, the same command goes on."""
    from training.transfer import backbones, everything
    from training.transfer.pretrained import WeightsError

    try:
        backbones.get(backbone)
    except WeightsError as error:
        raise SpecError(str(error)) from None
    known = everything.names()
    if unknown := [name for name in only or [] if name not in known]:
        raise SpecError(f"There is no bird system {unknown[0]!r}; there are {', '.join(known)}.")
    try:
        with console.Download() as progress:
            done = everything.run(backbone, only or known, lambda text: print(text, flush=True), queue, progress.show)
    except WeightsError as error:
        raise RunError(str(error)) from None
    if not done:
        raise typer.Exit(1)


def results_(
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables as Markdown, not aligned.")] = False,
) -> None:
    """The report's figures beside ours, from the stored cards."""
    from training import results
    from training.transfer import results as birds

    rows, heads = [*results.rows(), *results.apart()], birds.rows()
    tree = results.to_json(rows) | {"heads": birds.to_json(heads)}
    shown = str if markdown else console.aligned
    answer(as_json, tree, lambda: shown(f"{results.to_markdown(rows)}\n\n{birds.to_markdown(heads)}"))


def bench(context: typer.Context) -> None:
    """Measure the engine against Keras's own training (see bench --help)."""
    from training.bench import side_by_side

    raise typer.Exit(side_by_side.main(context.args) or 0)
