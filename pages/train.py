"""Train: launch a training of the design in the address, watch it live, stop it, go on, measure it.

The address says what the page shows: `?run=ID` is one run, without it a new one is prepared.
Runs are processes of their own (see `training.launcher`), so nothing here is lost on a reload.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import sqrt
from typing import Any

import streamlit as st

from pages.shared import controls, curves, figures, measure, plan, present, runs, text
from training import cost, data, launcher, rundir, toggles
from training.paths import runs_dir
from training.rundir import RunDir, RunError
from training.spec import RunSpec

ACTIVE = ("queued", "running")
SECONDS_BETWEEN_REDRAWS = 1.0
SHOWN, FOLDED = 8, 60  # runs in the list, and with those that are folded away
_PROBLEM = "train-problem"
_CSS = """[class*="st-key-run-"] button, [class*="st-key-run-"] button * {text-align: left; justify-content: flex-start;}"""
ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/play_circle:",
    "stopped": ":material/pause_circle:",
    "finished": ":material/check_circle:",
    "failed": ":material/error:",
}


# --- A new training ---------------------------------------------------------------------------


def prepare() -> None:
    """The page without a run in the address: say what will be trained, for how long, and start it."""
    design = controls.design()
    controls.remember(design)
    entry, changed = controls.base_of(design), controls.changes(design)
    left, right = st.columns([4, 1], vertical_alignment="center")
    with left:
        what = f"**{entry.name}** · {entry.why}" if not changed else f"**{entry.name}**, changed: {'; '.join(changed)}."
        st.markdown(f"To be trained: {what}")
    with right:
        controls.link("design", "Change the design", toggles.to_query(design), icon=":material/architecture:")

    here = [info for info in data.status() if info.picture_size == design.network.input_shape and info.available]
    one, two, three, four = st.columns(4)
    with one:
        names = [info.name for info in here]
        asked = st.query_params.get("data", design.data.name)
        info = st.selectbox(
            "Pictures", here, index=names.index(asked) if asked in names else 0, key="train-data",
            format_func=lambda info: info.title, on_change=_into_address, args=("train-data", "data"),
        )  # fmt: skip
    with two:
        by_epochs = "run_epochs" in st.query_params
        way = st.segmented_control(
            "Ends by", ["time", "epochs"], default="epochs" if by_epochs else "time", required=True, key="train-way",
            on_change=_way_into_address, args=(design,),
        )  # fmt: skip
    minutes, epochs = None, None
    with three:
        if way == "epochs":
            epochs = st.number_input(
                "Epochs", 1, 10_000, _asked("run_epochs", design.fit.max_epochs, 1, 10_000), key="train-epochs",
                on_change=_into_address, args=("train-epochs", "run_epochs"),
            )  # fmt: skip
        else:
            minutes = st.number_input(
                "Minutes", 0.1, 10_000.0, _asked("minutes", 1.0, 0.1, 10_000.0), step=1.0, format="%g",
                key="train-minutes", on_change=_into_address, args=("train-minutes", "minutes"),
            )  # fmt: skip
    with four:
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, _asked("seed", design.fit.seed, 0, 2**31 - 1), key="train-seed",
            help="All chance in a training comes from this number: the first weights, the order of the pictures, "
            "what augmentation and dropout do. The same seed gives the same run.",
            on_change=_into_address, args=("train-seed", "seed"),
        )  # fmt: skip
    st.caption(f"{info.title}: {_pictures(info)}")
    spec = plan.planned(design, info.name, info.classes, seed, minutes=minutes, epochs=epochs)
    estimate = cost.estimate(spec, info.train, info.validation)
    st.markdown(plan.outlook(spec, estimate))
    st.button("Start training", type="primary", icon=":material/play_arrow:", on_click=_start, args=(spec,))
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.error(problem, icon=":material/error:")
    if not present.is_on():
        st.caption(
            f"It runs as a process of its own: close this page or the app, and it goes on. Time {estimate.basis}."
        )
        _missing([info for info in data.status() if not info.available])
    others(None)
    with suppress(RunError, OSError):  # a start is then slower, and says itself what is wrong
        launcher.keep_warm()


def _into_address(key: str, parameter: str) -> None:
    value = st.session_state[key]
    st.query_params[parameter] = (
        value.name if parameter == "data" else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _way_into_address(design: RunSpec) -> None:
    if st.session_state["train-way"] == "epochs":
        st.query_params["run_epochs"] = str(design.fit.max_epochs)
    elif "run_epochs" in st.query_params:
        del st.query_params["run_epochs"]


def _asked(parameter: str, default: Any, low: Any, high: Any) -> Any:
    """A number of the address as the type of `default`; `default` where it is none or out of bounds."""
    try:
        value = type(default)(st.query_params[parameter])
    except (KeyError, ValueError):
        return default
    return value if low <= value <= high else default


def _pictures(info: data.DataInfo) -> str:
    return (
        f"{text.plural(info.classes, 'class', 'classes')}, {info.train:,} pictures to train on, "
        f"{info.validation:,} for validation, {info.test:,} for the test."
    )


def _missing(infos: list[data.DataInfo]) -> None:
    if infos:
        with st.expander("More pictures"):
            for info in infos:
                st.markdown(f"{info.title} ({_pictures(info)[:-1]}) is not here yet. This gets it:")
                st.code(info.how, language="bash")


def _start(spec: RunSpec) -> None:
    """Submit the training and show it; the same one, if it is waiting or running already: no second by a second click."""
    try:
        twins = (run for run in rundir.runs() if run.status()["state"] in ACTIVE and run.spec() == spec)
        run = next(twins, None) or launcher.submit(spec)
    except (RunError, OSError) as error:
        st.session_state[_PROBLEM] = f"The training could not be started. {error}"
        return
    st.query_params["run"] = run.id


# --- One run ----------------------------------------------------------------------------------


def show(run: RunDir) -> None:
    """The page of one run, in whatever state it is; it polls while there is something to wait for."""
    seen = _now(run)
    polls = SECONDS_BETWEEN_REDRAWS if seen[0] in ACTIVE or seen[1] else None
    st.fragment(body, run_every=polls)(run, seen)
    others(run)


def _now(run: RunDir) -> tuple[str, bool]:
    """(the run's state, whether it is being measured): what decides what the page holds."""
    return run.status()["state"], measure.under_way(run.path)


def body(run: RunDir, seen: tuple[str, bool]) -> None:
    """All of one run, redrawn alone while it goes on.  Once its state is another, the whole page is, and polling ends."""
    if _now(run) != seen:
        st.rerun()
    state, busy = seen
    spec, status, history = run.spec(), run.status(), run.history()
    st.subheader(controls.title(spec, limit=10), anchor=False)
    st.caption(_facts(spec))
    progress(status, spec)
    if history or state == "running":  # an empty chart at first, so that nothing jumps
        curves.one(history)
        figures_of(history)
    buttons(run, spec, state)
    if state == "finished":
        test_figures(run, spec, busy)


def _facts(spec: RunSpec) -> str:
    fit = spec.fit
    end = f"at most {text.duration(60 * fit.minutes)}" if fit.minutes else text.plural(fit.max_epochs, "epoch")
    stopping = f", early stopping after {fit.early_stopping.patience} epochs without gain" if fit.early_stopping else ""
    return f"{data.info(spec.data.name).title} · {end}{stopping} · seed {fit.seed}"


def progress(status: dict[str, Any], spec: RunSpec) -> None:
    """One line on where the run stands, above a bar while it goes on."""
    state, left = status["state"], status.get("eta_seconds")
    elapsed = status.get("elapsed_seconds") or 0.0
    if state == "queued":
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
        st.error(status.get("message") or "The training failed; log.txt in its directory says more.", icon=ICONS[state])
    else:
        st.markdown(f"{ICONS[state]} **{state.capitalize()}** · {_place(status, spec)} · {text.duration(elapsed)}")
        if status.get("message"):
            st.caption(status["message"])


def _place(status: dict[str, Any], spec: RunSpec) -> str:
    """ "Epoch 3 of 27, step 88 of 176" of a run under way or cut off, "27 epochs" of a finished one."""
    epoch, step, steps = status.get("epoch", 0), status.get("step", 0), status.get("steps_per_epoch")
    if status["state"] == "finished" or not steps:
        done = epoch + (step / steps if steps else 0)
        return f"{done:.3g} epoch{'' if done == 1 else 's'}"
    return f"Epoch {min(epoch + 1, spec.fit.max_epochs)} of {spec.fit.max_epochs}, step {step} of {steps}"


def figures_of(history: list[dict[str, Any]]) -> None:
    top = runs.best(history)
    if top is None:
        return
    gap = (
        "Training less validation accuracy. Training accuracy is measured while the weights still change, with dropout "
        "and augmentation on where the design has them, so the gap can be below 0."
    )
    figures.show([
        figures.Card("Best epoch", f"{top['epoch']:.3g}", "lowest validation loss"),
        figures.Card("Validation accuracy", text.percent(top["val_accuracy"]), "there"),
        figures.Card("Validation loss", f"{top['val_loss']:.3f}", "there"),
        figures.Card("Overfitting gap", f"{text.signed(100 * (top['accuracy'] - top['val_accuracy']))} points", "there", gap),
    ])  # fmt: skip


def buttons(run: RunDir, spec: RunSpec, state: str) -> None:
    """What can be done with the run in its state."""
    if present.is_on() and state not in ACTIVE:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if state in ACTIVE:
            if st.button("Stop", icon=":material/stop:"):
                _do(launcher.stop, run, ACTIVE)
            return
        # What failed may fail again, until its design is changed: so going on is not the first thing to do.
        if state != "finished" and st.button(
            "Resume", type="primary" if state == "stopped" else "secondary", icon=":material/play_arrow:"
        ):
            _do(launcher.resume, run, ("stopped", "failed"))
        controls.link("compare", "Compare", {"runs": ",".join(beside(run, spec))}, icon=":material/stacked_line_chart:")
        if state == "finished":
            controls.link("classify", "Classify with it", {"run": run.id}, icon=":material/image_search:")
        if st.button("Train this design again", type="tertiary", icon=":material/replay:"):
            _visit(toggles.to_query(spec))
        controls.link("design", "Change the design", toggles.to_query(spec), icon=":material/architecture:")
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown("The run, its curves and its weights are deleted for good.")
            if st.button("Delete for good", type="primary"):
                _do(launcher.delete, run, (state,))
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.error(problem, icon=":material/error:")


def beside(run: RunDir, spec: RunSpec) -> list[str]:
    """The run and what ships of its design and of that one's parent: where a comparison begins."""
    related = (spec.name, controls.base_of(spec).parent)
    return [run.id, *(model.id for model in rundir.models() if model.id in related)]


def _visit(query: dict[str, str]) -> None:
    """Show another state of this page: its address is all there is to it."""
    st.query_params.from_dict(present.query(query))
    st.rerun()


def _do(action: Callable[[RunDir], object], run: RunDir, states: tuple[str, ...]) -> None:
    """Act on a run, once: a click that comes after the state has changed does nothing."""
    try:
        if run.status()["state"] in states:
            action(run)
    except (RunError, OSError) as error:
        st.session_state[_PROBLEM] = str(error)
    else:
        if action is launcher.delete:
            st.toast("The run is deleted.", icon=":material/delete:")
            _visit({})
    st.rerun()


def test_figures(run: RunDir, spec: RunSpec, busy: bool) -> None:
    """The test figures beside the report's and what differs, or the button that takes them, once."""
    st.subheader("On the test pictures", anchor=False)
    card = run.card() or {}
    measured = (card.get("figures") or {}).get("test")
    if measured is None:
        st.markdown(
            "Not measured yet. The test pictures play no part in training or choosing: measure when you are done."
        )
        if st.button("Measuring …" if busy else "Measure on the test pictures", icon=":material/fact_check:",
                     disabled=busy, key="measure"):  # fmt: skip
            measure.start(run.path)
            st.rerun()
        if problem := measure.problem(run.path):
            st.error(f"The run could not be measured. {problem}", icon=":material/error:")
        return
    entry, pictures, accuracy = controls.base_of(spec), measured["pictures"], measured["accuracy"]
    error = sqrt(accuracy * (1 - accuracy) / pictures)
    theirs = entry.report
    figures.show([
        figures.Card("Test accuracy", text.percent(accuracy), f"± {100 * error:.1f} on {pictures:,} pictures",
                     "One standard error: what the choice of the test pictures alone does to the figure"),
        figures.Card("Test loss", f"{measured['loss']:.4f}"),
        *([figures.Card("The report's accuracy", text.percent(theirs.accuracy), entry.name),
           figures.Card("The report's loss", f"{theirs.loss:.4f}", entry.name)] if theirs.accuracy else []),
    ])  # fmt: skip
    apart = plan.apart_from_report(spec, card["figures"].get("epochs") or 0)
    if theirs.accuracy is None:
        st.caption(f"The report gives no figures for {entry.name}.")
    elif apart:
        st.markdown(f"What differs from the report's run: {'; '.join(apart)}.")


def others(current: RunDir | None) -> None:
    """The runs there are: those under way first, then the newest."""
    if present.is_on():
        return
    found = [(run, run.spec(), run.status()) for run in rundir.runs() if current is None or run.id != current.id]
    if not found:
        return
    st.subheader("Runs" if current is None else "Other runs", anchor=False)
    found.sort(key=lambda row: row[2]["state"] not in ACTIVE)  # stable: newest first within each
    _links(found[:SHOWN])
    if older := found[SHOWN:FOLDED]:
        with st.expander(f"{len(older)} older"):
            _links(older)
    if len(found) > FOLDED:
        controls.link("compare", f"All {len(found)} runs are on Compare", icon=":material/stacked_line_chart:")


def _links(rows: list[tuple[RunDir, RunSpec, dict[str, Any]]]) -> None:
    for run, spec, status in rows:
        when = datetime.fromtimestamp(status.get("created", 0)).strftime("%d %b %H:%M")
        label = f"{controls.title(spec)} · {spec.data.name} · {when} · {status['state']}"
        if st.button(label, key=f"run-{run.id}", type="tertiary", icon=ICONS[status["state"]]):
            _visit({"run": run.id})


def own_run(name: str) -> RunDir:
    """The run of the address; raises `RunError` for anything but a whole run of this app's own folder."""
    run = rundir.find(name)
    if run.path.resolve().parent != runs_dir().resolve():
        raise RunError(f"There is no run {name!r} here; it may have been deleted.")
    run.spec()
    return run


def main() -> None:
    st.html(f"<style>{figures.CSS}{_CSS}</style>")
    st.title("Train")
    asked = st.query_params.get("run")
    if asked is None:
        prepare()
        return
    try:
        run = own_run(asked)
    except RunError as error:
        st.warning(str(error), icon=":material/search_off:")
        controls.link("train", "Prepare a new training", controls.design_query(), icon=":material/add:")
        others(None)
        return
    show(run)


main()
