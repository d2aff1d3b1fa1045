"""Which object of a frame is which of the frames before, and the life of each: new, update, end.

Places are source px and times are the frames' own (`Frame.time`), so that frames may be dropped, skipped or come at
any rate. Nothing is kept of a caller's arrays.
"""

from __future__ import annotations

from saccade.tracking.tracker import Tracker

__all__ = ["Tracker"]
