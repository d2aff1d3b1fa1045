"""Finds what files say of a network, and puts it in order.

Each kind of metadata has a reader here that says what its values mean; `saccade.formats.metadata` has fetched them.
Formats: Ultralytics `engine/exporter.py`; OpenVINO Model API `model_api/models/parameters.py`, `adapters/utils.py`;
Model Optimizer's options; ONNX `docs/MetadataProps.md`; Hugging Face image processors; PaddleDetection
`deploy/python/preprocess.py`; darknet `src/parser.c`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError
from saccade.formats.literals import literal, number, numbers, truth
from saccade.formats.metadata import paddle_steps, picture_size
from saccade.networks.network import Network
from saccade.networks.spec import Triple
from saccade.predict.labels import as_names, clean, read_labels, ways_to_count
from saccade.predict.metadata import Metadata

_log = logging.getLogger(__name__)

Raw = Mapping[str, Any]
Facts = dict[str, Any]

NEUTRAL: Facts = {"mean": (0.0,) * 3, "scale": (1.0,) * 3}
"""Pixels as they are."""

UNIT: Facts = {"mean": (0.0,) * 3, "scale": (255.0,) * 3}
"""Pixels from 0 to 1."""

_LABEL_SUFFIXES = (".labels", ".txt", ".names", ".pbtxt", ".labels.txt", ".labels.json", ".yaml")
_LABEL_FILES = (
    "labels.txt", "labels.json", "labels.names", "classes.txt", "classes.names", "obj.names", "coco.names",
    "labelmap.txt", "label_map.txt", "label_map.pbtxt", "labelmap.pbtxt", "names.txt", "synset.txt", "data.yaml",
)  # fmt: skip
_LARGEST_LABELS = 1 << 20  # bytes: a text file in a model's folder may be anything


@dataclass(frozen=True, slots=True)
class MetadataSource:
    """Where something is said of a network, in words, and what."""

    origin: str
    facts: Metadata


def metadata_of(network: Network) -> Metadata:
    """All that the network's file, and the files beside it, say; the strongest first."""
    return joined(sources_of(network))


def joined(sources: Sequence[MetadataSource]) -> Metadata:
    """Each value from the strongest source that has it."""
    return reduce(lambda strong, weak: strong.over(weak), (source.facts for source in sources), Metadata())


def sources_of(network: Network) -> list[MetadataSource]:
    """What is said inside the network's file, then in the files beside it, the strongest first."""
    raw = network.metadata
    beside = _mapping(raw.get("beside"))
    told = [_told(f"the file ({title})", read(_mapping(raw[key]))) for key, title, read in _INSIDE if key in raw]
    yaml = beside.get("metadata.yaml")
    if isinstance(yaml, dict) and _is_ultralytics(yaml):
        full = _told("metadata.yaml beside it", _of_ultralytics(yaml))
        # What Ultralytics writes into an IR is an abridgement of its metadata.yaml, names without their spaces.
        first = "model_info" in raw and any(_abridges(source, full) for source in told)
        told.insert(0 if first else len(told), full)
    hugging = {name: _mapping(beside.get(name)) for name in ("config.json", "preprocessor_config.json")}
    told.append(_told("config.json beside it", _of_config(hugging["config.json"])))
    told.append(_told("preprocessor_config.json beside it", _of_processor(hugging["preprocessor_config.json"])))
    for name in ("infer_cfg.yml", "inference.yml"):
        told.append(_told(f"{name} beside it", _of_paddle(_mapping(beside.get(name)))))
    for name, value in beside.items():
        if name.endswith(".cfg") and isinstance(value, list):
            told.append(_told(f"{clean(name)} beside it", _of_darknet(value)))
    told += _labels_beside(network)
    return [source for source in told if source.facts != Metadata()]


def with_names(sources: Sequence[MetadataSource], origin: str, names: tuple[str, ...]) -> list[MetadataSource]:
    """The sources, but one of them names the classes otherwise, or does not."""

    def changed(facts: Metadata) -> Metadata:
        origins = {key: value for key, value in facts.origins.items() if names or key != "names"}
        return replace(facts, names=names, label_ids=(), origins=origins)

    return [replace(s, facts=changed(s.facts)) if s.origin == origin else s for s in sources]


