"""What the commands share: kinds of options, an answer in two forms, and the spec that options ask for."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from training import catalogue, data, registry, switching, toggles
from training.paths import models_dir, python
from training.rundir import RunDir, RunError
from training.spec import RunSpec

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Trained = Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run's id or directory, or a shipped model.")]
Design = Annotated[str, typer.Argument(metavar="VARIANT|SPEC.json", help="An entry of the catalogue, or a spec file.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or directory.")]


class Misuse(Exception):
    """The command was used in a way that it cannot be.  One sentence."""


def answer(as_json: bool, tree: dict[str, Any], text: Callable[[], str]) -> None:
    """Print the answer: `tree` as JSON, or `text()` for people."""
    try:
        print(json.dumps(tree, indent=2, allow_nan=False, ensure_ascii=False) if as_json else text(), flush=True)
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def trained(name: str, find: Callable[[str], RunDir] = registry.find_fitted) -> RunDir:
    """The run or shipped model called `name`, to use it; a name that is none is wrong use."""
    try:
        return find(name)
    except RunError as error:
        with suppress(RunError):  # it is there: why it cannot be used is what there is to say
            registry.find(name)
            raise Misuse(str(error)) from None
        if models := registry.by_entry().get(name):
            told = f"{name} is an entry of the catalogue; its models that ship are {', '.join(models)}."
        elif catalogue.known(name):
            told = f"{name} is in the catalogue, but no trained model of it is in {models_dir()}; train it with: "
            told += f"{python()} -m training fit {name}"
        else:
            told = str(error)
        raise Misuse(told) from None


def known(data_name: str) -> None:
    """Raise `Misuse` where there is no data set of that name."""
    if data_name not in data.NAMES:
        raise Misuse(f"There is no data set {data_name!r}; there are {', '.join(data.NAMES)}.")


def toggle_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give `function` an option for each toggle that it does not have itself; what was given comes as `switched`."""
    signature = inspect.signature(function, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "switched"]
    keys = [toggle.key for toggle in toggles.TOGGLES if toggle.key not in signature.parameters]
    options = []
    for key in keys:
        toggle = toggles.BY_KEY[key]
        values = {"switch": "on|off", "rates": "on|off|RATE,...", "model": "off|MODEL"}.get(toggle.kind, "NUMBER")
        if toggle.options:
            values = "|".join(toggle.to_text(option) for option in toggle.options)
        option = typer.Option(f"--{key.replace('_', '-')}", metavar=values, help=toggle.help)
        annotation = Annotated[str | None, option]
        options.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    @functools.wraps(function)
    def command(**given: Any) -> None:
        switched = {key: value for key in keys if (value := given.pop(key)) is not None}
        function(**given, switched=switched)

    parameters = [*own, *options]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def planned(spec: RunSpec, data_name: str | None, epochs: int | None, minutes: float | None, seed: int | None,
            settings: dict[str, str]) -> RunSpec:  # fmt: skip
    """`spec` with what the command line asks for; raises `SpecError`.

    Another data set brings its number of classes; a number of epochs is the most that early stopping may take, too.
    """
    changes: dict[str, Any] = {}
    if data_name is not None:
        known(data_name)
        changes |= {"data.name": data_name, "network.classes": data.info(data_name).classes}
    if epochs is not None:
        changes["fit.epochs"] = epochs
    if minutes is not None:
        changes["fit.minutes"] = minutes
    if seed is not None:
        changes["fit.seed"] = seed
    spec = switching.apply(spec.replace(changes), settings)
    most = "fit.early_stopping.max_epochs"
    counted = {"epochs", "fit.epochs"} & {*changes, *settings}
    if counted and spec.fit.early_stopping and most not in settings:
        spec = spec.replace({most: spec.fit.epochs})
    return spec
