"""Proof that an installed wheel with [cloud-local] alone runs the cloud stage: templates, functions, a camera."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import saccade
from saccade.networks import catalogue

assert "site-packages" in saccade.__file__, f"imported from {saccade.__file__}, not from the wheel"
catalogue.pull("demo")
(picture,) = catalogue.pull("demo-astronaut")
with tempfile.TemporaryDirectory() as folder:
    command = [
        str(Path(sys.executable).with_name("saccade")), "cloud", "local", "--source", str(picture),
        "--page", "127.0.0.1:0", "--summary", f"{folder}/summary.json",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=300)
    found = json.loads(Path(folder, "summary.json").read_text())
(camera,) = found["cameras"].values()
counted = {camera["spooled"], camera["in_bucket"], found["sent"], found["pictures"], found["faces"]}
assert counted == {1}, found
assert found["messages_left"] == found["dead_letters"] == 0, found
print(f"saccade {saccade.__version__}, [cloud-local]: a crop went from the camera to its row")
