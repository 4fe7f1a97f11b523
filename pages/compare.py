"""Compare: runs and shipped models over each other; curves, what differs, figures, effects."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages.shared import again, controls, curves, effects, present, runs, stories, text
from training import address, confusions, registry, results
from training.paths import models_dir
from training.results import Row
from training.rundir import RunDir
from training.spec import RunSpec
from training.status import whole_epochs

AT_MOST = 8  # as many as there are colours
_KEY = "compare-runs"

_FIGURES = (  # key of `runs.summary`, its words, how it is written
    ("data", "Pictures", text.data_title),
    ("epochs", "Epochs trained", text.epochs),
    ("best_epoch", "Epoch of the lowest validation loss", text.epochs),
    ("kept_epoch", "Epoch whose weights are kept", text.epochs),
    ("validation_accuracy", "Validation accuracy at that epoch", text.percent),
    ("validation_loss", "Validation loss at that epoch", "{:.4f}".format),
    ("training_accuracy", "Training accuracy at that epoch", text.percent),
    ("gap", "Overfitting gap: training − validation", lambda gap: f"{text.signed(100 * gap)} points"),
    ("test_accuracy", "Test accuracy", text.percent),
    ("test_loss", "Test loss", "{:.4f}".format),
    ("over_seeds", "Test accuracy over all stored seeds", str),
    ("report_accuracy", "The report's test accuracy", text.percent),
    ("parameters", "Parameters", text.count),
    ("operations", "Multiply-adds a picture", text.count),
    ("seconds", "Training time", text.duration),
)


def main(address_moved: bool) -> None:
    st.title("Compare")
    there: dict[str, RunDir] = {}
    specs: dict[str, RunSpec] = {}
    for run, spec in runs.readable([*registry.runs(), *registry.models(), *registry.without_weights()]):
        there.setdefault(run.id, run)  # of one name, the run of this machine counts
        specs.setdefault(run.id, spec)
    if not there:
        st.info("There is nothing to compare yet: train one design, then another.", icon=":material/compare_arrows:")
        controls.link("train", "Train a first one", icon=":material/play_circle:")
        return
    begin(there, specs, address_moved)
    if present.is_on():  # the curves are what the last row came for
        with st.expander("Runs and models", expanded=not st.session_state[_KEY]):
            stories.show(there, _KEY, _into_address)
            chosen = choose(there, specs)
    else:
        stories.show(there, _KEY, _into_address)
        chosen = choose(there, specs)
    stories.moral(there, chosen)
    if not chosen:
        st.info("Choose two runs or models above.", icon=":material/compare_arrows:")
        return
    suggest_parent(chosen, specs)
    names = called(chosen, there, specs)
    histories = {key: there[key].history() for key in chosen}
    show_curves({names[key]: histories[key] for key in chosen})
    stored = {row.name: row for row in results.rows()}
    summaries = {
        names[key]: runs.summary(specs[key], histories[key], there[key].card())
        | {"over_seeds": _over_seeds(stored.get(key)) if _shipped(there[key]) else None}
        for key in chosen
    }
    show_differences([specs[key] for key in chosen], list(names.values()))
    show_figures(summaries)
    over_seeds = {names[key]: stored[key].effect for key in chosen if _shipped(there[key]) and key in stored}
    places = {names[key]: there[key] for key in chosen}
    effects.show({names[key]: specs[key] for key in chosen}, summaries, over_seeds,
                 lambda a, b: confusions.paired(places[a], places[b]))  # fmt: skip
    download({names[key]: histories[key] for key in chosen}, summaries)
    again.offer(again.missing([there[key] for key in chosen if _weightless(there[key])]))


def called(chosen: Sequence[str], there: Mapping[str, RunDir], specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """A name for each id, all different: what ships has one already."""
    shipped = [key for key in chosen if _shipped(there[key])]
    own = runs.names({key: specs[key] for key in chosen if key not in shipped})
    yours = {key: ", yours" if specs[key].name in shipped else "" for key in own}
    return {key: f"{own[key]}{yours[key]}" if key in own else key for key in chosen}


def begin(there: Mapping[str, RunDir], specs: Mapping[str, RunSpec], address_moved: bool) -> None:
    """The ids picked at first: those of the address, `?runs=a,b`; without any, the newest runs or models."""
    asked, chosen = st.query_params.get("runs"), None if address_moved else st.session_state.get(_KEY)
    if asked is None:
        default = [] if chosen is not None else _first_choice(there, specs)
    else:
        wanted = list(dict.fromkeys(key for key in asked.split(",") if key))
        default = [key for key in wanted if key in there][:AT_MOST]
        if gone := [key for key in wanted if key not in there]:
            st.warning(f"Not here: {text.plain(', '.join(gone))}.", icon=":material/link_off:")
    # On later runs a person's choice stands, less what was deleted meanwhile on another page.
    st.session_state[_KEY] = [key for key in (default if chosen is None else chosen) if key in there]


def choose(there: Mapping[str, RunDir], specs: Mapping[str, RunSpec]) -> list[str]:
    """The ids picked, kept in the address."""
    return st.multiselect(
        "Runs and models", list(there), key=_KEY, max_selections=AT_MOST, format_func=options(there, specs).__getitem__,
        select_all=False, on_change=_into_address, placeholder="Choose runs and models",
    )  # fmt: skip


def options(there: Mapping[str, RunDir], specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """What each id is called in the list."""
    return text.told_apart({key: _option(run, specs[key]) for key, run in there.items()})


def _first_choice(there: Mapping[str, RunDir], specs: Mapping[str, RunSpec]) -> list[str]:
    """The newest run that has begun and the one before it on the same pictures; without any, the first story."""
    begun = [key for key, run in there.items() if not _shipped(run) and run.history()]
    if begun:
        return [key for key in begun if specs[key].data.name == specs[begun[0]].data.name][:2]
    return next((list(story.models) for story in stories.complete(there)), list(there)[:2])


def _into_address() -> None:
    st.query_params["runs"] = ",".join(st.session_state[_KEY])


def suggest_parent(chosen: Sequence[str], specs: Mapping[str, RunSpec]) -> None:
    """One click to the step before, for the first choice whose parent in the catalogue is not beside it."""
    if present.is_on() or len(chosen) >= AT_MOST:
        return
    beside = {runs.kind(specs[key]) for key in chosen}
    for key in chosen:
        name, pictures, backbone = runs.kind(specs[key])
        parent = effects.parent_of(specs[key])
        if parent is None or (parent, pictures, backbone) in beside:
            continue
        found = next((k for k, spec in specs.items() if runs.kind(spec) == (parent, pictures, backbone)), None)
        if not found and backbone:
            continue  # the address of a training holds no backbone
        if found:
            st.button(f"Add {parent}, the step before {name}", icon=":material/add:", type="tertiary",
                      on_click=_add, args=(found,))  # fmt: skip
        else:
            controls.link("train", f"Train {parent}, the step before {name}",
                          {address.FROM: parent, "data": pictures}, icon=":material/play_circle:")  # fmt: skip
        return


def _add(key: str) -> None:
    """Once, also where the button is clicked twice before it is gone."""
    st.session_state[_KEY] = list(dict.fromkeys([*st.session_state[_KEY], key]))[:AT_MOST]
    _into_address()


def _shipped(run: RunDir) -> bool:
    return models_dir().resolve() in run.path.resolve().parents


def _weightless(run: RunDir) -> bool:
    """Whether it ships as card and curves alone."""
    return _shipped(run) and not run.file("weights.npz").is_file()


def _option(run: RunDir, spec: RunSpec) -> str:
    """ "basenet · shipped · cifar100-25" or "basenet (Pooling: average) · drawn · seed 0 · 24 Nov 14:03 · running"."""
    if _shipped(run):
        return f"{run.id} · {'card and curves' if _weightless(run) else 'shipped'} · {spec.data.name}"
    status = run.status()
    state = "" if status["state"] == "finished" else f" · {status['state']}"
    return f"{controls.line(spec, status)}{state}"


def show_curves(histories: Mapping[str, Sequence[runs.Row]]) -> None:
    if not any(whole_epochs(history) for history in histories.values()):
        st.info("No epoch has ended yet, so there is no curve to draw.", icon=":material/hourglass_empty:")
        return
    curves.several(histories)


def show_differences(specs: Sequence[RunSpec], names: Sequence[str]) -> None:
    st.subheader("What differs")
    rows = runs.differences(specs)
    if len(specs) < 2:
        st.caption("Choose a second run or model to see in what they differ.")
    elif not rows:
        st.caption("Nothing: the same design, pictures and seed.")
    else:
        table = {"Setting": [row["setting"] for row in rows]}
        st.table({**table, **{name: [row[str(i)] for row in rows] for i, name in enumerate(names)}}, hide_index=True)


def _over_seeds(row: Row | None) -> str | None:
    """ "56.2 % ± 2.4, 3 seeds" where a catalogue's entry has several."""
    if row is None or row.accuracy is None or row.accuracy.deviation is None:
        return None
    spread = 100 * row.accuracy.deviation
    return f"{text.percent(row.accuracy.mean)} ± {spread:.1f}, {row.accuracy.n} seeds"


