"""One run on the Train page: live curves, what can be done with it, test figures; and the list of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from math import sqrt
from typing import Any

import streamlit as st

from pages.shared import again, controls, curves, figures, jobs, plan, present, runs, text
from training import address, registry
from training.queue import launcher
from training.rundir import RunDir, RunError
from training.spec import RunSpec
from training.status import ACTIVE

SECONDS_BETWEEN_REDRAWS = 1.0
SECONDS_BETWEEN_LISTS = 3.0
SECONDS_TO_BEGIN = 0.5  # between two looks whether the first point is there,
BEGINNING = 20.0  # for so many seconds
SHOWN, FOLDED, PRESENTED = 8, 60, 3  # runs in the list, with those that are folded away, and in a presentation
CSS = """[class*="st-key-run-"] button, [class*="st-key-run-"] button * {text-align: left; justify-content: flex-start;}"""
ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/play_circle:",
    "stopped": ":material/pause_circle:",
    "finished": ":material/check_circle:",
    "failed": ":material/error:",
}


def show(run: RunDir) -> None:
    """The page of one run, in whatever state it is; it polls while there is something to wait for."""
    seen = _now(run)
    state, busy, soon = seen
    polls = SECONDS_TO_BEGIN if soon else SECONDS_BETWEEN_REDRAWS if state in ACTIVE or busy else None
    st.fragment(body, run_every=polls)(run, seen)
    others(run)


def _now(run: RunDir) -> tuple[str, bool, bool]:
    """What decides what the page holds: the run's state, whether it is being measured, whether its first point may come
    at any moment."""
    status = run.status()
    state = status["state"]
    since = status.get("started" if state == "running" else "queued") or 0.0
    soon = state in ACTIVE and not run.begun() and time.time() - since < BEGINNING
    return state, jobs.running("evaluate", registry.called(run)), soon


def body(run: RunDir, seen: tuple[str, bool, bool]) -> None:
    """All of one run, redrawn alone while it goes on.  Once its state is another, the whole page is, and polling ends."""
    if _now(run) != seen or not run.file("spec.json").is_file():  # changed, or deleted in another tab
        st.rerun()
    state, busy, _ = seen
    spec, status, history = run.spec(), run.status(), run.history()
    st.subheader(controls.title(spec, limit=10), anchor=False)
    st.caption(_facts(spec))
    progress(status, spec)
    if history or state in ACTIVE:  # empty at first: the browser loads what draws charts while the network is built
        curves.one(history)
    if history:
        figures_of(spec, history)
    buttons(run, spec, state)
    if state == "finished":
        test_figures(run, spec, busy)


def _facts(spec: RunSpec) -> str:
    fit = spec.fit
    end = f"at most {text.duration(60 * fit.minutes)}" if fit.minutes else text.plural(fit.max_epochs, "epoch")
    stopping = f", early stopping after {fit.early_stopping.patience} epochs without gain" if fit.early_stopping else ""
    return f"{text.data_title(spec.data.name)} · {end}{stopping} · seed {fit.seed}"


def progress(status: dict[str, Any], spec: RunSpec) -> None:
    """One line on where the run stands, above a bar while it goes on."""
    state, left = status["state"], status.get("eta_seconds")
    elapsed = status.get("elapsed_seconds") or 0.0
    if state == "queued":
        waits = False
        with suppress(RunError):  # no process could be started for it just now: the next look tries again
            waits = any(other.status()["state"] == "running" for other in launcher.queue())
        st.progress(0.0, "Waiting: another training is running." if waits else "Starting …")
    elif state == "running" and not elapsed:
        st.progress(0.0, f"{status.get('message') or 'Starting'} …")
    elif state == "running":
        most = "at most " if spec.fit.early_stopping and not spec.fit.minutes else ""
        told = f" · {most}{text.duration(left)} left" if left is not None else ""
        share = elapsed / (elapsed + left) if left is not None else 0.0
        st.progress(min(share, 1.0), f"{_place(status, spec)}{told}")
    elif state == "failed":
        told = status.get("message") or "The training failed; log.txt in its directory says more."
        st.error(text.plain(told), icon=ICONS[state])
    else:
        st.markdown(f"{ICONS[state]} **{state.capitalize()}** · {_place(status, spec)} · {text.duration(elapsed)}")
        if status.get("message"):
            st.caption(text.plain(status["message"]))


def _place(status: dict[str, Any], spec: RunSpec) -> str:
    """ "Epoch 3 of 27, step 88 of 176" of a run under way or cut off, "27 epochs" of a finished one."""
    epoch, step, steps = status.get("epoch", 0), status.get("step", 0), status.get("steps_per_epoch")
    if status["state"] == "finished" or not steps:
        done = epoch + (step / steps if steps else 0)
        return f"{text.epochs(done)} epoch{'' if done == 1 else 's'}"
    return f"Epoch {min(epoch + 1, spec.fit.max_epochs)} of {spec.fit.max_epochs}, step {step} of {steps}"


def figures_of(spec: RunSpec, history: list[dict[str, Any]]) -> None:
    top, least = runs.kept(spec, history), runs.best(history)
    if top is None or least is None:
        return
    why = "lowest validation loss" if spec.fit.early_stopping else "the last"
    if top["epoch"] != least["epoch"]:
        why += f"; lowest loss at {text.epochs(least['epoch'])}"
    there = f"at epoch {text.epochs(top['epoch'])}"
    gap = f"Training less validation accuracy. {curves.TRAINING}, so the gap can be below 0."
    figures.show([
        figures.Card("Epoch kept", text.epochs(top["epoch"]), why),
        figures.Card("Validation accuracy", text.percent(top["val_accuracy"]), there),
        figures.Card("Validation loss", f"{top['val_loss']:.3f}", there),
        figures.Card("Overfitting gap", f"{text.signed(100 * (top['accuracy'] - top['val_accuracy']))} points", there, gap),
    ])  # fmt: skip


def buttons(run: RunDir, spec: RunSpec, state: str) -> None:
    """What can be done with the run in its state; in a presentation, what leads on from it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if state in ACTIVE:
            st.button("Stop", icon=":material/stop:", on_click=_do, args=(launcher.stop, run, ACTIVE))
            controls.refusal()
            return
        # What failed may fail again, until its design is changed: so going on is not the first thing to do.
        if state != "finished":
            st.button(
                "Resume", type="primary" if state == "stopped" else "secondary", icon=":material/play_arrow:",
                on_click=_do, args=(launcher.resume, run, ("stopped", "failed")),
            )  # fmt: skip
        controls.link("compare", "Compare", {"runs": ",".join(beside(run, spec))}, icon=":material/stacked_line_chart:")
        if state == "finished":
            controls.link("classify", "Classify with it", {"run": registry.called(run)}, icon=":material/image_search:")
        if present.is_on():
            controls.refusal()
            return
        st.button("Train this design again", type="tertiary", icon=":material/replay:", on_click=_again, args=(spec,))
        if address.in_address(spec):
            controls.link("design", "Change the design", address.to_query(spec), icon=":material/architecture:")
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown("The run, its curves and its weights are deleted for good.")
            st.button("Delete for good", type="primary", on_click=_do, args=(launcher.delete, run, (state,)))
    controls.refusal()


