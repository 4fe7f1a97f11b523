"""Home: what this is, what is ready, and what one click does next."""

import streamlit as st

st.title("Plumage")
