"""What `tensorflow` costs against `tensorflow-cpu`: download, disk and start-up.

`python docs/compare_tensorflow.py FOLDER` installs each into an environment of its own under
FOLDER (about 4 GB, some minutes) and prints the table of docs/tensorflow.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import venv
from pathlib import Path

VERSION = "2.21.0"
PACKAGES = ("tensorflow", "tensorflow-cpu")
IMPORTS = 5  # of each, in turn: the machine's other work then touches both alike
TIMED = """
import json, resource, time
start = time.perf_counter()
import tensorflow
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - start, used.ru_utime + used.ru_stime]))
"""


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) / 1e6


def install(package: str, folder: Path) -> tuple[float, float, Path]:
    """Megabytes downloaded (the package and all that it needs), megabytes on disk, the environment's Python."""
    wheels, environment = folder / f"{package}-wheels", folder / f"{package}-venv"
    python = environment / "bin" / "python"
    if not python.is_file():
        venv.create(environment, with_pip=True)
        subprocess.run([python, "-m", "pip", "download", "-q", "-d", wheels, f"{package}=={VERSION}"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "-f", wheels, package], check=True)
    return megabytes(wheels), megabytes(environment / "lib"), python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, help="where both are installed: about 4 GB, some minutes")
    folder = parser.parse_args().folder
    installed = {package: install(package, folder) for package in PACKAGES}
    times: dict[str, list[list[float]]] = {package: [] for package in PACKAGES}
    for _ in range(IMPORTS):
        for package, (_, _, python) in installed.items():
            out = subprocess.run([python, "-c", TIMED], check=True, capture_output=True, text=True).stdout
            times[package].append(json.loads(out))
    print("| | download, MB | on disk, MB | `import tensorflow`, processor seconds | the same, wall seconds |")
    print("|---|---:|---:|---:|---:|")
    for package, (download, disk, _) in installed.items():
        wall, processor = (min(column) for column in zip(*times[package], strict=True))
        print(f"| `{package}` {VERSION} | {download:.0f} | {disk:.0f} | {processor:.1f} | {wall:.1f} |")


if __name__ == "__main__":
    main()
