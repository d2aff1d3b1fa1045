"""Unmodified scripts through `saccade run-script`: the tutorials' own, and others in the style of their time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_models
from script_runs import Device

import local_s3
from conditions import PATIENCE, wait_for
from lengths import length
from saccade.compat import old_opencv
from saccade.compat.old_modules import Modules
from saccade.compat.old_python import Report


@pytest.fixture
def s3(device: Device, s3_server: str) -> Iterator[Any]:
    client = local_s3.client(s3_server)
    client.create_bucket(Bucket="your-bucket")
    device.environment = local_s3.CREDENTIALS | {"AWS_ENDPOINT_URL": s3_server}
    yield client
    for item in client.list_objects_v2(Bucket="your-bucket").get("Contents", []):
        client.delete_object(Bucket="your-bucket", Key=item["Key"])
    client.close()


def seed(corpus: Path, file: str, holds: str) -> str:
    """The code block of a tutorial that holds a text."""
    text = (corpus / "seeds" / file).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if holds in block)


# The tutorials


@pytest.mark.corpus
def test_tutorial_head_pose(device: Device, corpus: Path) -> None:
    model = corpus / "corpus" / "tensorflow" / "seeded_headpose_like_84" / "frozen_model.pb"
    (device.artifacts / "frozen_model.pb").symlink_to(model)
    script = device.folder / "head_pose.py"
    script.write_text(seed(corpus, "head-pose-lambda.txt", "head_detection()"))
    run = device.run(script, frames=5)
    assert run.payloads[:4] == ["Optimizing model", "Model optimization complete", "Loading model", "Model loaded"]
    results = [json.loads(payload) for payload in run.payloads[4:]]
    assert len(results) == 4  # the first frame is only measured
    assert all(len(result) == 9 and abs(sum(result.values()) - 1) < 0.01 for result in results)
    assert {m["topic"] for m in run.messages} == {"$aws/things/deeplens/infer"}
    assert "division of integers" in run.adapted
    assert "`is` between values" in run.adapted


@pytest.mark.corpus
def test_tutorial_cat_dog(device: Device, corpus: Path) -> None:
    other = tiny_models.classifier(device.folder / "substitute.xml")
    script = device.folder / "cat_dog.py"
    script.write_text(seed(corpus, "inference-lambda-cat-dog.txt", "Copyright 2018 Amazon"))
    run = device.run(script, "--model", f"mxnet_resnet18-catsvsdogs_FP32_FUSED={other}")
    assert run.payloads[:2] == ["Loading action cat-dog model", "Cat-Dog model loaded"]
    results = [json.loads(payload) for payload in run.payloads[2:]]
    assert [set(result) for result in results] == [{"cat", "dog"}] * 4


@pytest.mark.corpus
def test_tutorial_cat_dog_knows_a_cat_by_the_catalogues_network(
    device: Device, corpus: Path, classifiers: Path
) -> None:
    script = device.folder / "cat_dog.py"
    script.write_text(seed(corpus, "inference-lambda-cat-dog.txt", "Copyright 2018 Amazon"))
    picture = str(corpus / "images" / "sk_chelsea.png")
    run = device.run(script, "--source", picture, "--model", "dog-or-cat", frames=1)
    (result,) = map(json.loads, run.payloads[2:3])
    assert result["cat"] > 0.95
    assert result["cat"] + result["dog"] == pytest.approx(1, abs=1e-3)


@pytest.mark.corpus
def test_tutorial_faces_to_s3(device: Device, corpus: Path, s3: Any) -> None:
    tiny_models.ssd(device.artifacts / "mxnet_deploy_ssd_FP16_FUSED.xml")
    script = device.folder / "faces.py"
    script.write_text(seed(corpus, "edge-faces-to-s3.txt", "greengrass_infinite_infer_run"))
    run = device.run(script)
    assert "Face detection starts now" in run.payloads
    assert run.payloads.count("Face pushed to S3") == 2 * 2  # one frame at import, one to measure
    assert not any("failed" in payload for payload in run.payloads)
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="your-bucket")["Contents"]]
    assert all(re.fullmatch(r"faces/\d+_\d+/\d+_\d+/\d+_[01]\.jpg", key) for key in keys)
    body = s3.get_object(Bucket="your-bucket", Key=keys[0])["Body"].read()
    assert body[:2] == b"\xff\xd8"
    for what in ("boto3 is installed here", "ACL='public-read' was left out", "division of integers"):
        assert what in run.adapted


@pytest.mark.corpus
@pytest.mark.parametrize("substitute", ["mxnet/gluon_mobilenet0_25/mobilenet0_25-symbol.json",
                                        "ir/v6/squeezenet1.1-FP16/squeezenet1.1.xml"][: length(1, 2)])  # fmt: skip
def test_tutorial_cat_dog_with_a_network_of_1000_classes(device: Device, corpus: Path, substitute: str) -> None:
    script = device.folder / "cat_dog.py"
    script.write_text(seed(corpus, "inference-lambda-cat-dog.txt", "Copyright 2018 Amazon"))
    run = device.run(script, "--model", str(corpus / "corpus" / substitute))
    results = [json.loads(payload) for payload in run.payloads[2:]]
    assert [set(result) for result in results] == [{"cat", "dog"}] * 4
    assert all(sum(result.values()) == pytest.approx(1) for result in results)
    assert "only the 2 are given that have names" in run.adapted


@pytest.mark.corpus
def test_tutorial_faces_with_a_real_detector(device: Device, corpus: Path, s3: Any) -> None:
    """The demo stream shows real faces; a face detector of 2018 answers for the one that is lost."""
    model = corpus / "corpus" / "ir" / "v3" / "face-detection-retail-0004-FP16" / "face-detection-retail-0004.xml"
    script = device.folder / "faces.py"
    script.write_text(seed(corpus, "edge-faces-to-s3.txt", "greengrass_infinite_infer_run"))
    run = device.run(script, "--model", f"mxnet_deploy_ssd_FP16_FUSED={model}", frames=12)
    assert run.payloads.count("Face pushed to S3") >= 5
    assert not any("failed" in payload for payload in run.payloads)


# Others


def test_boxes_are_scaled_as_python_2_divides(device: Device) -> None:
    tiny_models.ssd(device.artifacts / "mxnet_deploy_ssd_resnet50_300_FP16_FUSED.xml")
    run = device.sample("object_detection")
    results = [json.loads(payload) for payload in run.payloads[2:]]
    assert [set(result) for result in results] == [{"aeroplane", "bicycle"}] * 4
    # 1920x1080 over 300x300, divided as Python 2.7 does.
    assert run.out.splitlines() == ["scale 6.0 3.0"] * 8
    assert "is no Python 3" in run.err


def test_labels_are_read_from_the_file_of_the_script(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "squeezenet_v1.1.xml", size=227, classes=3)
    (device.artifacts / "synset.txt").write_text("cat\ndog\nm\u00f6we\n", encoding="utf-8")
    run = device.sample("labels_file")
    assert len(run.payloads) == 4
    assert all(set(json.loads(p)) == {"cat", "dog", "möwe"} for p in run.payloads)
    assert run.out.splitlines() == run.payloads


def test_words_of_a_classifier_are_drawn_and_published(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "mxnet_hotdog_FP32_FUSED.xml")
    run = device.sample("hotdog")
    results = [json.loads(p) for p in run.payloads if p.startswith("{")]
    assert len(results) == 3
    assert all(r["label"] in ("hotdog", "not hotdog") for r in results)
    assert "cv2.putText: numbers were made" in run.adapted
    assert not any("failed" in p for p in run.payloads)


def test_messages_of_unicode_keep_their_letters(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "birds.xml", size=112, classes=3)
    run = device.sample("bird")
    assert [m["topic"] for m in run.messages] == ["birds/deeplens"] * 4
    assert [json.loads(p)["n"] for p in run.payloads][-1] >= 2
    assert all(json.loads(p)["bird"] in ("Rotkehlchen", "Zaunkönig", "Grünfink") for p in run.payloads)


def test_style_transfer_with_a_viewer(device: Device) -> None:
    tiny_models.picture_to_picture(device.artifacts / "mxnet_style_FP32_FUSED.xml", size=224)
    with device.watched() as got:
        run = device.sample("style_transfer", frames=8)
    assert len([p for p in run.payloads if p.startswith("{")]) == 8
    assert got.count(b"\xff\xd8\xff\xe0") >= 5
    assert got.startswith(b"\xff\xd8")


def test_face_detection_with_mo(device: Device) -> None:
    other = tiny_models.ssd(device.folder / "other.xml")
    run = device.run(device.copy("face_mo"), "--model", f"deploy_faces={other}", frames=6)
    results = [json.loads(p) for p in run.payloads[1:]]
    assert len(results) == 3  # three frames flush the buffer
    assert results[0]["faces"][0]["box"] == pytest.approx([192, 216, 768, 648], rel=1e-3)
    assert run.out.splitlines() == ["2 faces"] * 3


def test_a_queue_of_uploads_reaches_the_bucket(device: Device, s3: Any) -> None:
    run = device.sample("upload_queue")
    keys = sorted(item["Key"] for item in s3.list_objects_v2(Bucket="your-bucket")["Contents"])
    assert len(keys) == 4
    assert all(re.fullmatch(r"frames/\d+_\d+/\d+ [0-3]\.jpg", key) for key in keys)
    assert all("frames%2F" in json.loads(p)["url"] for p in run.payloads)
    assert "pip install boto3" in run.adapted


@pytest.mark.parametrize("python", ["2", "3"])
def test_programs_are_started_however_they_are_named_and_boto3_is_not_installed(device: Device, python: str) -> None:
    script = device.folder / "programs.py"
    script.write_text(
        "import subprocess\n"
        "class Own(subprocess.Popen):\n    pass\n"
        "print(subprocess.Popen(args='exit 3', shell=True).wait())\n"
        "print(Own(['sh', '-c', 'exit 4']).wait())\n"
        "print(subprocess.call(args=['sh', '-c', 'exit 5']))\n"
        "installing = Own(args=['pip', 'install', 'boto3', '--target', '/none'])\n"
        "print(isinstance(installing, subprocess.Popen))\n"
        "print(installing.wait())\n"
        "print(subprocess.check_call(args='pip3 install boto3', shell=True))\n"
        "print(subprocess.run(['pip', 'install', 'boto3'], check=True).returncode)\n"
        "print(len(subprocess.check_output(['pip', 'install', 'boto3']).decode() + 'end'))\n"
        "print(subprocess.check_output('pip install boto3', shell=True, universal_newlines=True) + 'end')\n"
    )
    done = device.run_plain(script, "--python", python)
    assert done.stdout.split() == ["3", "4", "5", "True", "0", "0", "0", "3", "end"], done.stderr
    assert "`pip install boto3 --target /none` was not run" in done.stderr


@pytest.mark.parametrize("said", [{"index": 0}, {"filename": "/dev/video0"}, {"index": 0, "apiPreference": 200}])
def test_a_camera_that_is_named_by_a_word_is_that_of_the_run(said: dict[str, Any]) -> None:
    modules = Modules(3)
    old_opencv.adapt(modules, Report(), 3)
    capture = modules.load("cv2").VideoCapture
    assert capture(**said).isOpened()
    assert not capture(filename="/nowhere.avi", apiPreference=cv2.CAP_ANY).isOpened()
    later = capture()
    assert not later.isOpened()
    assert later.open(**said)
    assert later.isOpened()


@pytest.mark.parametrize("python", ["2", "3"])
@pytest.mark.parametrize("camera", ["0", "'/dev/video0'", "0, cv2.CAP_V4L2"])
def test_a_capture_is_opened_and_opened_again_on_the_camera_of_the_run(
    device: Device, python: str, camera: str
) -> None:
    script = device.script(
        "import cv2, greengrasssdk\n"
        "client = greengrasssdk.client('iot-data')\n"
        "cap = cv2.VideoCapture()\n"
        "def tell():\n"
        "    ok, frame = cap.read()\n"
        "    client.publish(topic='t', payload='%s %s %s' % (cap.isOpened(), ok, frame is not None and frame.shape))\n"
        "tell()\n"
        "for turn in range(2):\n"
        f"    cap.open({camera})\n"
        "    client.publish(topic='t', payload='%d x %d' % (cap.get(3), cap.get(4)))\n"
        "    tell()\n"
        "    cap.release()\n"
        "    tell()\n"
    )
    run = device.run(script, "--python", python, frames=2)
    closed, once = "False False False", ["1920 x 1080", "True True (1080, 1920, 3)"]
    assert run.payloads == [closed, *once, closed, *once, closed]


def test_a_capture_is_of_what_was_opened_last(device: Device) -> None:
    film = device.folder / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    writer.write(np.zeros((240, 320, 3), np.uint8))
    writer.release()
    script = device.script(
        "import cv2\n"
        "cap = cv2.VideoCapture(0)\n"
        f"print(cap.open({str(film)!r}), cap.read()[1].shape, cap.open('/nowhere.avi'), cap.isOpened())\n"
        "print(cap.open(0), cap.read()[1].shape)\n"
    )
    done = device.run_plain(script, "--python", "3")
    assert done.stdout.splitlines() == ["True (240, 320, 3) False False", "True (1080, 1920, 3)"], done.stderr


def test_opencv_2_and_3(device: Device) -> None:
    run = device.sample("opencv2")
    assert [json.loads(p)["width"] for p in run.payloads] == [480] * 4
    for what in ("three results of findContours", "cv2.CV_AA is cv2.LINE_AA", "windows of cv2 are not shown",
                 "createBackgroundSubtractorMOG is", "cv2.resize: numbers", "cv2.circle: numbers"):  # fmt: skip
        assert what in run.adapted, what


def test_python_3_is_left_alone(device: Device) -> None:
    tiny_models.ssd(device.artifacts / "mxnet_deploy_ssd_FP16_FUSED.xml")
    run = device.sample("python3")
    assert run.report["python"] == 3
    assert [json.loads(p)["yscale"] for p in run.payloads] == [pytest.approx(3.6)] * 4
    assert "division" not in run.adapted


def test_restarts_by_timer(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "m.xml", size=16)
    run = device.sample("restarts")
    assert run.payloads[:2] == ["failed", "failed"]
    assert [p[:16] for p in run.payloads[2:]] == ["try 3 alive True"] * 4
    assert "failed: camera is busy" in run.err


def test_base64_in_json(device: Device) -> None:
    run = device.sample("base64_image")
    messages = [json.loads(p) for p in run.payloads]
    assert [m["half"] for m in messages] == [0, 0, 1, 1]
    assert messages[0]["image"].startswith("data:image/jpeg;base64,/9j/")
    assert messages[0]["short"] == "/9j/"
    assert messages[0]["rounded"] == 3.0
    assert re.fullmatch("[0-9a-f]{8}", messages[0]["device"])


def test_tabs_and_old_division_run_as_they_did(device: Device) -> None:
    run = device.sample("old_habits", frames=2)
    assert run.out.splitlines() == [
        "1; 2500 3 548 a-b (0, 50) 3 -4 3.5", "2; 2500 6 548 a-b (0, 50) 3 -4 3.5",
    ]  # fmt: skip
    assert run.payloads[0] == "2500 3 \xe9"
    assert "tabs in the indentation" in run.adapted


def test_a_handler_alone_is_called_as_the_device_did(device: Device) -> None:
    run = device.sample("handler_only")
    assert run.payloads == ["(1080, 1920, 3)"] * 4
    assert "lambda_handler({}, None) was called" in run.adapted


def test_modules_beside_the_script(device: Device) -> None:
    (device.folder / "helpers.py").write_text(
        "LABELS = map(str, [1, 2])\ndef describe(f):\n    print 'describing'\n    return '%dx%d' % f.shape[1::-1]\n"
        "def halves(n):\n    return str(n / 2)\n"
    )
    (device.folder / "more.py").write_text("greeting = 'h' + `1/2`\nprint greeting\n")
    (device.folder / "settings.ini").write_text("[iot]\ntopic = own/topic\n")
    (device.folder / "greengrasssdk").mkdir()
    (device.folder / "greengrasssdk" / "__init__.py").write_text("raise ImportError('from the deployment package')\n")
    run = device.sample("neighbours")
    assert run.payloads == ["1920x1080 2 2 h0"] * 4
    assert run.messages[0]["topic"] == "own/topic"
    assert "helpers.py: Python 2 syntax" in run.adapted
    assert not list(device.folder.rglob("*.pyc"))


def test_a_script_that_catches_everything_is_ended(device: Device) -> None:
    run = device.sample("bare_except")
    assert run.payloads == ["1920x1080"] * 4
    assert "messages after the last frame were not sent" in run.adapted


# What goes wrong


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--artifacts", "/proc/nowhere"], "no such folder"),
        (["--frames", "0"], "--frames: got 0"),
        (["--model", "x="], "expected NAME=PATH"),
        (["--source", "/nowhere.mp4"], "/nowhere.mp4"),
        (["--events", "http://x"], "expected mqtt://HOST"),
    ],
)
def test_bad_options_are_one_line(device: Device, options: list[str], says: str) -> None:
    run = device.run(device.copy("handler_only"), *options, status=2)
    assert says in run.err
    assert len(run.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"def f(:\n    pass\n", "line 1: neither Python 2.7 nor 3"),
        (b"x = 1\nprint 'a' 'b' (\n", "neither Python 2.7 nor 3"),
        (b"\0\0", "null bytes"),
        (b"\xff\xfe\x00", "null bytes"),
    ],
)
def test_sources_that_are_none(device: Device, source: bytes, says: str) -> None:
    script = device.folder / "broken.py"
    script.write_bytes(source)
    run = device.run(script, status=2)
    assert says in run.err
    assert str(script) in run.err
    assert len(run.err.strip().splitlines()) == 1


def test_no_such_script(device: Device) -> None:
    assert "no such file" in device.run(device.folder / "gone.py", status=2).err


def test_a_missing_model_ends_the_run(device: Device) -> None:
    run = device.sample("hotdog", status=2)
    assert "--model hotdog=PATH" in run.err


def test_an_error_of_the_script_is_one_line(device: Device) -> None:
    script = device.folder / "broken.py"
    script.write_text("import awscam\nret, frame = awscam.getLastFrame()\nprint frame.shape\nprint frame.nothing\n")
    run = device.run(script, status=1)
    assert f"{script}, line 4: AttributeError: 'numpy.ndarray' object has no attribute 'nothing'" in run.err
    assert run.out == "(1080, 1920, 3)\n"


def test_removed_opencv_calls_are_named(device: Device) -> None:
    script = device.folder / "cascade.py"
    script.write_text("import awscam, cv2\nfaces = cv2.CascadeClassifier('haar.xml')\n")
    run = device.run(script, status=1)
    assert "Haar cascades left OpenCV" in run.err


def test_stops_when_told(device: Device) -> None:
    script = device.copy("bare_except")
    process = subprocess.Popen(device.command(script), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        messages = device.folder / "messages"
        wait_for(lambda: messages.exists() and messages.stat().st_size > 500)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "frames in" in err


def test_a_run_may_be_limited_in_seconds(device: Device) -> None:
    run = device.run(device.copy("handler_only"), "--seconds", "1", frames=10**6)
    assert run.payloads


def test_botocore_sessions_and_files_beside_the_script(device: Device, s3: Any) -> None:
    script = device.folder / "session.py"
    script.write_text(
        "from botocore.session import Session\nimport awscam, cv2, json, greengrasssdk, time\n"
        "names = [line.strip() for line in open('names.txt')]\n"
        "while True:\n\tret, frame = awscam.getLastFrame()\n\ts3 = Session().create_client('s3')\n"
        "\t_, jpg = cv2.imencode('.jpg', frame[0:frame.shape[0]/4, 0:frame.shape[1]/4])\n"
        "\tkey = 'images/' + names[0] + '-' + time.strftime('%Y%m%d') + '.jpg'\n"
        "\ts3.put_object(Body=jpg.tostring(), Bucket='your-bucket', Key=key, ACL='public-read')\n"
        "        print json.dumps({'key': key, 'size': len(jpg)})\n"
    )
    (device.folder / "names.txt").write_text("anna\nberta\n")
    run = device.run(script, frames=3)
    assert len(run.out.splitlines()) == 3
    assert [item["Key"][:12] for item in s3.list_objects_v2(Bucket="your-bucket")["Contents"]] == ["images/anna-"]
    assert "the client for s3 is made once" in run.adapted
    assert "ACL='public-read' was left out" in run.adapted


def test_only_clients_that_say_the_same_are_shared(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")  # as a function of Lambda has it; boto3 itself does not look at it
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    script = device.folder / "sessions.py"
    script.write_text(
        "import boto3\nfrom botocore.config import Config\nplain = boto3.client('s3')\nprint(plain.meta.region_name)\n"
        "print(boto3.Session(region_name='eu-west-1').client('s3').meta.region_name)\n"
        "role = boto3.Session(aws_access_key_id='a', aws_secret_access_key='b', aws_session_token='c')\n"
        "print(role.client('s3') is plain)\n"
        "def patient(s):\n    return boto3.client('s3', config=Config(read_timeout=s))\n"
        "print(patient(5) is patient(5))\nprint(patient(5) is patient(6))\n"
    )
    assert device.run_plain(script).stdout.split() == ["eu-central-1", "eu-west-1", "False", "True", "False"]


def test_a_missing_module_is_named(device: Device) -> None:
    script = device.folder / "needs.py"
    script.write_text("import awscam\nimport mxnet_that_is_not_there\n")
    assert "install it into this Python, or lay it beside" in device.run(script, status=1).err


def test_a_display_thread_alone_keeps_nothing_running(device: Device) -> None:
    script = device.folder / "display.py"
    script.write_text(
        "import awscam, greengrasssdk, os\nfrom threading import Thread\nclient = greengrasssdk.client('iot-data')\n"
        "class Show(Thread):\n    def run(self):\n        f = open('/tmp/results.mjpeg', 'w')\n"
        "        while True:\n            f.write('picture')\n"
        "Show().start()\ntry:\n    raise Exception('no luck')\n"
        "except Exception as e:\n    client.publish('t', str(e))\n"
    )
    run = device.run(script, status=1)  # nothing ran
    assert run.payloads == ["no luck"]
    assert "no frame was taken" in run.err
    assert "Exception: no luck" in run.err.splitlines()[-1]


@pytest.mark.parametrize(
    "player",
    [
        "mplayer -really-quiet -demuxer lavf -lavfdopts format=mjpeg:probesize=32 -vo null -nosound -frames 15 FIFO",
        "ffmpeg -loglevel error -f mjpeg -i FIFO -frames:v 15 -f null -",
    ][: length(1, 2)],
)
def test_players_come_die_and_return(device: Device, player: str) -> None:
    command = player.replace("FIFO", str(device.fifo)).split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    tiny_models.classifier(device.artifacts / "mxnet_hotdog_FP32_FUSED.xml")
    script = device.command(device.copy("hotdog"), "--realtime")
    process = subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(device.fifo.exists)
        with open(device.fifo, "rb") as stalled:
            # A viewer that reads nothing, and dies.
            assert stalled.read(2) == b"\xff\xd8"
        for _ in range(2):
            seen = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
            assert seen.returncode == 0, seen.stderr
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in (device.folder / "messages").read_text().splitlines()]
    assert not any("failed" in line["payload"] for line in lines)


def test_packages_logs_and_processes_of_the_time_work(device: Device) -> None:
    package = device.folder / "shapes"
    package.mkdir()
    (package / "__init__.py").write_text("from plane import area\n")
    (package / "plane.py").write_text("def area(w, h):\n    return w * h / 2\n")
    run = device.sample("more_habits", frames=2)
    assert run.out.splitlines() == [
        "INFO frame 1 of ['b', 'a']", "frame 1 more_habits.py", "from the other process: 42",
        "INFO frame 2 of ['b', 'a']", "frame 2 more_habits.py",
    ]  # fmt: skip
    assert [json.loads(p) for p in run.payloads] == [
        {"text": "frame 1", "area": 7, "best": 0.1}, {"text": "frame 2", "area": 7, "best": 0.2},
    ]  # fmt: skip


def test_the_live_page_of_a_script_comes_with_its_stream(device: Device) -> None:
    tiny_models.classifier(device.artifacts / "mxnet_hotdog_FP32_FUSED.xml")
    command = device.command(device.copy("hotdog"), "--realtime", "--view", "127.0.0.1:0")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = next(line for line in process.stderr if "live page" in line).split()[-1]
        with urllib.request.urlopen(url, timeout=PATIENCE) as page:
            assert b"<html" in page.read().lower()
        with urllib.request.urlopen(f"{url}stream.mjpeg", timeout=PATIENCE) as stream:
            assert b"\xff\xd8" in stream.read(100_000)
        process.terminate()
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0
