"""Looking back over real sockets: the crops of a folder, and a moment with its picture."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from pages import fetched, serving

from conditions import wait_for
from saccade.outputs.crop_note import note_of, noted
from saccade.outputs.crops import Crop
from saccade.service import history
from saccade.service.page import LivePage

JPEG = simplejpeg.encode_jpeg(np.full((32, 32, 3), 90, np.uint8))


def put(folder: Path, when: float, track: int, label: str, score: float = 0.9) -> str:
    crop = Crop(JPEG, when, 1, track, 1, score, 10.0, (0, 0, 32, 32), label)
    (folder / crop.name).write_bytes(crop.file)
    return crop.name


def ask(page: LivePage, path: str) -> tuple[int, bytes]:
    status, _, body = fetched(page.url + path)
    return status, body


def seen(page: LivePage, query: str = "") -> Any:
    return json.loads(ask(page, "history.json" + query)[1])


def names(found: Any) -> list[str]:
    return [one["name"] for one in found["events"]]


def test_a_note_lies_in_a_picture_that_stays_one() -> None:
    for jpeg in (JPEG, JPEG[:2] + JPEG[4 + int.from_bytes(JPEG[4:6], "big") :]):  # with a JFIF header, and without
        kept = noted(jpeg, {"label": 'a "ž" <b>', "score": 0.5})
        assert note_of(kept[:4096]) == {"label": 'a "ž" <b>', "score": 0.5}
        assert np.array_equal(simplejpeg.decode_jpeg(kept), simplejpeg.decode_jpeg(jpeg))
    for broken in (JPEG, b"", b"\xff\xd8\xff\xfe\x00\x00", noted(JPEG, {"label": "cat"})[:30], b"\xff" * 99):
        assert note_of(broken) == {}


def test_crops_are_found_by_class_time_and_page(tmp_path: Path) -> None:
    now = time.time()
    old = put(tmp_path, now - 90_000, 1, "cat")
    dogs = [put(tmp_path, now - 100 + i, 2 + i, "dog", 0.5) for i in range(3)]
    (tmp_path / f"{round(now * 1e3):013d}_000001.jpg").write_bytes(JPEG)  # an annotated picture, no crop
    plain = f"{round((now - 50) * 1e3):013d}_9_1.jpg"
    (tmp_path / plain).write_bytes(JPEG)  # without a note
    with serving(crops=tmp_path) as (page, _):
        found = seen(page)
        assert names(found) == [plain, *reversed(dogs), old]
        assert (found["kept"], found["more"], found["labels"]) == (True, False, ["cat", "dog"])
        assert found["events"][1]["track"] == 4
        assert found["events"][1]["score"] == 0.5
        assert names(seen(page, "?label=cat")) == [old]
        assert names(seen(page, "?within=3600&label=dog")) == [*reversed(dogs)]
        first = seen(page, "?limit=2")
        assert (names(first), first["more"]) == ([plain, dogs[2]], True)
        assert names(seen(page, f"?limit=2&before={dogs[2]}")) == [dogs[1], dogs[0]]
        status, crop = ask(page, f"crops/{old}")
        assert (status, note_of(crop)["label"]) == (200, "cat")
        new = put(tmp_path, now, 20, "bird")
        assert names(seen(page))[0] == new
        (tmp_path / new).unlink()
        assert ask(page, f"crops/{new}")[0] == 404


def test_nothing_else_of_the_disk_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    (tmp_path / "1700000000000_1_1.jpg").write_bytes(b"secret")
    (folder / "secret.txt").write_bytes(b"secret")
    (folder / "1700000000001_1_1.jpg").symlink_to(tmp_path / "1700000000000_1_1.jpg")
    (folder / "1700000000002_1_1.jpg").mkdir()
    with serving(crops=folder) as (page, _):
        for name in (
            "secret.txt",
            "..%2f1700000000000_1_1.jpg",
            "1700000000000_1_1.jpg",
            *(f"170000000000{n}_1_1.jpg" for n in (1, 2)),
        ):
            status, body = ask(page, f"crops/{name}")
            assert (status, b"secret" in body) == (404, False)
        assert names(seen(page)) == []
        for query in ("?limit=-1", "?limit=x", "?within=1e9", "?within=" + "9" * 30):
            assert ask(page, "history.json" + query)[0] == 400


def test_a_run_without_a_folder_says_so() -> None:
    with serving() as (page, _):
        assert seen(page) == {"kept": False, "events": [], "more": False, "labels": []}
        assert ask(page, "crops/1700000000000_1_1.jpg")[0] == 404


def test_a_moment_is_a_picture_with_its_results() -> None:
    with serving() as (page, feeder):
        wait_for(lambda: feeder.frames)
        one = json.loads(ask(page, "moment.json")[1])
        two = json.loads(ask(page, "moment.json")[1])
        assert two["event"]["frame"] > one["event"]["frame"]
        assert one["event"]["detections"][0]["label"] == "face"
        pictures = [ask(page, f"snapshot.jpg?moment={moment['moment']}")[1] for moment in (one, two, one)]
        assert pictures[0] == pictures[2] != pictures[1]
        assert simplejpeg.decode_jpeg_header(ask(page, "snapshot.jpg")[1])[0] == 720
        assert ask(page, "snapshot.jpg?moment=999")[0] == 404
        feeder.pause.set()
        assert ask(page, "snapshot.jpg")[0] == 200  # the last one, while the source is away


@pytest.mark.parametrize("path", ["moment.json", "snapshot.jpg"])
def test_says_that_no_picture_has_come(path: str) -> None:
    with serving(fed=False) as (page, _):
        status, body = ask(page, path)
        assert (status, body) == (503, b"no picture has come yet\n")


def test_a_crop_of_the_same_tick_as_the_last_look_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = history.CropFolder(tmp_path)
    first = put(tmp_path, 1e9 + 1, 1, "cat")
    tick = tmp_path.stat().st_mtime_ns
    assert names(folder.find()) == [first]
    second = put(tmp_path, 1e9 + 2, 2, "dog")
    os.utime(tmp_path, ns=(tick, tick))  # file systems tell times apart by milliseconds, at best
    later = time.time_ns() + 2 * history.SETTLED_NS
    monkeypatch.setattr(history.time, "time_ns", lambda: later)
    assert names(folder.find()) == [second, first]
