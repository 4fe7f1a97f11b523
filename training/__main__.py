"""`python -m training`: the command line."""

import os
import sys
from contextlib import suppress

from training.cli.app import main

if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)  # a stop may have left a step in progress behind (see `fit`); its threads are not waited for
