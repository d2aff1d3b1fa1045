"""The kernels alone, around a runtime of one's own: here plain OpenVINO and a YOLOv8 or YOLO11 detector.

python examples/kernels.py yolo11n.xml street.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import cv2
import numpy as np
import openvino as ov

from saccade import Preprocess, decode_yolo


def main(arguments: Sequence[str] | None = None) -> None:
    """Print class number, score and box of each object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="whatever OpenVINO reads, of static shape")
    parser.add_argument("picture")
    options = parser.parse_args(arguments)

    network = ov.Core().compile_model(options.model, "CPU")
    picture = cv2.imread(options.picture)
    tensor = np.empty(tuple(network.input(0).shape), np.float32)
    preprocess = Preprocess(
        source=picture.shape[:2], size=tensor.shape[2:], letterbox=True, pad=114, swap_rb=True, scale=255
    )  # made once for all pictures of a size
    preprocess(picture, out=tensor[0])
    output = network(tensor)[0]  # (1, 4 + classes, cells): channels first, and not transposed by the kernel either
    found = decode_yolo(
        output[0], layout="cxcywh", channels_first=True, score_threshold=0.25, iou_threshold=0.7
    )  # fmt: skip
    scale_x, scale_y, left, top = preprocess.to_source
    for label, score, *box, _ in found.tolist():
        x1, y1, x2, y2 = np.array(box) * ([scale_x, scale_y] * 2) + ([left, top] * 2)
        print(f"class {label:.0f} {score:.2f} at {x1:.0f}, {y1:.0f} - {x2:.0f}, {y2:.0f}")


if __name__ == "__main__":
    main()
