"""Proof that an installed wheel works by itself: kernels, a network, the live page's files, every module."""

import importlib
import os
import pkgutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

import saccade
from saccade import kernels

assert "site-packages" in saccade.__file__, f"imported from {saccade.__file__}, not from the wheel"
expected = os.environ.get("SACCADE_TRY", "compiled")
assert (kernels.variant() == "numba") == (expected == "numba"), f"kernels are {kernels.variant()}, not {expected}"
assert (Path(saccade.__file__).parent / "service" / "static" / "index.html").is_file(), "the live page is missing"
frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
out = np.empty((1, 3, 32, 32), np.float32)
kernels.Preprocess(source=(120, 160), size=(32, 32))(frame, out=out)

with tempfile.TemporaryDirectory() as folder:
    image = ops.parameter([1, 3, 32, 32], np.float32, name="data")
    network = ov.Model([ops.reduce_mean(image, np.array([2, 3]), False)], [image], "mean")
    ov.save_model(network, Path(folder) / "mean.xml")
    model = saccade.Model(Path(folder) / "mean.xml", precision="f32")
    (result,) = model.infer(out).values()
assert np.allclose(result, out.mean((2, 3)), atol=1e-3)
newer = []
for found in pkgutil.walk_packages(saccade.__path__, "saccade."):
    if found.name.endswith("__main__"):
        continue
    try:  # each module, so that none needs a newer Python than this
        importlib.import_module(found.name)
    except ModuleNotFoundError as missing:  # of an extra that is not installed
        if missing.name is None or missing.name.startswith("saccade"):
            newer.append(f"{found.name}: {missing}")
assert not newer, newer
print(f"saccade {saccade.__version__}, kernels {kernels.variant()}, Python {sys.version.split()[0]}: works")
