"""Objects of a camera, as they come and go.

python examples/camera.py yolo11n.onnx --source /dev/video0
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import saccade


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line whenever other objects are seen than before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a detector: file, or name from `saccade models list`")
    parser.add_argument("--source", default="0", help="camera, file, folder, rtsp:// or http:// stream, demo:")
    options = parser.parse_args(arguments)

    before: Counter[str] | None = None
    for frame, result in saccade.stream(options.source, options.model):
        objects = result.detections
        assert objects is not None, "not a detector"
        now = Counter(objects.name(i) for i in range(len(objects)))
        if now != before:
            seen = ", ".join(f"{count} {name}" for name, count in sorted(now.items())) or "nothing"
            print(f"frame {frame.sequence}: {seen}")
        before = now


if __name__ == "__main__":
    main()
