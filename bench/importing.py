"""What it costs to convert a framework model: time and memory of `mo.optimize` on a 50-layer SSD of full size.

    python -m bench.importing [--rounds N] [--json FILE] [--check]

The model is made on the spot: ResNet-50 with six feature maps at 512x512 as example/ssd builds it, with random weights
(119 MB). Each round converts it in a process of its own. Memory is the peak above what the process has with OpenVINO
loaded, in sizes of the parameter file. `--check` exits with 1 where a figure misses its target; targets are 3 s and
3 times the weights.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import Figure, command_line, figure, finish
from bench.memory import PEAK

SECONDS, SIZES = 3.0, 3.0
NAME = "deploy_ssd_resnet50_512"

CHILD = f"""{PEAK}
import json, resource, sys, time
import openvino, numpy
from saccade.compat import mo
from saccade.formats import caffe, convert, mxnet, read_model
from saccade.formats.core import core
core()
resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
folder, before, start = sys.argv[1], resident, time.perf_counter()
error, path = mo.optimize(sys.argv[2], 512, 512, "mx", {{"--models-dir": folder, "--output-dir": folder}})
first, top, start = time.perf_counter() - start, peak() - before, time.perf_counter()
again = mo.optimize(sys.argv[2], 512, 512, "mx", {{"--models-dir": folder, "--output-dir": folder}})
print(json.dumps([error, again[0], first, time.perf_counter() - start, top]))
"""


class _Symbol:
    """A symbol and its weights; a reference is (node, output)."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(0)

    def add(self, op: str, name: str, *inputs: int, **attributes: Any) -> int:
        node = {"op": op, "name": name, "inputs": [[index, 0, 0] for index in inputs]}
        self.nodes.append(node | {"attr": {key: str(value) for key, value in attributes.items()}})
        return len(self.nodes) - 1

    def weight(self, name: str, *shape: int, low: float = -0.05, high: float = 0.05) -> int:
        self.weights[name] = self.rng.uniform(low, high, shape).astype(np.float32)
        return self.add("null", name)

    def conv(
        self, x: int, name: str, channels: tuple[int, int], kernel: int, stride: int = 1, *, bias: bool = False
    ) -> int:
        inputs = [x, self.weight(f"{name}_weight", channels[1], channels[0], kernel, kernel)]
        if bias:
            inputs.append(self.weight(f"{name}_bias", channels[1]))
        window = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "pad": (kernel // 2,) * 2}
        return self.add("Convolution", name, *inputs, num_filter=channels[1], no_bias=not bias, **window)

    def norm(self, x: int, name: str, channels: int) -> int:
        parts = [self.weight(f"{name}_{part}", channels) for part in ("gamma", "beta", "moving_mean")]
        parts.append(self.weight(f"{name}_moving_var", channels, low=0.5, high=1.5))
        return self.add("BatchNorm", name, x, *parts, eps=2e-5, fix_gamma=False)

    def relu(self, x: int, name: str) -> int:
        return self.add("Activation", name, x, act_type="relu")


def write_model(folder: Path) -> Path:
    """NAME-symbol.json and NAME-0000.params; returns the parameters' path."""
    net = _Symbol()
    x = net.conv(net.add("null", "data"), "conv0", (3, 64), 7, 2)
    x = net.relu(net.norm(x, "bn0", 64), "relu0")
    x = net.add("Pooling", "pool0", x, kernel="(3, 3)", stride="(2, 2)", pad="(1, 1)", pool_type="max")
    channels, maps = 64, []
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            name, stride = f"stage{stage}_unit{block}", 2 if stage and not block else 1
            y = net.relu(net.norm(x, f"{name}_bn1", channels), f"{name}_relu1")
            side = x if block else net.conv(y, f"{name}_sc", (channels, width * 4), 1, stride)
            y = net.relu(net.norm(net.conv(y, f"{name}_c1", (channels, width), 1), f"{name}_bn2", width), f"{name}_r2")
            y = net.conv(y, f"{name}_c2", (width, width), 3, stride)
            y = net.conv(net.relu(net.norm(y, f"{name}_bn3", width), f"{name}_r3"), f"{name}_c3", (width, width * 4), 1)
            x, channels = net.add("elemwise_add", f"{name}_plus", y, side), width * 4
        if stage >= 2:
            maps.append((x, channels))
    for index, width in enumerate((512, 256, 256, 128)):
        x = net.relu(net.conv(x, f"multi{index}_1x1", (channels, width // 2), 1, bias=True), f"multi{index}_r1")
        x = net.relu(net.conv(x, f"multi{index}_3x3", (width // 2, width), 3, 2, bias=True), f"multi{index}_r3")
        channels = width
        maps.append((x, channels))
    heads: dict[str, list[int]] = {"loc": [], "cls": [], "anchors": []}
    for index, (feature, count) in enumerate(maps):
        for kind, each in (("loc", 4), ("cls", 21)):
            y = net.conv(feature, f"{kind}{index}", (count, 4 * each), 3, bias=True)
            y = net.add("Flatten", f"{kind}{index}_f", net.add("transpose", f"{kind}{index}_t", y, axes="(0, 2, 3, 1)"))
            heads[kind].append(y)
        size = 0.1 + 0.15 * index
        prior = net.add(
            "_contrib_MultiBoxPrior", f"anchors{index}", feature, sizes=(size, size * 1.3), ratios="(1, 2, 0.5)"
        )
        heads["anchors"].append(net.add("Flatten", f"anchors{index}_f", prior))
    loc, conf, anchors = (net.add("Concat", f"multibox_{kind}", *parts, dim=1) for kind, parts in heads.items())
    conf = net.add("transpose", "cls_preds", net.add("Reshape", "cls_r", conf, shape="(0, -1, 21)"), axes="(0, 2, 1)")
    conf = net.add("SoftmaxActivation", "cls_prob", conf, mode="channel")
    anchors = net.add("Reshape", "anchors", anchors, shape="(0, -1, 4)")
    head = net.add("_contrib_MultiBoxDetection", "detection", conf, loc, anchors, nms_topk=400)
    (folder / f"{NAME}-symbol.json").write_text(json.dumps({"nodes": net.nodes, "heads": [[head, 0, 0]]}))
    path = folder / f"{NAME}-0000.params"
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, len(net.weights)))
        for array in net.weights.values():
            file.write(struct.pack(f"<Iii{array.ndim}q3i", 0xF993FAC9, 0, array.ndim, *array.shape, 1, 0, 0))
            file.write(array.tobytes())
        file.write(struct.pack("<Q", len(net.weights)))
        for name in net.weights:
            file.write(struct.pack("<Q", len(name) + 4) + b"arg:" + name.encode())
    return path


def measure(rounds: int) -> Iterator[Figure]:
    """Time of a conversion, its memory, and the time of a second call that finds nothing changed."""
    times, again, sizes = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="saccade-bench-") as work:
            weights = write_model(Path(work)).stat().st_size
            command = [sys.executable, "-c", CHILD, work, NAME]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the conversion failed: {done.stderr.strip()}")
            error, second, first_time, second_time, peak = json.loads(done.stdout)
            if error or second:
                raise RuntimeError(f"mo.optimize says {error}, {second}: {done.stderr.strip()}")
        times.append(first_time)
        again.append(second_time)
        sizes.append(peak / weights)
    megabytes = weights / 1e6
    yield figure("conversion of a 50-layer SSD, s", times, SECONDS, f"{megabytes:.0f} MB of weights, written as FP16")
    yield figure("the same again, unchanged, s", again, SECONDS / 4, "the contents are hashed, nothing is converted")
    yield figure("memory at the peak, sizes of the weights", sizes, SIZES, "above a process with OpenVINO loaded")


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    raise SystemExit(finish(measure(options.rounds), options))
