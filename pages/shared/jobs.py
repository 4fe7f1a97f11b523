"""Buttons for commands that take minutes: they run beside the app, and the page shows how far they are."""

from __future__ import annotations

import streamlit as st

from training.job import Job

Command = tuple[str, ...]


@st.cache_resource(show_spinner=False)
def started() -> dict[Command, Job]:
    """The commands that were started since the app was, for all who look at it."""
    return {}


def offer(label: str, *command: str, icon: str, help: str | None = None) -> None:
    """A button that runs `python -m training COMMAND`; its last line while it runs, and why it failed.

    When it ends, the page is drawn anew.
    """
    job = started().get(command)
    if job is not None and job.running:
        _watch(command)
        return
    if job is not None and job.failed:
        st.error(job.line or "It ended without a word.", icon=":material/error:")
    if st.button(label, key="-".join(command), icon=icon, help=help):
        try:
            started()[command] = Job(*command)
        except OSError as error:
            st.error(f"A process cannot be started: {error.strerror}.", icon=":material/error:")
        else:
            st.rerun()


@st.fragment(run_every=1.0)
def _watch(command: Command) -> None:
    job = started()[command]
    if not job.running:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(job.line or "Starting")
