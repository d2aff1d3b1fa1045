"""Whole networks of many families, with other sizes and numbers of classes than anybody's examples, made here.

Each shows the same objects whatever the picture, but how sure it is of them depends on the colours of what it is fed:
one that is fed wrongly (channels swapped, another mean, a picture stretched instead of padded) gives other scores.
Objects are chosen first and encoded the way the family's decoding turns them back; nothing here is read from a parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
from numpy.typing import NDArray

from arithmetic import cells, logit, sigmoid

Floats = NDArray[np.float32]
Size = tuple[int, int]
"""Height and width, px."""

WEIGHTS = (0.1, 0.3, 0.6)
"""Of the input's channels in what a network makes of a picture."""

UNLIKELY = -7.0
"""Logit of what is not there."""


@dataclass(frozen=True)
class Feed:
    """What a family does to a picture.

    mean, scale : in the order of the network's channels. down : a padded picture's size is rounded down.
    """

    rgb: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Literal["stretch", "letterbox", "top-left", "crop"] = "stretch"
    pad: int = 0
    down: bool = False

    @property
    def gain(self) -> float:
        """What makes the span of all pixels one."""
        return sum(self.scale) / 3 / 255

    def blob(self, picture: NDArray[np.uint8], size: Size) -> tuple[Floats, Floats]:
        """float32 (height, width, 3) as the network sees it; and (4,) factors of x and y, px of the picture for each of
        the input's, and what is to be added, so that source = input * factor + shift.
        """
        height, width = picture.shape[:2]
        h, w = size
        if self.resize == "crop":
            part = min(height / h, width / w)
            ch, cw = round(h * part), round(w * part)
            y, x = round((height - ch) / 2), round((width - cw) / 2)
            seen = cv2.resize(picture[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_LINEAR)
            back = (cw / w, ch / h, x, y)
        elif self.resize == "stretch":
            seen = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR)
            back = (width / w, height / h, 0, 0)
        else:
            ratio = min(h / height, w / width)
            whole = int if self.down else round
            nh, nw = whole(height * ratio + 1e-9), whole(width * ratio + 1e-9)
            top = left = 0
            if self.resize == "letterbox":
                top, left = round((h - nh) / 2 - 0.1), round((w - nw) / 2 - 0.1)
            seen = np.full((h, w, 3), self.pad, np.uint8)
            seen[top : top + nh, left : left + nw] = cv2.resize(picture, (nw, nh), interpolation=cv2.INTER_LINEAR)
            fx, fy = width / nw, height / nh
            back = (fx, fy, -left * fx, -top * fy)
        seen = seen[..., ::-1] if self.rgb else seen
        values = (seen.astype(np.float32) - np.float32(self.mean)) / np.float32(self.scale)
        return values.astype(np.float32), np.array(back, np.float32)

    def impression(self, picture: NDArray[np.uint8], size: Size) -> float:
        """What a network makes of the picture's colours, added to each of its logits."""
        blob, _ = self.blob(picture, size)
        return float(blob.reshape(-1, 3).mean(0, dtype=np.float64) @ np.array(WEIGHTS)) * self.gain


ULTRALYTICS = Feed(True, scale=(255.0,) * 3, resize="letterbox", pad=114)
DARKNET = Feed(True, scale=(255.0,) * 3)
IMAGENET = Feed(True, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
NANO = Feed(False, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))


@dataclass(frozen=True)
class Things:
    """Objects of a network: boxes (n, 4) x1, y1, x2, y2, px of its input; labels; logits of their scores."""

    boxes: Floats
    labels: list[int]
    logits: Floats

    @property
    def centred(self) -> Floats:
        """Centre x, y, width, height."""
        low, high = self.boxes[:, :2], self.boxes[:, 2:]
        return np.concatenate([(low + high) / 2, high - low], 1)


def things(size: Size, classes: int, *, seed: int = 0, columns: int = 3, rows: int = 2, square: bool = False) -> Things:
    """Objects side by side: those of the first and of the last class among them."""
    rng = np.random.default_rng(seed)
    height, width = size
    step = np.array([width / columns, height / rows])
    corners = np.array([[x, y] for y in range(rows) for x in range(columns)]) * step
    sides = step * rng.uniform(0.45, 0.7, (len(corners), 2))
    if square:
        sides = np.repeat(sides.min(1), 2).reshape(-1, 2)
    low = corners + (step - sides) * rng.uniform(0.2, 0.8, (len(corners), 2))
    labels = rng.integers(0, classes, len(corners))
    labels[:2] = 0, classes - 1
    boxes = np.concatenate([low, low + sides], 1).astype(np.float32)
    return Things(boxes, labels.tolist(), rng.uniform(1.0, 3.0, len(corners)).astype(np.float32))


