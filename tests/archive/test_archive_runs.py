"""Whole archives: planned, run, killed, gone on with and compacted, on a disk and in S3."""

from __future__ import annotations

import http.server
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from faults import Faults

from commands import told
from conditions import PATIENCE, answering, wait_for
from lengths import length
from local_s3 import CREDENTIALS, client, moto_server, versioned_bucket, versions
from small_networks import spots_network
from videos import numbered_avi

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from saccade.archive import Archive, find, plan  # noqa: E402
from saccade.archive.compact import compact, tables_of  # noqa: E402
from saccade.archive.manifest import tasks_of  # noqa: E402
from saccade.archive.order import Order  # noqa: E402
from saccade.archive.places import place_of  # noqa: E402
from saccade.archive.pool import Pool  # noqa: E402
from saccade.errors import OutputError  # noqa: E402
from saccade.process import usable_cores  # noqa: E402

PICTURES = 12


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A YOLO that finds bright and red spots."""
    return str(spots_network(tmp_path_factory.mktemp("net") / "spots.xml"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures with 0, 1, 2 … bright spots."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(PICTURES):
        image = np.zeros((256, 256, 3), np.uint8)
        for spot in range(number % 4):
            image[64 * spot : 64 * spot + 32, 64:96] = 255
        cv2.imwrite(str(folder / f"{number:02}.png"), image)
    return folder


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "saccade", "archive", *map(str, words)]


def saccade(*words: object, status: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    if options:  # an environment of its own
        done = subprocess.run(command(*words), capture_output=True, text=True, check=False, **options)
    else:
        done = told("archive", *words)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def rows(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return found


def test_a_folder_with_damage_changes_and_strangers(tmp_path: Path, pictures: Path, network: str) -> None:
    numbered_avi(pictures / "film.avi", 90, (256, 256))
    (pictures / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (pictures / "no.mp4").write_bytes(b"no video")
    (pictures / "notes.txt").write_text("no picture")
    manifest, out, to = tmp_path / "m.parquet", tmp_path / "out", tmp_path / "all.parquet"
    planned = json.loads(saccade("plan", pictures, "-o", manifest, "--segment", 1, "--pictures", 5, "--json").stdout)
    assert (planned["pictures"], planned["videos"], planned["segments"]) == (PICTURES + 1, 2, 4)
    assert planned["left_out"] == {"is neither picture nor video": 1}
    run = ("run", manifest, "--model", network, "--rate", 5, "--out", out, "--workers", 2, "--crops")
    gone, changed = pictures / "03.png", pictures / "04.png"
    kept = gone.read_bytes()
    gone.unlink()
    original = changed.read_bytes()
    changed.write_bytes(original.replace(b"IEND", b"IEXD"))
    first = saccade(*run, status=1)
    assert "03.png: No such file" in first.stderr
    assert "04.png: has changed since it was planned" in first.stderr
    assert "not done; run it again" in saccade("compact", manifest, "--out", out, "-o", to, status=2).stderr
    gone.write_bytes(kept)
    changed.write_bytes(original)  # another time of change, the same content
    second = json.loads(saccade(*run, "--json").stdout)
    assert second["done_before"] >= 4
    assert second["missing"] == {}
    saccade("compact", manifest, "--out", out, "-o", to)
    found = rows(to)
    assert [row["path"] for row in found] == sorted(row["path"] for row in found)
    count = Counter((Path(row["path"]).name, row["status"]) for row in found)
    assert [count[f"{n:02}.png", "object"] for n in range(PICTURES)] == [n % 4 for n in range(PICTURES)]
    assert count["cut.jpg", "error"] == count["no.mp4", "error"] == 1
    assert len({row["time"] for row in found if row["path"].endswith("avi")}) == 15
    crop = next(row["crop"] for row in found if row["status"] == "object")
    assert cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR).min() > 200
    listed = saccade("status", manifest, "--out", out, "--errors").stdout
    assert "no.mp4: neither a picture nor a video" in listed
    other = saccade(*run, "--threshold", "0.9", status=2)
    assert "another choice of options" in other.stderr
    # The same in two shards of another run is the same file.
    for shard in ("0/2", "1/2"):
        saccade(*run[:7], tmp_path / "shards", "--workers", 1, *run[10:], "--shard", shard)
    saccade("compact", manifest, "--out", tmp_path / "shards", "-o", tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == to.read_bytes()


def test_kills_lose_nothing_and_write_nothing_twice(
    tmp_path: Path, pictures: Path, network: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": s3_url}).items():
        monkeypatch.setenv(name, value)
    faults = Faults(tmp_path / "faults")
    s3, bucket = client(s3_url), f"archive-{os.getpid()}"
    versioned_bucket(s3, bucket)
    for path in sorted(pictures.iterdir()):
        s3.upload_file(str(path), bucket, f"in/{path.name.replace('05', '05-wait')}")
    manifest = tmp_path / "m.parquet"
    plan.plan([f"s3://{bucket}/in/*.png"], str(manifest), pictures=1)
    plan.plan([f"s3://{bucket}/in/*.png"], f"s3://{bucket}/m.parquet", pictures=1)
    with pytest.raises(OutputError, match=r"m\.parquet: is there already"):
        plan.plan([f"s3://{bucket}/in/"], f"s3://{bucket}/m.parquet")
    assert list(tasks_of(f"s3://{bucket}/m.parquet")) == list(tasks_of(str(manifest)))
    out = f"s3://{bucket}/out"
    run = ("run", manifest, "--model", network, "--workers", 1, "--out")

    def killed(whom: str) -> None:
        process = subprocess.Popen(command(*run, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True, env=faults.environment)  # fmt: skip
        worker = psutil.Process(faults.waiting())
        assert worker.ppid() == process.pid
        if whom == "worker":
            worker.kill()
            worker = psutil.Process(faults.waiting())
        process.kill()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
        assert ("05-wait.png: workers were killed at it (SIGKILL)" in said) == (whom == "worker")
        wait_for(lambda: not worker.is_running() or worker.status() == "zombie")

    killed("driver")
    kept = {key for key in versions(s3, bucket) if "/parts/" in key}
    assert len(kept) == 5
    killed("worker")
    faults.go_on()
    last = json.loads(saccade(*run, out, "--json").stdout)
    assert (last["done_before"], last["done"]) == (5, PICTURES - 5)
    assert kept < set(versions(s3, bucket))
    assert max(Counter(versions(s3, bucket)).values()) == 1
    saccade(*run, tmp_path / "quiet")
    for place, name in ((out, "killed"), (str(tmp_path / "quiet"), "quiet")):
        compact(str(manifest), place, str(tmp_path / f"{name}.parquet"))
    assert (tmp_path / "killed.parquet").read_bytes() == (tmp_path / "quiet.parquet").read_bytes()
    # An object that is another now is left for later; nothing is said of it.
    s3.put_object(Bucket=bucket, Key="in/08.png", Body=b"another")
    left = saccade(*run, f"s3://{bucket}/late", status=1)
    assert "08.png: PreconditionFailed: it has changed since it was planned" in left.stderr
    assert sum("late/parts/" in key for key in versions(s3, bucket)) == PICTURES - 1


def test_files_that_no_worker_survives_are_rows_and_the_run_goes_on(
    tmp_path: Path, pictures: Path, network: str
) -> None:
    faults = Faults(tmp_path / "faults")
    for number, kind in enumerate(("segfault", "raise", "starve")):
        shutil.copy(pictures / "01.png", pictures / f"0{number + 3}-{kind}.png")
    manifest, out, to = tmp_path / "m.parquet", tmp_path / "out", tmp_path / "all.parquet"
    plan.plan([str(pictures)], str(manifest), pictures=100)
    run = ("run", manifest, "--model", network, "--out", out, "--workers", 1)
    said = saccade(*run, status=1, env=faults.environment).stderr
    assert "left for later" in said
    assert "05-starve.png: workers were killed at it (SIGKILL)" in said
    found = {(Path(row["path"]).name, row["error"]) for row in _of_parts(manifest, out) if row["status"] == "error"}
    path = str(pictures)
    assert found == {
        ("03-segfault.png", f"{path}/03-segfault.png: workers crashed at it (SIGSEGV)"),
        ("04-raise.png", f"{path}/04-raise.png: workers crashed at it (RuntimeError: what nobody expects)"),
    }
    # With more memory the one that is left is done, and nothing else.
    again = json.loads(saccade(*run, "--json").stdout)
    assert (again["done"], again["frames"], again["missing"]) == (1, 1, {})
    compact(str(manifest), str(out), str(to))
    assert sum(row["status"] == "object" for row in rows(to)) == sum(n % 4 for n in range(PICTURES)) + 1


def _of_parts(manifest: Path, out: Path) -> list[dict[str, Any]]:
    tables = tables_of(str(manifest), place_of(str(out)), partial=True)
    return [row for table in tables for row in table.to_pylist()]


def test_no_code_comes_out_of_the_folder_that_is_worked_in(
    tmp_path: Path, pictures: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('this came with the recordings')")
    monkeypatch.chdir(tmp_path)
    plan.plan([str(pictures / "03.png")], "m.parquet")
    with Pool(Order(model=network), str(tmp_path / "out"), 1) as pool:
        (report,) = [found for found in pool.run(tasks_of("m.parquet")) if found]
    assert report.rows == 3


def test_only_workers_open_the_network(tmp_path: Path, pictures: Path, network: str) -> None:
    plan.plan([str(pictures)], str(tmp_path / "m.parquet"), pictures=4)
    words = [
        "archive",
        "run",
        f"{tmp_path}/m.parquet",
        "--model",
        network,
        "--out",
        f"{tmp_path}/out",
        "--workers",
        "2",
    ]
    program = f"import sys; from saccade.cli import main; print(main({words!r}), 'openvino' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    # With nothing left to do it still says whether the results are those of this network.
    again = json.loads(saccade(*words[1:], "--json").stdout)
    assert (again["done_before"], again["done"]) == (3, 0)
    another = spots_network(tmp_path / "other.xml", size=320)
    other = saccade(*words[1:4], another, *words[5:], status=2).stderr
    assert "another choice of model" in other


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2 or usable_cores() < 2, reason="needs two cores")
def test_workers_have_a_core_each_where_there_are_as_many(tmp_path: Path, network: str) -> None:
    free = sorted(os.sched_getaffinity(0))[:2]
    whole = os.sched_getaffinity(0)
    others = set(psutil.Process().children())  # servers of other tests
    os.sched_setaffinity(0, free)
    try:
        for count, expected in ((2, [[free[0]], [free[1]]]), (1, [free]), (3, [free] * 3))[: length(2, 3)]:
            with Pool(Order(model=network), str(tmp_path / "out"), count) as pool:
                assert len(pool.digest(count)) == 64
                found = [child.cpu_affinity() for child in set(psutil.Process().children()) - others]
                assert sorted(found) == expected
    finally:
        os.sched_setaffinity(0, whole)


def test_a_network_that_cannot_be_opened_ends_the_run(tmp_path: Path, pictures: Path) -> None:
    plan.plan([str(pictures)], str(tmp_path / "m.parquet"))
    (tmp_path / "no.onnx").write_bytes(b"no network")
    run = ("run", tmp_path / "m.parquet", "--out", tmp_path / "out", "--workers", 1, "--model")
    for model in ("no.onnx", "missing.onnx"):
        said = saccade(*run, tmp_path / model, status=2).stderr
        assert model in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "out" / "archive.json").exists()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--workers", "0", "workers: got 0; expected at least 1"),
        ("--workers", "-1", "workers: got -1; expected at least 1"),
        ("--shard", "3/2", "shard: got '3/2'; expected I/N"),
        ("--rate", "nan", "rate: got nan; expected frames a second"),
    ],
)
def test_options_that_are_none_are_said_in_one_line(tmp_path: Path, option: str, value: str, complaint: str) -> None:
    said = saccade("run", "m.parquet", "--out", tmp_path / "out", "--model", "no.xml", option, value, status=2).stderr
    assert complaint in said
    assert len(said.splitlines()) == 1


def test_a_full_disk_ends_the_run_and_the_next_goes_on(tmp_path: Path, pictures: Path, network: str) -> None:
    manifest, out = tmp_path / "m.parquet", tmp_path / "out"
    saccade("plan", pictures, "-o", manifest, "--pictures", 4)
    run = ("run", manifest, "--model", network, "--out", out, "--workers", 1)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    said = saccade(*run, status=2, preexec_fn=small_files).stderr
    assert "File too large" in said
    assert [path for path in out.rglob("*") if path.suffix == ".parquet"] == []
    saccade(*run)
    saccade("compact", manifest, "--out", out, "-o", tmp_path / "all.parquet")
    assert sum(row["status"] == "object" for row in rows(tmp_path / "all.parquet")) == sum(
        n % 4 for n in range(PICTURES)
    )


def test_ctrl_c_keeps_what_is_done_and_repeats_what_was_in_flight(tmp_path: Path, pictures: Path, network: str) -> None:
    faults = Faults(tmp_path / "faults")
    (pictures / "05.png").rename(pictures / "05-wait.png")
    manifest, out = tmp_path / "m.parquet", tmp_path / "out"
    plan.plan([str(pictures)], str(manifest), pictures=2)
    run = ("run", manifest, "--model", network, "--out", out, "--workers", 1)
    process = subprocess.Popen(
        command(*run), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=faults.environment
    )
    worker = psutil.Process(faults.waiting())  # in the third task, of which the first picture is done
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopped; the same command goes on from here" in said
    assert told.startswith("2 of 6 tasks done, 4 frames")
    assert not worker.is_running() or worker.status() == "zombie"
    kept = {path: path.stat() for path in out.glob("parts/*/*.parquet")}
    assert len(kept) == 2
    assert list(out.glob("parts/*/.*")) == []
    last = json.loads(saccade(*run, "--json").stdout)
    assert (last["done_before"], last["done"], last["frames"]) == (2, 4, PICTURES - 4)
    assert {path: path.stat() for path in kept} == kept
    assert list(out.glob(".unfinished/*")) == []


class _Refuses(http.server.BaseHTTPRequestHandler):
    """An S3 that says no to everything, for one reason."""

    code = ""

    def do_GET(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("code", "hint"),
    [("AccessDenied", "the credentials need s3:ListBucket"), ("RequestTimeTooSkewed", "set this machine's clock")],
)
def test_a_bucket_that_refuses_says_why(tmp_path: Path, code: str, hint: str) -> None:
    handler = type("Handler", (_Refuses,), {"code": code})
    with answering(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        environment = os.environ | CREDENTIALS | {"AWS_ENDPOINT_URL": url}
        said = saccade("plan", "s3://bucket/in", "-o", tmp_path / "m.parquet", status=2, env=environment).stderr
    assert hint in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"AWS_PROFILE": "nope"}, "profile"), ({"AWS_ENDPOINT_URL": "nowhere"}, "Invalid endpoint: nowhere")],
)
def test_settings_of_aws_that_are_none_are_said(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    environment = os.environ | CREDENTIALS | {"AWS_CONFIG_FILE": str(tmp_path / "none")} | settings
    line = saccade("plan", "s3://bucket/in", "-o", tmp_path / "m.parquet", status=2, env=environment).stderr
    assert said in line
    assert "look at the variables AWS_PROFILE" in line
    assert len(line.splitlines()) == 1


def test_a_plan_says_how_far_it_is(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = saccade("plan", pictures, "-o", tmp_path / "m.parquet").stderr
    assert said == ""  # it was soon done
    monkeypatch.setattr("saccade.cli.archive.LINE_SECONDS", 0)
    lines = saccade("plan", pictures, "-o", tmp_path / "m.parquet").stderr.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"{number + 1} pictures" for number in range(PICTURES)]


def test_a_plan_of_large_files_ends_at_once_when_it_is_told_to(tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(1 << 40)  # of nothing: reading it takes minutes
    manifest = tmp_path / "m.parquet"
    process = subprocess.Popen(command("plan", large, "-o", manifest), stderr=subprocess.PIPE, text=True)
    opened = psutil.Process(process.pid).open_files
    wait_for(lambda: any(file.path == str(large) and file.position > 0 for file in opened()))
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == [large]


def test_a_prefix_of_many_keys_is_planned_as_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "s3_client", lambda: Keys(30))
    before = psutil.Process().memory_info().rss
    made = plan.plan(["s3://bucket/photos/"], str(tmp_path / "m.parquet"))
    assert (made.pictures, made.list_requests, made.tasks) == (30_000, 30, 469)
    assert psutil.Process().memory_info().rss - before < 100 << 20
    assert sum(len(task.items) for task in tasks_of(str(tmp_path / "m.parquet"))) == 30_000


class Keys:
    """A client of S3 that lists so many pages of 1000 pictures."""

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def get_paginator(self, name: str) -> Keys:
        assert name == "list_objects_v2"
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        for page in range(self.pages):
            yield {
                "Contents": [
                    {"Key": f"photos/{page:04}{n:03}.jpg", "Size": 1000, "ETag": f'"{page}-{n}"', "LastModified": None}
                    for n in range(1000)
                ]
            }


def test_filters_lists_and_globs_take_each_file_once(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{pictures}/01.png\n{pictures}/0*.png\n")
    chosen = find.Filter(exclude=("*/02.png",))
    paths = [Path(found.path).name for found in find.find([f"@{tmp_path}/list.txt", str(pictures)], chosen)]
    assert paths == ["01.png", *(f"{n:02}.png" for n in (0, *range(3, PICTURES)))]
    os.utime(pictures / "00.png", (1e9, 1e9))
    early = find.Filter(until=find.moment("2002-01-01"))
    assert [Path(found.path).name for found in find.find([str(pictures)], early)] == ["00.png"]


def test_the_callable_answers_batches_and_never_raises(pictures: Path, network: str) -> None:
    archive = Archive(network)
    paths = [str(pictures / "03.png"), str(pictures / "none.png")]
    table = archive(pa.table({"path": paths}))
    assert table.column("status").to_pylist() == ["object"] * 3 + ["error"]
    data = np.array([(pictures / "02.png").read_bytes()], object)
    answer = archive({"path": np.array(["s3://elsewhere/02.png"]), "bytes": data})
    assert list(answer["label"]) == ["bright", "bright"]


def test_ray_gives_the_same_file_also_where_a_picture_crashes_its_worker(
    tmp_path: Path, pictures: Path, network: str
) -> None:
    pytest.importorskip("ray.data", reason="by choice: Ray is not installed; it is the extra [ray]")
    faults = Faults(tmp_path / "faults")
    (pictures / "05.png").rename(pictures / "05-segfault.png")
    manifest = tmp_path / "m.parquet"
    saccade("plan", pictures, "-o", manifest, "--pictures", 4)
    for out, engine in (("ray", ["--ray", "local", "--workers", "1"]), ("pool", ["--workers", "1"])):
        saccade("run", manifest, "--model", network, "--out", tmp_path / out, *engine, env=faults.environment)
        compact(str(manifest), str(tmp_path / out), str(tmp_path / f"{out}.parquet"))
    assert sum(row["status"] == "error" for row in rows(tmp_path / "ray.parquet")) == 1
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "pool.parquet").read_bytes()
