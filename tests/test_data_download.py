"""Downloads against a server of our own that cuts, refuses, lies and forgets."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import ssl
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from training import data
from training.data import birds, cifar, download

SIZE = 2 + cifar.PIXELS


@dataclass
class Server:
    """Files by name, how it misbehaves, and the Range header of every request."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    lengths: bool = True  # whether answers say how long they are
    cut_after: list[int] = field(default_factory=list)  # bytes after which each next answer breaks off
    errors: list[int] = field(default_factory=list)  # status codes of the next answers
    pages: list[bytes] = field(default_factory=list)  # what the next answers send, whatever is asked
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            content = state.files.get(self.path.lstrip("/"))
            if state.errors or content is None:
                self.send_error(state.errors.pop(0) if state.errors else 404)
                return
            ranges = state.ranges and not state.pages
            if state.pages:
                content = state.pages.pop(0)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and ranges else 0
            if start >= len(content) and start:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if state.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            self.wfile.write(body[: state.cut_after.pop(0)] if state.cut_after else body)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    state.address = f"http://127.0.0.1:{http.server_port}"
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PLUMAGE_MIRROR", state.address)
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLUMAGE_DATA", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0)
    yield state
    http.shutdown()
    http.server_close()


CONTENT = np.random.default_rng(0).bytes(3_000_000)


def archive(content: bytes = CONTENT, name: str = "thing.tar.gz") -> download.Archive:
    return download.Archive("http://nowhere.invalid/x", f"md5:{hashlib.md5(content).hexdigest()}", name)


def quiet(text: str, done: int, total: int) -> None:
    pass


# --- one file -----------------------------------------------------------------------------------


def test_a_download_is_whole_and_reports_its_progress(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    seen: list[tuple[str, int, int]] = []
    path = download.fetch(archive(), tmp_path / "new" / "folder", lambda *args: seen.append(args))
    assert path.read_bytes() == CONTENT
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1] == ("Downloading thing.tar.gz", len(CONTENT), len(CONTENT))
    assert [entry.name for entry in path.parent.iterdir()] == ["thing.tar.gz"]


