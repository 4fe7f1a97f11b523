"""Train: launch a training of the design in the address, watch it live, stop it, go on, measure it.

The address says what the page shows: `?run=ID` is one run, without it a new one is prepared.
Runs are processes of their own (see `training.queue.launcher`), so nothing here is lost on a reload.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import streamlit as st

from pages.shared import controls, figures, jobs, plan, present, run, text
from training import address, cost, data, registry
from training.paths import python, runs_dir
from training.queue import launcher
from training.rundir import RunDir, RunError
from training.spec import RunSpec

EPOCHS, MINUTES = (1, 10_000), (0.1, 10_000.0)
FIELDS = ("train-data", "train-way", "train-minutes", "train-epochs", "train-seed")


def prepare(address_moved: bool) -> None:
    """The page without a run in the address: say what will be trained, for how long, and start it.

    The fields are as the address says when the page is come to and, `address_moved`, after the browser's Back.
    """

    def begin(key: str, value: Any, otherwise: Any) -> Any:
        """The value a field begins with; one that stands already is set, as Streamlit passes over another beginning."""
        if not address_moved:
            return value
        st.session_state[key] = value
        return otherwise

    design = controls.design()
    if design.data.backbone:
        of_command_line(design.name)
        return
    controls.remember(design)
    entry, changed = controls.base_of(design), controls.changes(design)
    left, right = st.columns([4, 1], vertical_alignment="center")
    with left:
        what = f"**{entry.name}** · {entry.why}" if not changed else f"**{entry.name}**, changed: {'; '.join(changed)}."
        st.markdown(f"To be trained: {what}")
    with right:
        controls.link("design", "Change the design", address.to_query(design), icon=":material/architecture:")

    here = [info for info in data.status() if info.picture_size == design.network.input_shape and info.available]
    one, two, three, four = st.columns(4)
    with one:
        names = [info.name for info in here]
        asked = st.query_params.get("data", design.data.name)
        place = names.index(asked) if asked in names else 0
        begin("train-data", here[place], None)
        info = st.selectbox(
            "Pictures", here, index=0 if address_moved else place, key="train-data", format_func=lambda info: info.title, on_change=_into_address, args=("train-data", "data"),
        )  # fmt: skip
    with two:
        by_epochs = "run_epochs" in st.query_params
        way = st.segmented_control(
            "Ends by", ["time", "epochs"], default=begin("train-way", "epochs" if by_epochs else "time", None),
            required=True, key="train-way", on_change=_way_into_address, args=(design,),
        )  # fmt: skip
    minutes, epochs = None, None
    with three:
        if way == "epochs":
            epochs = st.number_input(
                "Epochs", value=begin("train-epochs", _asked("run_epochs", design.fit.max_epochs, *EPOCHS), "min"), step=1,
                key="train-epochs", on_change=_into_address, args=("train-epochs", "run_epochs"),
            )  # fmt: skip
        else:
            minutes = st.number_input(
                "Minutes", value=begin("train-minutes", _asked("minutes", 1.0, *MINUTES), "min"), step=1.0, format="%g",
                key="train-minutes", on_change=_into_address, args=("train-minutes", "minutes"),
            )  # fmt: skip
    with four:
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, begin("train-seed", _asked("seed", design.fit.seed, 0, 2**31 - 1), "min"), key="train-seed",
            help="All chance in a training comes from this number: the first weights, the order of the pictures, "
            "what augmentation and dropout do. The same seed gives the same run.",
            on_change=_into_address, args=("train-seed", "seed"),
        )  # fmt: skip
    what, value, (low, high) = ("Epochs", epochs, EPOCHS) if way == "epochs" else ("Minutes", minutes, MINUTES)
    if (
        not low <= (value or 0) <= high
    ):  # told here: a field with bounds of its own keeps its last value, and Start would take it
        st.error(f"{what}: a number from {low:g} to {high:,g}.", icon=":material/block:")
        st.button("Start training", type="primary", icon=":material/play_arrow:", disabled=True)
        run.others(None)
        return
    if "data" in st.query_params and asked not in names:
        st.warning(f"The address asks for {_unfit(asked, design)}.", icon=":material/folder_off:")
    st.caption(f"{info.title}: {text.pictures(info)}.")
    spec, alone = plan.taught(plan.planned(design, info.name, info.classes, seed, minutes=minutes, epochs=epochs))
    if alone:
        st.info(text.plain(alone), icon=":material/school:")
    estimate = cost.estimate(spec, info.train, info.validation)
    st.markdown(f"{plan.outlook(spec, estimate)} {plan.memory(spec)}")
    # Not a callback: a field that was left by this very click has its new value only here.
    if st.button("Start training", type="primary", icon=":material/play_arrow:"):
        _start(spec)
        st.rerun()
    controls.refusal()
    if not present.is_on():
        st.caption(
            f"It runs as a process of its own: close this page or the app, and it goes on. Time {estimate.basis}."
        )
        _missing([info for info in data.status() if not info.available])
    run.others(None)
    with suppress(RunError, OSError):  # a start is then slower, and says itself what is wrong
        launcher.expect(spec)


def _unfit(name: str, design: RunSpec) -> str:
    """Pictures that the design cannot be trained on here, and why."""
    if name not in data.NAMES:
        return f"the pictures {text.plain(repr(name), 80)}, which Plumage does not know: it has {', '.join(data.NAMES)}"
    info = data.info(name)
    if not info.available:
        return f"{info.title}, which is not here yet"
    sizes = (" × ".join(map(str, shape[:2])) for shape in (info.picture_size, design.network.input_shape))
    return f"{info.title}, whose pictures are {next(sizes)} pixels, and this network takes {next(sizes)}"


def of_command_line(name: str) -> None:
    """A head on a pretrained network, which learns from that one's features: no design of these pages."""
    st.info(
        f"{controls.a_head(name)} It is trained from the command line, in Plumage's folder:", icon=":material/terminal:"
    )
    st.code(f"{python()} -m training fit {name}", language="bash", wrap_lines=True)
    controls.link("design", "Design a network", icon=":material/architecture:")
    run.others(None)


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
    """A number of the address as the type of `default`, the nearest that is possible; `default` where it is none."""
    try:
        value = type(default)(st.query_params[parameter])
    except (KeyError, ValueError):
        return default
    return min(max(value, low), high) if value == value else default  # not where it is "nan"


