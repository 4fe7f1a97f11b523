"""Downloads that go on where they stopped, are checked, and appear whole or not at all.

The well-kept downloaders (pooch, Keras's `get_file`) start again from nothing after a broken
connection; with 650 MB of birds that matters, so this one asks for the missing range.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import certifi

from training.data.base import DataError, Progress, broken
from training.files import write_whole

ATTEMPTS = 5  # each goes on from what is there
PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20
MIRROR = "PLUMAGE_MIRROR"  # environment: an address that holds all archives under their file names


@dataclass(frozen=True)
class Archive:
    """A file on the web.  `checksum` is "md5:…" or "sha256:…"; `file` its name on the disk."""

    address: str
    checksum: str
    file: str

    @property
    def url(self) -> str:
        """The address, or the mirror's."""
        mirror = os.environ.get(MIRROR, "").strip()
        return f"{mirror.rstrip('/')}/{self.file}" if mirror else self.address

    def is_whole(self, path: Path) -> bool:
        """Whether `path` is this file, to the bit."""
        algorithm, _, expected = self.checksum.partition(":")
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == expected


def settle_certificates() -> None:
    """Where Python finds no root certificates (that of python.org on macOS has none of its own), certifi's from now on.

    For this process, and for Keras's downloads in it as well.
    """
    places = ssl.get_default_verify_paths()
    if not (places.cafile or places.capath or ssl.create_default_context().get_ca_certs()):
        os.environ[places.openssl_cafile_env] = certifi.where()


def fetch(archive: Archive, folder: Path, progress: Progress) -> Path:
    """The archive as a file in `folder`, downloaded unless it is there already.

    What came before a broken connection is kept as FILE.partial for the next call.
    progress(text, bytes done, bytes in all or 0).  Raises `DataError`.
    """
    path, partial = folder / archive.file, folder / f"{archive.file}.partial"
    settle_certificates()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and archive.is_whole(path):
            return path
        for attempt in range(ATTEMPTS):
            try:
                _get(archive, partial, progress)
                break
            except HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    raise DataError(f"{archive.url} cannot be downloaded: {error.code} {error.reason}.") from None
                problem = f"{error.code} {error.reason}"
            except (URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
                problem = str(getattr(error, "reason", None) or error or type(error).__name__)
            except ValueError:
                raise DataError(f"{archive.url} is not an address of the web; see {MIRROR}.") from None
            if attempt == ATTEMPTS - 1:
                kept = partial.stat().st_size if partial.exists() else 0
                raise DataError(
                    f"{archive.url} cannot be downloaded: {problem}; {kept:,} bytes are kept, and the same command "
                    "goes on from there."
                )
            time.sleep(PAUSE * 2**attempt)
        if not archive.is_whole(partial):
            partial.unlink()
            raise DataError(
                f"{archive.url} gave another file than expected (its checksum is not {archive.checksum}); it was removed."
            )
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{archive.file} cannot be written into {folder}: {error.strerror or error}.") from None
    return path


def _get(archive: Archive, partial: Path, progress: Progress) -> None:
    """Append what is missing to `partial`; raises URLError, HTTPException or OSError.

    Where the server sends a whole file instead, what came before gives way to it only once it is the right one: it
    may be a page that says to try tomorrow.  Raises `DataError` where it is not.
    """
    done = partial.stat().st_size if partial.exists() else 0
    request = Request(archive.url, headers={"User-Agent": "plumage"} | ({"Range": f"bytes={done}-"} if done else {}))
    try:
        response = _of_the_net(lambda: urlopen(request, timeout=TIMEOUT))
    except HTTPError as error:
        if error.code == 416 and done:  # nothing is missing; the checksum tells whether that is true
            return
        raise
    with response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        kept, done = done, done if goes_on else 0
        anew = partial.with_suffix(".anew") if kept > done else partial
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else 0
        try:
            with anew.open("ab" if goes_on else "wb") as file:
                while chunk := _of_the_net(lambda: response.read(CHUNK)):
                    file.write(chunk)
                    done += len(chunk)
                    progress(f"Downloading {archive.file}", done, total)
            if done < total:
                raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")
            if anew != partial and not archive.is_whole(anew):
                raise DataError(
                    f"{archive.url} gave another file than expected (its checksum is not {archive.checksum}); the "
                    f"{kept:,} bytes of before are kept: try again later, the same command goes on from there."
                )
            anew.replace(partial)
        finally:
            if anew != partial:
                anew.unlink(missing_ok=True)


def _of_the_net(call: Callable[[], Any]) -> Any:
    """What `call` gives, whose failures are the net's: "no route to host" must not be taken for the disk's."""
    try:
        return call()
    except (URLError, TimeoutError):  # HTTPError, too
        raise
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from None


def members(path: Path, wanted: Callable[[str], bool], name: str, progress: Progress) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the regular files in the archive `path` (.tar.gz) whose names are `wanted`.

    Nothing is written here, and links are passed over: no name in an archive reaches the disk
    but through the caller.  Raises `DataError` for a damaged archive.
    """
    try:
        with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|gz") as archive:
            size = path.stat().st_size
            for member in archive:
                if member.isreg() and wanted(member.name):
                    content = archive.extractfile(member)
                    assert content is not None  # so for regular files
                    yield member.name, content.read()
                    progress(f"Unpacking {path.name}", raw.tell(), size)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise broken(path, f"it is damaged ({error})", name) from None


def write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.  Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