def without_task(sources: Sequence[MetadataSource]) -> list[MetadataSource]:
    """The sources, but for what they say of the network's task and last part, and for what follows from that."""
    nothing: Facts = {"task": "", "head": "", "keypoints": None, "end2end": None, "nms": None}
    placing: Facts = {"resize": "", "pad": None}
    return [
        replace(s, facts=replace(s.facts, **nothing, **(placing if s.facts.producer == "ultralytics" else {})))
        for s in sources
    ]


def _told(origin: str, facts: Facts) -> MetadataSource:
    known = {name: value for name, value in facts.items() if value not in (None, "", ())}
    origins = {field.name: origin for field in fields(Metadata) if field.name in known}
    return MetadataSource(origin, Metadata(**known, origins=origins))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _abridges(source: MetadataSource, full: MetadataSource) -> bool:
    """Whether a `model_info` was written by Ultralytics, about the network that its metadata.yaml is about."""
    facts = source.facts
    return facts.producer == "ultralytics" and len(facts.names) in (0, len(full.facts.names))


def _names(value: Any) -> tuple[str, ...]:
    """Names of classes; none where the value is no list of them, or only placeholders."""
    try:
        names = as_names(literal(value)) if value else ()
    except ValueError as error:
        _log.warning("the names of classes in the metadata are passed over: %s", error)
        return ()
    return () if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


def _triple(value: Any) -> Triple | None:
    """One number a channel, from one number or three."""
    found = numbers(value)
    if len(found) == 1:
        found *= 3
    return (found[0], found[1], found[2]) if len(found) == 3 else None


def _divisor(value: Any) -> Triple | None:
    scale = _triple(value)
    return scale if scale is not None and all(scale) else None


def _share(value: Any) -> float | None:
    """A threshold, from 0 to 1."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def _level(value: Any) -> int | None:
    """A pixel's value, of one channel or of all alike."""
    found = {int(n) for n in numbers(value)}
    return found.pop() if len(found) == 1 and 0 <= min(found) <= 255 else None


def _is_ultralytics(raw: Raw) -> bool:
    return "names" in raw and ("stride" in raw or "task" in raw)


def _of_ultralytics(raw: Raw) -> Facts:
    task, head = _text(raw.get("task")), _text(raw.get("head"))
    if not head and "rtdetr" in _text(raw.get("description")).lower():
        head = "RTDETRDecoder"  # before 8.4 only the description tells
    points = [int(n) for n in numbers(literal(raw.get("kpt_shape")))]
    resize = "crop" if task == "classify" else "stretch" if head == "RTDETRDecoder" else "letterbox"
    return {
        "producer": "ultralytics",
        "task": task,
        "head": head,
        "names": _names(raw.get("names")),
        "keypoints": (points[0], points[1]) if len(points) == 2 and points[0] > 0 and points[1] in (2, 3) else None,
        "end2end": truth(raw.get("end2end")),
        "nms": truth(_mapping(literal(raw.get("args"))).get("nms")),
        "color": "rgb",
        **UNIT,
        "resize": resize,
        "pad": 114 if resize == "letterbox" else None,
        "size": picture_size({"ultralytics": dict(raw)}),
    }


_PIXELS = {  # ONNX's word for the range of pixels -> mean, scale
    "nominalrange_0_255": NEUTRAL,
    "normalized_0_1": UNIT,
    "normalized_1_1": {"mean": (127.5,) * 3, "scale": (127.5,) * 3},
}


_NAMES_IN_ONNX = ("names", "class_names", "classes", "labels", "id2label", "character")
"""Keys of an ONNX file's properties that hold the names of its classes; the last is RapidAI's, of Paddle's models."""


