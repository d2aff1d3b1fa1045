"""The kernels against what one would write with OpenCV, NumPy and OpenVINO.

    python -m bench.kernels [--rounds N] [--json FILE] [--check] [--variant NAME] [--only WORD]

Kernel and reference take turns in one process on one thread and must agree before they are timed; each figure is the
median over the rounds of the ratio within a round, each time the best of its round. Times are CPU time, which does not
count the waiting of a busy machine. `--check` exits with 1 where a figure misses its target. `--variant sse42` measures
what an Atom would run, on this processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import openvino as ov
import openvino.opset8 as ops
from numba import njit
from numpy.typing import NDArray

from bench.figures import Figure, command_line, figure, finish
from bench.stages import yolo_tensor
from saccade import kernels as best_kernels

Call = Callable[[], Any]
YUV_TARGETS = {"avx512": 5.0, "avx2": 5.0, "sse42": 2.0}


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison.

    mine, reference : do the work once. check : raises where the two results differ too much; called after both, of this
    case and no other.
    target : ratio of reference to mine that shall be reached; at_most : of mine to reference instead.
    inner : calls that are timed together.
    """

    name: str
    mine: Call
    reference: Call
    check: Call
    target: float
    at_most: bool = False
    inner: int = 20


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """A scene with edges and texture, uint8 (height, width, 3)."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8), (width, height))
    return cv2.add(coarse, rng.integers(0, 12, coarse.shape, dtype=np.uint8))


@njit(nogil=True)
def touch(rows, needed):  # type: ignore[no-untyped-def]
    """Read one byte of each cache line of the needed rows."""
    total = 0
    for y in needed:
        for x in range(0, rows.shape[1], 64):
            total += rows[y, x]
    return total


def equal(got: Callable[[], NDArray[Any]], want: Callable[[], NDArray[Any]], tolerance: float = 0.0) -> Call:
    """A check that two arrays differ by at most `tolerance`."""
    return lambda: np.testing.assert_allclose(got(), want(), rtol=0, atol=tolerance)


def preprocess_cases(options: dict[str, Any]) -> Iterator[Case]:
    """Pixels to tensors."""
    frame = picture(1080, 1920)
    tensor, other = np.empty((1, 3, 300, 300), np.float32), np.empty((1, 3, 300, 300), np.float32)
    plan = best_kernels.Preprocess((1080, 1920), (300, 300), scale=255, **options)

    def usual() -> None:
        small = cv2.resize(frame, (300, 300))
        np.copyto(other[0], (small.astype(np.float32) / 255).transpose(2, 0, 1))

    same = equal(lambda: tensor, lambda: other)
    yield Case("1080p BGR to 300x300 float32 NCHW: resize, astype, divide, transpose", lambda: plan(frame, tensor),
               usual, same, 2.2)  # fmt: skip

    centres = (np.arange(300) + 0.5) * 3.6 - 0.5
    needed = np.unique(np.concatenate([np.floor(centres), np.floor(centres) + 1]).astype(np.int64))
    rows = frame.reshape(1080, -1)

    def same_as_usual() -> None:
        usual()  # what this case's reference reads is no picture
        same()

    yield Case("the same: one byte of each needed cache line", lambda: plan(frame, tensor), lambda: touch(rows, needed),
               same_as_usual, 1.5, at_most=True)  # fmt: skip

    in_graph = InGraph()
    plain = in_graph.plain.get_input_tensor(0).data
    plan_infer = best_kernels.Preprocess((1080, 1920), (300, 300), scale=255, **options)

    def mine_and_infer() -> None:
        plan_infer(frame, plain)
        in_graph.plain.infer()

    yield Case(
        "the same: cv2.resize(dst=) into the tensor, the rest in the graph; a small network's time in both",
        mine_and_infer, lambda: in_graph.run(frame), in_graph.check, 1.3,
    )  # fmt: skip

    head, usual_head = np.empty((1, 3, 84, 84), np.float32), np.empty((1, 3, 84, 84), np.float32)
    pose = best_kernels.Preprocess((1080, 1920), (84, 84), roi=(640, 220, 640, 640), mirror=True, scale=255, **options)

    def usual_pose() -> None:
        crop = cv2.flip(frame, 1)[220:860, 640:1280]
        np.copyto(usual_head[0], (cv2.resize(crop, (84, 84)).astype(np.float32) / 255).transpose(2, 0, 1))

    yield Case("head pose: flip, crop 640, resize 84, divide, NCHW", lambda: pose(frame, head), usual_pose,
               equal(lambda: head, lambda: usual_head), 40, inner=50)  # fmt: skip

    packed = cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 2), cv2.COLOR_BGR2YUV_I420)
    planar = best_kernels.Preprocess((1080, 1920), (300, 300), pixels="i420", scale=255, **options)

    def usual_yuv() -> None:
        small = cv2.resize(cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420), (300, 300))
        np.copyto(other[0], (small.astype(np.float32) / 255).transpose(2, 0, 1))

    yield Case("1080p I420 to 300x300: cvtColor, resize, pack", lambda: planar(packed, tensor), usual_yuv,
               equal(lambda: tensor, lambda: other, 9 / 255),
               YUV_TARGETS.get(options.get("variant") or best_kernels.variant(), 1.0))  # fmt: skip

    rng = np.random.default_rng(1)
    side = rng.integers(80, 300, 32)
    boxes = np.stack([rng.integers(0, 1600, 32), rng.integers(0, 760, 32), side, side], 1).astype(np.int32)
    for layout, dtype in (("nchw", "float32"), ("nhwc", "uint8")):
        shape = (32, 3, 64, 64) if layout == "nchw" else (32, 64, 64, 3)
        crops, usual_crops = np.empty(shape, dtype), np.empty(shape, dtype)
        cutter = best_kernels.Preprocess((1080, 1920), (64, 64), layout=layout, dtype=dtype, **options)

        def usual_loop(usual_crops: NDArray[Any] = usual_crops, planar: bool = layout == "nchw") -> None:
            for i, (x, y, w, h) in enumerate(boxes.tolist()):
                crop = frame[y : y + h, x : x + w]
                if planar:
                    usual_crops[i] = cv2.resize(crop, (64, 64)).transpose(2, 0, 1)
                else:
                    cv2.resize(crop, (64, 64), dst=usual_crops[i])

        yield Case(
            f"32 face crops to 64x64 {dtype} {layout.upper()}: cv2 loop",
            lambda cutter=cutter, crops=crops: cutter.crops(frame, boxes, crops), usual_loop,
            equal(lambda crops=crops: crops, lambda usual_crops=usual_crops: usual_crops),
            2.0,
        )  # fmt: skip


class InGraph:
    """A small network, plain and with conversion, scale and layout in its graph (PrePostProcessor)."""

    def __init__(self) -> None:
        weights = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        core = ov.Core()

        def network() -> ov.Model:
            x = ops.parameter([1, 3, 300, 300], np.float32)
            return ov.Model([ops.convolution(x, weights, [4, 4], [0, 0], [0, 0], [1, 1])], [x])

        self.plain = core.compile_model(network(), "CPU", settings).create_infer_request()
        steps = ov.preprocess.PrePostProcessor(network())
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
        steps.input().model().set_layout(ov.Layout("NCHW"))
        self.converting = core.compile_model(steps.build(), "CPU", settings).create_infer_request()
        self.pixels = self.converting.get_input_tensor(0).data[0]

    def run(self, frame: NDArray[np.uint8]) -> None:
        """Resize into the bound tensor; the graph does the rest."""
        cv2.resize(frame, (300, 300), dst=self.pixels)
        self.converting.infer()

    def check(self) -> None:
        """Both gave the network the same picture."""
        outputs = self.plain.get_output_tensor(0).data, self.converting.get_output_tensor(0).data
        np.testing.assert_allclose(*outputs, atol=2e-4)


def decode_cases(options: dict[str, Any]) -> Iterator[Case]:
    """Raw detections to boxes."""
    rng = np.random.default_rng(2)
    n, classes = 8732, 21
    centre, size = rng.random((n, 2), np.float32), 0.02 + rng.random((n, 2), np.float32) ** 3 * 0.6
    priors = np.concatenate([centre - size / 2, centre + size / 2], 1)
    loc = rng.normal(size=(n, 4)).astype(np.float32)
    # Scores as trained networks give them: nearly all priors are sure of the background, a few hundred are not.
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[:, 0] += 9
    objects = rng.choice(n, 400, replace=False)
    logits[objects, 0] -= 6
    logits[objects, rng.integers(1, classes, 400)] += 5
    conf = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    settings = {"score_threshold": 0.01, "iou_threshold": 0.45, "top_k": 400, "keep_top_k": 200}
    result: dict[str, NDArray[Any]] = {}

    def mine() -> None:
        result["mine"] = best_kernels.decode_ssd(loc, conf, priors, **settings, **options)

    def with_numpy() -> None:
        result["numpy"] = numpy_ssd(loc, conf, priors, **settings)

    yield Case("decode_ssd, 8,732 priors x 21 classes: vectorised NumPy", mine, with_numpy,
               equal(lambda: result["mine"], lambda: result["numpy"], 2e-6), 20, inner=1)  # fmt: skip

    request = detection_output(loc, conf, priors, **settings)

    def operator() -> None:
        request.infer()

    def check_operator() -> None:
        rows = best_kernels.parse_detections(request.get_output_tensor(0).data)
        np.testing.assert_allclose(result["mine"], rows, atol=2e-6)

    yield Case("decode_ssd: OpenVINO's DetectionOutput run alone", mine, operator, check_operator, 1.5)

    for count in (10, 100, 1000, 10_000):
        corner, extent = rng.random((count, 2), np.float32) * 1000, 20 + rng.random((count, 2), np.float32) * 60
        boxes, sizes = np.concatenate([corner, corner + extent], 1), np.concatenate([corner, extent], 1)
        scores = rng.random(count, np.float32)

        def mine_nms(boxes: NDArray[Any] = boxes, scores: NDArray[Any] = scores) -> None:
            result["mine"] = best_kernels.nms(boxes, scores, 0.45, **options)

        def opencv_nms(sizes: NDArray[Any] = sizes, scores: NDArray[Any] = scores) -> None:
            result["opencv"] = np.asarray(cv2.dnn.NMSBoxes(sizes, scores, 0.0, 0.45))

        def alike() -> None:
            # OpenCV computes with doubles: boxes right at the threshold may go either way.
            assert len(set(result["mine"]) ^ set(result["opencv"])) <= len(result["mine"]) // 200

        yield Case(f"nms of {count:,} boxes: cv2.dnn.NMSBoxes", mine_nms, opencv_nms, alike, 2.0,
                   inner=max(1, 2000 // count))  # fmt: skip


@njit(nogil=True, fastmath=True)
def total(values):  # type: ignore[no-untyped-def]
    """Read every value once, in vectors: the sum may be taken in any order."""
    result = np.float32(0)
    for i in range(values.size):
        result += values[i]
    return result


def yolo_cases(options: dict[str, Any]) -> Iterator[Case]:
    """Tensors of 80 classes, channels first, as YOLOv8 and its successors give them."""
    result: dict[str, NDArray[Any]] = {}
    for n, objects, target in ((8400, 100, 15.0), (25_200, 20_000, 5.0)):
        tensor = yolo_tensor(n, objects)

        def mine(tensor: NDArray[np.float32] = tensor) -> None:
            result["mine"] = best_kernels.decode_yolo(
                tensor, layout="cxcywh", score_threshold=0.25, iou_threshold=0.45, channels_first=True, agnostic=True,
                **options,
            )  # fmt: skip

        def usual(tensor: NDArray[np.float32] = tensor) -> None:
            result["numpy"] = numpy_yolo(tensor, 0.25, 0.45)

        def masked_first(tensor: NDArray[np.float32] = tensor) -> None:
            best = tensor[0, 4:].max(0)
            result["numpy"] = numpy_yolo(tensor, 0.25, 0.45, np.flatnonzero(best >= 0.25))

        def alike(usual: Call = usual) -> None:
            usual()
            rows, usual_rows = ({int(row[6]): row for row in result[name]} for name in ("mine", "numpy"))
            # OpenCV computes overlaps with doubles: boxes right at the threshold may go either way.
            assert len(rows.keys() ^ usual_rows.keys()) <= len(rows) // 200
            for row in rows.keys() & usual_rows.keys():
                np.testing.assert_allclose(rows[row], usual_rows[row], rtol=0, atol=1e-3)

        name = f"decode_yolo, 84 x {n:,}, {objects:,} candidates"
        yield Case(
            f"{name}: vectorised NumPy, cv2.dnn.NMSBoxes", mine, usual, alike, target, inner=max(1, 2000 // objects)
        )
        yield Case(f"{name}: the same, NumPy decoding only what passes a mask", mine, masked_first, alike, 3.0,
                   inner=max(1, 2000 // objects))  # fmt: skip
        if objects == 100:
            flat = tensor.reshape(-1)
            yield Case(f"{name}: the tensor read once", mine, lambda flat=flat: total(flat), alike, 2.0, at_most=True,
                       inner=20)  # fmt: skip


def numpy_yolo(
    tensor: NDArray[np.float32], score_threshold: float, iou_threshold: float, chosen: Any = slice(None)
) -> NDArray[np.float32]:
    """The usual post-processing: labels, scores and boxes of the `chosen` rows, a mask, OpenCV's suppression."""
    rows = tensor[0].T[chosen]
    labels = rows[:, 4:].argmax(1)
    scores = np.take_along_axis(rows[:, 4:], labels[:, None], 1)[:, 0]
    corner, size = rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]
    found = np.column_stack([labels, scores, corner, corner + size, np.arange(tensor.shape[2])[chosen]])
    found = found[scores >= score_threshold].astype(np.float32)
    boxes = np.hstack([found[:, 2:4], found[:, 4:6] - found[:, 2:4]])
    return found[np.asarray(cv2.dnn.NMSBoxes(boxes, found[:, 1], 0.0, iou_threshold), np.int64)]


