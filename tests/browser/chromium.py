"""The Chromium or Chrome that the browser tests drive.

`python -m tests.browser.chromium` makes sure that there is one, and that Playwright, which drives it, can run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
FLAGS = (
    "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find() -> str | None:
    """The path of a Chromium or Chrome: `PLUMAGE_CHROMIUM`, else one in the usual places, else None."""
    named = os.environ.get("PLUMAGE_CHROMIUM")
    if named:
        return shutil.which(named)
    found = (shutil.which(name) for name in (*NAMES, *PLACES))
    return next((path for path in found if path), None)


def flags() -> list[str]:
    """Command-line flags for it; its sandbox does not work for root."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*FLAGS, "--no-sandbox"] if as_root else list(FLAGS)


def driver_runs() -> bool:
    """Whether Playwright's own Node.js starts: it needs libatomic, which a small Debian lacks."""
    done = subprocess.run([sys.executable, "-m", "playwright", "--version"], capture_output=True)
    return done.returncode == 0


def install(package: str) -> bool:
    """Install a Debian package, where that is possible without asking: as root, on Debian."""
    if not Path("/etc/debian_version").is_file() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    update, get = ["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", package]
    return all(subprocess.run(command, env=quiet).returncode == 0 for command in (update, get))


def main() -> int:
    path = find() or (install("chromium") and find())
    if not path:
        print("The browser tests need Chromium or Chrome: install one (Debian: sudo apt-get install chromium) "
              "or set PLUMAGE_CHROMIUM to its path.", file=sys.stderr)  # fmt: skip
        return 1
    if not driver_runs() and not (install("libatomic1") and driver_runs()):
        print("The browser tests need Playwright, and `python -m playwright --version` fails: install what it names "
              "(Debian: sudo apt-get install libatomic1).", file=sys.stderr)  # fmt: skip
        return 1
    print(f"Browser tests use {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