def _of_onnx(raw: Raw) -> Facts:
    if _is_ultralytics(raw):
        return _of_ultralytics(raw)
    order = _text(raw.get("Image.BitmapPixelFormat")).lower()
    names = next((raw[key] for key in _NAMES_IN_ONNX if raw.get(key)), None)
    if isinstance(literal(names), str):
        text = str(names)
        names = [name for name in (text.splitlines() if "\n" in text.strip() else text.split(",")) if name.strip()]
    return {
        "producer": "onnx" if names or order else "",
        "task": _text(raw.get("task")),
        "names": _names(names),
        "color": order[:3] if order[:3] in ("rgb", "bgr") else "",
        **_PIXELS.get(_text(raw.get("Image.NominalPixelRange")).lower(), {}),
    }


_RESIZE = {
    "standard": "stretch",
    "fit_to_window": "letterbox-top-left",
    "fit_to_window_letterbox": "letterbox",
    "crop": "crop",
}

_MODEL_TYPES = {  # Model API's word for a network, in small letters and without signs -> what it does
    "classification": "classify", "segmentation": "semantic", "salientobjectdetection": "semantic",
    "maskrcnn": "segment", "instancesegmentation": "segment", "keypointdetection": "pose", "rotateddetection": "obb",
    "ssd": "detect", "detection": "detect", "centernet": "detect", "retinaface": "detect", "detr": "detect",
}  # fmt: skip


def _of_model_info(raw: Raw) -> Facts:
    kind = _text(raw.get("model_type"))
    plain = (kind or _text(raw.get("task_type"))).lower().replace("_", "").replace(" ", "").replace("-", "")
    # Ultralytics writes YOLO, and this padding, for all that it exports: the word says nothing about the outputs.
    ultralytics = kind == "YOLO" and number(raw.get("pad_value")) == 114
    reverse = truth(raw.get("reverse_input_channels"))
    mean, scale = _triple(raw.get("mean_values")), _divisor(raw.get("scale_values"))
    facts: Facts = {
        "producer": "ultralytics" if ultralytics else "model-api",
        "task": "detect" if plain.startswith(("yolo", "nanodet")) and not ultralytics else _MODEL_TYPES.get(plain, ""),
        "head": "" if kind == "YOLO" else kind,
        "names": _labels_of_model_info(raw),
        "label_ids": tuple(int(n) for n in _text(raw.get("label_ids")).split() if n.isdecimal() and len(n) < 6),
        "color": "" if reverse is None else "rgb" if reverse else "bgr",
        "resize": _RESIZE.get(_text(raw.get("resize_type")).lower(), ""),
        "pad": _level(raw.get("pad_value")),
        "size": picture_size({"model_info": dict(raw)}),
        "score": _share(raw.get("confidence_threshold")),
        "iou": _share(raw.get("iou_threshold")),
        "embedded": truth(raw.get("embedded_processing")) or None,
    }
    if facts["embedded"]:
        return facts | NEUTRAL | {"color": "bgr"}
    if mean or scale:
        facts |= {"mean": mean or NEUTRAL["mean"], "scale": scale or NEUTRAL["scale"]}
    return facts


def _labels_of_model_info(raw: Raw) -> tuple[str, ...]:
    """Names from `label_info`, which has them in full, else from `labels`, with `_` for spaces."""
    full = _mapping(literal(raw.get("label_info"))).get("label_names")
    if isinstance(full, list):
        return _names(full)
    labels = literal(raw.get("labels"))
    return _names(labels if isinstance(labels, (list, dict)) else str(labels or "").split())


def _of_optimizer(raw: Raw) -> Facts:
    """What was built into the graph is not to be done again; where nothing was, nothing is said."""
    nested = [inner for value in raw.values() if isinstance(value, dict) for inner in value.items()]
    options = {**dict(nested), **raw}
    built = [numbers(options.get(name)) for name in ("mean_values", "scale_values", "scale")]
    normalises = any(any(n not in (0.0, 1.0) for n in values) for values in built)
    reverses = truth(options.get("reverse_input_channels"))
    return (NEUTRAL if normalises else {}) | ({"color": "bgr"} if reverses else {})


