"""What `saccade tune` finds: networks that gain by INT8, one that is repaired, two that must be refused.

    python -m bench.tune [--budget T] [--json FILE] [--check] [--isa ISA] [NAME]...

Networks and pictures are those of the corpus (SACCADE_CORPUS) and of the demo; frames are parts of the pictures,
turned, brightened and blurred a little, half of them held out. NNCF (the extra `tune`) must be installed. Each network
is tuned by the command itself, in a process of its own and in a new cache; the ratios are of the processor's time for
one inference on one thread, in turns with f32. `--isa AVX2` keeps OpenVINO from newer instructions, as on a processor
without AVX-512 and VNNI.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.corpus import corpus
from bench.figures import Figure, command_line, figure, finish
from saccade.config import cache_dir
from saccade.predict.opening import open_predictor
from saccade.tune.int8 import FILES, REPAIRED
from saccade.tune.quantising import nncf_version
from saccade.tune.turns import LEAST_GAIN

FRAMES = 240
GAIN, AGREEMENT = 1.7, 0.99
PORTRAITS = ("fr_biden.jpg", "fr_obama.jpg", "fr_obama2.jpg", "sk_astronaut.png", "fr_obama_partial_face.jpg")
ABREAST = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A network and what tuning shall make of it.

    expected : gain, refused, or repaired: what disagrees with all layers in INT8 is kept in another form. cut : it is
    shown faces. least : how many times as fast it shall be.
    """

    name: str
    path: str
    expected: str
    options: tuple[str, ...] = ()
    cut: bool = False
    least: float = GAIN


CASES = (
    Case(
        "face-detection-retail-0004",
        "corpus/ir/v4/face-detection-retail-0004-FP32/face-detection-retail-0004.xml",
        "gain",
    ),
    Case("res10-ssd-300", "corpus/caffe/res10_ssd_300/deploy.prototxt", "gain"),
    Case(
        "aizoo-facemask",
        "corpus/mxnet/aizoo_facemask/face_mask_detection-symbol.json",
        "repaired",
        ("--head", "aizoo"),
    ),
    Case("blazeface-full", "blazeface-full", "refused"),
    Case(
        "pedestrian-and-vehicle-detector-adas-0001",
        "corpus/ir/v6/pedestrian-and-vehicle-detector-adas-0001-FP16/pedestrian-and-vehicle-detector-adas-0001.xml",
        "refused",
    ),
    Case(
        "head-pose-estimation-adas-0001",
        "corpus/ir/v6/head-pose-estimation-adas-0001-FP16/head-pose-estimation-adas-0001.xml",
        "repaired",
        cut=True,
        least=LEAST_GAIN,
    ),
)


