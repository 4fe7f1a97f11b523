"""Plumage's navigation.  `streamlit run app.py`; everything else is in pages/ and training/."""

from pathlib import Path

import streamlit as st

from pages.shared import again, history, present, warm

PAGES = {
    "home": ("Home", ":material/home:"),
    "design": ("Design", ":material/architecture:"),
    "train": ("Train", ":material/play_circle:"),
    "compare": ("Compare", ":material/stacked_line_chart:"),
    "confusions": ("Confusions", ":material/grid_on:"),
    "classify": ("Classify", ":material/image_search:"),
}
HERE = Path(__file__).parent

st.set_page_config(page_title="Plumage", page_icon="🪶", layout="wide")
page = st.navigation(
    [
        st.Page(HERE / "pages" / f"{name}.py", title=title, icon=icon, default=name == "home")
        for name, (title, icon) in PAGES.items()
        if (HERE / "pages" / f"{name}.py").is_file()
    ],
    position="top",
)
history.begin()
present.begin()
again.follow()
page.run()
present.finish()
warm.start()
