"""What a network sees in a picture.

python examples/picture.py blazeface-full portrait.jpg annotated.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import cv2

import saccade


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the objects, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="file, or name from `saccade models list`")
    parser.add_argument("picture")
    parser.add_argument("annotated", help="where the drawing goes")
    options = parser.parse_args(arguments)

    predictor = saccade.open(options.model)
    picture = cv2.imread(options.picture)
    result = predictor(picture)
    objects = result.detections
    if objects is None:
        raise SystemExit(f"{predictor.name} is a network to {predictor.task}; this example shows detectors")
    for number, (box, score, _) in enumerate(objects):
        x1, y1, x2, y2 = box.round().astype(int)
        print(f"{objects.name(number)} {score:.2f} at {x1}, {y1} - {x2}, {y2}")
    cv2.imwrite(options.annotated, saccade.Annotator().draw(picture, result))


if __name__ == "__main__":
    main()
