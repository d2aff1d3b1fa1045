"""`saccade infer`: run a model on pictures and print its raw outputs, for checking."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.cli import add_command, style
from saccade.cli.shapes import add_input_shape, input_shapes
from saccade.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saccade.models.runner import Port


def add_parser(subparsers: Any) -> None:
    """`saccade infer MODEL IMAGE... --json`."""
    parser = add_command(
        subparsers, "infer", summary="run a model on pictures and print its raw outputs",
        example="saccade infer model.xml face.jpg --json",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="picture, or .npy with the input as the network declares it"
    )
    parser.add_argument("--json", action="store_true", help="print every value as JSON")
    add_input_shape(parser)
    parser.add_argument("--device", choices=("AUTO", "CPU", "GPU"), default="CPU", help="inference device")
    parser.add_argument("--precision", choices=("auto", "f32", "bf16", "f16", "int8"), default="f32", help="arithmetic")
    parser.add_argument("--rgb", action="store_true", help="give the network RGB instead of BGR")
    parser.add_argument("--mean", type=float, default=0.0, metavar="X", help="subtracted from each pixel")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="divides each pixel after the mean")


def run(options: argparse.Namespace) -> int:
    """Print the outputs of each picture."""
    if not options.scale:
        raise ConfigError("--scale: got 0; expected a divisor, as 255 for networks that want [0, 1]")
    from saccade.models import Model, catalogue

    model = Model(
        catalogue.resolve(options.model),
        device=options.device,
        precision=options.precision,
        input_shapes=input_shapes(options),
    )
    port = model.inputs[0]
    report = []
    for image in options.images:
        outputs = model.infer(_load(image, port, options))
        report.append({"image": image, "outputs": outputs})
    if options.json:
        print(
            json.dumps(
                [
                    {
                        "image": entry["image"],
                        "outputs": {
                            name: {"shape": list(value.shape), "data": value.ravel().tolist()}
                            for name, value in entry["outputs"].items()
                        },
                    }
                    for entry in report
                ]
            )
        )
        return 0
    for entry in report:
        print(style.paint(entry["image"], "bold"))
        rows = []
        for name, value in entry["outputs"].items():
            best = int(value.argmax()) if value.size else 0
            rows.append((name, "x".join(map(str, value.shape)), f"{value.min():.5g}", f"{value.max():.5g}", best))
        print(style.table(rows, ("output", "shape", "least", "largest", "at")))
    return 0


def _load(path: str, port: Port, options: argparse.Namespace) -> NDArray[Any]:
    """A picture, resized and laid out as the input wants it."""
    import cv2
    import numpy as np

    if path.endswith(".npy"):
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise SourceError(f"{path}: not a readable .npy array ({error})") from None
    if not Path(path).is_file():
        raise SourceError(f"{path}: no such picture; give JPEG, PNG or .npy files")
    picture: NDArray[Any] | None = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise SourceError(f"{path}: not a picture that OpenCV reads; give JPEG, PNG or .npy files")
    shape = port.shape
    if len(shape) != 4:
        raise ConfigError(
            f"input {port.name} has shape {shape}, not that of a picture; give a .npy array of that shape"
        )
    nchw = shape[1] in (1, 3)
    height, width, channels = (shape[2], shape[3], shape[1]) if nchw else (shape[1], shape[2], shape[3])
    picture = cv2.resize(picture, (width, height))
    if channels == 1:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[:, :, None]
    elif options.rgb:
        picture = picture[:, :, ::-1]
    values = (picture.astype(np.float32) - options.mean) / options.scale
    if nchw:
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None].astype(port.dtype))
