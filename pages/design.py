"""Design: switch the parts of a network and see at once what changes."""

import streamlit as st

from pages.shared import controls

st.title("Design")
spec = controls.design()
controls.remember(spec)
st.code(spec.to_json())
