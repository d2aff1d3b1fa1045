"""How a network is run: how much of a JPEG picture is decoded, in how many tiles it is shown, on how many threads.

Decoding and tiles are measured by what a whole frame takes. Threads, streams and requests only the clock can tell:
frames a second of the whole pipeline, or one frame's time for a live source.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from saccade.capture.jpeg import read_header
from saccade.pipeline.balance import shares
from saccade.predict.tiles import framing_for
from saccade.process import usable_cores
from saccade.tune.book import Row
from saccade.tune.judging import Judge, why_not
from saccade.tune.turns import Slice


def coarser_decoding(judge: Judge) -> dict[str, Any]:
    """JPEG pictures decoded at half the size that is needed: the network is shown an enlarged picture."""
    jpeg, usual = judge.frames.held_out[0].picture.jpeg, judge.best.predictor
    if jpeg is None:
        return {}
    coarse = usual.on(usual.network)
    coarse.coarser = 2
    header = read_header(jpeg)
    sizes = [header.scaled(*each.least_size(header.width, header.height)) for each in (usual, coarse)]
    if sizes[0] == sizes[1]:
        return {}
    return {"decode": 2} if judge.judge_whole("JPEG decoded at half the usual size", coarse) else {}


def fewer_tiles(judge: Judge) -> dict[str, Any]:
    """Fewer tiles than asked for, the fewest first."""
    asked, frames, usual = judge.order.tiles, judge.frames, judge.best.predictor
    counts = {
        tiles: len(framing_for(tiles, usual.spec).regions(frames.width, frames.height))
        for tiles in ("off", "auto", asked)
    }
    for tiles in sorted((each for each in counts if counts[each] < counts[asked]), key=lambda each: counts[each]):
        fewer = usual.reframed(framing_for(tiles, usual.spec))
        if judge.judge_whole(f"tiles {tiles} in place of {asked}", fewer):
            return {"tiles": tiles}
    return {}


def spread_over_cores(judge: Judge) -> dict[str, Any]:
    """How many threads, streams and requests are quickest for this source, if not those that a run would choose."""
    count = usable_cores()
    if count < 2 or not judge.on_cpu or judge.order.meter is not None:
        return {}
    if not judge.has_time():
        judge.without_time("threads, streams, requests")
        return {}
    usual = _untuned(judge, count)
    ways = [_way(count, 1, 2)]
    if judge.frames.live:
        ways.append(_way(count - 1, 1, 2))
    else:
        ways += [_way(count, streams, min(16, streams + 1)) for streams in sorted({count, max(2, count // 2)})]
    tried = [way for way in ways if way != usual]
    found = [(row, way) for way in tried if (row := _judge_way(judge, usual, way)) is not None and not row.reason]
    if not found:
        return {}
    row, way = max(found, key=lambda each: each[0].speed.low if each[0].speed else 0.0)
    judge.rows[judge.rows.index(row)] = row.but(kept=True)
    return way


def _untuned(judge: Judge, count: int) -> dict[str, Any]:
    """What a run without a profile comes to by itself: see `saccade.pipeline.balance`."""
    frames, usual, trials = judge.frames, judge.best.predictor, judge.trials
    whole = trials.whole_slice(usual, frames.held_out, time.process_time)
    network = trials.network_slice(usual, frames.held_out[0], time.process_time)
    cost = min(network() for _ in range(3)) * len(usual.regions(frames.width, frames.height))
    rest = max(min(whole() for _ in range(3)) - cost, 0.0)
    chosen = shares(count, cost, rest, live=frames.live)
    return _way(chosen.threads, chosen.streams, chosen.requests)


def _judge_way(judge: Judge, usual: Mapping[str, Any], way: Mapping[str, Any]) -> Row | None:
    name, against = _in_words(way), _in_words(usual)
    in_a_slice = 1 if judge.frames.live else 4 * max(usual["requests"], way["requests"]) / usable_cores()
    if not judge.has_time(frames=in_a_slice):
        judge.without_time(name)
        return None
    known = judge.book.rows.get(name)
    if known is not None and known.against == against and known.in_form == judge.chosen.name:
        return judge.row(known.but(kept=False))
    speed = judge.turns(_running(judge, usual), _running(judge, way), 0.4)
    row = Row(name=name, against=against, in_form=judge.chosen.name, speed=speed)
    return judge.row(judge.book.note(row.but(reason=why_not(row, judge.order.accept))))


def _running(judge: Judge, way: Mapping[str, Any]) -> Slice:
    threads, streams, best, trials = way["threads"], way["streams"], judge.best, judge.trials
    if best.file is not None:
        form = trials.quantised(best.file, best.predictor, threads=threads, streams=streams)
    else:
        form = best.predictor.on(trials.open(best.precision, threads=threads, streams=streams).network)
    if judge.frames.live:
        return trials.whole_slice(form, judge.frames.held_out, time.perf_counter)
    return trials.pipeline_slice(form, judge.frames.held_out, way["requests"])


def _way(threads: int, streams: int, requests: int) -> dict[str, Any]:
    return {"threads": threads, "streams": streams, "requests": requests}


def _in_words(way: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in way.items())
