"""Models that answer for others: they hold through `mo.optimize`, and give what the script has names for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
from script_runs import Device

from lengths import length
from saccade.compat.awscam import _Adapter
from saccade.compat.class_names import ClassNames

HEAD = "import awscam, mo, cv2, json, greengrasssdk\nclient = greengrasssdk.client('iot-data')\n"
LOOP = """model = awscam.Model(path, {'GPU': 1})
while True:
    ret, frame = awscam.getLastFrame()
    parsed = model.parseResult(kind, model.doInference(cv2.resize(frame, (224, 224))))[kind]
    client.publish(topic='t', payload=json.dumps(TEXT))
"""


def names_at(text: str, folder: Path = Path("/nowhere"), line: int = 0) -> dict[int, str]:
    names = ClassNames()
    names.add(text, str(folder / "s.py"))
    line = line or next(i for i, row in enumerate(text.splitlines(), 1) if "parseResult" in row)
    return dict(names.at(str(folder / "s.py"), line))


PARSE = "r = m.parseResult('ssd', x)['ssd']\n"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("d = {0: 'a', 1: 'b'}\n" + PARSE + "d[r[0]['label']]\n", {0: "a", 1: "b"}),
        ("d = {'3': 'a'}\n" + PARSE + "d[str(r[0]['label'])]\n", {3: "a"}),
        ("d = {1: 'face'}\n" + PARSE + "d.get(n, '')\n", {1: "face"}),
        ("d = ['a', 'b', 'c']\n" + PARSE + "d[r[0]['label']]\n", {0: "a", 1: "b", 2: "c"}),
        ("d = ('a', 'b')\n" + PARSE + "d[n - 1]\n", {1: "a", 2: "b"}),
        ("d = 'a b c'.split()\n" + PARSE + "d[n]\n", {0: "a", 1: "b", 2: "c"}),
        ("l = ['a', 'b']\nd = dict(enumerate(l))\n" + PARSE + "d[n]\n", {0: "a", 1: "b"}),
        ("d = dict(enumerate(['a', 'b'], 1))\n" + PARSE + "d[n]\n", {1: "a", 2: "b"}),
        ("d = dict(zip(range(2), ['a', 'b']))\n" + PARSE + "d[n]\n", {0: "a", 1: "b"}),
        ("d = dict([(4, 'a'), (5, 'b')])\n" + PARSE + "d[n]\n", {4: "a", 5: "b"}),
        ("d = {i: n for i, n in enumerate(['a', 'b'])}\n" + PARSE + "d[n]\n", {0: "a", 1: "b"}),
        ("d = {i: n for i, n in enumerate(['a', 'b'], start=1)}\n" + PARSE + "d[n]\n", {1: "a", 2: "b"}),
        ("l = ['a', 'b']\nd = dict(zip(range(1, len(l) + 1), l))\n" + PARSE + "d[n]\n", {1: "a", 2: "b"}),
        ("l = ['a', 'b']\nd = dict(zip(range(len(l)), l))\n" + PARSE + "d[n]\n", {0: "a", 1: "b"}),
        ("d = dict(zip(list(range(0, 9, 4)), ['a', 'b', 'c']))\n" + PARSE + "d[n]\n", {0: "a", 4: "b", 8: "c"}),
        ("d = dict(zip([3, 7], ['a', 'b']))\n" + PARSE + "d[n]\n", {3: "a", 7: "b"}),
        ("d = dict(zip(itertools.count(1), ['a', 'b']))\n" + PARSE + "d[n]\n", {1: "a", 2: "b"}),
        # What cannot be told is no table from 0.
        ("d = dict(zip(ids, ['a', 'b']))\n" + PARSE + "d[n]\n", {}),
        ("d = dict(enumerate(['a', 'b'], first))\n" + PARSE + "d[n]\n", {}),
        ("d = {n: i for i, n in enumerate(['a', 'b'])}\n" + PARSE + "d[n]\n", {}),
        # A list of something else beside the names.
        ("d = {7: 'a'}\ncolours = ['red', 'green']\n" + PARSE + "colours[n % 2]\nd[n]\n", {7: "a"}),
        ("labels = ['a']\nthings = ['x', 'y']\n" + PARSE + "things[i]\nlabels[n]\n", {0: "a"}),
        # Used elsewhere, or never by a number.
        ("d = {1: 'a', 2: 'b'}\ndef f(n):\n    return d[n]\n" + PARSE, {1: "a", 2: "b"}),
        ("def f():\n    d = {'s': {1: 'a', 2: 'b'}}\n    " + PARSE, {1: "a", 2: "b"}),
        ("topics = ['a', 'b']\n" + PARSE + "topics[0]\n", {}),
        (PARSE, {}),
    ],
)
def test_tables_of_names(text: str, known: dict[int, str]) -> None:
    assert names_at(text) == known


def test_each_result_has_its_own_table() -> None:
    text = "faces = {1: 'face'}\nmoods = ['sad', 'glad']\n"
    text += "a = m.parseResult('ssd', x)\nfaces[a]\nb = n.parseResult('classification', y)\nmoods[b]\n"
    assert names_at(text, line=3) == {1: "face"}
    assert names_at(text, line=5) == {0: "sad", 1: "glad"}


def test_names_are_those_of_the_label_file_that_is_indexed(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "notes.txt").write_text("a\nb\nc\n")
    text = "labels = [l.strip() for l in open('labels.txt')]\nopen('notes.txt')\n" + PARSE + "labels[n]\n"
    assert names_at(text, tmp_path) == {0: "cat", 1: "dog"}


def test_label_files_whose_folder_is_joined_to_them(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    names = ClassNames(lambda path: path.replace("/opt/awscam/artifacts", str(tmp_path)))
    names.add("f = open(os.path.join(FOLDER, 'labels.txt'))\n" + PARSE + "self.labels[r['label']]\n", "/nowhere/s.py")
    assert names.at("/nowhere/s.py", 2) == {0: "cat", 1: "dog"}


def test_label_files_by_the_name_that_holds_them(tmp_path: Path) -> None:
    (tmp_path / "mood_labels.txt").write_text("sad\nglad\n")
    (tmp_path / "room_labels.txt").write_text("hall\nattic\ncellar\n")
    text = "rooms = read('room_labels.txt')\nmoods = read('mood_labels.txt')\nd = {1: 'anna', 2: 'berta'}\n"
    text += "def f():\n    a = m.parseResult('ssd', x)\n    d[a[0]['label']]\n"
    text += "    b = n.parseResult('classification', y)\n    [moods[e['label']] for e in b]\n"
    assert names_at(text, tmp_path, 5) == {1: "anna", 2: "berta"}
    assert names_at(text, tmp_path, 7) == {0: "sad", 1: "glad"}


def test_a_detector_that_names_its_classes_goes_by_the_names() -> None:
    adapter = _Adapter(SimpleNamespace())  # type: ignore[arg-type]
    adapter._names = ("person", "bicycle", "Traffic Light")
    assert adapter.numbers({15: "person", 2: "bicycle", 9: "traffic_light"}) == {1: 15, 2: 2, 3: 9}
    assert adapter.numbers({0: "face"}) == {1: 0}
    assert adapter.numbers({0: "background", 1: "face"}) == {}
    assert adapter.numbers({1: "face"}) == {}


def test_a_network_of_more_classes_through_mo(device: Device) -> None:
    other = tiny_models.classifier(device.folder / "other.xml", classes=9)
    text = HEAD + "labels = ['red', 'green']\nkind = 'classification'\nerror, path = mo.optimize('colours', 224, 224)\n"
    text += LOOP.replace("TEXT", "[error, dict((labels[o['label']], o['prob']) for o in parsed)]")
    run = device.run(device.script(text), "--model", f"colours={other}", frames=3)
    for payload in run.payloads:
        error, found = json.loads(payload)
        assert error == 0
        assert set(found) == {"red", "green"}
        assert sum(found.values()) == pytest.approx(1)


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("through", "table", "number"),
    [("mo", "{0: 'face', 1: 'body'}", 0), ("path", "{1: 'face'}", 1), ("mo", "['face']", 0), ("mo", "{1: 'face'}", 1)][
        : length(2, 4)
    ],
)
def test_a_detector_of_the_catalogue(device: Device, through: str, table: str, number: int) -> None:
    path = "mo.optimize('deploy_ssd', 300, 300)[1]" if through == "mo" else "'/opt/awscam/artifacts/deploy_ssd.xml'"
    text = HEAD + f"names = {table}\nkind = 'ssd'\npath = {path}\n"
    text += LOOP.replace("TEXT", "[(o['label'], names[o['label']], o['prob'], o['xmin'], o['xmax']) for o in parsed]")
    run = device.run(device.script(text), "--model", "deploy_ssd=blazeface-full", frames=5)
    found = [tuple(box) for payload in run.payloads for box in json.loads(payload)]
    assert found
    assert {box[:2] for box in found} == {(number, "face")}
    assert max(box[2] for box in found) > 0.5
    assert all(0 <= left < right <= 224 for *_, left, right in found)
    assert "blazeface-full answers for the model deploy_ssd" in run.adapted


def test_names_in_a_module_beside_the_script(device: Device) -> None:
    tables = device.folder / "tables.py"
    tables.write_text("NAMES = {2: 'sheep', 4: 'goat'}\n")
    other = tiny_models.classifier(device.folder / "other.xml", classes=6)
    text = HEAD + "from tables import NAMES\nkind = 'classification'\npath = mo.optimize('herd', 224, 224)[1]\n"
    text += LOOP.replace("TEXT", "[NAMES[o['label']] for o in parsed]")
    run = device.run(device.script(text), "--model", str(other), frames=2)
    assert [sorted(json.loads(p)) for p in run.payloads] == [["goat", "sheep"]] * 2


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("path = mo.optimize('herd', 224, 224)[1]\nmodel = awscam.Model(path, {'GPU': 1})\n", "herd"),
        ("error, path = mo.optimize('herd', 224, 224)\nif error:\n    raise Exception('no model')\n", "herd"),
        ("error, path = mo.optimize('herd', 224, 224)\nif error:\n    exit()\n", "herd"),
        ("model = awscam.Model('/opt/awscam/artifacts/mxnet_herd_FP16_FUSED.xml', {'GPU': 1})\n", "herd"),
        ("try:\n    awscam.Model('x/herd.xml', {'GPU': 1})\nexcept Exception as e:\n    print undefined\n", "herd"),
    ],
)
def test_a_model_that_is_not_there_is_named_with_what_to_do(device: Device, how: str, name: str) -> None:
    run = device.run(device.script(HEAD + how), status=1 if "raise" in how else 2)
    line = run.err.strip().splitlines()[-1]
    assert f"--model {name}=PATH" in line
    assert "--artifacts DIR" in line
    assert name in line.partition("; copy it")[0]


def test_a_substitute_that_cannot_be_had(device: Device) -> None:
    text = HEAD + "model = awscam.Model('/opt/awscam/artifacts/herd.xml', {'GPU': 1})\n"
    run = device.run(device.script(text), "--model", "herd=gone.onnx", status=2)
    assert "no model file at gone.onnx" in run.err.splitlines()[-1]


def test_a_substitute_whose_outputs_say_nothing(device: Device) -> None:
    other = tiny_models.classifier(device.folder / "other.xml", classes=5)
    text = HEAD + "kind = 'ssd'\npath = mo.optimize('herd', 224, 224)[1]\n" + LOOP.replace("TEXT", "parsed")
    run = device.run(device.script(text), "--model", f"herd={other}", status=2)
    assert "has no output of a detector" in run.err.splitlines()[-1]


def test_numbers_are_left_alone_where_nothing_answers_for_another(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "herd.xml", classes=5)
    text = HEAD + "d = {0: 'a', 1: 'b'}\nkind = 'classification'\npath = '/opt/awscam/artifacts/herd.xml'\n"
    text += LOOP.replace("TEXT", "[o['label'] for o in parsed]")
    run = device.run(device.script(text), frames=1)
    assert sorted(json.loads(run.payloads[0])) == [0, 1, 2, 3, 4]


def test_probabilities_are_those_of_the_kept_classes(device: Device) -> None:
    other = tiny_models.classifier(device.folder / "other.xml", classes=6)
    text = HEAD + "d = {KEYS}\nkind = 'classification'\npath = mo.optimize('x', 224, 224)[1]\n"
    loop = LOOP.replace("    parsed =", "    frame[:] = (20, 90, 160)\n    parsed =")
    text += loop.replace("TEXT", "dict((str(o['label']), o['prob']) for o in parsed)") + "    d.get(ret)\n"
    every: Any = device.run(device.script(text.replace("KEYS", "")), "--model", f"x={other}", frames=1)
    whole = {int(k): v for k, v in json.loads(every.payloads[0]).items()}
    some: Any = device.run(device.script(text.replace("KEYS", "1: 'a', 5: 'b'")), "--model", f"x={other}", frames=1)
    part = {int(k): v for k, v in json.loads(some.payloads[0]).items()}
    scale = whole[1] + whole[5]
    assert part == pytest.approx({1: whole[1] / scale, 5: whole[5] / scale})
    assert np.isclose(sum(whole.values()), 1)
