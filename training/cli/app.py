"""The command line, `python -m training`: one command a function, thin over the library.

Answers go to stdout, everything else to stderr.  With `--json` the answer is one object,
figures as numbers.  Exit codes: 0 done, 2 wrong use, 1 anything else; a problem is one
sentence, never a traceback.  Nothing here imports TensorFlow before it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from training import catalogue, data, registry
from training.cli import console, data_commands, report_commands
from training.cli.options import Design, Json, Misuse, Run, Trained, answer, planned, toggle_options, trained
from training.describe import describe as describe_network
from training.files import advice
from training.paths import models_dir
from training.pictures import PictureError
from training.rundir import RunDir, RunError
from training.spec import SpecError
from training.transfer import backbones

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What does an architectural choice really do to a CNN? Describe, train, test, use and export the networks.",
)  # fmt: skip
app.add_typer(data_commands.app, name="data")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app(arguments, prog_name="python -m training")
    except SystemExit as end:  # typer's own: usage errors with 2, the end of a command with 0
        return end.code if isinstance(end.code, int) else 0
    except (SpecError, Misuse) as error:
        return console.problem(error, 2)
    except (RunError, data.DataError, PictureError) as error:
        return console.problem(error, 1)
    except OSError as error:
        return console.problem(f"{error.filename or 'A file'}: {error.strerror or error}; {advice(error)}.", 1)
    except MemoryError:
        return console.problem("There is not enough memory: close other programs or choose a smaller network.", 1)
    except KeyboardInterrupt:
        return console.problem("Interrupted.", 1)
    except Exception as error:
        if os.environ.get("PLUMAGE_TRACEBACK"):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return console.problem(f"Something unforeseen went wrong ({what}); PLUMAGE_TRACEBACK=1 shows where.", 1)
    return 0


# --- The catalogue -----------------------------------------------------------------------------


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The catalogue: every variant, what it changes, and the report's figures."""
    models = registry.by_entry()
    rows: list[dict[str, Any]] = []
    for entry in (*catalogue.variants(), *catalogue.heads()):
        network = describe_network(entry.spec.network)
        report = {"loss": entry.report.loss, "accuracy": entry.report.accuracy, "epochs": entry.report.epochs}
        rows.append({
            "name": entry.name, "title": entry.title, "why": entry.why, "parent": entry.parent, "toggle": entry.toggle,
            "data": entry.spec.data.name, "backbone": entry.spec.data.backbone, "parameters": network.params, "macs": network.macs, "report": report,
            "models": models.get(entry.name, []),
        })  # fmt: skip
    answer(as_json, {"variants": rows}, lambda: console.table(
        ("name", "parent", "parameters", "multiply-adds", "report", "models", "what"),
        [(row["name"], row["parent"], row["parameters"], row["macs"], row["report"]["accuracy"],
          len(row["models"]) or None, row["title"]) for row in rows],
    ) + "\nModels: how many of it ship; models/README.md names them. Of a head on a backbone (birds-…, …-fc-basic), parameters "
        "and multiply-adds are the head's alone.")  # fmt: skip


@app.command()
def describe(design: Design, as_json: Json = False) -> None:
    """A network's layers, shapes, parameters and multiply-adds, without building it."""
    spec = catalogue.load(design)
    network = describe_network(spec.network)
    tree = {"name": spec.name, **network.to_dict(), "spec": spec.model_dump(mode="json")}
    if spec.data.backbone:
        tree["backbone"] = {"name": spec.data.backbone, "macs": backbones.of(spec.data).operations}
    answer(as_json, tree, lambda: console.described(spec, network))


# --- Training ----------------------------------------------------------------------------------


@app.command()
@toggle_options
def fit(
    design: Annotated[str | None, typer.Argument(metavar="VARIANT|SPEC.json", show_default=False,
                      help="An entry of the catalogue, or a spec file; not needed with --resume.")] = None,
    data_name: Annotated[str | None, typer.Option("--data", metavar="NAME", help=f"The pictures: {', '.join(data.NAMES)}; without it, the entry's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, early stopping's most as well; without it, the entry's.  A schedule ends with them.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes of training, too; without it, no limit.")] = None,
    seed: Annotated[int | None, typer.Option(help="The number that all chance comes from; without it, 0.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE",
                        help="Any field of the spec, such as fit.momentum=0.8; may be given again.")] = None,
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="The run directory; without it, a new one in runs/ (PLUMAGE_RUNS).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run-dir, or begin it.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Leave it to the queue, in the background.")] = False,
    as_json: Json = False,
    *,
    switched: dict[str, str],
) -> None:  # fmt: skip
    """Train a network: one run directory, which --resume goes on from after a stop or a kill."""
    from training.cli import commands

    changes = dict(switched)
    for setting in settings or []:
        field, equals, value = setting.partition("=")
        if not equals:
            raise SpecError(f"--set {setting} is not possible: it is FIELD=VALUE, such as fit.momentum=0.8.")
        changes[field.strip()] = value.strip()
    asked = None
    if design is not None:
        asked = planned(catalogue.load(design), data_name, epochs, minutes, seed, changes)
    elif not resume:
        raise Misuse("What is to be trained? Give a variant of the catalogue or a spec file.")
    elif changes or any(option is not None for option in (data_name, epochs, minutes, seed)):
        raise Misuse("A run goes on with the spec that it has: --resume takes no changes.")
    if resume and run_dir is None:
        raise Misuse("Which run goes on? Name its directory with --run-dir.")
    if queue and run_dir is not None:
        raise Misuse("The queue makes its own run directories: --queue and --run-dir exclude each other.")
    tree = commands.enqueue(asked) if queue and asked else commands.fit(asked, run_dir, resume, as_json)
    if as_json or tree["state"] != "failed":
        answer(as_json, tree, lambda: console.outcome(tree))
    if tree["state"] == "failed":
        raise RunError(tree["message"])
    if tree["state"] not in ("finished", "queued", "running"):
        raise typer.Exit(1)


