"""Many cameras in one file: tables over defaults, and one line for each that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from saccade.config import camera_name, examine_cameras, is_cameras_file, load_cameras, read_camera
from saccade.config.gate import GateConfig
from saccade.errors import ConfigError

TWO = """
[defaults]
model = "yolo.onnx"
out = "crops"
events = "{camera}.jsonl"
threshold = 0.4

[[camera]]
name = "door"
source = "rtsp://me:hunter2@10.0.0.7/1"
app = "detect"
rate = 5
weight = 2
gate = "motion"
always-every = 4
regions = [[0, 0.5, 1, 0.5]]
threshold = 0.6

[[camera]]
source = 0
[[camera.apps]]
app = "detect"
classes = ["person", "a,b"]
[[camera.apps]]
app = "faces"
model = "blazeface-full"
labels = "labels/{camera}.txt"
"""


def problems(tmp_path: Path, text: str, **keywords: object) -> list[str]:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return [line.replace(str(file), "c.toml") for line in examine_cameras(file, **keywords)[1]]  # type: ignore[arg-type]


def test_cameras_are_their_table_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text(TWO)
    cameras = load_cameras(file, environ={"SACCADE_DEVICE": "CPU"}, given={"seconds": "9"})
    assert is_cameras_file(file)
    assert cameras.names == ("door", "video0")
    door, yard = cameras
    assert (door.weight, door.gating, door.config.regions) == (
        2.0, GateConfig(always_every=4.0), ((0.0, 0.5, 1.0, 0.5),)
    )  # fmt: skip
    assert (door.config.rate, door.config.threshold, door.config.device, door.config.seconds) == (5.0, 0.6, "CPU", 9.0)
    assert door.config.events == "door.jsonl"
    assert (door.config.out, yard.config.out) == ("crops/door", "crops/video0"), "two never write into one folder"
    assert door.origins["threshold"] == f"{file} [[camera]] door: threshold"
    assert yard.origins["threshold"] == f"{file} [defaults]: threshold"
    assert [(app.app, app.config.model, app.config.classes) for app in yard.apps] == [
        ("detect", "yolo.onnx", ("person", "a,b")), ("faces", "blazeface-full", ()),
    ]  # fmt: skip
    assert yard.apps[1].config.labels == "labels/video0.txt"
    assert all(app.config.source == "0" and app.config.out == "crops/video0" for app in yard.apps)
    assert (cameras.defaults.seconds, cameras.defaults.threshold) == (9.0, 0.4)
    assert cameras["door"] is door
    with pytest.raises(ConfigError, match="camera 'dor': there is none of that name; did you mean door"):
        cameras["dor"]


def test_a_file_of_one_camera_is_read_the_same_way(tmp_path: Path) -> None:
    file = tmp_path / "camera.toml"
    file.write_text('source = "film.mp4"\nframes = 3\n')
    assert not is_cameras_file(file)
    (camera,) = load_cameras(file, app="faces", environ={"SACCADE_SOURCE": "other.mp4"})
    assert (camera.name, camera.config.source, camera.config.frames) == ("other", "other.mp4", 3)
    assert [app.app for app in camera.apps] == ["faces"]
    with pytest.raises(ConfigError, match=r"camera\.toml: no app; say what the camera is for"):
        load_cameras(file)


def test_everything_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    text = f"""
sorce = 1
threshold = 0.5
[defaults]
source = "0"
iou = 5
app = "detect"
[[camera]]
name = "a"
source = 0
app = "detct"
[[camera]]
name = "b"
source = "/dev/video0@640x480"
rate = 0
[[camera]]
name = "c"
source = "/dev/video0@640x480"
[[camera]]
name = "C"
source = 0
[[camera]]
name = "Haustür"
source = "demo:"
[[camera]]
name = "e"
source = "{fifo}"
fifo = "/tmp/one"
[[camera]]
name = "f"
source = "{fifo}"
fifo = "/tmp/one"
[[camera]]
name = "g"
[[camera]]
name = "h"
source = "demo:"
wieght = 2
[[camera]]
name = "i"
source = "demo:"
regions = [[0.5, 0, 0.6, 1]]
[[camera]]
name = "j"
source = "demo:"
[[camera.apps]]
app = "faces"
realtime = true
"""
    found = problems(tmp_path, text, environ={"SACCADE_SORCE": "1"}, given={"source": "x"})
    assert found == [
        "environment variable SACCADE_SORCE: there is no such setting; did you mean SACCADE_SOURCE?",
        "--source and the cameras of c.toml: each has a source of its own; leave it out",
        "c.toml: 'sorce' beside the cameras; options stand in [defaults] or [[camera]]",
        "c.toml: 'threshold' beside the cameras; options stand under [defaults]",
        "c.toml [defaults]: source is each camera's own; say it in every [[camera]]",
        "c.toml [defaults]: iou: got 5; expected a part from 0 to 1",
        "c.toml [[camera]] a: app 'detct' is not known; did you mean detect?",
        "c.toml [[camera]] b: rate: got 0; expected pictures a second, above 0 and up to 240",
        "c.toml [[camera]] Haustür: name: got 'Haustür'; expected 1 to 64 letters, digits, - _ and . (it names topics, "
        "figures and folders)",
        'c.toml [[camera]] g: no source; say where its pictures come from, as source = "/dev/video0"',
        "c.toml [[camera]] h: unknown option 'wieght'; did you mean weight?",
        "c.toml [[camera]] i: regions: got 0.5,0,0.6,1; expected x, y, width and height of each region within the "
        "frame, as parts of it (0,0.5,1,0.5) or in whole px (0,540,1920,540)",
        "c.toml [[camera]] j faces: realtime belongs to the camera; an app's table speaks of its network only",
        "c.toml: 2 cameras are called c; give each a name of its own",
        "c.toml: cameras c and C both look at /dev/video0, which only one can; give one camera several apps instead",
        f"c.toml: cameras e and f both look at {fifo}, which only one can; give one camera several apps instead",
        "c.toml: cameras e and f share the FIFO /tmp/one; write {camera} into its name",
    ]
    with pytest.raises(ConfigError, match=r"SORCE.*\(and 16 more: `saccade config check .*c\.toml`\)"):
        load_cameras(tmp_path / "c.toml", environ={"SACCADE_SORCE": "1"}, given={"source": "x"})


def of_two(folder: Path, one: str, other: str) -> list[str]:
    """Problems of two cameras with these options."""
    head = '[[camera]]\nsource = "demo:"\napp = "faces"\n'
    return problems(folder, f'{head}name = "a"\n{one}\n{head}name = "b"\n{other}\n')


def test_what_lies_in_one_spool_goes_to_one_bucket(tmp_path: Path) -> None:
    fault = "c.toml: cameras a and b share a spool and not what becomes of it; give them one bucket and encryption, or"
    for a, b, sound in (
        ('bucket = "one"', 'bucket = "one"', True),
        ('bucket = "one"', 'bucket = "two"', False),
        ('bucket = "one"', 'bucket = "one"\nencryption = "none"', False),
        ('bucket = "one"\nspool = "/s/{camera}"', 'bucket = "two"\nspool = "/s/{camera}"', True),
        ('bucket = "one"\nspool = "/s"', 'spool = "/s"', False),
        ('bucket = "one"', "", True),
        ('spool = "/s"', 'spool = "/s"\nencryption = "none"', True),
    ):
        assert [line.startswith(fault) for line in of_two(tmp_path, a, b)] == [True] * (not sound), (a, b)


def test_of_one_client_there_is_one_camera(tmp_path: Path) -> None:
    fault = "c.toml: cameras a and b are one client (x of broker) to their broker, which lets in only one of them; "
    for a, b, sound in (
        ("mqtt://broker", "mqtt://broker", True),
        ("mqtt://broker?client_id=x", "mqtt://me:pw@broker:1883?client_id=x", False),
        ("mqtt://broker?client_id=x-{camera}", "mqtt://broker?client_id=x-{camera}", True),
        ("mqtt://broker?client_id=x", "mqtt://other?client_id=x", True),
        ("mqtt://[broker?client_id=x", "mqtt://[broker?client_id=x", True),
    ):
        found = of_two(tmp_path, f'publish = ["{a}"]', f'publish = ["{b}"]')
        assert [line.startswith(fault) for line in found] == [True] * (not sound), (a, b)
        assert not any("pw" in line for line in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults]\n", "[defaults] and no [[camera]]"),
        ("camera = 3", "camera is no list of tables; write [[camera]]"),
        ("[camera]\nname = 'a'", "camera is no list of tables"),
        ("defaults = 3\n[[camera]]\nsource='demo:'\napp='faces'", "defaults is no table"),
        ("[[camera]]\nsource='demo:'\napp=[3]", "expected names, or [[camera.apps]] tables"),
        ("[[camera]]\nsource='demo:'\napp='faces'\napps=['faces']", "one of them says it all"),
        ("[[camera]]\nsource='demo:'", "no app; say what the camera is for"),
        ("[[camera]]\nsource='demo:'\napp='faces'\nregions=[[1,2]]", "expected x, y, width and height"),
        ("[[camera]]\nsource='demo:'\napp='faces'\nregions=[1,2,3,4]", "expected x, y, width and height"),
        ("[[camera]]\nsource={a=1}\napp='faces'", "source: got {'a': 1}; expected text"),
    ],
)
def test_tables_of_the_wrong_shape(tmp_path: Path, text: str, message: str) -> None:
    (line,) = problems(tmp_path, text)
    assert message in line


@pytest.mark.parametrize(
    ("said", "gate"),
    [
        ('"off"', GateConfig(mode="off")), ('"motion"', GateConfig()), ("{ hold = 3 }", GateConfig(hold=3)),
        ('{ mode = "motion", hold = 2, sensitivity = 0.5 }', GateConfig(hold=2, sensitivity=0.5)),
        ('"motoin"', "gate: got 'motoin'; expected motion, off, or a table; did you mean motion?"),
        ("5", "gate: got 5; expected motion, off, or a table"),
        ("{ sensitivty = 2 }", "gate: unknown option 'sensitivty'; did you mean sensitivity?"),
        ('{ mode = "of" }', "gate: mode: got 'of'; expected one of off, motion; did you mean off?"),
        ("{ hold = 0 }", "gate: hold: got 0; expected a positive number of seconds"),
        ("{ sensitivity = 99 }", "gate: sensitivity: got 99; expected a number from 0.1 to 10"),
    ],
)  # fmt: skip
def test_a_gate_is_a_word_or_a_table(tmp_path: Path, said: str, gate: GateConfig | str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"[[camera]]\nsource='demo:'\napp='faces'\ngate = {said}\n")
    cameras, found = examine_cameras(file)
    if isinstance(gate, str):
        (line,) = found
        assert line.startswith(f"{file} [[camera]] 1: {gate}")
    else:
        assert (cameras.cameras[0].gating, found) == (gate, [])


def test_a_camera_may_come_by_itself() -> None:
    camera = read_camera({"source": "demo:", "app": "faces"}, where="request", defaults={"rate": 3})
    assert (camera.name, camera.config.rate, camera.device) == ("demo", 3.0, "")
    assert read_camera({"source": "/dev/\0", "app": "faces"}, where="request").device == "", "nobody can have it"
    with pytest.raises(ConfigError, match="request: unknown option 'rat'; did you mean rate"):
        read_camera({"source": "demo:", "rat": 1}, where="request")


@pytest.mark.parametrize(
    ("source", "name"),
    [("0", "video0"), ("/dev/video3@640x480", "video3"), ("rtsp://me:hunter2@cam.lan:554/s?x=1", "cam.lan"),
     ("demo:4mp", "demo-4mp"), ("films/my film.mp4", "my-film"), ("photos/*.jpg", "photos"), ("-", "stdin"),
     ("http://[fe80::1]/x", "fe80-1"), ("http://[bad", "http-bad"), ("***", "camera")],
)  # fmt: skip
def test_a_camera_without_a_name_is_called_by_its_source(source: str, name: str) -> None:
    assert camera_name(source) == name