def test_without_a_mirror_the_official_address_is_asked(monkeypatch):
    monkeypatch.delenv("PLUMAGE_MIRROR", raising=False)
    assert cifar.CIFAR10.archive.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def test_a_whole_file_is_not_downloaded_again(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    download.fetch(archive(), tmp_path, quiet)
    download.fetch(archive(), tmp_path, quiet)
    assert len(server.asked) == 1


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    server.cut_after = [1_000_000, 500_000]
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=1000000-", "bytes=1500000-"]


def test_a_route_that_is_lost_is_the_nets_failure_and_tried_again(server, tmp_path, monkeypatch):
    server.files["thing.tar.gz"] = CONTENT
    asked, real = [], download.urlopen

    def urlopen(request, timeout):
        asked.append(request)
        if len(asked) == 1:
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        return real(request, timeout=timeout)

    monkeypatch.setattr(download, "urlopen", urlopen)
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT and len(asked) == 2


def test_a_later_call_goes_on_too(server, tmp_path, monkeypatch):
    server.files["thing.tar.gz"] = CONTENT
    server.cut_after = [1_234_567]
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(data.DataError, match=r"1,234,567 bytes are kept, and the same command goes on from there"):
        download.fetch(archive(), tmp_path, quiet)
    assert not (tmp_path / "thing.tar.gz").exists()
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=1234567-"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    server.ranges = False
    server.cut_after = [1_000_000]
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_a_page_in_place_of_the_rest_costs_nothing_of_what_came_before(server, tmp_path, lengths):
    server.files["thing.tar.gz"] = CONTENT
    server.lengths = lengths
    server.pages = [b"<html>Too many downloads: try again tomorrow.</html>"]
    (tmp_path / "thing.tar.gz.partial").write_bytes(CONTENT[:1_000_000])
    with pytest.raises(data.DataError, match=r"gave another file than expected .* 1,000,000 bytes of before are kept"):
        download.fetch(archive(), tmp_path, quiet)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thing.tar.gz.partial"]
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000000-"] * 2


def test_a_whole_file_that_breaks_off_costs_nothing_of_what_came_before(server, tmp_path, monkeypatch):
    server.files["thing.tar.gz"] = CONTENT
    server.ranges, server.cut_after = False, [1000]
    (tmp_path / "thing.tar.gz.partial").write_bytes(CONTENT[:1_000_000])
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(data.DataError, match="1,000,000 bytes are kept"):
        download.fetch(archive(), tmp_path, quiet)
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == ["thing.tar.gz"]


def test_a_server_that_tells_no_length_is_followed_to_the_end(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    server.lengths = False
    seen: list[tuple[str, int, int]] = []
    assert download.fetch(archive(), tmp_path, lambda *args: seen.append(args)).read_bytes() == CONTENT
    assert {total for _, _, total in seen} == {0}


def test_a_partial_file_that_is_whole_is_taken(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    (tmp_path / "thing.tar.gz.partial").write_bytes(CONTENT)
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT[:-1] + b"x"
    with pytest.raises(data.DataError, match=r"gave another file than expected .*; it was removed") as error:
        download.fetch(archive(), tmp_path, quiet)
    assert server.address in str(error.value)
    assert list(tmp_path.glob("thing*")) == []


def test_a_partial_file_of_another_download_does_no_lasting_harm(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    (tmp_path / "thing.tar.gz.partial").write_bytes(b"something else")
    with pytest.raises(data.DataError, match="another file than expected"):
        download.fetch(archive(), tmp_path, quiet)
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT


def test_not_found_is_told_at_once(server, tmp_path):
    with pytest.raises(data.DataError, match=r"/thing.tar.gz cannot be downloaded: 404 Not Found\.$"):
        download.fetch(archive(), tmp_path, quiet)
    assert len(server.asked) == 1


def test_a_tired_server_is_asked_again(server, tmp_path):
    server.files["thing.tar.gz"] = CONTENT
    server.errors = [503, 500]
    assert download.fetch(archive(), tmp_path, quiet).read_bytes() == CONTENT


def test_no_server_at_all_is_one_sentence(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMAGE_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(data.DataError, match=r"cannot be downloaded: .*refused; 0 bytes are kept") as error:
        download.fetch(archive(), tmp_path, quiet)
    assert "\n" not in str(error.value)


def test_a_python_without_root_certificates_gets_some(tmp_path, monkeypatch):
    """As python.org's on macOS is: OpenSSL's places are empty."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    assert not ssl.create_default_context().get_ca_certs()
    download.settle_certificates()
    assert len(ssl.create_default_context().get_ca_certs()) > 50


def test_root_certificates_that_the_user_named_stay(tmp_path, monkeypatch):
    own = tmp_path / "own.pem"
    own.write_text("of the user's company")
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    download.settle_certificates()
    assert os.environ["SSL_CERT_FILE"] == str(own)


def test_a_mirror_that_is_no_address_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMAGE_MIRROR", "somewhere/else")
    with pytest.raises(data.DataError, match=r"somewhere/else/thing.tar.gz is not an address of the web"):
        download.fetch(archive(), tmp_path, quiet)


# --- whole data sets ----------------------------------------------------------------------------------


def packed(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return out.getvalue()


def records(labels: np.ndarray, seed: int) -> np.ndarray:
    """One record of CIFAR-100 for each label; equal seeds give equal pictures."""
    table = np.random.default_rng(seed).integers(0, 256, (len(labels), SIZE), np.uint8)
    table[:, 1] = labels
    return table


def serve_cifar100(server: Server, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> None:
    content = packed(files, {"cifar-100-binary/test.bin.link": "/etc/passwd"})
    small = replace(
        cifar.CIFAR100_25,
        counts={"train": 250, "test": 50},
        archive=archive(content, "cifar-100-binary.tar.gz"),
    )
    server.files["cifar-100-binary.tar.gz"] = content
    monkeypatch.setitem(data._SOURCES, "cifar100-25", small)


def test_the_archive_and_the_cut_copy_give_the_same_arrays(server, tmp_path, monkeypatch):
    everything = np.arange(1000) % 100
    train, test = records(everything, 1), records(everything[:200], 2)
    serve_cifar100(
        server,
        monkeypatch,
        {
            "cifar-100-binary/fine_label_names.txt": b"apple\n",
            "cifar-100-binary/test.bin": test.tobytes(),
            "cifar-100-binary/train.bin": train.tobytes(),
            "../../../train.bin/../evil": b"out of the folder",
        },
    )
    server.cut_after = [100_000]
    info = data.fetch("cifar100-25", quiet)
    assert info.available and info.where == str(tmp_path / "cache" / "data" / "cifar100-25")
    fetched = data.load("cifar100-25")
    assert not list(tmp_path.rglob("evil")) and not list(tmp_path.rglob("*.tar.gz"))

    own = tmp_path / "own" / "cifar100-25"
    own.mkdir(parents=True)
    kept = train[train[:, 1] < 25]
    (own / "train.bin").write_bytes(np.random.default_rng(5).permutation(kept).tobytes())
    (own / "test.bin").write_bytes(test[test[:, 1] < 25].tobytes())
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path / "own"))
    copied = data.load("cifar100-25")
    assert data.info("cifar100-25").where == str(own)
    assert fetched.sha256 == copied.sha256
    for part in ("images", "labels", "validation_images", "validation_labels"):
        assert (getattr(fetched, part) == getattr(copied, part)).all()

    asked = len(server.asked)
    data.fetch("cifar100-25", quiet)
    assert len(server.asked) == asked, "what is there is not downloaded again"


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"cifar-100-binary/train.bin": bytes(SIZE)}, "it lacks one of test.bin, train.bin"),
        ({"cifar-100-binary/train.bin": bytes(SIZE - 1)}, "is not whole records of 3,074 bytes"),
    ],
)
def test_an_archive_of_something_else_is_named(server, monkeypatch, files, problem):
    serve_cifar100(server, monkeypatch, files)
    with pytest.raises(data.DataError, match=problem):
        data.fetch("cifar100-25", quiet)
    assert not data.info("cifar100-25").available


def test_a_damaged_archive_is_named(server, monkeypatch):
    content = packed({"train.bin": np.random.default_rng(0).bytes(100_000)})
    damaged = content[: len(content) // 2]
    monkeypatch.setitem(
        data._SOURCES, "cifar10", replace(cifar.CIFAR10, archive=archive(damaged, "cifar-10-binary.tar.gz"))
    )
    server.files["cifar-10-binary.tar.gz"] = damaged
    with pytest.raises(data.DataError, match=r"cifar-10-binary.tar.gz cannot be used: it is damaged"):
        data.fetch("cifar10", quiet)


def test_birds_come_from_two_archives_and_only_pictures_are_unpacked(server, tmp_path, monkeypatch):
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 99, np.uint8)).save(out, "JPEG")
    names = [f"00{c}.Jay_{'ab'[c - 1]}/Jay_{n}.jpg" for c in (1, 2) for n in range(10)]
    lists = {
        "lists/classes.txt": b"001.Jay_a\n002.Jay_b\n",
        "lists/train.txt": "\n".join(names[:5] + names[10:15]).encode(),
        "lists/test.txt": "\n".join(names[5:10] + names[15:]).encode(),
    }
    pictures = {f"images/{name}": out.getvalue() for name in names} | {
        "images/._001.Jay_a": b"left by a Mac",
        "images/../../../evil.jpg": b"out of the folder",
        "/tmp/absolute_evil.jpg": b"out of the folder",
    }
    server.files = {"lists.tgz": packed(lists), "images.tgz": packed(pictures, {"images/link.jpg": "/etc/passwd"})}
    small = birds.Birds(
        classes=2,
        counts={"train": 10, "test": 10},
        lists=archive(server.files["lists.tgz"], "lists.tgz"),
        images=archive(server.files["images.tgz"], "images.tgz"),
    )
    monkeypatch.setitem(data._SOURCES, "birds", small)
    assert data.fetch("birds", quiet).available
    folder = tmp_path / "cache" / "data" / "birds"
    assert len(list(folder.rglob("*.*"))) == 20 + 2 + 3, "20 pictures, 2 folders, 3 lists"
    assert not list(tmp_path.rglob("*evil*"))
    assert data.load("birds").class_names == ("Jay-a", "Jay-b")
    assert data.load("birds").images.shape == (9, 224, 224, 3)
    asked = len(server.asked)
    data.fetch("birds", quiet)
    assert len(server.asked) == asked, "what is whole is not downloaded again"

    gone = folder / "images" / names[2]
    gone.write_bytes(out.getvalue()[:100])
    with pytest.raises(
        data.DataError, match=r"Jay_2.jpg cannot be used: .*; remove it and get it again with: .* fetch birds"
    ):
        data.load("birds")
    gone.unlink()
    with pytest.raises(data.DataError, match=r"Jay_2.jpg not found in .*; get it with: .* fetch birds"):
        data.load("birds")
    data.fetch("birds", quiet)
    assert gone.read_bytes() == out.getvalue() and data.load("birds").images.shape == (9, 224, 224, 3)

    del pictures[f"images/{names[3]}"]
    server.files["images.tgz"] = packed(pictures)
    monkeypatch.setenv("PLUMAGE_CACHE", str(tmp_path / "other"))
    monkeypatch.setitem(
        data._SOURCES, "birds", replace(small, images=archive(server.files["images.tgz"], "images.tgz"))
    )
    with pytest.raises(data.DataError, match=r"it lacks the picture 001.Jay_a/Jay_3.jpg"):
        data.fetch("birds", quiet)
    assert not data.info("birds").available
