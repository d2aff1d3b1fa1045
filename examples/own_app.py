"""An app of one's own: how many objects are in the left half of the frame, in every event.

python examples/own_app.py yolo11n.onnx --source street.mp4 --events events.jsonl
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import saccade


class LeftHalf(saccade.App):
    """Counts objects whose middle is in the left half."""

    name = "left-half"

    def interpret(self, frame: saccade.Frame, result: saccade.Result) -> saccade.Result:
        """The result with the count; this runs once a frame, in the order of the source."""
        result = super().interpret(frame, result)
        objects = result.detections
        if objects is not None:
            middle = (objects.boxes[:, 0] + objects.boxes[:, 2]) / 2
            result.extra["left"] = len(objects[middle < frame.width / 2])
        return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the app until the source ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a detector: file, or name from `saccade models list`")
    parser.add_argument("--source", default="0", help="camera, file, folder, rtsp:// or http:// stream, demo:")
    parser.add_argument("--events", default="-", help="file for one JSON object a frame; - prints them")
    options = parser.parse_args(arguments)

    capture = saccade.Capture(saccade.open_source(options.source))
    app = LeftHalf(saccade.open(options.model))
    statistics = saccade.Pipeline(capture, app, [saccade.EventWriter(options.events)]).run()
    print(f"{statistics.frames} frames, {statistics.dropped} dropped")


if __name__ == "__main__":
    main()
