"""`saccade infer`: run a model on pictures and print its outputs, raw for checking or parsed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.cli import add_command, style
from saccade.cli.shapes import add_input_shape, input_shapes
from saccade.errors import ConfigError, JpegError, SourceError
from saccade.text import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from saccade.predict.predictor import Predictor


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
    add_input_shape(parser)
    parser.add_argument("--device", choices=("AUTO", "CPU", "GPU"), default="CPU", help="inference device")
    parser.add_argument("--precision", choices=("auto", "f32", "bf16", "f16", "int8"), default="f32", help="arithmetic")
    parser.add_argument("--labels", metavar="FILE", help="file with the class names, one a line or JSON")
    parser.add_argument(
        "--task", metavar="T", default="", help="what the network does, where its outputs leave that open"
    )
    parser.add_argument("--head", metavar="NAME", default="", help="family of the network's outputs, likewise")
    parser.add_argument("--threshold", type=float, metavar="P", help="with --parsed: least probability of an object")
    parser.add_argument(
        "--max-pixels", type=int, default=1 << 26, metavar="N", help="refuse pictures of more pixels (default: 64 Mi)"
    )
    parser.add_argument(
        "--rgb", action="store_true", help="give the network RGB (default: as the model says, else BGR)"
    )
    parser.add_argument(
        "--mean", type=float, metavar="X", help="subtracted from each pixel (default: as the model says)"
    )
    parser.add_argument(
        "--scale", type=float, metavar="X", help="divides each pixel after the mean (default: likewise)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the outputs of each picture."""
    if options.scale == 0:
        raise ConfigError("--scale: got 0; expected a divisor, as 255 for networks that want [0, 1]")
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
    from saccade.networks import open_network
    from saccade.predict.opening import Wishes, understand

    network = open_network(
        options.model, device=options.device, precision=options.precision, input_shapes=input_shapes(options),
        batch=None if any(image.endswith(".npy") for image in options.images) else 1,
    )  # fmt: skip
    wishes = Wishes(
        labels=options.labels, task=options.task, head=options.head, mean=options.mean, scale=options.scale,
        color="rgb" if options.rgb else "", threshold=options.threshold,
    )  # fmt: skip
    return understand(network, wishes, name=options.model, raw=not options.parsed)


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