def _of_tflite(raw: Raw) -> Facts:
    mean, scale = _triple(raw.get("mean")), _divisor(raw.get("std", raw.get("scale")))
    facts: Facts = {
        "producer": "tflite",
        "names": _names(raw.get("labels") or raw.get("names")),
        "score": _share(raw.get("score_threshold", raw.get("min_score"))),
        "color": {"RGB": "rgb", "BGR": "bgr"}.get(_text(raw.get("color_space")).upper(), ""),
    }
    if mean or scale:
        facts |= {"mean": mean or NEUTRAL["mean"], "scale": scale or NEUTRAL["scale"]}
    return facts


_INSIDE: tuple[tuple[str, str, Callable[[Raw], Facts]], ...] = (
    ("ultralytics", "Ultralytics", _of_ultralytics),
    ("model_info", "Model API", _of_model_info),
    ("onnx", "its ONNX metadata", _of_onnx),
    ("tflite", "TFLite metadata", _of_tflite),
    ("model_optimizer", "built in by Model Optimizer", _of_optimizer),
)


_ARCHITECTURES = {
    "ForObjectDetection": "detect", "ForImageClassification": "classify", "ForSemanticSegmentation": "semantic",
    "ForInstanceSegmentation": "segment", "ForUniversalSegmentation": "",
}  # fmt: skip


def _of_config(raw: Raw) -> Facts:
    """`config.json` of Hugging Face's transformers, or of timm."""
    architectures = raw.get("architectures")
    name = _text(architectures[0]) if isinstance(architectures, list) and architectures else ""
    facts: Facts = {
        "producer": "huggingface" if name else "",
        "task": next((task for end, task in _ARCHITECTURES.items() if name.endswith(end)), ""),
        "head": name,
        "names": _names(raw.get("id2label") or raw.get("label_names")),
    }
    timm = _mapping(raw.get("pretrained_cfg"))
    if timm:
        facts |= {"producer": "timm", "task": "classify", "color": "rgb", "resize": "crop"}
        facts |= _normalised(timm.get("mean"), timm.get("std"), 1 / 255)
    return facts


def _of_processor(raw: Raw) -> Facts:
    """`preprocessor_config.json`: what an image processor of Hugging Face's transformers does to an RGB picture."""
    if not raw:
        return {}
    factor = number(raw.get("rescale_factor")) or 1 / 255
    if truth(raw.get("do_rescale")) is False:
        factor = 1.0
    mean, std = (raw.get("image_mean"), raw.get("image_std")) if truth(raw.get("do_normalize")) is not False else (0, 1)
    size = _mapping(raw.get("size"))
    crops = truth(raw.get("do_center_crop"))
    stretches = {"height", "width"} <= size.keys()
    return {
        "color": "rgb",
        "resize": "crop" if crops else "stretch" if stretches else "",
        "size": picture_size({"beside": {"preprocessor_config.json": dict(raw)}}),
        **_normalised(mean, std, factor),
    }


def _normalised(mean: Any, std: Any, factor: float) -> Facts:
    """(pixel * factor - mean) / std as mean and scale of the pixel."""
    means, stds = _triple(mean), _divisor(std)
    if means is None or stds is None or factor <= 0:
        return {}
    return {"mean": tuple(m / factor for m in means), "scale": tuple(s / factor for s in stds)}


def _of_paddle(raw: Raw) -> Facts:
    if not raw:
        return {}
    facts: Facts = {"producer": "paddle", "head": _text(raw.get("arch")), "color": "rgb"}
    names = raw.get("label_list")
    for kind, options in paddle_steps(dict(raw)):
        if kind in ("NormalizeImage", "Normalize"):
            plain = _text(options.get("norm_type")) == "none"
            factor = number(_quotient(options.get("scale"))) or 1 / 255
            if truth(options.get("is_scale")) is False:
                factor = 1.0
            mean, std = (0, 1) if plain else (options.get("mean"), options.get("std"))
            facts |= _normalised(mean, std, factor)
        elif kind == "Resize":
            facts["resize"] = "" if truth(options.get("keep_ratio")) else "stretch"
        elif kind == "CropImage":
            facts |= {"resize": "crop", "task": "classify"}
    topk = _mapping(_mapping(raw.get("PostProcess")).get("Topk"))
    return facts | {
        "names": _names(names if names is not None else topk.get("label_list")),
        "size": picture_size({"beside": {"infer_cfg.yml": dict(raw)}}),
        "score": _share(raw.get("draw_threshold")),
        "iou": _share(_mapping(raw.get("NMS")).get("nms_threshold")),
    }


