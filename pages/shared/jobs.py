"""Buttons for commands that take minutes: they run beside the app, and the page shows how far they are."""

from __future__ import annotations

import streamlit as st

from pages.shared import text
from training.data import DataInfo
from training.job import Job

Command = tuple[str, ...]


@st.cache_resource(show_spinner=False)
def started() -> dict[Command, Job]:
    """The commands that were started since the app was, for all who look at it."""
    return {}


def running(*command: str) -> bool:
    """Whether the command was started by a button and still runs."""
    job = started().get(command)
    return job is not None and job.running


def problem(*command: str) -> str:
    """The sentence with which the command failed the last time; empty if it did not."""
    job = started().get(command)
    return (job.line or "It ended without a word.") if job is not None and job.failed else ""


def start(*command: str) -> None:
    """Begin with the command, unless it runs already: a callback, so that a click counts whatever the page is busy with."""
    try:
        if not running(*command):
            started()[command] = Job(*command)
    except OSError as error:
        st.toast(f"A process cannot be started: {error.strerror}.", icon=":material/error:")


def offer(label: str, *command: str, icon: str, help: str | None = None) -> None:
    """A button that runs `python -m training COMMAND`; its last line while it runs, every second, and why it failed.

    When it ends, the page is drawn anew.
    """
    if running(*command):
        _watch(label, command)
        return
    if wrong := problem(*command):
        st.error(text.plain(wrong), icon=":material/error:")
    st.button(label, key="-".join(command), icon=icon, help=help, on_click=start, args=command)


def download(info: DataInfo) -> None:
    """A button that gets a data set, as the command does that stands beside it."""
    offer(f"Download {info.title}", "data", "fetch", info.name, icon=":material/download:")


@st.fragment(run_every=1.0)
def _watch(label: str, command: Command) -> None:
    job = started()[command]
    if not job.running:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"{label}\n{job.line or 'Starting'}")