class Net:
    """A graph under construction, of one picture. stored : step and zero point of an input of quantised numbers."""

    def __init__(
        self, size: Size, feed: Feed, *, nhwc: bool = False, kind: Any = np.float32,
        stored: tuple[float, int] | None = None,
    ) -> None:  # fmt: skip
        self.size = size
        self.feed = feed
        shape = [1, *size, 3] if nhwc else [1, 3, *size]
        self.picture = op.parameter(shape, kind, name="images")
        self.picture.output(0).set_names({"images"})
        self.inputs = [self.picture]
        real = self.picture if kind == np.float32 else op.convert(self.picture, "f32")
        if stored is not None:
            zero = op.convert(op.constant(np.array(stored[1], kind)), "f32")
            real = op.multiply(op.subtract(real, zero), np.float32(stored[0]))
        planes = op.transpose(real, np.array([0, 3, 1, 2])) if nhwc else real
        kernel = (np.array(WEIGHTS) * feed.gain).astype(np.float32).reshape(1, 3, 1, 1)
        seen = op.convolution(planes, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        self._seen = op.reduce_mean(seen, np.array([0, 1, 2, 3]), False)
        self._nothing = op.multiply(self._seen, np.float32(0))

    def fixed(self, values: Any) -> Any:
        """These numbers, whatever the picture."""
        return op.add(op.constant(np.asarray(values, np.float32)), self._nothing)

    def logits(self, values: Any) -> Any:
        """These numbers, more for a bright picture."""
        return op.add(op.constant(np.asarray(values, np.float32)), self._seen)

    def chances(self, values: Any) -> Any:
        """What a sigmoid makes of such logits."""
        return op.sigmoid(self.logits(values))

    def more(self, name: str, shape: Sequence[int], kind: Any = np.float32) -> Any:
        """A further input."""
        node = op.parameter(list(shape), kind, name=name)
        node.output(0).set_names({name})
        self.inputs.append(node)
        return node

    def model(self, outputs: Mapping[str, Any]) -> ov.Model:
        """The network."""
        for name, node in outputs.items():
            node.output(0).set_names({name})
        return ov.Model(list(outputs.values()), self.inputs, "unseen")


@dataclass(frozen=True)
class Case:
    """A network, and what it shows.

    size, feed : of its input. model : its graph. things : its objects. family : what `--head` calls it.
    base : number of the first class where that is not 0. options : of `saccade.open` that it needs.
    files : texts that lie beside it. chance : how an object's logit and the picture's impression make its score.
    points : (n, k, 2), px of the input. corners : (n, 4, 2) of turned boxes.
    """

    family: str
    size: Size
    feed: Feed
    things: Things
    model: ov.Model
    base: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)
    chance: Callable[[Any, float], Any] = lambda logits, seen: sigmoid(logits + seen)
    points: Floats | None = None
    corners: Floats | None = None
    px: float = 0.15

    def save(self, folder: Path) -> Path:
        """The network as an IR, with the files that belong to it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text)
        for key, value in self.info.items():
            self.model.set_rt_info(value, ["model_info", key])
        path = folder / "net.xml"
        ov.save_model(self.model, path, compress_to_fp16=False)
        return path

    def expected(self, picture: NDArray[np.uint8]) -> tuple[Floats, list[int], Floats]:
        """Boxes in px of the picture, labels and scores."""
        _, (fx, fy, tx, ty) = self.feed.blob(picture, self.size)
        boxes = self.things.boxes * [fx, fy, fx, fy] + [tx, ty, tx, ty]
        seen = self.feed.impression(picture, self.size)
        scores = np.asarray(self.chance(self.things.logits.astype(np.float64), seen), np.float32)
        return boxes.astype(np.float32), [label + self.base for label in self.things.labels], scores

    def placed(self, points: Floats, picture: NDArray[np.uint8]) -> Floats:
        """Points in px of the picture."""
        _, (fx, fy, tx, ty) = self.feed.blob(picture, self.size)
        return (points * [fx, fy] + [tx, ty]).astype(np.float32)

    def check(self, found: Any, picture: NDArray[np.uint8]) -> None:
        """Asserts that the objects, and no others, were found."""
        boxes, labels, scores = self.expected(picture)
        assert len(found) == len(boxes), f"{len(found)} objects for {len(boxes)}"
        apart = np.abs(found.boxes[None] - boxes[:, None]).max(2)
        match = apart.argmin(1)
        assert sorted(match) == list(range(len(boxes))), f"boxes are off by {apart.min(1).round(2)}"
        assert apart.min(1).max() <= self.px, f"boxes are off by {apart.min(1).round(2)}"
        assert found.labels[match].tolist() == labels
        off = np.abs(found.scores[match] - scores)
        assert off.max() < 0.01, f"scores are off by {off.round(3)}"
        if self.points is not None:
            assert np.abs(found.keypoints[match] - self.placed(self.points, picture)).max() <= self.px
        if self.corners is not None:
            assert found.corners is not None


def homes(size: Size, found: Things, strides: Sequence[int], *, shift: int = 0) -> list[int]:
    """Number of the row for each object: that of the cell its centre lies in, on one grid after the other."""
    where = {cell: number for number, cell in enumerate(cells(size, strides))}
    own = []
    for number, (x, y, _, _) in enumerate(found.centred):
        stride = strides[(number + shift) % len(strides)]
        own.append(where[int(x // stride), int(y // stride), stride])
    return own


def noise(size: Size, count: int, seed: int = 1) -> Floats:
    """Boxes of what is not there: centre x, y, width, height, px; (count, 4)."""
    rng = np.random.default_rng(seed)
    height, width = size
    sides = rng.uniform(10, 0.5 * min(size), (count, 2))
    return np.concatenate([rng.uniform(0, [width, height], (count, 2)), sides], 1).astype(np.float32)


def around_cells(size: Size, strides: Iterable[int], anchors: int = 1, seed: int = 1) -> Floats:
    """Such boxes, each near its cell."""
    rng = np.random.default_rng(seed)
    rows = []
    for x, y, stride in cells(size, strides):
        for _ in range(anchors):
            offset = rng.uniform(0, 1, 2)
            rows.append([(x + offset[0]) * stride, (y + offset[1]) * stride, *rng.uniform(1, 6, 2) * stride])
    return np.array(rows, np.float32)


def scored(count: int, classes: int, own: Sequence[int], found: Things) -> Floats:
    """Logits (count, classes): an object's in its row, unlikely elsewhere."""
    table = np.full((count, classes), UNLIKELY, np.float32)
    for row, label, value in zip(own, found.labels, found.logits, strict=True):
        table[row, label] = value
    return table


def corners_of(centred: Any) -> Floats:
    """x1, y1, x2, y2."""
    centred = np.asarray(centred, np.float32)
    return np.concatenate([centred[:, :2] - centred[:, 2:] / 2, centred[:, :2] + centred[:, 2:] / 2], 1)


