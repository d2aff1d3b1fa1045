"""What files say of a network besides its graph, as they say it: JSON-like data by origin, nothing interpreted.

Inside the model file: `onnx` (metadata_props), `ultralytics` and `tflite` (what is packed into a TFLite file),
`model_info` (OpenVINO's Model API), `model_optimizer` (how an IR was converted: what is built into it). In its folder:
`beside`, by file name. What they mean is for `saccade.predict.metadata_sources` to say.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from xml.parsers import expat

import openvino as ov

from saccade.errors import ModelError, SaccadeError
from saccade.formats import darknet, onnx, tflite, yaml_text
from saccade.formats.literals import literal, numbers

_log = logging.getLogger(__name__)

Raw = dict[str, Any]

_LARGEST_JSON = 4 << 20  # bytes

BESIDE = ("metadata.yaml", "config.json", "preprocessor_config.json", "inference.yml", "infer_cfg.yml")
"""Files that exporters put into a model's folder: Ultralytics, Hugging Face (two), Paddle (two)."""

_KEPT = ["saccade", "metadata"]
"""Where `keep` puts it in a model's rt_info."""


def read(path: Path, form: str, model: ov.Model) -> Raw:
    """All that a model file and the files beside it say; what cannot be read is passed over with a warning.

    form : the file's format (see `load.Format`).
    """
    found: Raw = dict(of_model(model))
    if form == "onnx":
        found |= _of_onnx(onnx.read(path).metadata)
    elif form == "tflite":
        found |= _of_tflite(path)
    elif form == "legacy-ir" and "model_optimizer" not in found:
        options = _optimizer_options(path)
        if options:
            found["model_optimizer"] = options
    beside = _beside(path)
    if beside:
        found["beside"] = beside
    return found


def of_model(model: ov.Model) -> Raw:
    """What a model in memory carries with it."""
    found: Raw = {}
    if model.has_rt_info(_KEPT):
        kept = literal(str(model.get_rt_info(_KEPT).value))
        found = _sound(kept)
    for key, name in (("model_info", "model_info"), ("conversion_parameters", "model_optimizer")):
        if model.has_rt_info([key]):
            value = model.get_rt_info([key]).value
            if isinstance(value, dict):
                found[name] = _texts(value)
    return found


def keep(model: ov.Model, raw: Raw) -> None:
    """Write metadata into a model, so that it goes with it when it is saved."""
    if raw:
        model.set_rt_info(json.dumps(raw), _KEPT)


def picture_size(raw: Raw) -> tuple[int, int] | None:
    """(height, width) that the picture input was made for, px, where the metadata says so."""
    beside = raw.get("beside", {})
    for source in (raw.get("ultralytics"), raw.get("onnx"), beside.get("metadata.yaml")):
        size = _pair(literal(source.get("imgsz"))) if source else None
        if size:
            return size
    info = raw.get("model_info", {})
    size = _pair([info.get("orig_height"), info.get("orig_width")])
    if size:
        return size
    processor = beside.get("preprocessor_config.json", {})
    for key in ("crop_size", "size"):
        size = processor.get(key)
        size = _pair([size.get("height"), size.get("width")]) if isinstance(size, dict) else _pair(size)
        if size:
            return size
    for name in ("infer_cfg.yml", "inference.yml"):
        for kind, options in paddle_steps(beside.get(name, {})):
            size = _pair(options.get("target_size")) if kind == "Resize" else None
            if size:
                return size
    sections: list[Raw] = next((value for name, value in beside.items() if name.endswith(".cfg")), [])
    network: Raw = next((section for section in sections if section["section"] in ("net", "network")), {})
    return _pair([network.get("height"), network.get("width")])