def numpy_ssd(
    loc: NDArray[Any], conf: NDArray[Any], priors: NDArray[Any], *, score_threshold: float, iou_threshold: float,
    top_k: int, keep_top_k: int,
) -> NDArray[Any]:  # fmt: skip
    """The usual post-processing in NumPy: a mask per class, vectorised decoding, each kept box against the rest."""
    size, centre = priors[:, 2:] - priors[:, :2], (priors[:, :2] + priors[:, 2:]) / 2
    centre = loc[:, :2] * np.float32(0.1) * size + centre
    size = np.exp(loc[:, 2:] * np.float32(0.2)) * size
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
    rows = []
    for label in range(1, conf.shape[1]):
        chosen = np.flatnonzero(conf[:, label] > score_threshold)
        chosen = chosen[np.argsort(-conf[chosen, label], kind="stable")][:top_k]
        while chosen.size:
            best, chosen = chosen[0], chosen[1:]
            rows.append(np.array([label, conf[best, label], *boxes[best]], np.float32))
            a, b = boxes[best], boxes[chosen]
            both = (np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2])).clip(0).prod(1)
            union = (a[2:] - a[:2]).prod() + (b[:, 2:] - b[:, :2]).prod(1) - both
            chosen = chosen[both <= np.float32(iou_threshold) * union]
    found = np.array(rows)
    return found[np.argsort(-found[:, 1], kind="stable")][:keep_top_k]


