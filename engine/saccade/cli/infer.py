"""`saccade infer`: run a model on pictures and print its outputs, raw for checking or parsed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.cli import add_command, style
from saccade.cli.parser import add_options, given
from saccade.config import RunConfig, resolve
from saccade.errors import ConfigError, JpegError, SourceError
from saccade.text import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from saccade.predict.predictor import Predictor

_NETWORK = (
    "labels", "task", "head", "input_shape", "threshold", "iou", "tiles", "mean", "scale", "color", "resize", "pad",
)  # fmt: skip


def add_parser(subparsers: Any) -> None:
    """`saccade infer MODEL IMAGE... [--parsed] [--json]`."""
    parser = add_command(
        subparsers, "infer", summary="run a model on pictures and print its outputs",
        example="saccade infer model.xml face.jpg --parsed",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="picture, or .npy with the input as the network declares it"
    )
    parser.add_argument("--json", action="store_true", help="print every value as JSON")
    parser.add_argument("--parsed", action="store_true", help="print what the outputs mean, too")
    parser.add_argument(
        "--max-pixels", type=int, default=1 << 26, metavar="N", help="refuse pictures of more pixels (default: 64 Mi)"
    )
    parser.add_argument("--device", choices=("AUTO", "CPU", "GPU"), default="CPU", help="inference device")
    parser.add_argument("--precision", choices=("auto", "f32", "bf16", "f16", "int8"), default="f32", help="arithmetic")
    parser.add_argument("--rgb", action="store_true", help="give the network RGB, as --color rgb")
    add_options(parser, RunConfig, _NETWORK)


def run(options: argparse.Namespace) -> int:
    """Print the outputs of each picture."""
    predictor = _predictor(options)
    report = [
        _entry(predictor, image, parsed=options.parsed, max_pixels=options.max_pixels) for image in options.images
    ]
    if options.json:
        print(json.dumps([_as_json(entry) for entry in report]))
        return 0
    for entry in report:
        print(style.paint(plain(entry["image"]), "bold"))
        rows = []
        for name, value in entry["outputs"].items():
            best = int(value.argmax()) if value.size else 0
            least, most = (f"{value.min():.5g}", f"{value.max():.5g}") if value.size else ("", "")
            rows.append((name, "x".join(map(str, value.shape)), least, most, best))
        print(style.table(rows, ("output", "shape", "least", "largest", "at")))
        if "result" in entry:
            print(json.dumps(entry["result"]))
    return 0


def _predictor(options: argparse.Namespace) -> Predictor:
    from saccade.apps import predictor_options
    from saccade.networks import open_network
    from saccade.predict.opening import Wishes, understand

    said = {name: text for name, text in given(options, RunConfig).items() if name in _NETWORK}
    if options.rgb and said.setdefault("color", "rgb") != "rgb":
        raise ConfigError(f"--rgb and --color {said['color']} contradict each other; leave one of them out")
    wishes = predictor_options(resolve(RunConfig, given=said | {"device": options.device}).config)
    network = open_network(
        options.model, device=wishes.pop("device"), precision=options.precision,
        input_shapes=wishes.pop("input_shapes"),
        batch=None if any(image.endswith(".npy") for image in options.images) else 1,
    )  # fmt: skip
    return understand(network, Wishes(**wishes), name=options.model, raw=not options.parsed)


def _entry(predictor: Predictor, image: str, *, parsed: bool, max_pixels: int) -> dict[str, Any]:
    """Raw outputs of a picture and, where wanted, what they mean."""
    if image.endswith(".npy"):
        if parsed:
            raise ConfigError(f"{image}: --parsed needs a picture; an array is the network's input as it stands")
        return {"image": image, "outputs": predictor.network.infer(_array(image))}
    picture = _load(image, max_pixels)
    entry: dict[str, Any] = {"image": image, "outputs": predictor.raw(picture)}
    if parsed:
        entry["result"] = predictor(picture).to_event()
    return entry


def _as_json(entry: dict[str, Any]) -> dict[str, Any]:
    outputs = {
        name: {"shape": list(value.shape), "data": value.ravel().tolist()} for name, value in entry["outputs"].items()
    }
    return entry | {"outputs": outputs}


def _load(path: str, max_pixels: int) -> NDArray[np.uint8]:
    """A picture, upright, uint8 (H, W, 3) BGR."""
    from saccade.capture import pictures, still

    if not Path(path).is_file():
        raise SourceError(f"{path}: no such picture; give JPEG, PNG or .npy files")
    try:
        return still.decode(pictures.content(Path(path), max_pixels), max_pixels=max_pixels)
    except (OSError, JpegError) as error:
        raise SourceError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _array(path: str) -> NDArray[Any]:
    """The array in a .npy file."""
    from saccade.capture.arrays import read_npy

    try:
        return read_npy(Path(path).read_bytes())
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None