def _missing(infos: list[data.DataInfo]) -> None:
    if infos:
        with st.expander("More pictures"):
            for info in infos:
                st.markdown(
                    f"{info.title} ({text.pictures(info)}) is not here yet. This gets it, and so does the button:"
                )
                st.code(info.how, language="bash", wrap_lines=True)
                jobs.download(info)


def _start(spec: RunSpec) -> None:
    """Submit the training and show it; the same one, if it is waiting or running already: no second by a second click."""
    try:
        st.query_params["run"] = launcher.submit(spec).id
    except (RunError, OSError) as error:
        controls.refuse(f"The training could not be started. {error}")


def own_run(name: str) -> RunDir:
    """The run of the address; raises `RunError` for anything but a whole run of this app's own folder."""
    found = registry.find(name, paths=False)  # an address reaches no other folder
    if found.path.resolve().parent != runs_dir().resolve():
        raise RunError(f"There is no run {name!r} here; it may have been deleted.")
    found.spec()
    return found


def main() -> None:
    st.html(f"<style>{figures.CSS}{run.CSS}</style>")
    st.title("Train")
    asked = st.query_params.get("run")
    if asked is None:
        with controls.kept(FIELDS[0], "data", "minutes", "run_epochs", "seed", others=FIELDS[1:]) as moved:
            prepare(moved)
        return
    try:
        found = own_run(asked)
    except RunError as error:
        st.warning(text.plain(str(error)), icon=":material/search_off:")
        controls.link("train", "Prepare a new training", controls.design_query(), icon=":material/add:")
        run.others(None)
        return
    run.show(found)


main()