def detection_output(
    loc: NDArray[Any], conf: NDArray[Any], priors: NDArray[Any], *, score_threshold: float, iou_threshold: float,
    top_k: int, keep_top_k: int,
) -> ov.InferRequest:  # fmt: skip
    """A request of OpenVINO's operator alone, its inputs bound and filled."""
    n, classes = conf.shape
    inputs = [ops.parameter([1, n * 4], np.float32), ops.parameter([1, n * classes], np.float32)]
    variances = np.tile(np.float32([0.1, 0.1, 0.2, 0.2]), n)
    boxes = ops.constant(np.stack([priors.reshape(-1), variances])[None].astype(np.float32))
    attributes = {
        "background_label_id": 0, "top_k": top_k, "keep_top_k": [keep_top_k], "nms_threshold": iou_threshold,
        "confidence_threshold": score_threshold, "share_location": True, "normalized": True,
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "variance_encoded_in_target": False,
    }  # fmt: skip
    model = ov.Model([ops.detection_output(inputs[0], inputs[1], boxes, attributes)], inputs)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.get_input_tensor(0).data[:] = loc.reshape(1, -1)
    request.get_input_tensor(1).data[:] = conf.reshape(1, -1)
    return request


def cases(variant: str | None = None) -> Iterator[Case]:
    """All comparisons, for one variant of the kernels."""
    cv2.setNumThreads(1)
    options = {"variant": variant}
    yield from preprocess_cases(options)
    yield from decode_cases(options)
    yield from yolo_cases(options)


