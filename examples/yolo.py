"""A YOLO file: its own names and sizes, some of its classes, small objects in tiles, and NumPy for what is left.

python examples/yolo.py yolo11n.onnx street.jpg --classes person,car --tiles auto
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import cv2

import saccade


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the file says of itself, and the larger half of what it finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="YOLO as ONNX, OpenVINO IR or TFLite")
    parser.add_argument("picture")
    parser.add_argument("--classes", default="", help="only these, with commas between them")
    parser.add_argument("--tiles", default="off", help="auto, off, or columns and rows as 3x2")
    options = parser.parse_args(arguments)

    predictor = saccade.open(options.model, classes=filter(None, options.classes.split(",")), tiles=options.tiles)
    names = ", ".join(predictor.parser.names)
    print(f"{predictor.name}: {predictor.spec.width}x{predictor.spec.height} px, names {names}")
    objects = predictor(cv2.imread(options.picture)).detections
    assert objects is not None, "not a detector"
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    areas = sides.prod(axis=1)
    for event in objects[areas >= (areas.mean() if len(objects) else 0)].to_event():
        print(event)


if __name__ == "__main__":
    main()