def beside(run: RunDir, spec: RunSpec) -> list[str]:
    """The run and what ships of its design and of that one's parent, of a head on the same backbone: where a comparison
    begins."""
    entry = runs.entry(spec)
    related = [name for name in (entry.name, entry.parent) if name] if entry else []
    heads = [(name, spec.data.name, spec.data.backbone) for name in related if spec.data.backbone]
    models = runs.readable(registry.models())
    return [run.id, *(m.id for m, other in models if (runs.kind(other) in heads if heads else m.id in related))]


def _visit(query: dict[str, str]) -> None:
    """Show another state of this page: its address is all there is to it."""
    st.query_params.from_dict(present.query(query))
    st.rerun()


def _again(spec: RunSpec) -> None:
    """Prepare another training of the design; where no address holds it, begin it."""
    if address.in_address(spec):
        st.query_params.from_dict(present.query(plan.query(spec)))
    else:
        again.begin(spec)


def _do(action: Callable[[RunDir], object], run: RunDir, states: tuple[str, ...]) -> None:
    """Act on a run, once: a click that comes after the state has changed does nothing.

    A callback, so that a click counts also where the page is about to be drawn anew; it is then drawn as things are.
    """
    try:
        if run.status()["state"] not in states:
            return
        action(run)
    except (RunError, OSError) as error:
        controls.refuse(str(error))
    else:
        if action is launcher.delete:
            st.toast("The run is deleted.", icon=":material/delete:")
            st.query_params.from_dict(present.query({}))