@app.command()
def runs(as_json: Json = False) -> None:
    """The runs of this machine, newest first."""
    from training.cli import commands

    rows = [commands.row(run) for run in registry.runs()]
    answer(as_json, {"runs": rows}, lambda: console.table(
        ("run", "data", "state", "epochs", "validation", "test", "minutes"),
        [(row["run"], row["data"], row["state"], f"{row['epoch']:g} of {row['max_epochs']}",
          row["validation_accuracy"], row["test_accuracy"], row["elapsed_seconds"] / 60) for row in rows],
    ) if rows else "No runs yet. Start one with: python -m training fit basenet --data drawn --minutes 1")  # fmt: skip


def _done(run: str, act: Callable[[RunDir], object], now: str = "") -> None:
    """Do `act` to the run and say how it stands."""
    found = trained(run, registry.find)
    if found.path.resolve().is_relative_to(models_dir().resolve()):
        raise Misuse(f"{found.id} is a model that ships, not a run.")
    act(found)
    print(f"{found.id}: {now or found.status()['state']}")


@app.command()
def stop(run: Run) -> None:
    """Stop a run, or take it out of the queue; its checkpoint is kept."""
    from training.queue import launcher

    def act(run: RunDir) -> None:
        launcher.stop(run)
        if run.status()["state"] == "running":
            print(f"{run.id} has been trained, and comes to its end by itself.")

    _done(run, act)


@app.command()
def resume(run: Run) -> None:
    """Go on with a stopped or failed run, in the background; it queues if another is running."""
    from training.queue import launcher

    _done(run, launcher.resume)


@app.command()
def delete(run: Run) -> None:
    """Delete a run for good."""
    from training.queue import launcher

    _done(run, launcher.delete, "deleted")


# --- Trained networks --------------------------------------------------------------------------


@app.command()
def evaluate(
    model: Trained,
    flips: Annotated[
        bool, typer.Option("--flips", help="Also the mean of the answers for each picture and its mirror image.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure on the test pictures.  The first figures are kept in the card; later ones are compared with them."""
    from training.evaluate import evaluate as measure

    run = trained(model)
    with console.quiet():
        found = measure(run, flips)
    answer(as_json, found, lambda: console.tested(found))


@app.command()
def predict(
    model: Trained,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to name.")] = 5,
    as_json: Json = False,
) -> None:
    """Say what is on pictures, with calibrated probabilities."""
    from training.cli import commands

    run = trained(model)
    with console.quiet():
        tree = commands.predict(run, images, top)
    answer(as_json, tree, lambda: console.predictions(tree))


@app.command()
def calibrate(model: Trained, as_json: Json = False) -> None:
    """Fit the temperature and the measures of unlike pictures on the validation pictures; the card keeps them."""
    from training.calibration import calibrate as fit_to_validation

    run = trained(model)
    with console.quiet():
        report = fit_to_validation(run)
    answer(as_json, {"model": run.id, "calibration": report}, lambda: console.calibrated(run.id, report))


@app.command()
def features(model: Trained) -> None:
    """Compute the features of a head's training pictures, once: Classify then shows the nearest ones."""
    from training import predict as predicting
    from training.transfer.features import lines

    run = trained(model)
    if run.spec().data.backbone is None:
        raise Misuse(f"{run.id} has no backbone: it looks at pixels, not at features.")
    with console.quiet():
        predicting.load(run).neighbours.compute(lines("Features", every=64))  # type: ignore[attr-defined]


@app.command()
def export(model: Trained, file: Annotated[Path, typer.Argument(help="The .keras file to write.")]) -> None:
    """Write a float32 .keras file, which plain Keras opens and which takes pixels from 0 to 255."""
    from training import weights

    if file.suffix != ".keras":
        raise Misuse(f"{file} must end in .keras.")

    run = trained(model)
    with console.quiet():
        weights.export(run, file)
    print(f"{file} written")


@app.command()
def ship(
    run: Run,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The model's name in models/.")],
    form: Annotated[
        Literal["half", "int8", "float32"],
        typer.Option(
            "--format", help="Of the weights: refused where it costs more than 0.2 points of validation accuracy."
        ),
    ] = "half",
    card_only: Annotated[
        bool, typer.Option("--card-only", help="Card and curves without weights: a further seed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a finished run into models/ with compact weights, measured on validation and then on the test pictures."""
    from training.ship import ship as make

    found = trained(run, registry.find)
    with console.quiet():
        card = make(found, name, form, card_only)
    answer(as_json, {"model": name, "card": card}, lambda: console.shipped(name, card, card_only))


# --- All of the report ---------------------------------------------------------------------------

app.command("all")(report_commands.all_)
app.command()(report_commands.birds)
app.command("results")(report_commands.results_)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(
    report_commands.bench
)
