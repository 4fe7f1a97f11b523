"""The browser's Back: one entry of its history for each thing that a person does.

Streamlit adds an entry for each change of the address that a program makes, one parameter after the other, and some before
the page's own path is there: Back would lead through all of them.  Here only the first change after a click or a key
adds one; those that follow by themselves, also after Back, replace it.
"""

from __future__ import annotations

import streamlit as st


def begin() -> None:
    """Called by app.py before each page; the browser takes it in once a visit."""
    with st.container(key="history"):
        st.html(_SCRIPT, unsafe_allow_javascript=True)


_SCRIPT = """
<style>div:has(> .st-key-history) {position: absolute; height: 0;}</style>
<script>
(() => {
  if (window.entryForEachAct) return;
  window.entryForEachAct = true;
  let acted = false;
  for (const act of ["pointerdown", "keydown"]) window.addEventListener(act, () => { acted = true; }, true);
  window.addEventListener("popstate", () => { acted = false; }, true);
  const push = history.pushState, replace = history.replaceState;
  history.pushState = function (...entry) {
    (acted ? push : replace).apply(history, entry);
    acted = false;
  };
})();
</script>
"""