def mixed(outputs: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """The same outputs in another order, each under another one's name."""
    if seed is None:
        return dict(outputs)
    rng = np.random.default_rng(seed)
    names = list(outputs)
    order, said = rng.permutation(len(names)), rng.permutation(len(names))
    return {names[s]: outputs[names[o]] for o, s in zip(order, said, strict=True)}


# ---- YOLO ----


def yolov8(
    size: Size, classes: int, *, strides: Sequence[int] = (8, 16, 32), transposed: bool = False,
    normalised: bool = False, extra: str = "", points: tuple[int, int] = (17, 3),
    metadata: Mapping[str, str] | None = None, nhwc: bool = False, kind: Any = np.float32,
    stored: tuple[float, int] | None = None, mixed_up: int | None = None, **options: Any,
) -> Case:  # fmt: skip
    """v8 to v12, v5u: extra is empty, seg, pose or obb."""
    net = Net(size, ULTRALYTICS, nhwc=nhwc, kind=kind, stored=stored)
    found = things(size, classes)
    own = homes(size, found, strides)
    boxes = around_cells(size, strides)
    boxes[own] = found.centred
    unit = np.array([size[1], size[0]] * 2, np.float32) if normalised else np.ones(4, np.float32)
    parts = [net.fixed(boxes / unit), net.chances(scored(len(boxes), classes, own, found))]
    rng = np.random.default_rng(5)
    outputs: dict[str, Any] = {}
    case: dict[str, Any] = {}
    if extra == "seg":
        parts.append(net.fixed(rng.normal(0, 1, (len(boxes), 32))))
        outputs["protos"] = net.fixed(rng.normal(0, 1, (1, 32, size[0] // 4, size[1] // 4)))
    elif extra == "pose":
        count, numbers = points
        places = rng.uniform(0, [size[1], size[0]], (len(boxes), count, 2)).astype(np.float32)
        case["points"] = places[own]
        seen = sigmoid(rng.normal(0, 1, (len(boxes), count, 1)))
        rows = np.concatenate([places / unit[:2], seen], 2)[..., :numbers]
        parts.append(net.fixed(rows.reshape(len(boxes), -1)))
    elif extra == "obb":
        angles = rng.uniform(-0.7, 2.3, (len(boxes), 1)).astype(np.float32)
        turning = net.fixed(angles)
        none = op.multiply(op.add(op.sin(turning), op.cos(turning)), np.float32(0))
        parts[0] = op.add(parts[0], none)
        parts.append(turning)
        case["corners"] = np.array([turned(box, a) for box, a in zip(found.centred, angles[own, 0], strict=True)])
        found = replace(found, boxes=np.concatenate([case["corners"].min(1), case["corners"].max(1)], 1))
    table = op.unsqueeze(op.concat(parts, 1), np.array([0]))
    if not transposed:
        table = op.transpose(table, np.array([0, 2, 1]))
    family = "yolov8" + (f"-{extra}" if extra else "")
    files = {} if metadata is None else {"metadata.yaml": as_yaml(metadata)}
    model = net.model(mixed({"output0": table, **outputs}, mixed_up))
    return Case(family, size, ULTRALYTICS, found, model, options=options, files=files, **case)


def apart(size: Size, classes: int, *, corners: bool = True, normalised: bool = False, transposed: bool = False,
          nhwc: bool = False, mixed_up: int | None = None, **options: Any) -> Case:  # fmt: skip
    """YOLO-NAS and its like: boxes and scores of the cells in two tables; transposed: the scores by class."""
    strides = (8, 16, 32)
    net, found = Net(size, ULTRALYTICS, nhwc=nhwc), things(size, classes)
    own = homes(size, found, strides)
    boxes = around_cells(size, strides)
    boxes[own] = found.centred
    unit = np.array([size[1], size[0]] * 2, np.float32) if normalised else np.ones(4, np.float32)
    boxes = corners_of(boxes) if corners else boxes
    scores = net.chances(scored(len(boxes), classes, own, found))
    parts = {"a": net.fixed(boxes / unit), "b": op.transpose(scores, np.array([1, 0])) if transposed else scores}
    model = net.model(mixed(in_tables(net, parts, batch=True), mixed_up))
    return Case("yolo-nas", size, ULTRALYTICS, found, model, options=options)


def v8_maps(size: Size, classes: int, *, joined: bool = False, sums: bool = False, done: bool = False,
            nhwc: bool = False, mixed_up: int | None = None, **options: Any) -> Case:  # fmt: skip
    """v8's kin cut before the decoding: a map of distributions and one of scores a grid, perhaps one of their sums."""
    strides = (8, 16, 32)
    net, found = Net(size, ULTRALYTICS, nhwc=nhwc), things(size, classes)
    own, sides = distances(size, found, strides, 16, lambda index, stride: (index + 0.5) * stride)
    values = scored(len(sides), classes, own, found)
    outputs: dict[str, Any] = {}
    start = 0
    for stride in strides:
        grid = [-(-extent // stride) for extent in size]
        rows = slice(start, start := start + grid[0] * grid[1])
        parts = [net.fixed(sides[rows]), net.chances(values[rows]) if done else net.logits(values[rows])]
        parts = [op.concat(parts, 1)] if joined else parts
        if sums:
            parts.append(net.fixed(sigmoid(values[rows]).sum(1, keepdims=True)))
        for number, part in enumerate(parts):
            shape = [1, *grid, int(part.get_output_shape(0)[1])]
            node = op.reshape(part, np.array(shape), False)
            outputs[f"{number}_{stride}"] = node if nhwc else op.transpose(node, np.array([0, 3, 1, 2]))
    model = net.model(mixed(outputs, mixed_up))
    return Case("yolov8-raw", size, ULTRALYTICS, found, model, options=options)


def turned(box: Any, angle: float) -> Floats:
    """Corners (4, 2) of a box, centre and size, turned about its centre."""
    x, y, w, h = box
    c, s = np.cos(angle), np.sin(angle)
    a, b = np.array([w / 2 * c, w / 2 * s]), np.array([-h / 2 * s, h / 2 * c])
    centre = np.array([x, y])
    return np.array([centre + a + b, centre + a - b, centre - a - b, centre - a + b], np.float32)


def as_yaml(metadata: Mapping[str, str]) -> str:
    """Lines of key and value."""
    return "".join(f"{key}: {value}\n" for key, value in metadata.items())


def ultralytics(task: str, classes: int, size: Size, **more: str) -> dict[str, str]:
    """What Ultralytics writes beside an exported network."""
    names = "{" + ", ".join(f"{i}: 'thing {i}'" for i in range(classes)) + "}"
    return {
        "description": "Ultralytics YOLO model", "task": task, "stride": "32", "batch": "1", "channels": "3",
        "imgsz": f"[{size[0]}, {size[1]}]", "names": names, **more,
    }  # fmt: skip


def yolo_rows(size: Size, classes: int, *, count: int = 300, extra: str = "", in_graph: bool = False,
              metadata: Mapping[str, str] | None = None, **options: Any) -> Case:  # fmt: skip
    """v10 and v26 end to end, and exports that suppress boxes themselves."""
    net = Net(size, ULTRALYTICS)
    found = things(size, classes)
    n = len(found.labels)
    table = np.zeros((count, 6), np.float32)
    order = np.argsort(-found.logits)
    table[:n, :4] = found.boxes[order]
    table[:n, 5] = np.array(found.labels)[order]
    logits = np.full((count, 1), UNLIKELY, np.float32)
    logits[:n, 0] = found.logits[order]
    parts = [net.fixed(table[:, :4]), net.chances(logits), net.fixed(table[:, 5:])]
    rng = np.random.default_rng(5)
    outputs = {}
    case: dict[str, Any] = {}
    if extra == "seg":
        parts.append(net.fixed(rng.normal(0, 1, (count, 32))))
        outputs["protos"] = net.fixed(rng.normal(0, 1, (1, 32, size[0] // 4, size[1] // 4)))
    elif extra == "pose":
        places = rng.uniform(0, [size[1], size[0]], (count, 17, 2)).astype(np.float32)
        parts.append(net.fixed(np.concatenate([places, np.full((count, 17, 1), 0.5)], 2).reshape(count, -1)))
        case["points"] = places[np.argsort(order)]
    rows = op.unsqueeze(op.concat(parts, 1), np.array([0]))
    files = {} if metadata is None else {"metadata.yaml": as_yaml(metadata)}
    family = "yolo-rows" + (f"-{extra}" if extra else "")
    model = net.model({"output0": rows, **outputs})
    return Case(family, size, ULTRALYTICS, found, model, options=options, files=files, **case)


V5 = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
V7 = ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401))
V3 = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))


def yolov5(size: Size, classes: int, *, strides: Sequence[int] = (8, 16, 32), normalised: bool = False,
           nhwc: bool = False, maps: bool = False, seg: bool = False, metadata: Mapping[str, str] | None = None,
           **options: Any) -> Case:  # fmt: skip
    """A row an anchor, decoded by the graph; maps : also the maps that it was made from."""
    net = Net(size, ULTRALYTICS, nhwc=nhwc)
    found = things(size, classes)
    grid = {stride: (-(-size[0] // stride), -(-size[1] // stride)) for stride in strides}
    count = 3 * len(cells(size, strides))
    rows, start = {}, 0
    for stride in strides:
        rows[stride] = start
        start += 3 * grid[stride][0] * grid[stride][1]
    own = []
    for number, (x, y, _, _) in enumerate(found.centred):
        stride = strides[number % len(strides)]
        h, w = grid[stride]
        own.append(rows[stride] + (number % 3) * h * w + int(y // stride) * w + int(x // stride))
    boxes = noise(size, count)
    boxes[own] = found.centred
    objectness = np.full((count, 1), UNLIKELY)
    objectness[own] = 4.0
    unit = np.array([size[1], size[0]] * 2, np.float32) if normalised else np.ones(4, np.float32)
    parts = [
        net.fixed(boxes / unit),
        op.sigmoid(net.fixed(objectness)),
        net.chances(scored(count, classes, own, found)),
    ]
    outputs = {}
    if seg:
        parts.append(net.fixed(np.random.default_rng(5).normal(0, 1, (count, 32))))
        outputs["output1"] = net.fixed(np.random.default_rng(6).normal(0, 1, (1, 32, size[0] // 4, size[1] // 4)))
    table = op.unsqueeze(op.concat(parts, 1), np.array([0]))
    if maps:
        rng = np.random.default_rng(3)
        outputs |= {f"map{s}": net.fixed(rng.normal(0, 1, (1, 3, *grid[s], 5 + classes))) for s in strides}
    files = {} if metadata is None else {"metadata.yaml": as_yaml(metadata)}
    model = net.model({"output": table, **outputs})
    return Case("yolov5-seg" if seg else "yolov5", size, ULTRALYTICS, found, model, options=options, files=files,
                chance=lambda logits, seen: sigmoid(4.0) * sigmoid(logits + seen))  # fmt: skip


def anchor_maps(
    family: str, size: Size, classes: int, anchors: Sequence[tuple[float, float]], *, form: str = "planes",
    done: bool = False, scale_xy: Sequence[float] = (1, 1, 1), region: bool = False, v5: bool = False,
    strides: Sequence[int] = (8, 16, 32), mixed_up: int | None = None, feed: Feed | None = None,
    files: Mapping[str, str] | None = None, **options: Any,
) -> Case:  # fmt: skip
    """Raw maps of three anchors a cell (v3, v4, v5, v7). done : a sigmoid stands behind all. region : RegionYolo."""
    feed = feed or (ULTRALYTICS if v5 else Feed() if region else DARKNET)
    net = Net(size, feed)
    found = things(size, classes)
    outputs: dict[str, Any] = {}
    tables = {s: np.full((3, -(-size[0] // s), -(-size[1] // s), 5 + classes), 0.1, np.float32) for s in strides}
    for table in tables.values():
        table[..., 4:] = UNLIKELY
    for (x, y, w, h), label, value in zip(found.centred, found.labels, found.logits, strict=True):
        ratios = [max(w / a, a / w, h / b, b / h) for a, b in anchors]
        best = int(np.argmin(ratios))
        stride, anchor = strides[best // 3], best % 3
        a, b = anchors[best]
        column, row = int(x // stride), int(y // stride)
        cell = np.array([x / stride - column, y / stride - row])
        if v5:
            size_part = np.clip(np.sqrt([w / a, h / b]) / 2, 1e-3, 1 - 1e-3)
            coded = [*logit((cell + 0.5) / 2), *logit(size_part)]
        else:
            s = scale_xy[best // 3]
            coded = [*logit((cell + (s - 1) / 2) / s), np.log(w / a), np.log(h / b)]
        target = tables[stride][anchor, row, column]
        target[:4], target[4], target[5 + label] = coded, 4.0, value
    for number, table in enumerate(tables.values()):
        classes_too = np.concatenate([np.zeros_like(table[..., :5]), np.ones_like(table[..., 5:])], -1)
        node = op.add(net.fixed(table[None]), op.multiply(op.constant(classes_too[None]), net.logits(0.0)))
        if form == "planes" or region:
            node = op.transpose(node, np.array([0, 1, 4, 2, 3]))
            node = op.reshape(node, np.array([1, 3 * (5 + classes), *table.shape[1:3]]), False)
        elif form == "cells":
            node = op.transpose(node, np.array([0, 2, 3, 1, 4]))
            node = op.reshape(node, np.array([1, *table.shape[1:3], 3 * (5 + classes)]), False)
        if region:
            flat = [float(v) for pair in anchors for v in pair]
            node = op.region_yolo(node, 4, classes, len(anchors), False, [3 * number, 3 * number + 1, 3 * number + 2],
                                  1, 3, flat)  # fmt: skip
        elif done:
            node = op.sigmoid(node)
        outputs[f"map{number}"] = node
    model = net.model(mixed(outputs, mixed_up))
    return Case(family, size, feed, found, model, options=options, files=files or {},
                chance=lambda logits, seen: sigmoid(4.0) * sigmoid(logits + seen))  # fmt: skip


def yolov6(size: Size, classes: int, **options: Any) -> Case:
    """A fifth column that is 1."""
    net = Net(size, ULTRALYTICS)
    found = things(size, classes)
    own = homes(size, found, (8, 16, 32))
    boxes = around_cells(size, (8, 16, 32))
    boxes[own] = found.centred
    table = np.concatenate([boxes, np.ones((len(boxes), 1), np.float32)], 1)
    parts = [net.fixed(table), net.chances(scored(len(boxes), classes, own, found))]
    model = net.model({"outputs": op.unsqueeze(op.concat(parts, 1), np.array([0]))})
    return Case("yolov6", size, ULTRALYTICS, found, model, options=options)


def yolox(size: Size, classes: int, *, raw: bool, **options: Any) -> Case:
    """Decoded, with an exponential in the graph, or raw."""
    feed = Feed(resize="top-left", pad=114)
    net = Net(size, feed)
    found = things(size, classes)
    own = homes(size, found, (8, 16, 32))
    grid = np.array(cells(size, (8, 16, 32)), np.float32)
    rng = np.random.default_rng(2)
    boxes = np.concatenate([rng.uniform(-0.5, 1.5, (len(grid), 2)), rng.normal(0.5, 0.8, (len(grid), 2))], 1)
    strides = grid[own, 2:]
    boxes[own] = np.concatenate([found.centred[:, :2] / strides - grid[own, :2],
                                 np.log(found.centred[:, 2:] / strides)], 1)  # fmt: skip
    objectness = np.full((len(grid), 1), UNLIKELY)
    objectness[own] = 4.0
    chances = [op.sigmoid(net.fixed(objectness)), net.chances(scored(len(grid), classes, own, found))]
    coded = net.fixed(boxes)
    if not raw:
        xy, wh = op.split(coded, np.int64(1), 2).outputs()
        centre = op.multiply(op.add(xy, op.constant(grid[:, :2])), op.constant(grid[:, 2:]))
        sides = op.multiply(op.exp(wh), op.constant(grid[:, 2:]))
        coded = op.concat([centre, sides], 1)
    model = net.model({"output": op.unsqueeze(op.concat([coded, *chances], 1), np.array([0]))})
    return Case("yolox", size, feed, found, model, options=options,
                chance=lambda logits, seen: sigmoid(4.0) * sigmoid(logits + seen))  # fmt: skip


# ---- NanoDet, PicoDet, FastestDet ----


def distances(size: Size, found: Things, strides: Sequence[int], bins: int, point: Callable[[int, int], Any]
              ) -> tuple[list[int], Floats]:  # fmt: skip
    """Rows of the objects and logits of distributions (cells, 4 * bins) of distances in strides.

    point : (index, stride) -> place of a cell's point on an axis, px.
    """
    grid = cells(size, strides)
    where = {cell: number for number, cell in enumerate(grid)}
    table = np.zeros((len(grid), 4, bins), np.float32)
    own: list[int] = []
    for x1, y1, x2, y2 in found.boxes:
        fits = []
        for stride in strides:
            column, row = int((x1 + x2) / 2 // stride), int((y1 + y2) / 2 // stride)
            px, py = point(column, stride), point(row, stride)
            apart = np.array([px - x1, py - y1, x2 - px, y2 - py]) / stride
            number = where[column, row, stride]
            if apart.min() >= 0 and apart.max() < bins - 1 and number not in own:
                fits.append((number, apart))
        number, apart = fits[len(own) % len(fits)]
        for side, distance in enumerate(apart):
            low = int(distance)
            chances = np.full(bins, 1e-9)
            chances[low : low + 2] = 1 - (distance - low), distance - low + 1e-9
            table[number, side] = np.log(chances)
        own.append(number)
    return own, table.reshape(len(grid), 4 * bins)


def nanodet(
    size: Size, classes: int, *, bins: int = 8, kind: str = "nanodet", batch: bool = True, mixed_up: int | None = None,
    logits: bool = False, strides: Sequence[int] = (), **options: Any,
) -> Case:  # fmt: skip
    """kind : nanodet (v0), plus, or picodet."""
    point: Callable[[int, int], Any] = {
        "nanodet": lambda i, s: i * s + (s - 1) / 2, "plus": lambda i, s: i * s, "picodet": lambda i, s: (i + 0.5) * s,
    }[kind]  # fmt: skip
    feed = {
        "nanodet": replace(NANO, resize="letterbox", down=True), "plus": NANO, "picodet": IMAGENET,
    }[kind]  # fmt: skip
    strides = strides or ((8, 16, 32) if kind == "nanodet" else (8, 16, 32, 64))
    net = Net(size, feed)
    found = things(size, classes, columns=4, rows=3)
    own, table = distances(size, found, strides, bins, point)
    scores = scored(len(table), classes, own, found)
    make = net.logits if logits else net.chances
    if kind == "plus":
        node = op.unsqueeze(op.concat([make(scores), net.fixed(table)], 1), np.array([0]))
        return Case("nanodet", size, feed, found, net.model({"output": node}), options=options)
    outputs = {}
    start = 0
    for stride in strides:
        end = start + -(-size[0] // stride) * -(-size[1] // stride)
        lead = (1,) if batch else ()
        outputs[f"s{stride}"] = make(scores[start:end].reshape(*lead, end - start, classes))
        outputs[f"b{stride}"] = net.fixed(table[start:end].reshape(*lead, end - start, 4 * bins))
        start = end
    return Case(kind, size, feed, found, net.model(mixed(outputs, mixed_up)), options=options)


def fastestdet(size: Size, classes: int, **options: Any) -> Case:
    """One map at stride 16."""
    feed = Feed(scale=(255.0,) * 3)
    net = Net(size, feed)
    found = things(size, classes)
    h, w = size[0] // 16, size[1] // 16
    table = np.zeros((4, h, w), np.float32)
    objectness = np.full((1, h, w), UNLIKELY, np.float32)
    chances = np.zeros((classes, h, w), np.float32)
    for (x, y, bw, bh), label, value in zip(found.centred, found.labels, found.logits, strict=True):
        column, row = int(x // 16), int(y // 16)
        table[:, row, column] = [np.arctanh(x / 16 - column), np.arctanh(y / 16 - row),
                                 logit(bw / size[1]), logit(bh / size[0])]  # fmt: skip
        objectness[0, row, column] = value
        chances[label, row, column] = 12.0
    node = op.concat([net.chances(objectness), net.fixed(table), op.softmax(net.fixed(chances), 0)], 0)
    sure = np.exp(12.0) / (np.exp(12.0) + classes - 1)
    return Case("fastestdet", size, feed, found, net.model({"758": op.unsqueeze(node, np.array([0]))}), options=options,
                chance=lambda logits, seen: sigmoid(logits + seen) ** 0.6 * sure**0.4)  # fmt: skip


# ---- faces ----


def one_class(found: Things) -> Things:
    """The same objects, of class 0."""
    return replace(found, labels=[0] * len(found.labels))


def in_tables(net: Net, parts: Mapping[str, Any], *, batch: bool) -> dict[str, Any]:
    """Outputs of (n, columns), with a leading one or without."""
    return {name: op.unsqueeze(node, np.array([0])) if batch else node for name, node in parts.items()}


def scrfd(size: Size, *, anchors: int = 2, points: bool = True, batch: bool = False, logits: bool = False,
          mixed_up: int | None = None, **options: Any) -> Case:  # fmt: skip
    """Distances in strides from the corners of cells."""
    strides = (8, 16, 32) if anchors == 2 else (8, 16, 32, 64, 128)
    feed = Feed(True, (127.5,) * 3, (128.0,) * 3, "top-left", 0, down=True)
    net = Net(size, feed)
    found = one_class(things(size, 2))
    grid = np.repeat(np.array(cells(size, strides), np.float32), anchors, axis=0)
    rng = np.random.default_rng(4)
    own = [anchors * row + number % anchors for number, row in enumerate(homes(size, found, (8, 16)))]
    places = rng.uniform(0, [size[1], size[0]], (len(own), 5, 2)).astype(np.float32)
    boxes, marks = rng.uniform(0, 4, (len(grid), 4)), rng.normal(0, 2, (len(grid), 10))
    scores = np.full((len(grid), 1), UNLIKELY)
    for row, (x1, y1, x2, y2), value, five in zip(own, found.boxes, found.logits, places, strict=True):
        x, y, stride = grid[row] * [grid[row, 2], grid[row, 2], 1]
        boxes[row] = np.array([x - x1, y - y1, x2 - x, y2 - y]) / stride
        marks[row] = ((five - [x, y]) / stride).reshape(-1)
        scores[row] = value
    parts: dict[str, Any] = {}
    for stride in strides:
        here = np.flatnonzero(grid[:, 2] == stride)
        parts[f"score_{stride}"] = (net.logits if logits else net.chances)(scores[here])
        parts[f"bbox_{stride}"] = net.fixed(boxes[here])
        if points:
            parts[f"kps_{stride}"] = net.fixed(marks[here])
    model = net.model(mixed(in_tables(net, parts, batch=batch), mixed_up))
    return Case("scrfd", size, feed, found, model, options=options, points=places if points else None)


def square_priors(size: Size, sides: Mapping[int, Sequence[int]], *, stretched: bool) -> Floats:
    """Centre x, y, width, height, px. stretched : ceil(size / stride) cells share the input's side."""
    rows = []
    for stride, lengths in sides.items():
        h, w = -(-size[0] // stride), -(-size[1] // stride)
        down, right = (size[0] / h, size[1] / w) if stretched else (stride, stride)
        for y in range(h):
            for x in range(w):
                rows += [[(x + 0.5) * right, (y + 0.5) * down, side, side] for side in lengths]
    return np.array(rows, np.float32)


SMALL = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
LARGE = {8: (16, 32), 16: (64, 128), 32: (256, 512)}


def with_priors(found: Things, priors: Floats) -> tuple[list[int], Floats]:
    """The row whose prior is nearest for each object, and the offsets of all boxes from priors, coded by 0.1, 0.2."""
    own: list[int] = []
    loc = np.random.default_rng(4).normal(0, 1, (len(priors), 4))
    for box in found.centred:
        apart = np.abs(priors[:, :2] - box[:2]).sum(1) + np.abs(priors[:, 2:] - box[2:]).sum(1)
        apart[own] = np.inf
        row = int(apart.argmin())
        own.append(row)
        prior = priors[row]
        loc[row] = [*((box[:2] - prior[:2]) / prior[2:] / 0.1), *(np.log(box[2:] / prior[2:]) / 0.2)]
    return own, loc.astype(np.float32)


def two_columns(net: Net, count: int, own: Sequence[int], found: Things, *, done: bool) -> Any:
    """Scores (count, 2) with the background first: of logits 0 and x a softmax makes sigmoid(x)."""
    face = np.full((count, 1), UNLIKELY)
    face[own, 0] = found.logits
    both = op.concat([net.fixed(np.zeros((count, 1))), net.logits(face)], 1)
    return op.softmax(both, 1) if done else both


def retinaface(size: Size, *, done: bool = True, mixed_up: int | None = None, **options: Any) -> Case:
    """biubug6's, with priors."""
    feed = Feed(False, (104.0, 117.0, 123.0))
    net = Net(size, feed)
    found = one_class(things(size, 2))
    priors = square_priors(size, LARGE, stretched=False)
    own, loc = with_priors(found, priors)
    rng = np.random.default_rng(6)
    marks = rng.normal(0, 2, (len(priors), 10)).astype(np.float32)
    places = (marks[own].reshape(-1, 5, 2) * 0.1 * priors[own][:, None, 2:] + priors[own][:, None, :2]).astype(
        np.float32
    )
    parts = {"loc": net.fixed(loc), "conf": two_columns(net, len(priors), own, found, done=done),
             "landms": net.fixed(marks)}  # fmt: skip
    model = net.model(mixed(in_tables(net, parts, batch=True), mixed_up))
    return Case("retinaface", size, feed, found, model, options=options, points=places)


def ultraface(size: Size, *, raw: bool, mixed_up: int | None = None, **options: Any) -> Case:
    """Decoded or raw, under the same names."""
    feed = Feed(True, (127.0,) * 3, (128.0,) * 3)
    net = Net(size, feed)
    found = one_class(things(size, 2))
    priors = square_priors(size, SMALL, stretched=True)
    own, loc = with_priors(found, priors)
    if raw:
        clipped = (priors / np.array([size[1], size[0]] * 2)).clip(0, 1) * np.array([size[1], size[0]] * 2)
        own, loc = with_priors(found, clipped.astype(np.float32))
        boxes = loc
    else:
        decoded = noise(size, len(priors))
        decoded[own] = found.centred
        boxes = corners_of(decoded) / np.array([size[1], size[0]] * 2, np.float32)
    parts = {"scores": two_columns(net, len(priors), own, found, done=True), "boxes": net.fixed(boxes)}
    model = net.model(mixed(in_tables(net, parts, batch=True), mixed_up))
    return Case("ultraface", size, feed, found, model, options=options)


def yunet(size: Size, *, mixed_up: int | None = None, **options: Any) -> Case:
    """That of 2023: sqrt(class * objectness)."""
    strides = (8, 16, 32)
    feed = Feed(resize="top-left", pad=0)
    net = Net(size, feed)
    found = one_class(things(size, 2))
    grid = np.array(cells(size, strides), np.float32)
    own = homes(size, found, strides)
    rng = np.random.default_rng(4)
    places = rng.uniform(0, [size[1], size[0]], (len(own), 5, 2)).astype(np.float32)
    boxes, marks = rng.normal(0, 1, (len(grid), 4)), rng.normal(0, 2, (len(grid), 10))
    cls, obj = np.full((len(grid), 1), UNLIKELY), np.full((len(grid), 1), UNLIKELY)
    for row, (x, y, w, h), value, five in zip(own, found.centred, found.logits, places, strict=True):
        column, line, stride = grid[row]
        boxes[row] = [x / stride - column, y / stride - line, np.log(w / stride), np.log(h / stride)]
        marks[row] = (five / stride - [column, line]).reshape(-1)
        cls[row], obj[row] = 4.0, value
    parts: dict[str, Any] = {}
    for stride in strides:
        here = np.flatnonzero(grid[:, 2] == stride)
        parts |= {f"cls_{stride}": op.sigmoid(net.fixed(cls[here])), f"obj_{stride}": net.chances(obj[here]),
                  f"bbox_{stride}": net.fixed(boxes[here]), f"kps_{stride}": net.fixed(marks[here])}  # fmt: skip
    model = net.model(mixed(in_tables(net, parts, batch=True), mixed_up))
    return Case("yunet", size, feed, found, model, options=options, points=places,
                chance=lambda logits, seen: np.sqrt(sigmoid(4.0) * sigmoid(logits + seen)))  # fmt: skip


def maps_at_quarter(size: Size, found: Things, classes: int) -> tuple[Floats, list[tuple[int, int]]]:
    """Logits of heat (1, classes, h / 4, w / 4), and the row and column of each object."""
    heat = np.full((1, classes, size[0] // 4, size[1] // 4), UNLIKELY, np.float32)
    places = [(int(y // 4), int(x // 4)) for x, y, _, _ in found.centred]
    for (row, column), label, value in zip(places, found.labels, found.logits, strict=True):
        heat[0, label, row, column] = value
    return heat, places


def centernet(size: Size, classes: int, *, done: bool, mixed_up: int | None = None, **options: Any) -> Case:
    """Heat, sizes and offsets at a quarter of the input."""
    feed = Feed(False, (0.408 * 255, 0.447 * 255, 0.470 * 255), (0.289 * 255, 0.274 * 255, 0.278 * 255), "letterbox", 0)
    net = Net(size, feed)
    found = things(size, classes)
    heat, places = maps_at_quarter(size, found, classes)
    rng = np.random.default_rng(4)
    wh, reg = rng.uniform(2, 30, (1, 2, *heat.shape[2:])), rng.uniform(0, 1, (1, 2, *heat.shape[2:]))
    for (row, column), (x, y, w, h) in zip(places, found.centred, strict=True):
        wh[0, :, row, column] = w / 4, h / 4
        reg[0, :, row, column] = x / 4 - column, y / 4 - row
    outputs = {"hm": (net.chances if done else net.logits)(heat), "wh": net.fixed(wh), "reg": net.fixed(reg)}
    return Case("centernet", size, feed, found, net.model(mixed(outputs, mixed_up)), options=options)


def centerface(size: Size, **options: Any) -> Case:
    """Logarithms of height and width, offsets y, x, points y, x."""
    feed = Feed(True)
    net = Net(size, feed)
    found = one_class(things(size, 2))
    heat, places = maps_at_quarter(size, found, 1)
    rng = np.random.default_rng(4)
    plane = heat.shape[2:]
    scale, offset = rng.uniform(0, 5, (1, 2, *plane)), rng.uniform(0, 1, (1, 2, *plane))
    marks = rng.uniform(0, 1, (1, 10, *plane)).astype(np.float32)
    points = []
    for (row, column), (x, y, w, h) in zip(places, found.centred, strict=True):
        scale[0, :, row, column] = np.log(h / 4), np.log(w / 4)
        offset[0, :, row, column] = y / 4 - row - 0.5, x / 4 - column - 0.5
        five = marks[0, :, row, column].reshape(5, 2)[:, ::-1]
        points.append(five * [w, h] + [x - w / 2, y - h / 2])
    outputs = {"537": net.chances(heat), "538": net.fixed(scale), "539": net.fixed(offset), "540": net.fixed(marks)}
    return Case("centerface", size, feed, found, net.model(outputs), options=options,
                points=np.array(points, np.float32))  # fmt: skip


# ---- SSD ----


def ssd(classes: int, *, raw: bool, count: int = 3000, softmax: bool = True, mixed_up: int | None = None,
        named: bool = True, **options: Any) -> Case:  # fmt: skip
    """PyTorch's SSD300 on MobileNet, with the background at 0."""
    size = (300, 300)
    feed = Feed(True, (127.0,) * 3, (128.0,) * 3)
    net = Net(size, feed)
    found = things(size, classes)
    layers = ((19, 16, 60, 105), (10, 32, 105, 150), (5, 64, 150, 195), (3, 100, 195, 240), (2, 150, 240, 285),
              (1, 300, 285, 330))  # fmt: skip
    rows = []
    for side, stride, least, most in layers:
        shapes = [(least, least), ((least * most) ** 0.5,) * 2]
        for ratio in (2, 3):
            shapes += [(least * ratio**0.5, least / ratio**0.5), (least / ratio**0.5, least * ratio**0.5)]
        for y in range(side):
            for x in range(side):
                rows += [[(x + 0.5) * stride, (y + 0.5) * stride, *shape] for shape in shapes]
    priors = (np.array(rows) / 300).clip(0, 1).astype(np.float32) * 300
    own, loc = with_priors(found, priors)
    if not raw:
        boxes = noise(size, len(priors))[:count]
        own = own if count == len(priors) else list(range(len(own)))
        boxes[own] = found.centred
        loc = corners_of(boxes) / np.float32(300)
    logits = np.zeros((len(loc), classes + 1), np.float32)
    logits[:, 0] = 8.0
    for row, label in zip(own, found.labels, strict=True):
        logits[row, 0] = -8.0
        logits[row, 1 + label] = 1.0
    others = np.log(np.exp(-8.0) + classes - 1) if classes > 1 else -8.0
    seen = np.zeros((len(loc), classes + 1), np.float32)
    for row, label, value in zip(own, found.labels, found.logits, strict=True):
        logits[row, 1 + label] = value + others
        seen[row, 1 + label] = 1
    scores = op.add(net.fixed(logits), op.multiply(op.constant(seen), net.logits(0.0)))
    scores = op.softmax(scores, 1) if softmax else scores
    parts = {"scores": scores, "boxes": net.fixed(loc)} if named else {"a": scores, "b": net.fixed(loc)}
    model = net.model(mixed(in_tables(net, parts, batch=True), mixed_up))
    return Case("ssd", size, feed, found, model, base=1, options=options)


def detection_output(size: Size, classes: int, **options: Any) -> Case:
    """OpenVINO's own layer over priors that are the objects."""
    feed = Feed()
    net = Net(size, feed)
    found = things(size, classes)
    n = len(found.labels)
    unit = np.array([size[1], size[0]] * 2, np.float32)
    chance = scored(n, classes, range(n), found)
    conf = op.concat([net.fixed(np.full((n, 1), 0.01)), net.chances(chance)], 1)
    conf = op.reshape(conf, np.array([1, n * (classes + 1)]), False)
    priors = np.stack([(found.boxes / unit).reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], n)])[None].astype(np.float32)
    attributes = {
        "num_classes": classes + 1, "background_label_id": 0, "top_k": 50, "keep_top_k": [50], "nms_threshold": 0.45,
        "confidence_threshold": 0.05, "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "share_location": True,
        "variance_encoded_in_target": False, "normalized": True,
    }  # fmt: skip
    node = op.detection_output(net.fixed(np.zeros((1, 4 * n))), conf, op.constant(priors), attributes)
    return Case("ssd", size, feed, found, net.model({"detection_out": node}), base=1, options=options)


# ---- transformers and lists ----


def queries(
    size: Size, classes: int, *, kind: str = "rt-detr", count: int = 300, named: bool = True, done: bool = False,
    mixed_up: int | None = None, metadata: Mapping[str, str] | None = None, **options: Any,
) -> Case:  # fmt: skip
    """kind : detr (softmax with a last class for nothing), rt-detr, rf-detr, table (Ultralytics), or top (8.4)."""
    imagenet = Feed(True, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    feed = imagenet if kind in ("detr", "rf-detr") else DARKNET
    net = Net(size, feed)
    found = things(size, classes)
    n = len(found.labels)
    boxes = noise(size, count)
    boxes[:n] = found.centred
    shares = (boxes / np.array([size[1], size[0]] * 2)).clip(0.001, 0.999)
    logits = scored(count, classes, range(n), found)
    family = {"table": "rt-detr", "top": "rt-detr"}.get(kind, kind)
    files = {} if metadata is None else {"metadata.yaml": as_yaml(metadata)}
    if kind == "table":
        node = op.unsqueeze(op.concat([net.fixed(shares), net.chances(logits)], 1), np.array([0]))
        return Case(family, size, feed, found, net.model({"output0": node}), options=options, files=files)
    if kind == "top":
        best = logits.max(1, keepdims=True)
        labels = logits.argmax(1)[:, None]
        node = op.concat([net.fixed(shares), net.chances(best), net.fixed(labels)], 1)
        node = op.unsqueeze(node, np.array([0]))
        return Case(family, size, feed, found, net.model({"output0": node}), options=options, files=files)
    if kind == "detr":
        nothing = np.full((count, 1), 8.0, np.float32)
        nothing[:n] = -8.0
        others = np.log(np.exp(-8.0) + (classes - 1) * np.exp(UNLIKELY))
        for row, label in enumerate(found.labels):
            logits[row, label] = found.logits[row] + others
        part = np.zeros_like(logits)
        part[np.arange(n), found.labels] = 1
        node = op.add(net.fixed(logits), op.multiply(op.constant(part), net.logits(0.0)))
        scores = op.concat([node, net.fixed(nothing)], 1)
    else:
        scores = (net.chances if done else net.logits)(logits)
    names = ("labels", "dets") if kind == "rf-detr" else ("logits", "pred_boxes") if named else ("x", "y")
    outputs = in_tables(net, {names[0]: scores, names[1]: net.fixed(shares)}, batch=True)
    model = net.model(mixed(outputs, mixed_up))
    return Case(family, size, feed, found, model, options=options, files=files)


def geti(size: Size, classes: int, *, info: Mapping[str, str] | None = None, feed: Feed | None = None,
         batch: bool = True, **options: Any) -> Case:  # fmt: skip
    """Boxes with a score as their fifth number, and labels."""
    feed = feed or Feed()
    net = Net(size, feed)
    found = things(size, classes)
    n = len(found.labels)
    rows = np.zeros((100, 4), np.float32)
    rows[:n] = found.boxes
    logits = np.full((100, 1), UNLIKELY)
    logits[:n, 0] = found.logits
    labels = np.zeros(100)
    labels[:n] = found.labels
    boxes = op.concat([net.fixed(rows), net.chances(logits)], 1)
    whole = op.convert(net.fixed(labels), "i64")
    parts = in_tables(net, {"boxes": boxes, "labels": whole}, batch=batch)
    return Case("boxes-labels", size, feed, found, net.model(parts), options=options, info=info or {})


def torchvision(size: Size, classes: int, **options: Any) -> Case:
    """Boxes in px, labels from 1, scores."""
    feed = DARKNET
    net = Net(size, feed)
    found = things(size, classes)
    n = len(found.labels)
    outputs = {"boxes": net.fixed(found.boxes), "labels": op.convert(net.fixed(np.array(found.labels) + 1), "i64"),
               "scores": net.chances(found.logits)}  # fmt: skip
    assert n
    return Case("boxes-labels-scores", size, feed, found, net.model(outputs), base=1, options=options)


def tensorflow(size: Size, classes: int, **options: Any) -> Case:
    """Frozen graphs of the Object Detection API: bytes, channels last."""
    feed = Feed(True)
    net = Net(size, feed, nhwc=True, kind=np.uint8)
    found = things(size, classes)
    n = len(found.labels)
    unit = np.array([size[0], size[1]] * 2, np.float32)
    boxes, logits, labels = np.zeros((1, 100, 4)), np.full((1, 100), UNLIKELY), np.ones((1, 100))
    boxes[0, :n], logits[0, :n] = found.boxes[:, [1, 0, 3, 2]] / unit, found.logits
    labels[0, :n] = np.array(found.labels) + 1
    outputs = {"num_detections": net.fixed([n]), "detection_boxes": net.fixed(boxes),
               "detection_scores": net.chances(logits), "detection_classes": net.fixed(labels),
               "raw_detection_boxes": net.fixed(np.random.default_rng(1).random((1, 1917, 4))),
               "raw_detection_scores": net.fixed(np.random.default_rng(1).random((1, 1917, classes + 1)))}  # fmt: skip
    return Case("tf-objects", size, feed, found, net.model(outputs), base=1, options=options)


def paddle(size: Size, classes: int, *, shape: bool = False, **options: Any) -> Case:
    """Rows of class, score and box in px of the picture that `scale_factor` leads to, and their number."""
    net = Net(size, IMAGENET)
    found = things(size, classes)
    n = len(found.labels)
    factor = net.more("scale_factor", [1, 2])
    boxes = op.add(
        op.constant(found.boxes), op.multiply(op.reduce_mean(factor, np.array([0, 1]), False), np.float32(0))
    )
    if shape:
        boxes = op.add(boxes, op.multiply(op.reduce_mean(net.more("im_shape", [1, 2]), np.array([0, 1]), False),
                                          np.float32(0)))  # fmt: skip
    # As the graph does it: px of the input over the factors, y first.
    xy = op.gather(op.reshape(factor, np.array([2]), False), np.array([1, 0, 1, 0]), np.array(0))
    boxes = op.divide(boxes, xy)
    rows = op.concat([net.fixed(np.array(found.labels)[:, None]), net.chances(found.logits[:, None]), boxes], 1)
    feed = IMAGENET if not shape else DARKNET
    net.feed = feed
    empty = np.array([[-1, 0, 0, 0, 0, 0]] * 3, np.float32)
    rows = op.concat([rows, net.fixed(empty)], 0)
    outputs = {"multiclass_nms3_0.tmp_0": rows, "multiclass_nms3_0.tmp_2": op.convert(net.fixed([n]), "i32")}
    return Case("paddle", size, IMAGENET, found, net.model(outputs), options=options)


def efficientdet(size: Size, classes: int, *, maps: bool, **options: Any) -> Case:
    """Raw heads: nine anchors a cell, strides 8 to 128; channels last."""
    feed = Feed(True, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "top-left", 0)
    net = Net(size, feed, nhwc=True)
    found = things(size, classes)
    levels = []
    for stride in (8, 16, 32, 64, 128):
        shapes = [(4 * stride * 2 ** (i / 3) * w, 4 * stride * 2 ** (i / 3) * h) for i in range(3)
                  for w, h in ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))]  # fmt: skip
        levels.append(np.array([[(x + 0.5) * stride, (y + 0.5) * stride, *shape]
                                for y in range(-(-size[0] // stride)) for x in range(-(-size[1] // stride))
                                for shape in shapes], np.float32))  # fmt: skip
    priors = np.concatenate(levels)
    own, loc = with_priors(found, priors)
    loc = loc * np.array([0.1, 0.1, 0.2, 0.2])
    logits = scored(len(priors), classes, own, found)
    loc = loc[:, [1, 0, 3, 2]]
    if not maps:
        outputs = in_tables(net, {"boxes": net.fixed(loc), "scores": net.logits(logits)}, batch=True)
    else:
        outputs, start = {}, 0
        for stride, level in zip((8, 16, 32, 64, 128), levels, strict=True):
            end = start + len(level)
            shape = (1, -(-size[0] // stride), -(-size[1] // stride), -1)
            outputs[f"c{stride}"] = net.logits(logits[start:end].reshape(shape))
            outputs[f"b{stride}"] = net.fixed(loc[start:end].reshape(shape))
            start = end
    return Case("efficientdet", size, feed, found, net.model(outputs), base=1, options=options)