def show_figures(summaries: Mapping[str, Mapping[str, Any]]) -> None:
    st.subheader("Figures")
    shown = [row for row in _FIGURES if any(summary[row[0]] is not None for summary in summaries.values())]
    table = {"": [words for _, words, _ in shown]}
    for name, summary in summaries.items():
        table[name] = [
            "–" if summary[key] is None else write(summary[key]) + _beside(summary, key) for key, _, write in shown
        ]
    st.table(table, hide_index=True)
    st.caption(f"{curves.TRAINING}, so the gap can be below 0.")
    if any(summary["test_accuracy"] is None for summary in summaries.values()):
        st.caption("Test figures stand here once they were taken, by the button on the run's own page.")


def _beside(summary: Mapping[str, Any], key: str) -> str:
    """What a figure is of, where it is not what one would think."""
    if summary["on_gpu"] and key == "seconds":
        return " on a GPU"
    return ", head alone" if summary["head_only"] and key in ("parameters", "operations") else ""


def download(histories: Mapping[str, Sequence[runs.Row]], summaries: Mapping[str, Mapping[str, Any]]) -> None:
    if present.is_on():
        return
    figures = [{"run": name, **summary} for name, summary in summaries.items()]
    curves = [{"run": name, **row} for name, history in histories.items() for row in whole_epochs(history)]
    left, right, _ = st.columns([1, 1, 3])
    for column, what, rows in ((left, "figures", figures), (right, "curves", curves)):
        column.download_button(
            f"{what.capitalize()} as CSV", as_csv(rows), f"plumage-{what}.csv", "text/csv",
            icon=":material/download:", on_click="ignore", width="stretch", disabled=not rows,
        )  # fmt: skip


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, a column for every key that occurs."""
    out = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


with controls.kept(_KEY, "runs") as moved:
    main(moved)
