"""What `inspect` says: what a network is taken for, from where, and what would override it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest

from saccade.cli import main, style
from saccade.cli.inspect import readable
from saccade.predict.inspect import as_option, describe
from saccade.predict.opening import Wishes
from saccade.text import plain
from small_networks import classifier, detector, onnx_relu, outputs_only


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    model = classifier(3)
    for name, value in {"labels": "cat dog bird", "scale_values": "255", "reverse_input_channels": "YES"}.items():
        model.set_rt_info(value, ["model_info", name])
    ov.save_model(model, tmp_path / "my pets.xml", compress_to_fp16=False)
    return tmp_path / "my pets.xml"


def test_every_value_with_where_it_comes_from(pets: Path) -> None:
    facts = describe(pets)
    assert (facts["task"], facts["family"], facts["runs"]) == ("classify", "classifier", True)
    understood = facts["understood"]
    assert understood["labels"] == {
        "value": ("cat", "dog", "bird"), "from": "the file (Model API)", "override": "--labels",
    }  # fmt: skip
    assert understood["scale"]["value"] == (255.0, 255.0, 255.0)
    assert understood["color"]["value"] == "rgb"
    assert understood["mean"]["from"] == "the file (Model API)"
    assert understood["resize"]["from"] == "nobody says so: the usual"
    assert facts["stated"]["names"]["from"] == "the file (Model API)"
    json.dumps(facts)


def test_what_the_user_says_is_seen(pets: Path) -> None:
    facts = describe(pets, wishes=Wishes(labels=("a", "b", "c"), scale=2.0))
    assert facts["understood"]["labels"]["from"] == "an option"
    assert facts["understood"]["scale"] == {"value": (2.0, 2.0, 2.0), "from": "an option", "override": "--scale"}


def test_the_call_that_would_override_it_runs(pets: Path, tmp_path: Path) -> None:
    words = shlex.split(describe(pets)["calls"]["command"])
    assert words[:3] == ["saccade", "run", "classify"]
    assert words[words.index("--model") + 1] == str(pets)
    labels = tmp_path / "names"
    labels.write_text("x\ny\nz\n")
    cv2.imwrite(str(tmp_path / "picture.jpg"), np.zeros((32, 32, 3), np.uint8))
    for more, names in (([], {"cat", "dog", "bird"}), (["--labels", str(labels)], {"x", "y", "z"})):
        events = tmp_path / f"events{len(more)}"
        assert main([*words[1:], *more, "--source", str(tmp_path / "picture.jpg"), "--events", str(events)]) == 0
        event = json.loads(events.read_text())
        assert {entry["label"] for entry in event["classes"]} == names


def test_what_no_app_runs_is_inferred(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh, picture = tmp_path / "mesh.xml", tmp_path / "picture.png"
    ov.save_model(outputs_only(p=(1, 1404), s=(1, 1)), mesh)
    cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    words = shlex.split(describe(mesh)["calls"]["command"])
    assert words[:5] == ["saccade", "infer", "--parsed", str(mesh), "PICTURE"]
    words[4] = str(picture)
    for more, y in (([], -8), (["--resize", "stretch"], 0)):  # above and below the picture are bars, or nothing
        assert main([*words[1:], *more, "--json"]) == 0
        (entry,) = json.loads(capsys.readouterr().out)
        assert entry["result"]["app"] == "landmarks"
        assert entry["result"]["landmarks"]["points"][:1] == [[0, y, 0]]
    assert main([*words[1:], "--rgb", "--color", "bgr"]) == 2
    assert "--rgb and --color bgr contradict" in capsys.readouterr().err


def test_the_python_call_is_one(pets: Path) -> None:
    import saccade

    call = describe(pets)["calls"]["python"]
    predictor = eval(call, {"saccade": saccade})
    assert predictor.spec.scale == (255.0, 255.0, 255.0)
    assert predictor.spec.swap_rb


def test_the_shape_is_that_of_the_input_that_takes_the_picture(tmp_path: Path) -> None:
    state, data = op.parameter([1, 8, 4, 4], np.float32), op.parameter([1, 3, 16, 16], np.float32)
    both = op.add(op.reduce_mean(state, np.array([1, 2, 3])), op.reduce_mean(data, np.array([2, 3])))
    model = ov.Model([op.softmax(both, 1)], [state, data], "two")
    ov.save_model(model, tmp_path / "two.xml", compress_to_fp16=False)
    assert "--input-shape 1,3,16,16" in describe(tmp_path / "two.xml")["calls"]["command"]


def test_a_network_that_is_refused(tmp_path: Path) -> None:
    model = outputs_only(a=(1, 3, 4), b=(1, 3, 4))
    model.set_rt_info("cat dog", ["model_info", "labels"])
    ov.save_model(model, tmp_path / "net.xml")
    facts = describe(tmp_path / "net.xml")
    assert facts["runs"]
    assert facts["task"] is None
    assert "a [1, 3, 4], b [1, 3, 4]" in facts["not_understood"]
    assert facts["stated"]["names"] == {"value": ("cat", "dog"), "from": "the file (Model API)"}
    assert "understood" not in facts
    assert "cat, dog" in readable(facts)


def test_open_sizes_are_shown_as_the_file_has_them(tmp_path: Path) -> None:
    facts = describe(onnx_relu(tmp_path / "relu.onnx", ("n", 3, "h", "w")))
    assert facts["inputs"] == [{"name": "x", "shape": [-1, 3, -1, -1], "type": "f32"}]
    assert facts["runs"]
    open_rows = describe(onnx_relu(tmp_path / "rows.onnx", (1, "n")))
    assert not open_rows["runs"]
    assert "--input-shape x:1,1" in open_rows["reason"]


def test_the_command_says_what_was_understood_and_how_to_say_otherwise(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(pets), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["understood"]["task"]["override"] in ("--task", "task= in Python")
    assert main(["inspect", str(pets)]) == 0
    out = capsys.readouterr().out
    assert "to say otherwise: saccade run classify --model" in out
    assert "cat, dog, bird" in out
    ov.save_model(detector(), tmp_path / "ssd.xml")
    assert main(["inspect", str(tmp_path / "ssd.xml"), "--task", "classify"]) == 0
    assert "--task classify does not fit its outputs" in capsys.readouterr().out


def test_tables_fit_the_terminal() -> None:
    rows = [("a", "long" * 30, "from " * 10), ("b", "1", "c")]
    for width in (40, 60, 79):
        lines = style.table(rows, ("name", "value", "from"), width=width).splitlines()
        assert max(map(len, lines)) <= width
        assert "…" in lines[1]
    assert "long" * 30 in style.table(rows)


def test_names_do_not_act_on_the_terminal() -> None:
    text = "a\x1b[5m\x1b]0;title\x07\u202eb\x9b\u2028"
    table = style.table([(text, "x\ny")])
    assert not set("\x1b\x07\u202e\x9b\u2028\n") & set(table)
    assert r"\x1b[5m" in table
    assert plain("Grüße 猫 👩\u200d🚀") == "Grüße 猫 👩\u200d🚀"


@pytest.mark.parametrize(
    ("value", "text"),
    [((127.5,) * 3, "127.5"), ((1.0, 2.0, 3.0), "1,2,3"), (0.25, "0.25"), ("rgb", "rgb"), (114, "114"), (True, "True")],
)
def test_values_as_they_are_typed(value: object, text: str) -> None:
    assert as_option(value) == text