def _quotient(value: Any) -> Any:
    """`1.0/255.0`, as Paddle's files write it, as a number."""
    parts = str(value).split("/")
    over = [number(part) for part in parts]
    return over[0] / over[1] if len(over) == 2 and over[0] is not None and over[1] else value


def _of_darknet(sections: Sequence[Raw]) -> Facts:
    """Anchors of a darknet network: of each `[yolo]` layer in px of the input, of `[region]` in cells of 32 px."""
    network = sections[0] if sections else {}
    heads = [section for section in sections if section.get("section") in ("yolo", "region")]
    if not heads:
        return {}
    unit = 32.0 if heads[0]["section"] == "region" else 1.0
    values = [n * unit for n in numbers(f"[{heads[0].get('anchors', '')}]")]
    masks = [tuple(int(n) for n in numbers(f"[{head['mask']}]")) for head in heads if "mask" in head]
    scales = tuple(number(head.get("scale_x_y")) or 1.0 for head in heads)
    size = picture_size({"beside": {"net.cfg": [dict(network)]}})
    return {
        "producer": "darknet",
        "task": "detect",
        "head": str(heads[0]["section"]),
        "color": "rgb",
        "size": size,
        "anchors": tuple(zip(values[::2], values[1::2], strict=False)),
        "anchor_masks": tuple(masks) if len(masks) == len(heads) else (),
        "scale_xy": scales if any(scale != 1 for scale in scales) else (),
    }


def label_files(path: Path) -> list[Path]:
    """Files in a model's folder that could hold the names of its classes: those of its stem first."""
    stem = path.name.removesuffix(path.suffix).removesuffix("-symbol")
    names = [*(stem + suffix for suffix in _LABEL_SUFFIXES), *_LABEL_FILES]
    return [place for name in names if (place := path.with_name(name)) != path]


def _labels_beside(network: Network) -> Iterator[MetadataSource]:
    """Lists of names in the model's folder that could be its own."""
    for place in [] if network.path is None else label_files(network.path):
        names = _small_list(place)
        if names and any(could_have(network, len(way)) for way in ways_to_count(names)):
            yield _told(f"{clean(place.name)} beside it", {"names": names})
        elif names:
            _log.warning(
                "%s has %d names, which no output of %s has room for: it is passed over (--labels takes it all the "
                "same)", place, len(names), network.name,
            )  # fmt: skip


def _small_list(path: Path) -> tuple[str, ...]:
    try:
        return read_labels(path) if path.is_file() and path.stat().st_size <= _LARGEST_LABELS else ()
    except (ConfigError, OSError) as error:
        _log.debug("no labels: %s", error)
        return ()


_EXTRA = (0, 1, -1, 4, 5, 36, 37)
"""Columns of a row besides its classes: background, box, objectness, coefficients of a mask."""


def could_have(network: Network, classes: int) -> bool:
    """Whether outputs of these shapes could speak of so many classes; true where they do not show how many there are.

    A list of detections shows none; a score a class, or anchors of box, objectness and classes, do.
    """
    sizes = {size for port in network.outputs for size in port.shape}
    listed = any(port.layer_type == "DetectionOutput" or -1 in port.shape for port in network.outputs)
    listed |= any(port.shape[-1:] in ((5,), (6,), (7,)) for port in network.outputs)
    ranks = [len([size for size in port.shape if size != 1]) for port in network.outputs]
    listed |= len(ranks) >= 3 and ranks.count(1) >= 2  # boxes, and a label and a score of each
    if listed:
        return True
    return any(size - extra == classes for size in sizes for extra in _EXTRA) or any(
        size == anchors * (5 + classes) for size in sizes for anchors in range(1, 10)
    )