def pictures(folder: Path, count: int = FRAMES) -> None:
    """Scenes of 1280x720 as JPEG files: parts of three of the corpus' portraits abreast, each seeded by its number.

    With one object a frame a single box near the threshold would decide what is to agree by 0.99.
    """
    images = portraits()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        parts = [
            part_of(images[(number + place) % len(images)], ABREAST * number + place, (720, 1280 // ABREAST))
            for place in range(ABREAST)
        ]
        cv2.imwrite(str(folder / f"{number:03}.jpg"), np.hstack(parts))


def faces(folder: Path, count: int = FRAMES) -> None:
    """The same cut to the face, with a border, for networks that want one."""
    folder.mkdir(parents=True, exist_ok=True)
    finder = open_predictor("blazeface-full", precision="f32", threads=1, tuned=False)
    boxes = [(image, finder(image).detections) for image in portraits()[:4]]  # whole faces
    for number in range(count):
        image, found = boxes[number % len(boxes)]
        assert found is not None
        x1, y1, x2, y2 = (float(v) for v in found.boxes[0])
        random = np.random.default_rng(number)
        side = max(x2 - x1, y2 - y1) * random.uniform(1.1, 1.4)
        centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + random.uniform(-0.05, 0.05, 2) * side
        scale = 240 / side
        turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), random.uniform(-12, 12), scale)
        turn[:, 2] += 120 - centre
        part = cv2.warpAffine(image, turn, (240, 240), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
        cv2.imwrite(str(folder / f"{number:03}.jpg"), lit(part, random))


def portraits() -> list[np.ndarray]:
    """Pictures of people, BGR."""
    return [cv2.imread(str(corpus() / "images" / name)) for name in PORTRAITS]


def part_of(image: np.ndarray, seed: int, size: tuple[int, int]) -> np.ndarray:
    """A part of a picture, turned by up to 5 degrees, mirrored or not, darker or lighter, blurred a little."""
    random = np.random.default_rng(seed)
    height, width = image.shape[:2]
    scale = random.uniform(1.0, 1.5) * max(size[0] / height, size[1] / width)
    centre = (width * random.uniform(0.45, 0.55), height * random.uniform(0.4, 0.5))
    turn = cv2.getRotationMatrix2D(centre, random.uniform(-5, 5), scale)
    turn[:, 2] += np.array(size[::-1]) / 2 - np.array(centre)
    return lit(cv2.warpAffine(image, turn, size[::-1], flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT), random)


def lit(part: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A picture in another light, mirrored or not."""
    part = cv2.convertScaleAbs(part, alpha=random.uniform(0.8, 1.15), beta=random.uniform(-10, 10))
    part = cv2.GaussianBlur(part, (0, 0), random.uniform(0.3, 1.0))
    return np.ascontiguousarray(part[:, ::-1]) if random.random() < 0.5 else part


def tuned(case: Case, source: Path, budget: float, isa: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The profile that `saccade tune` makes, and its rows by name."""
    model = str(corpus() / case.path) if case.path.startswith("corpus/") else case.path
    with tempfile.TemporaryDirectory() as cache:
        for name in ("models", "pictures"):
            shutil.copytree(cache_dir() / name, Path(cache) / name)
        environment = os.environ | {"SACCADE_CACHE": cache} | ({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})
        command = [
            sys.executable, "-m", "saccade", "-q", "tune", model, "--source", str(source), "--device", "CPU",
            "--budget", f"{budget:g}", "--frames", str(FRAMES), "--json", *case.options,
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case.name}: {done.stderr.strip()[-400:]}")
    profile = json.loads(done.stdout)
    return profile, {row["name"]: row for row in profile["tried"]}


def figures_of(case: Case, profile: dict[str, Any], rows: dict[str, Any]) -> list[Figure]:
    """What a case shall show."""
    int8 = rows["int8"]
    if int8["speed"] is None:
        raise RuntimeError(f"{case.name}: {int8['reason']}")
    kept = next((rows[name] for name in (*FILES, REPAIRED) if name in rows and rows[name]["kept"]), None)
    if case.expected == "refused" and int8["speed"]["low"] >= LEAST_GAIN:
        return [_agreement(f"{case.name}: INT8 is not taken", kept or int8, broken=True)]
    if case.expected == "refused":
        return [
            _speed(
                f"{case.name}: INT8 is not taken", int8, LEAST_GAIN, int8["reason"] or "not the fastest", at_least=False
            )
        ]
    repaired = rows.get(REPAIRED)
    row = kept or (repaired if case.expected == "repaired" and repaired and repaired["speed"] else int8)
    figures = [
        _speed(f"{case.name}: {row['name']}, over f32", row, case.least, f"{profile['precision']} is kept"),
        _agreement(f"{case.name}: agreement on {profile['frames']} held-out frames", row),
    ]
    if case.expected == "repaired":
        layers = f"layers in f32: {len(row['layers'])}"
        figures.append(_agreement(f"{case.name}: with all layers in INT8, before ({layers})", int8, broken=True))
    return figures


def _in_words(row: dict[str, Any]) -> str:
    speed, agreement = row["speed"], row["agreement"]
    parts = [
        f"{speed['value']:.2f} times as fast" if speed else "",
        f"agreement {agreement['value']:.4f}" if agreement else "",
        f"layers in f32: {len(row['layers'])}" if row["layers"] else "",
        "kept" if row["kept"] else row["reason"],
    ]
    return ", ".join(part for part in parts if part)


def _speed(name: str, row: dict[str, Any], target: float, detail: str, *, at_least: bool = True) -> Figure:
    speed = row["speed"]
    detail = f"{speed['pairs']} pairs; {detail}"
    return Figure(name, speed["value"], speed["low"], speed["high"], target, at_least, detail)


def _agreement(name: str, row: dict[str, Any], *, broken: bool = False) -> Figure:
    found = row["agreement"]
    value = found["value"]
    detail = f"{value:.4f}, {found['measure']}, {found['judged']} judged; scores within {found['score_difference']:.4f}"
    return figure(name, [value], AGREEMENT, detail, at_least=not broken)


def measure(
    rounds: int = 1, *, names: Sequence[str] = (), budget: float = 150.0, isa: str = ""
) -> Iterator[Figure]:  # fmt: skip
    """All figures of this suite, or of the cases with these names; the rounds are the tuning's own."""
    if not nncf_version() or not (corpus() / "images").is_dir():
        print("no NNCF, or no corpus (SACCADE_CORPUS): tuning is not measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        scenes, cut = Path(folder) / "scenes", Path(folder) / "faces"
        pictures(scenes)
        faces(cut)
        for case in CASES:
            if names and case.name not in names:
                continue
            profile, rows = tuned(case, cut if case.cut else scenes, budget, isa)
            for name, row in rows.items():
                print(f"     {name}: {_in_words(row)}")
            yield from figures_of(case, profile, rows)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__, rounds=None)
    parser.add_argument("--budget", type=float, default=150.0)
    parser.add_argument("--isa", default="")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if strange := set(options.names) - {case.name for case in CASES}:
        parser.error(f"no case {', '.join(sorted(strange))}; there are {', '.join(case.name for case in CASES)}")
    return finish(measure(names=options.names, budget=options.budget, isa=options.isa), options)


if __name__ == "__main__":
    raise SystemExit(main())