def test_figures(run: RunDir, spec: RunSpec, busy: bool) -> None:
    """The test figures beside the report's and what differs, or the button that takes them, once."""
    st.subheader("On the test pictures", anchor=False)
    card = run.card() or {}
    measured = (card.get("figures") or {}).get("test")
    if measured is None:
        st.markdown(
            "Not measured yet. The test pictures play no part in training or choosing: measure when you are done."
        )
        st.button("Measuring …" if busy else "Measure on the test pictures", icon=":material/fact_check:",
                  disabled=busy, key="measure", on_click=jobs.start, args=("evaluate", registry.called(run)))  # fmt: skip
        if problem := jobs.problem("evaluate", registry.called(run)):
            st.error(f"The run could not be measured. {text.plain(problem)}", icon=":material/error:")
        return
    entry, pictures, accuracy = runs.entry(spec), measured["pictures"], measured["accuracy"]
    error = sqrt(accuracy * (1 - accuracy) / pictures)
    cards = [
        figures.Card("Test accuracy", text.percent(accuracy), f"± {100 * error:.1f} (standard error) on {pictures:,} pictures",
                     "One standard error: what the choice of the test pictures alone does to the figure"),
        figures.Card("Test loss", f"{measured['loss']:.4f}"),
    ]  # fmt: skip
    if rest := measured.get("without_near_duplicates"):
        cards.append(figures.Card(
            "Without near-duplicates", text.percent(rest["accuracy"]), f"on {rest['pictures']:,} pictures",
            "Accuracy without the test pictures of which nearly the same one is among the training pictures",
        ))  # fmt: skip
    if both := measured.get("with_flips"):
        cards.append(figures.Card("With mirror images", text.percent(both["accuracy"]), f"on {both['pictures']:,} pictures",
                                  "Accuracy of the mean answer for each picture and its mirror image"))  # fmt: skip
    if entry is None or entry.report.accuracy is None or entry.spec.data.name != spec.data.name:
        figures.show(cards)
        elsewhere = f" on {text.data_title(spec.data.name)}" if entry and entry.report.accuracy is not None else ""
        st.caption(f"The report gives no figures for {spec.name}{elsewhere}.")
        return
    cards += [
        figures.Card("The report's accuracy", text.percent(entry.report.accuracy), entry.name),
        figures.Card("The report's loss", f"{entry.report.loss:.4f}", entry.name),
    ]
    figures.show(cards)
    if apart := plan.apart_from_report(spec, card["figures"].get("epochs") or 0):
        st.markdown(f"What differs from the report's run: {'; '.join(apart)}.")


def others(current: RunDir | None) -> None:
    """The runs there are, redrawn alone while one of them is under way."""
    found = _rows(current)
    if any(status["state"] in ACTIVE for *_, status in found):
        st.fragment(lambda: _others(current, _rows(current)), run_every=SECONDS_BETWEEN_LISTS)()
    else:
        _others(current, found)


def _rows(current: RunDir | None) -> list[tuple[RunDir, RunSpec, dict[str, Any]]]:
    """All runs but `current`, the newest first."""
    specs = runs.readable(registry.runs())
    return [(run, spec, run.status()) for run, spec in specs if current is None or run.id != current.id]


def _others(current: RunDir | None, found: list[tuple[RunDir, RunSpec, dict[str, Any]]]) -> None:
    """Those under way first, then the newest; in a presentation only a few."""
    if not found:
        return
    st.subheader("Runs" if current is None else "Other runs", anchor=False)
    found.sort(key=lambda row: row[2]["state"] not in ACTIVE)  # stable: newest first within each
    _links(found[: PRESENTED if present.is_on() else SHOWN])
    if present.is_on():
        return
    if older := found[SHOWN:FOLDED]:
        with st.expander(f"{len(older)} older"):
            _links(older)
    if len(found) > FOLDED:
        controls.link("compare", f"All {len(found)} runs are on Compare", icon=":material/stacked_line_chart:")


def _links(rows: list[tuple[RunDir, RunSpec, dict[str, Any]]]) -> None:
    for run, spec, status in rows:
        label = f"{controls.line(spec, status)} · {status['state']}"
        if st.button(label, key=f"run-{run.id}", type="tertiary", icon=ICONS[status["state"]]):
            _visit({"run": run.id})
