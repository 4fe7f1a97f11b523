"""Plumage: what does an architectural choice really do to a CNN?

This package describes, trains, stores and evaluates convolutional networks.  It never
imports Streamlit, and importing it (or describing a network) never imports TensorFlow:
only the modules that train or predict do (`training.engine`, `fit`, `predict` and what they call, inside their functions).
"""

import os

# Its kernels for processors: TensorFlow takes them by itself only where there is AVX-512, and with AVX2 they are as
# much faster (docs/speed.md).  It reads this when it is imported, so this stands before all else.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
