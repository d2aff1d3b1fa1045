"""On a processor without AVX2 no convolution is computed by reference code, which is ten times slower.

`.ci/no-avx.sh` tries the networks of the demo and of the corpus on an emulated Atom. It also counts the instructions of
a frame (`bench.emulated`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import emulated
from bench.corpus import corpus

from saccade import kernels
from saccade.cli.doctor import LAST_WITH_SSE42, fits
from saccade.errors import SaccadeError
from saccade.networks import Model

SUFFIXES = (".xml", ".onnx", ".tflite", ".prototxt", "-symbol.json", ".pb")
MENDED = ("zoo.prototxt", "RFB-320.prototxt", "license-plate-recognition-barrier-0001.xml")
"""Networks with convolutions that have a kernel only in another form: part of each run."""
CORPUS = corpus() / "corpus"

without_avx2 = pytest.mark.skipif(
    kernels.variant() not in ("sse42", "portable"), reason="by choice: this processor has AVX2; see .ci/no-avx.sh"
)


def check(model: Model) -> int:
    """How many convolutions a network has, none of them a reference implementation."""
    found = emulated.primitives(model._compiled)
    slow = {name: kind for name, kind in found.items() if kind.startswith(("ref", "unknown"))}
    assert not slow, f"{model.name}: {slow}"
    return len(found)


@without_avx2
@pytest.mark.parametrize("name", ["blazeface-short", "blazeface-full", "face-mesh"])
def test_networks_of_the_demo(demo: Path, name: str) -> None:
    assert check(Model(demo / "models" / f"{name}.tflite", precision="f32", threads=1)) > 10


def artifacts() -> list[Path]:
    """Networks of the corpus, below its folder; none where it is absent."""
    return sorted(path.relative_to(CORPUS) for path in CORPUS.rglob("*") if path.name.endswith(SUFFIXES))


@without_avx2
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "artifact",
    [pytest.param(path, marks=() if path.name in MENDED else pytest.mark.slow) for path in artifacts()],
    ids=str,
)
def test_networks_of_the_corpus(artifact: Path) -> None:
    try:
        model = Model(CORPUS / artifact, precision="f32", threads=1)
    except SaccadeError as error:
        pytest.skip(f"by choice: a file that is refused everywhere ({error})")
    check(model)


@without_avx2
def test_int8_has_kernels_of_its_own(corpus: Path) -> None:
    path = corpus / "corpus/ir/v6/face-detection-retail-0004-INT8/face-detection-retail-0004.xml"
    kinds = list(emulated.primitives(Model(path, precision="int8", threads=1)._compiled).values())
    assert sum(kind.startswith("jit_sse42") and kind.endswith("I8") for kind in kinds) >= 0.8 * len(kinds) > 20, kinds


@pytest.mark.parametrize(
    ("flags", "release", "state", "word"),
    [
        ({"sse4_2", "avx2"}, "2030.1.0", "ok", ""),
        (set(), "2026.4.1", "ok", ""),
        ({"sse4_2"}, "2026.4.1", "note", "2026.4"),
        ({"sse4_2", "avx"}, "2026.4.1", "note", "2026.4"),
        ({"sse4_2"}, "2026.5.0", "missing", "openvino==2026.4.*"),
        ({"sse4_2"}, "2027.0.0", "missing", "openvino==2026.4.*"),
        ({"ssse3"}, "2026.4.1", "missing", "SSE4.2"),
    ],
)
def test_the_doctor_knows_which_releases_fit(flags: set[str], release: str, state: str, word: str) -> None:
    found, _, remedy = fits(flags, release, "a processor")
    assert (found, word in remedy) == (state, True)
    assert LAST_WITH_SSE42 == (2026, 4), "docs/device.md and pyproject.toml name the release, too"


def test_a_frame_may_take_three_in_a_hundred_more_instructions() -> None:
    baseline = {"releases": emulated.releases(), "instructions": {"a": 1000}}
    assert [emulated.verdict("a", count, baseline)[1] for count in (900, 1029, 1031)] == [False, False, True]
    assert "no baseline" in emulated.verdict("b", 9000, baseline)[0]
    line, worse = emulated.verdict("a", 9000, baseline | {"releases": "openvino 1"})
    assert (worse, "no baseline" in line) == (False, True), "counts of other releases are not comparable"
