"""The chart of a tuning: what a bar is measured against is said whole where there is room."""

from __future__ import annotations

import re

from saccade.tune import report
from saccade.tune.agreement import Agreement
from saccade.tune.book import Row
from saccade.tune.turns import Ratio

USUAL = "threads 1, streams 1, requests 2"


def said_against(speed: float) -> str:
    """What the chart writes behind the bar of a way as fast as that, beside one of 3."""
    rows = [
        Row(name="int8", speed=Ratio(3.0, 2.9, 3.1, 6)),
        Row(name="way", against=USUAL, speed=Ratio(speed, speed, speed, 6), agreement=Agreement(1.0, "", 0.0, 1)),
    ]
    found = re.search(r">against ([^<]+)<", report.chart(rows, "title", "note"))
    assert found is not None
    return found[1]


def test_short_bars_have_room_for_all_of_it_and_long_ones_for_its_beginning() -> None:
    assert said_against(1.0) == USUAL
    cut = said_against(3.0)
    assert cut.endswith("…")
    assert USUAL.startswith(cut[:-1])
