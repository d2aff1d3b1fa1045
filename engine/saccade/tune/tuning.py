"""Tries one thing after the other within its budget, and keeps what is faster and agrees.

First the arithmetic (`int8`; bf16, f16), by the processor's own time for one inference, which other programs disturb
less than the clock's. Then how the network is run (`ways`). `judging` compares.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from saccade.capture.source import Source
from saccade.config import cache_dir
from saccade.errors import OutputError, SaccadeError
from saccade.formats.load import identify
from saccade.networks import catalogue
from saccade.networks.digest import file_digest
from saccade.networks.profile import FILE, QUANTISED, Profile, Situation, folder_for, situation_of
from saccade.private import private_folder
from saccade.storage import atomic
from saccade.tune import int8, ways
from saccade.tune.book import Book, Row
from saccade.tune.config import TuneConfig
from saccade.tune.frames import Frames, collect
from saccade.tune.judging import Form, Judge
from saccade.tune.quantising import nncf_version
from saccade.tune.trials import Trials
from saccade.tune.turns import Ratio

IN_PROGRESS = (*int8.FILES.values(), int8.PLAIN)
"""Networks that a tuning goes on from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The profile, with all that was measured, and whether the budget was enough for everything."""

    profile: Profile
    rows: tuple[Row, ...]
    whole: bool
    seconds: float


def tune(order: TuneConfig, source: Source, *, on_frames: Callable[[Frames], None] | None = None) -> Outcome:
    """Measure, and write the profile.

    on_frames : is given the frames before they are used.

    Raises ConfigError where nothing can be compared (too few frames, no object on any), OutputError where the cache
    folder cannot be written to, and what opening the network and the source raises.
    """
    start = time.monotonic()
    artifact = identify(catalogue.resolve(order.model))
    situation = situation_of(artifact.path)
    folder = folder_for(artifact.name) / f"{order.device}-{situation.digest[:12]}"
    key = {
        "digest": situation.digest, "processor": situation.processor, "versions": dict(situation.versions),
        "nncf": nncf_version(), "device": order.device, "tiles": order.tiles,
        "options": {name: repr(value) for name, value in sorted(order.options.items())},
        "source": source.name, "measure": measure_of(order),
    }  # fmt: skip
    with _cache_that_can_be_written(), Book(folder, key).alone() as book, _place() as place:
        frames = collect(source, most=order.most, seconds=min(10.0, 0.2 * order.budget))
        if on_frames is not None:
            on_frames(frames)
        trials = Trials(order.model, {**order.options, "device": order.device, "tiles": order.tiles}, place)
        judge = Judge(order, trials, frames, book, start + order.budget)
        if book.fresh:  # only now: what is refused has measured nothing, and forgets nothing
            _remove(folder, *IN_PROGRESS)
            book.write()
        int8.Int8(judge, artifact.path, place).attempt()
        _try_floats(judge)
        changes = ways.coarser_decoding(judge) | ways.fewer_tiles(judge) | ways.spread_over_cores(judge)
        profile = _profile(judge, artifact.path, situation, changes)
        whole = not judge.cut
        target = folder / FILE
        atomic.write(target, profile.as_json().encode())
        if whole:
            book.close()
            _remove(folder, *IN_PROGRESS)
    return Outcome(replace(profile, folder=folder), tuple(judge.rows), whole, time.monotonic() - start)


def _remove(folder: Path, *names: str) -> None:
    """Networks as IR."""
    for name in names:
        for suffix in (".xml", ".bin"):
            (folder / name).with_suffix(suffix).unlink(missing_ok=True)


@contextmanager
def _cache_that_can_be_written() -> Iterator[None]:
    """Says of the cache folder's errors what to do."""
    base = cache_dir()
    try:
        yield
    except OSError as error:
        place = Path(os.fsdecode(error.filename)) if error.filename else base
        ours = error.filename and place.is_relative_to(base)
        if not ours and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutputError(
            f"{place}: cannot be written ({error.strerror}); profiles are kept in the cache folder: make room there, "
            "or set SACCADE_CACHE to another one"
        ) from None


@contextmanager
def _place() -> Iterator[Path]:
    """A folder for what is compiled meanwhile."""
    base = private_folder(cache_dir())
    for left in base.glob("tuning-*"):
        if not Path("/proc", left.name.split("-")[1]).exists():  # whoever made it was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"tuning-{os.getpid()}-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _try_floats(judge: Judge) -> None:
    """bf16 and f16, where the processor or device computes in them."""
    for precision in ("bf16", "f16"):
        if not judge.has_time():
            judge.unjudged = True
            judge.without_time(precision)
            continue
        try:
            predictor = judge.trials.open(precision)
            runs_in = predictor.network.precision
            if runs_in == precision:
                judge.judge(precision, Form(predictor, precision), share=0.15)
            else:
                what = "this processor" if judge.on_cpu else "this device"
                judge.row(Row(name=precision, reason=f"{what} computes in {runs_in} then"))
        except SaccadeError as error:
            judge.row(Row(name=precision, reason=f"does not run: {error}"))


def measure_of(order: TuneConfig) -> str:
    """What the speed of a network is measured by."""
    return "time" if order.meter is None else order.meter.unit


def _profile(judge: Judge, path: Path, situation: Situation, changes: Mapping[str, Any]) -> Profile:
    chosen, folder, order, frames = judge.chosen, judge.book.folder, judge.order, judge.frames
    judge.rows = [row.but(kept=True) if row.name == chosen.name else row for row in judge.rows]
    _remove(folder, QUANTISED)
    quantised = {}
    if judge.best.file is not None:
        for suffix in (".bin", ".xml"):
            target = (folder / QUANTISED).with_suffix(suffix)
            shutil.copyfile(judge.best.file.with_suffix(suffix), target)
            quantised[target.name] = file_digest(target)
    speed = chosen.speed or Ratio(1.0, 1.0, 1.0, 0)
    # Before all was judged, f32 is no choice: it may be slower than what the device takes by itself.
    undecided = judge.best.precision == "f32" and judge.unjudged and not changes
    versions = dict(situation.versions)
    if quantised:
        versions["nncf"] = nncf_version()
    return Profile(
        model=judge.f32.name, path=str(path.resolve()), digest=situation.digest,
        device=order.device, ran_on=judge.f32.network.device, processor=situation.processor,
        versions=versions, precision="auto" if undecided else judge.best.precision,
        in_f32=chosen.layers, quantised=quantised,
        inputs={port.name: list(port.shape) for port in judge.f32.network.inputs},
        pixels=repr(judge.f32.spec), source=frames.source, frames=len(frames.held_out), frames_digest=judge.digest,
        accept=order.accept, agreement=round(judge.agreement.value, 6),
        score_difference=round(judge.agreement.score_difference, 6),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        speed=round(speed.value, 4), low=round(speed.low, 4), high=round(speed.high, 4), measure=measure_of(order),
        live=frames.live, tiles_asked=order.tiles, tried=tuple(row.as_dict() for row in judge.rows),
        **{"tiles": order.tiles, **changes},
    )  # fmt: skip
