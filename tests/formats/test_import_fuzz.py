"""Damaged framework files by the thousand: each is read, or refused with one ModelError. Nothing else may happen.

A short run is part of the tests. A long one: SACCADE_FUZZ=20000 pytest tests/formats/test_import_fuzz.py (that many
files for each of eight kinds, half an hour in all); SACCADE_FUZZ_SEED=7 makes other files.
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path[:0] = [
    str(HERE / name) for name in ("mxnet", "caffe", "tensorflow", "tflite") if str(HERE / name) not in sys.path
]

import caffe_files  # noqa: E402
import mxnet_files  # noqa: E402
import tensorflow_files  # noqa: E402
import tflite_files  # noqa: E402

from lengths import length  # noqa: E402
from saccade.errors import ModelError  # noqa: E402
from saccade.formats import caffe, mxnet, tensorflow, tflite  # noqa: E402

COUNT = length(80, 1_000, "SACCADE_FUZZ")
SEED = int(os.environ.get("SACCADE_FUZZ_SEED", "1"))
SLOWEST = 10.0  # s of CPU time for one file: far above the slowest sound one, far below a hang
pytestmark = pytest.mark.timeout(max(300, COUNT))  # s

NUMBERS = [b"0", b"-1", b"1", b"2", b"3", b"7", b"255",
           b"65536", b"4294967295", b"99999999999999999999", b"1e400", b"nan",
           b"9" * 5000, b"0x" + b"f" * 2000, b"12884901888",
           b"-0.5", b"(3, 3)", b"(0, 0)", b"(-1, -1)", b"(1000000, 1000000)", b"None", b"True"]  # fmt: skip


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Bytes changed, cut out, repeated or cut off."""
    out = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 8])):
        if not out:
            break
        at = dice.randrange(len(out))
        what = dice.randrange(6)
        if what == 0:
            out[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            out[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif what == 2:
            del out[at : at + dice.choice([1, 4, 8, 100])]
        elif what == 3:
            out[at:at] = out[at : at + dice.choice([1, 4, 8, 100])]
        elif what == 4:
            out[at : at + 8] = dice.choice([1 << 31, 1 << 62, (1 << 64) - 1, 0]).to_bytes(8, "little")
        else:
            del out[at:]
    return bytes(out)


DEEP = [b"[" * 5000, b"{" * 5000, b'{"a":' * 5000, b"(" * 5000, b"layer {" * 2000, b"<a>" * 5000, b"'", b"\0"]


def reworded(data: bytes, dice: random.Random) -> bytes:
    """Text with other numbers and words in the places of some."""
    words = list(re.finditer(rb"[-+]?\d+(\.\d+)?|[A-Za-z_]\w+|\"", data))
    out, position = [], 0
    chosen = sorted(dice.sample(range(len(words)), min(len(words), dice.choice([1, 1, 2, 5]))))
    for index in chosen:
        word = words[index]
        number = word[0][:1].isdigit() or word[0][:1] in b"+-"
        other = dice.choice(NUMBERS) if number else dice.choice(DEEP) if dice.random() < 0.1 else dice.choice(words)[0]
        out += [data[position : word.start()], other]
        position = word.end()
    return b"".join([*out, data[position:]])


def fuzz(files: dict[Path, bytes], text: set[Path], read: Callable[[], object]) -> dict[str, int]:
    """Read COUNT damaged versions of the files; returns how they ended."""
    dice = random.Random(SEED)
    ends = {"read": 0, "refused": 0}
    for number in range(COUNT):
        victim = dice.choice(list(files))
        for path, data in files.items():
            path.write_bytes(data)
        change = reworded if victim in text and dice.random() < 0.7 else flipped
        victim.write_bytes(change(files[victim], dice))
        start, message = time.process_time(), str(victim.parent)
        try:
            read()
            ends["read"] += 1
        except ModelError as error:
            ends["refused"] += 1
            message = str(error)
        except BaseException:
            print(f"number {number}, seed {SEED}: see {victim}")
            raise
        assert message.startswith(str(victim.parent)), message
        assert "\n" not in message
        assert time.process_time() - start < SLOWEST, f"number {number}, seed {SEED}"
    return ends


def mxnet_network(folder: Path, key: str) -> Path:
    """Most kinds of operators in one symbol."""
    net, rng = mxnet_files.Net(key), np.random.default_rng(0)

    def weight(name: str, *shape: int) -> tuple[int, int]:
        return net.var(name, rng.random(shape) + 0.1)

    x = net.var("data", __shape__="(1, 3, 12, 12)")
    x = net.op(
        "Convolution", "c", x, weight("c_w", 4, 3, 3, 3), weight("c_b", 4), kernel="(3, 3)", num_filter=4, pad="(1, 1)"
    )
    x = net.op("BatchNorm", "bn", x, *(weight(f"bn_{i}", 4) for i in range(4)), eps=1e-3, fix_gamma=False)
    x = net.op("LeakyReLU", "p", x, weight("p_g", 4), act_type="prelu")
    y = net.op("Pooling", "m", x, kernel="(3, 3)", stride="(2, 2)", pool_type="avg", pad="(1, 1)")
    z = net.op("Deconvolution", "d", y, weight("d_w", 4, 2, 4, 4), kernel="(4, 4)", stride="(2, 2)", num_filter=2)
    z = net.op("Crop", "cr", z, x, num_args=2, offset="(1, 1)")
    x = net.op("Concat", "cat", x, z, dim=1)
    s = net.op("SliceChannel", "s", x, num_outputs=3, axis=1)
    x = net.op("broadcast_mul", "bm", (s[0], 1), (s[0], 2))
    x = net.op("Pad", "pad", x, mode="edge", pad_width="(0,0,0,0,1,1,1,1)")
    x = net.op("slice", "sl", x, begin="(0, 0, 1, 1)", end="(None, None, -1, None)", step="(1, 1, 2, 1)")
    x = net.op("repeat", "rep", net.op("tile", "ti", x, reps="(1, 1, 2, 1)"), repeats=2, axis=1)
    x = net.op("transpose", "t", net.op("UpSampling", "up", x, scale=2, sample_type="nearest"), axes="(0, 2, 3, 1)")
    x = net.op("Reshape", "r", x, shape="(0, -4, -1, 2, -2)")
    x = net.op("FullyConnected", "fc", x, weight("fc_w", 5, 2496), num_hidden=5, no_bias=True)
    prior = net.op("_contrib_MultiBoxPrior", "mbp", y, sizes="(0.3, 0.5)", ratios="(1, 2)")
    nms = net.op("_contrib_box_nms", "nms", net.op("Concat", "nc", prior, prior, dim=-1), overlap_thresh=0.4, topk=20)
    return net.save(folder, net.op("softmax", "out", x), nms)


@pytest.mark.parametrize("form", ["legacy", "v2"])
def test_damaged_mxnet_is_read_or_refused(form: str, tmp_path: Path) -> None:
    path = mxnet_network(tmp_path, "param" if form == "legacy" else "attrs")
    assert len(mxnet.read(path).outputs) == 2
    weights = tmp_path / "net-0000.params"
    files = {path: path.read_bytes(), weights: weights.read_bytes()}
    ends = fuzz(files, {path}, lambda: mxnet.read(path))
    assert ends["refused"] > COUNT // 4
    assert ends["read"] > COUNT // 20


CAFFE = """
name: "net" input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "sc" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "n" type: "Normalize" bottom: "p" top: "n" norm_param { across_spatial: false channel_shared: false } }
layer { name: "pb" type: "PriorBox" bottom: "n" bottom: "data" top: "pb"
  prior_box_param { min_size: 4 aspect_ratio: 2 } }
layer { name: "l" type: "Convolution" bottom: "n" top: "l" convolution_param { num_output: 12 kernel_size: 1 } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "sl" type: "Slice" bottom: "l" top: "a" top: "b" slice_param { slice_point: 6 } }
layer { name: "el" type: "Eltwise" bottom: "a" bottom: "b" top: "e" eltwise_param { coeff: 1 coeff: -1 } }
layer { name: "ef" type: "Reshape" bottom: "e" top: "ef" reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "det" type: "DetectionOutput" bottom: "lf" bottom: "ef" bottom: "pb" top: "det" detection_output_param {
  num_classes: 2 nms_param { top_k: 40 } keep_top_k: 20 code_type: CENTER_SIZE confidence_threshold: 0.1 } }
layer { name: "it" type: "Interp" bottom: "c" top: "it" interp_param { zoom_factor: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "it" top: "ip"
  inner_product_param { num_output: 3 } include { phase: TEST } }
"""


@pytest.mark.parametrize("form", ["packed", "single", "old"])
def test_damaged_caffe_is_read_or_refused(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blobs = {
        "c": [(4, 3, 3, 3), (4,)], "bn": [(4,), (4,), (1,)], "sc": [(4,), (4,)], "n": [(4,)],
        "l": [(12, 4, 1, 1), (12,)], "ip": [(3, 4 * 23 * 23), (3,)],
    }  # fmt: skip
    layers = {name: [rng.random(shape) + 0.1 for shape in shapes] for name, shapes in blobs.items()}
    path = caffe_files.write(tmp_path, CAFFE, layers, form=form)
    assert len(caffe.read(path).outputs) == 2
    weights = path.with_suffix(".caffemodel")
    ends = fuzz({path: path.read_bytes(), weights: weights.read_bytes()}, {path}, lambda: caffe.read(path))
    assert ends["refused"] > COUNT // 4
    assert ends["read"] > COUNT // 20


def test_damaged_tensorflow_is_read_or_refused(tmp_path: Path) -> None:
    """Only what saccade itself does with the bytes; the graph's reading is OpenVINO's."""
    graph = tensorflow_files.Graph()
    field = tensorflow_files.field
    q = graph.const("q", np.arange(24, dtype=np.uint8).reshape(2, 2, 3, 2), tensorflow_files.QUINT8, "list")
    bounds = [graph.const("low", -1.0), graph.const("high", 1.0)]
    weights = graph.node("Dequantize", "w", q, *bounds, T=field(6, tensorflow_files.QUINT8), mode=field(2, "MIN_FIRST"))
    strides = field(1, field(3, b"\1\1\1\1"))
    graph.op("Conv2D", "y", graph.placeholder("x", (1, 4, 4, 3)), weights, strides=strides, padding=field(2, "SAME"))
    path = graph.save(tmp_path / "graph.pb")
    assert tensorflow.read(path)
    dice = random.Random(SEED)
    data, messages = path.read_bytes(), []
    for _ in range(COUNT):
        path.write_bytes(flipped(data, dice))
        try:
            tensorflow._plain_weights(path)
        except ModelError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("quantised", [False, True])
def test_damaged_tflite_is_read_or_refused(quantised: bool, tmp_path: Path) -> None:
    """A detector whose last operator saccade decodes itself, with an archive behind it."""
    path = tmp_path / "net.tflite"
    tflite_files.ssd(np.full((20, 4), 0.25, np.float32), 6, quantised=quantised).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    assert len(tflite.read(path).outputs) == 4

    def read() -> None:
        tflite.metadata(path)
        tflite.read(path)

    ends = fuzz({path: path.read_bytes()}, set(), read)
    assert ends["refused"] > COUNT // 4
    assert ends["read"] > COUNT // 20
