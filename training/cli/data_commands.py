"""The commands `data ...`: which data sets are here, getting one, and its pictures that are nearly twice there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from training import data
from training.cli import console
from training.cli.options import Json, answer, known

app = typer.Typer(no_args_is_help=True, help="The data sets: what is here, and getting what is not.")


@app.command("status")
def data_status(as_json: Json = False) -> None:
    """Which data sets are here, and how to get the others."""
    infos = [asdict(info) for info in data.status()]
    answer(as_json, {"data": infos}, lambda: console.table(
        ("name", "classes", "train", "validation", "test", "size", "where, or how to get it"),
        [(info["name"], info["classes"], info["train"], info["validation"], info["test"],
          "x".join(map(str, info["picture_size"][:2])), info["where"] or info["how"]) for info in infos],
    ))  # fmt: skip


@app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(data.NAMES)}.")], as_json: Json = False
) -> None:
    """Download a data set if it is not here; an interrupted download goes on where it stopped."""
    known(name)
    with console.Download() as progress:
        info = asdict(data.fetch(name, progress.show))
    answer(as_json, info, lambda: f"{info['title']}: {info['where']}")


@app.command("duplicates")
def data_duplicates(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cifar100-25 or cifar10.")], as_json: Json = False
) -> None:
    """Look for test pictures that are nearly a training picture, and store which, so that `evaluate` can leave them out."""
    from training.data import duplicates

    known(name)
    duplicates.check_size(name, data.info(name).picture_size[:2])  # before a download is advised that would not help
    found = duplicates.find(name, console.counted("Test pictures compared"))
    path = duplicates.write(found)
    answer(as_json, asdict(found), lambda: console.duplicates(found, path))