def seconds_each(run: Call, count: int) -> float:
    """CPU time of one call, s."""
    start = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - start) / count


def compare(case: Case, rounds: int, batches: int = 7) -> Figure:
    """The case's figure; raises where the results disagree."""
    case.mine()
    case.reference()
    case.check()
    pairs = []
    for _ in range(rounds):
        times = [
            (seconds_each(case.mine, case.inner), seconds_each(case.reference, case.inner)) for _ in range(batches)
        ]
        pairs.append(tuple(min(column) for column in zip(*times, strict=True)))
    ratios = [mine / theirs if case.at_most else theirs / mine for mine, theirs in pairs]
    mine, theirs = (min(column) * 1e6 for column in zip(*pairs, strict=True))
    return figure(case.name, ratios, case.target, f"{mine:.1f} against {theirs:.1f} us", at_least=not case.at_most)


def measure(rounds: int, *, variant: str | None = None, only: str = "") -> Iterator[Figure]:
    """All figures of this suite. only : those that have this in their name."""
    for case in cases(variant):
        if only in case.name:
            yield compare(case, rounds)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__, rounds=5)
    parser.add_argument("--variant")
    parser.add_argument("--only", default="", help="only the cases that have this word in their name")
    options = parser.parse_args()
    print(f"kernels: {options.variant or best_kernels.variant()}")
    return finish(measure(options.rounds, variant=options.variant, only=options.only), options)


if __name__ == "__main__":
    raise SystemExit(main())