def paddle_steps(config: Raw) -> list[tuple[str, Raw]]:
    """Steps of preprocessing, by name, of PaddleDetection's infer_cfg.yml or PaddleClas's inference.yml."""
    steps: list[tuple[str, Raw]] = []
    plain = config.get("Preprocess")
    for step in plain if isinstance(plain, list) else ():
        if isinstance(step, dict):
            steps.append((str(step.get("type", "")), step))
    nested = config.get("PreProcess")
    operators = nested.get("transform_ops") if isinstance(nested, dict) else None
    for step in operators if isinstance(operators, list) else ():
        if isinstance(step, dict):
            steps += [(str(name), options if isinstance(options, dict) else {}) for name, options in step.items()]
    return steps


def _pair(value: Any) -> tuple[int, int] | None:
    """Height and width, from two numbers or from one for both."""
    sizes = [int(n) for n in numbers(value)]
    if len(sizes) == 1 and not isinstance(value, (list, tuple)):
        sizes *= 2
    return (sizes[0], sizes[1]) if len(sizes) == 2 and all(1 <= n <= 1 << 14 for n in sizes) else None


def _of_onnx(properties: dict[str, str]) -> Raw:
    """Metadata properties; those that Model API writes (`model_info labels`) under its own name."""
    prefix = "model_info "
    info = {key.removeprefix(prefix): value for key, value in properties.items() if key.startswith(prefix)}
    plain = {key: value for key, value in properties.items() if not key.startswith(prefix)}
    return ({"onnx": plain} if plain else {}) | ({"model_info": info} if info else {})


def _of_tflite(path: Path) -> Raw:
    try:
        return dict(tflite.metadata(path))
    except SaccadeError as error:
        _log.warning("metadata is passed over: %s", error)
        return {}


def _sound(kept: Any) -> Raw:
    """Of what a file says was kept in it, what has the right form."""
    raw = {str(key): value for key, value in kept.items() if isinstance(value, dict)} if isinstance(kept, dict) else {}
    beside = {
        str(name): value
        for name, value in raw.pop("beside", {}).items()
        if isinstance(value, dict)
        or (isinstance(value, list) and all(isinstance(part, dict) and "section" in part for part in value))
    }
    return raw | ({"beside": beside} if beside else {})


def _texts(value: Any, depth: int = 0) -> Any:
    """rt_info's values, which may be wrapped, as texts by name."""
    value = getattr(value, "value", value)
    if isinstance(value, dict) and depth < 8:
        return {str(key): _texts(inner, depth + 1) for key, inner in value.items()}
    return str(value)


def files_beside(path: Path) -> dict[str, Path]:
    """Descriptions that belong to a model file, by the name that they are known by; all lie in its folder or above."""
    folders = [path.parent]
    if path.parent.name in ("onnx", "openvino", "saved_model"):
        folders.append(path.parent.parent)  # Hugging Face keeps the descriptions one level above the graphs
    found = {}
    for name in BESIDE:
        place = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if place is not None:
            found[name] = place
    cfg = path.with_suffix(".cfg")
    return found | ({cfg.name: cfg} if cfg.is_file() else {})


def _beside(path: Path) -> Raw:
    found: Raw = {}
    for name, place in files_beside(path).items():
        _add(found, name, place)
    return found


def _add(found: Raw, name: str, path: Path) -> None:
    try:
        value = darknet.read(path) if path.suffix == ".cfg" else _json_or_yaml(path)
    except ModelError as error:
        _log.warning("metadata is passed over: %s", error)
        return
    if isinstance(value, dict if path.suffix != ".cfg" else list):
        found[name] = value


def _json_or_yaml(path: Path) -> Any:
    if path.suffix != ".json":
        return yaml_text.read(path)
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ModelError(f"{path} is larger than {_LARGEST_JSON >> 20} MB, so hardly a description of a network")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error})") from error


def _optimizer_options(path: Path) -> dict[str, str]:
    """Options of Model Optimizer that an old IR records in `<meta_data><cli_parameters>`."""
    options: dict[str, str] = {}
    inside: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if inside[-2:] == ["meta_data", "cli_parameters"] and "value" in attributes:
            options[name] = attributes["value"]
        inside.append(name)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: inside.pop()
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except (OSError, expat.ExpatError) as error:
        _log.debug("%s: %s", path, error)  # the importer has accepted the file: what it lacks here is no fault
    return options
