"""One file a page.  A first visit straight to a page (a bookmark, a reload) is led through app.py.

Until `st.navigation` has run once in a process, Streamlit takes a folder named pages/ for
its older kind of app and would run /train as pages/train.py alone.
"""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
