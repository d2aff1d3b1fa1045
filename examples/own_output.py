"""An output of one's own: a table of all objects, for a spreadsheet.

python examples/own_output.py yolo11n.onnx objects.csv --source street.mp4
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence

import saccade


class Table:
    """Writes a row for each object. leases : it keeps no frame past `accept`."""

    leases = 0

    def __init__(self, path: str) -> None:
        self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115 (open until close)
        self._rows = csv.writer(self._file)
        self._rows.writerow(["time", "label", "probability", "x1", "y1", "x2", "y2"])

    def accept(self, frame: saccade.Frame, result: saccade.Result) -> None:
        """Write the rows of one frame; whatever takes long would belong in a thread."""
        objects = result.detections or saccade.Detections.empty()
        for number, (box, score, _) in enumerate(objects):
            self._rows.writerow([f"{frame.time:.3f}", objects.name(number), f"{score:.3f}", *box.round(1).tolist()])

    def close(self) -> None:
        """Close the file; called once, at the end or when `accept` has failed."""
        self._file.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill the table until the source ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a detector: file, or name from `saccade models list`")
    parser.add_argument("table", help="CSV file to write")
    parser.add_argument("--source", default="0", help="camera, file, folder, rtsp:// or http:// stream, demo:")
    options = parser.parse_args(arguments)

    frames = sum(1 for _ in saccade.stream(options.source, options.model, outputs=[Table(options.table)]))
    print(f"{frames} frames")


if __name__ == "__main__":
    main()
