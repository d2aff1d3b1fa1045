"""Capture: sources of pictures, the thread that reads them, and the slots they are decoded into.

This room owns all pixel memory. `open_source` finds the source for what a user typed, `Capture` reads it from a
thread of its own and leases out frames. The way of a picture: source -> `Picture` (compressed where the source has
it compressed) -> slot (decoded at the smallest sufficient scale) -> `saccade.frame.Frame`, a lease on the slot.

Each question has one place: `open` tells what an address means, `still` decodes and says what is damaged, `split` cuts
streams into pictures, `formats` and `markers` read headers, `orientation` turns, `planes` knows colours, `clock` tells
the time of files, `address` keeps secrets, `changes` logs comings and goings. Of a capture, `connection` keeps the
source open, `pool` has the slots, `offers` hands pictures over, `figures` counts, and `thread` puts them together.
"""

from saccade.capture.figures import CaptureStatistics
from saccade.capture.open import open_source
from saccade.capture.source import Picture, Source
from saccade.capture.thread import Capture

__all__ = ["Capture", "CaptureStatistics", "Picture", "Source", "open_source"]
