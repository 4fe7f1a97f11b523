"""Plumage: what does an architectural choice really do to a CNN?

This package describes, trains, stores and evaluates convolutional networks.  It never
imports Streamlit, and importing it (or describing a network) never imports TensorFlow:
only the modules that train or predict do (`model`, `engine`, `fit`, `worker`).
"""

__version__ = "0.1.0"
