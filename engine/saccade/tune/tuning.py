"""Tries one thing after the other within its budget, and keeps what is faster and agrees.

First the arithmetic (bf16, f16, INT8; where INT8 is faster and disagrees, the layers that hurt go back to f32), by the
processor's own time for one inference, which other programs disturb less than the clock's. Then how much of a frame is
decoded and in how many tiles it is shown, by the processor's time for a whole frame. At last threads, streams and
requests, which only the clock can tell: frames a second of the whole pipeline, or one frame's time for a live source.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import openvino as ov

from saccade.capture.jpeg import read_header
from saccade.capture.source import Source
from saccade.config import cache_dir
from saccade.errors import ConfigError, SaccadeError
from saccade.formats.load import identify, read_with_metadata
from saccade.networks import catalogue
from saccade.networks.digest import file_digest
from saccade.networks.profile import FILE, QUANTISED, Profile, Situation, folder_for, situation_of
from saccade.networks.remote import is_remote
from saccade.networks.saturation import has_vnni
from saccade.pipeline.balance import shares
from saccade.predict.predictor import Predictor
from saccade.predict.tiles import framing_for
from saccade.private import private_folder
from saccade.results import Result
from saccade.storage import atomic
from saccade.tune.agreement import SCORE_DIFFERENCE, Agreement, agreement_of
from saccade.tune.book import Book, Row
from saccade.tune.frames import LEAST, Frames, Kept, collect
from saccade.tune.layers import Unit, needed, units_of, with_units_in_f32
from saccade.tune.quantising import QuantisingError, nncf_version, quantise
from saccade.tune.trials import SLICE, Trials, cores, read_ir
from saccade.tune.turns import LEAST_GAIN, LEAST_PAIRS, Ratio, Slice, take_turns

_log = logging.getLogger(__name__)

MOST_CALIBRATION_BYTES, MOST_CALIBRATION_FRAMES = 1 << 28, 48
"""Memory for what the network is shown while it is calibrated, and how many frames of it: more change little."""
MOST_SEARCH_FRAMES = 40
"""Calibration frames that the search for layers looks at each time."""
RAW, PLAIN = "quantised.xml", "original.xml"
WITHOUT_NNCF = "needs NNCF, which is not installed: add the extra `tune` (pip install 'saccade-engine[tune]')"
OUT_OF_TIME = "not measured: the budget was used up; run the same command again to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be tuned.

    model : artifact or catalogue name. device : see `saccade.networks.devices`. budget : s for all of it.
    accept : least agreement. options : of `open_predictor`, as labels and thresholds. tiles : what the network would be
    shown without tuning. most : frames in memory.
    """

    model: str
    device: str = "AUTO"
    budget: float = 60.0
    accept: float = 0.99
    options: Mapping[str, Any]
    tiles: str = "off"
    most: int = 120

    def __post_init__(self) -> None:
        if not 5 <= self.budget <= 86400:
            raise ConfigError(f"budget: got {self.budget:g}; expected 5 to 86400 seconds")
        if not 0.5 <= self.accept <= 1:
            raise ConfigError(f"accept: got {self.accept:g}; expected 0.5 to 1")
        if self.most < LEAST:
            raise ConfigError(f"frames: got {self.most}; expected at least {LEAST}")
        if is_remote(self.model):
            raise ConfigError("model: a server runs its own network; tune it where it runs")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The profile, with all that was measured, and whether the budget was enough for everything."""

    profile: Profile
    rows: tuple[Row, ...]
    whole: bool
    seconds: float


def tune(order: Order, source: Source, *, on_frames: Callable[[Frames], None] | None = None) -> Outcome:
    """Measure, and write the profile.

    on_frames : is given the frames before they are used.

    Raises ConfigError where nothing can be compared (too few frames, no object on any), and what opening the network
    and the source raises.
    """
    start = time.monotonic()
    artifact = identify(catalogue.resolve(order.model))
    situation = situation_of(artifact.path)
    folder = folder_for(artifact.name) / f"{order.device}-{situation.digest[:12]}"
    key = {
        "digest": situation.digest, "processor": situation.processor, "versions": dict(situation.versions),
        "nncf": nncf_version(), "device": order.device, "tiles": order.tiles,
        "options": {name: repr(value) for name, value in sorted(order.options.items())},
    }  # fmt: skip
    book = Book(folder, key)
    with book.alone(), _place() as place:
        if book.fresh:
            _remove(folder, RAW, PLAIN)
            book.write()
        frames = collect(source, most=order.most, seconds=min(10.0, 0.2 * order.budget))
        if on_frames is not None:
            on_frames(frames)
        trials = Trials(order.model, {**order.options, "device": order.device, "tiles": order.tiles}, place)
        work = _Tuning(order, artifact.path, situation, frames, trials, book, place, start + order.budget)
        profile = work.run()
        whole = not work.cut
        target = folder / FILE
        atomic.write(target, profile.as_json().encode())
        if whole:
            book.close()
            _remove(folder, RAW, PLAIN)
    return Outcome(replace(profile, folder=folder), tuple(work.rows), whole, time.monotonic() - start)


def _remove(folder: Path, *names: str) -> None:
    """Networks as IR."""
    for name in names:
        for suffix in (".xml", ".bin"):
            (folder / name).with_suffix(suffix).unlink(missing_ok=True)


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


class _Tuning:
    """One run over all that can be tried."""

    def __init__(
        self, order: Order, path: Path, situation: Situation, frames: Frames, trials: Trials, book: Book, place: Path,
        end: float,
    ) -> None:  # fmt: skip
        self.rows: list[Row] = []
        self.cut = self._unjudged = False
        self._order, self._path, self._situation = order, path, situation
        self._trials, self._book, self._place, self._end = trials, book, place, end
        self._f32 = trials.open("f32")
        self._on_cpu = self._f32.network.device == "CPU"
        self._clock: Callable[[], float] = time.process_time if self._on_cpu else time.perf_counter
        self._frames, self._cost = self._affordable(frames)
        self._step = self._cost * len(self._frames.held_out)
        self._digest = self._frames.digest
        self._held_out = trials.results(self._f32, self._frames.held_out)
        self._shown: list[Result] | None = None
        _refuse_nothing(self._held_out, frames.source)
        self._best = self._f32
        self._precision, self._chosen = "f32", Row(name="f32")
        self._file: Path | None = None
        self._agreement = Agreement(1.0, agreement_of(self._held_out, self._held_out).measure, 0.0, len(self._held_out))

    def run(self) -> Profile:
        """All steps; what there is no time for is said."""
        self._row(Row(name="f32", agreement=self._agreement, kept=True, reason="the reference"))
        self._try_precisions()
        changes = self._try_decoding() | self._try_tiles() | self._try_running()
        return self._profile(changes)

    def _affordable(self, frames: Frames) -> tuple[Frames, float]:
        """As many frames as a part of the budget allows to be looked at again and again; s for one."""
        for _ in range(2):
            start = time.monotonic()
            self._trials.results(self._f32, frames.held_out[:1])
            cost = time.monotonic() - start
        count = max(LEAST // 2, int(0.08 * self._order.budget / max(cost, 1e-6)))
        parts = [_spread(part, count) for part in (frames.calibration, frames.held_out)]
        return replace(frames, calibration=parts[0], held_out=parts[1]), cost

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _has_time(self, looks: float = 1.0, frames: float = 1.0) -> bool:
        """Whether there is time for opening the network, looking at the frames and the least of turns.

        frames : that take their time one after the other in a slice, at least.
        """
        turns = 2 * (LEAST_PAIRS + 1) * max(SLICE, frames * self._cost)
        return self._left() > 2.0 * looks * self._step + turns

    def _row(self, row: Row) -> Row:
        self.rows.append(row)
        _log.info("%s", in_a_line(row))
        return row

    def _without_time(self, name: str) -> None:
        self.cut = True
        self._row(Row(name=name, reason=OUT_OF_TIME))

    # --- arithmetic

    def _try_precisions(self) -> None:
        self._try_int8()
        for precision in ("bf16", "f16"):
            if not self._has_time():
                self._unjudged = True
                self._without_time(precision)
                continue
            try:
                predictor = self._trials.open(precision)
                runs_in = predictor.network.precision
                if runs_in == precision:
                    self._judge(precision, precision, predictor, share=0.15)
                else:
                    what = "this processor" if self._on_cpu else "this device"
                    self._row(Row(name=precision, reason=f"{what} computes in {runs_in} then"))
            except SaccadeError as error:
                self._row(Row(name=precision, reason=f"does not run: {error}"))

    def _judge(
        self, name: str, precision: str, predictor: Predictor, *, share: float, file: Path | None = None,
        in_f32: tuple[str, ...] = (), layers: tuple[str, ...] = (),
    ) -> Row:  # fmt: skip
        """Agreement and speed of a form of the network; it is the best so far where it is faster and agrees."""
        known = self._book.rows.get(name)
        if known is not None and known.agreement is not None and known.speed is not None:
            row = known.but(kept=False, reason="", in_f32=in_f32, layers=layers)
            if row.frames != self._digest:
                row = row.but(agreement=self._agreement_of(predictor), frames=self._digest)
        else:
            speed = self._turns(
                self._trials.network_slice(self._f32, self._frames.held_out[0], self._clock),
                self._trials.network_slice(predictor, self._frames.held_out[0], self._clock),
                share,
            )
            row = Row(
                name=name, speed=speed, agreement=self._agreement_of(predictor), frames=self._digest, in_f32=in_f32,
                layers=layers,
            )  # fmt: skip
        row = self._book.note(row.but(reason=why_not(row, self._order.accept)))
        speed_of_best = self._chosen.speed.value if self._chosen.speed else 1.0
        if not row.reason and row.speed is not None and row.speed.value > speed_of_best:
            self._best, self._precision, self._file, self._chosen = predictor, precision, file, row
            assert row.agreement is not None
            self._agreement = row.agreement
        return self._row(row)

    def _agreement_of(self, predictor: Predictor) -> Agreement:
        return agreement_of(self._held_out, self._trials.results(predictor, self._frames.held_out))

    def _turns(self, a: Slice, b: Slice, share: float) -> Ratio:
        return take_turns(a, b, until=time.monotonic() + share * max(0.0, self._left()))

    def _try_int8(self) -> None:
        if not nncf_version():
            self._row(Row(name="int8", reason=WITHOUT_NNCF))
            return
        if not self._has_time(3):
            self._without_time("int8")
            return
        folder = self._book.folder
        try:
            if not (folder / RAW).is_file():
                self._calibrate(folder)
            quantised, original = read_ir(folder / RAW), read_ir(folder / PLAIN)
        except TimeoutError as error:
            self.cut = True
            self._row(Row(name="int8", reason=f"not measured: {error}; give more --budget"))
            return
        except (QuantisingError, RuntimeError) as error:
            self._row(Row(name="int8", reason=str(error).splitlines()[0]))
            return
        if not units_of(quantised):
            self._row(Row(name="int8", reason="NNCF found no layer to quantise"))
            return
        try:
            file, predictor = self._with_in_f32(quantised, original, ())
            row = self._judge("int8", "int8", predictor, share=0.15, file=file)
            if row.speed is not None and row.speed.is_gain and row.reason:
                self._repair(quantised, original, row)
        except SaccadeError as error:
            self._row(Row(name="int8", reason=str(error)))

    def _calibrate(self, folder: Path) -> None:
        """Have NNCF quantise the network, by what it is shown of the calibration frames."""
        network, _ = read_with_metadata(self._path, self._order.options.get("input_shapes"), batch=1)
        ov.save_model(network, folder / PLAIN, compress_to_fp16=False)
        first = self._trials.tensors(self._f32, self._frames.calibration[:1])[0]
        most = min(MOST_CALIBRATION_FRAMES, max(1, MOST_CALIBRATION_BYTES // sum(array.nbytes for array in first)))
        tensors = self._trials.tensors(self._f32, _spread(self._frames.calibration, most))
        part = self._place / RAW
        quantise(folder / PLAIN, part, tensors, seven_bits=not has_vnni(), seconds=0.6 * self._left())
        part.with_suffix(".bin").replace((folder / RAW).with_suffix(".bin"))
        part.replace(folder / RAW)

    def _with_in_f32(self, quantised: ov.Model, original: ov.Model, units: Sequence[Unit]) -> tuple[Path, Predictor]:
        """The quantised network with some of it in f32: its file, and what runs it."""
        file = self._place / f"int8-{len(units)}.xml"
        ov.save_model(with_units_in_f32(quantised, original, units), file, compress_to_fp16=False)
        return file, self._trials.quantised(file, self._f32, threads=1, streams=None)

    def _repair(self, quantised: ov.Model, original: ov.Model, whole: Row) -> None:
        """Find the layers that hurt, and judge the network with these in f32."""
        name = "int8, some layers in f32"
        units = units_of(quantised)
        known = self._book.rows.get(name)
        if known is not None and known.in_f32:
            back: list[Unit] | None = [unit for unit in units if unit.quantiser in known.in_f32]
        elif self._has_time(4):
            back = self._search(quantised, original, units)
        else:
            self._without_time(name)
            return
        if back is None:
            self._row(Row(name=name, reason="no set of layers was found that agrees within the time"))
            return
        if len(back) == len(units):
            self._row(Row(name=name, reason="all layers would have to stay in f32"))
            return
        file, predictor = self._with_in_f32(quantised, original, back)
        layers = tuple(sorted({layer for unit in back for layer in unit.layers}))
        self._judge(
            name, "int8", predictor, share=0.2, file=file, in_f32=tuple(unit.quantiser for unit in back), layers=layers
        )

    def _search(self, quantised: ov.Model, original: ov.Model, units: list[Unit]) -> list[Unit] | None:
        """The units that must be back in f32 for the calibration frames to agree; None where the time is over first.

        The bar is a quarter of the way from what is asked to full agreement: held-out frames agree a little less.
        Scores, which tell more than a few objects do, must differ by half as much as with all layers in INT8.
        """
        frames = _spread(self._frames.calibration, MOST_SEARCH_FRAMES)
        if self._shown is None:
            self._shown = self._trials.results(self._f32, frames)
        shown, network = self._shown, self._f32.network
        bar, end = 0.75 * self._order.accept + 0.25, time.monotonic() + 0.6 * self._left()
        found: list[list[Unit]] = []

        def agreement_with(back: Sequence[Unit]) -> Agreement:
            if time.monotonic() > end:
                raise TimeoutError
            form = network.quantised(with_units_in_f32(quantised, original, back))  # type: ignore[attr-defined]
            agreement = agreement_of(shown, self._trials.results(self._f32.on(form), frames))
            _log.info("%d of %d in f32: %s", len(back), len(units), _agreement_in_words(agreement))
            return agreement

        def agrees(back: Sequence[Unit]) -> bool:
            agreement = agreement_with(back)
            return agreement.holds(bar) and agreement.score_difference <= none_back.score_difference / 2

        try:
            none_back = agreement_with(())
            return needed(units, agrees, on_agreed=lambda back: found.append(list(back)))
        except TimeoutError:
            self.cut = True
            return min(found, key=len) if found else None

    # --- decoding, tiles

    def _try_decoding(self) -> dict[str, Any]:
        """JPEG pictures decoded at half the size that is needed: the network is shown an enlarged picture."""
        name = "JPEG decoded at half the usual size"
        jpeg = self._frames.held_out[0].picture.jpeg
        if jpeg is None:
            return {}
        coarse = self._best.on(self._best.network)
        coarse.coarser = 2
        header = read_header(jpeg)
        sizes = [header.scaled(*each.least_size(header.width, header.height)) for each in (self._best, coarse)]
        if sizes[0] == sizes[1]:
            return {}
        return {"decode": 2} if self._judge_whole(name, coarse) else {}

    def _try_tiles(self) -> dict[str, Any]:
        """Fewer tiles than asked for, the fewest first."""
        asked = self._order.tiles
        frame, spec = self._frames, self._best.spec
        counts = {
            tiles: len(framing_for(tiles, spec).regions(frame.width, frame.height)) for tiles in ("off", "auto", asked)
        }
        for tiles in sorted((each for each in counts if counts[each] < counts[asked]), key=lambda each: counts[each]):
            fewer = self._best.reframed(framing_for(tiles, spec))
            if self._judge_whole(f"tiles {tiles} in place of {asked}", fewer):
                return {"tiles": tiles}
        return {}

    def _judge_whole(self, name: str, predictor: Predictor) -> bool:
        """Whether the whole way of a frame is faster in another way, and agrees; that is the best then."""
        key = f"{name} ({self._chosen.name})"
        if not self._has_time():
            self._without_time(name)
            return False
        known = self._book.rows.get(key)
        if known is not None and known.frames == self._digest:
            row = known
        else:
            frames = self._frames.held_out
            speed = self._turns(
                self._trials.whole_slice(self._best, frames, self._clock),
                self._trials.whole_slice(predictor, frames, self._clock),
                0.2,
            )
            row = Row(
                name=key, against=self._chosen.name, speed=speed, agreement=self._agreement_of(predictor),
                frames=self._digest,
            )  # fmt: skip
        reason = why_not(row, self._order.accept)
        self._row(self._book.note(row.but(reason=reason, kept=not reason)))
        if reason:
            return False
        assert row.agreement is not None
        self._best, self._agreement = predictor, row.agreement
        return True

    # --- threads, streams, requests

    def _try_running(self) -> dict[str, Any]:
        """How many threads, streams and requests are quickest for this source, if not those that a run would choose."""
        count = cores()
        if count < 2 or not self._on_cpu:
            return {}
        if not self._has_time():
            self._without_time("threads, streams, requests")
            return {}
        usual = self._untuned(count)
        ways = [_way(count, 1, 2)]
        if self._frames.live:
            ways.append(_way(count - 1, 1, 2))
        else:
            ways += [_way(count, streams, min(16, streams + 1)) for streams in sorted({count, max(2, count // 2)})]
        tried = [way for way in ways if way != usual]
        found = [(row, way) for way in tried if (row := self._judge_way(usual, way)) is not None and not row.reason]
        if not found:
            return {}
        row, way = max(found, key=lambda each: each[0].speed.low if each[0].speed else 0.0)
        self.rows[self.rows.index(row)] = row.but(kept=True)
        return way

    def _untuned(self, count: int) -> dict[str, Any]:
        """What a run without a profile comes to by itself: see `saccade.pipeline.balance`."""
        frames = self._frames.held_out
        whole = self._trials.whole_slice(self._best, frames, time.process_time)
        network = self._trials.network_slice(self._best, frames[0], time.process_time)
        cost = min(network() for _ in range(3)) * len(self._best.regions(self._frames.width, self._frames.height))
        rest = max(min(whole() for _ in range(3)) - cost, 0.0)
        chosen = shares(count, cost, rest, live=self._frames.live)
        return _way(chosen.threads, chosen.streams, chosen.requests)

    def _judge_way(self, usual: Mapping[str, Any], way: Mapping[str, Any]) -> Row | None:
        name = _way_in_words(way)
        in_a_slice = 1 if self._frames.live else 4 * max(usual["requests"], way["requests"]) / cores()
        if not self._has_time(frames=in_a_slice):
            self._without_time(name)
            return None
        known = self._book.rows.get(name)
        against = _way_in_words(usual)
        if known is not None and known.against == against and known.in_form == self._chosen.name:
            return self._row(known.but(kept=False))
        sides = [self._running(each) for each in (usual, way)]
        speed = self._turns(sides[0], sides[1], 0.4)
        row = Row(name=name, against=against, in_form=self._chosen.name, speed=speed)
        return self._row(self._book.note(row.but(reason=why_not(row, self._order.accept))))

    def _running(self, way: Mapping[str, Any]) -> Slice:
        threads, streams = way["threads"], way["streams"]
        if self._file is not None:
            form = self._trials.quantised(self._file, self._best, threads=threads, streams=streams)
        else:
            form = self._best.on(self._trials.open(self._precision, threads=threads, streams=streams).network)
        frames = self._frames.held_out
        if self._frames.live:
            return self._trials.whole_slice(form, frames, time.perf_counter)
        return self._trials.pipeline_slice(form, frames, way["requests"])

    # --- the profile

    def _profile(self, changes: Mapping[str, Any]) -> Profile:
        chosen, folder = self._chosen, self._book.folder
        self.rows = [row.but(kept=True) if row.name == chosen.name else row for row in self.rows]
        _remove(folder, QUANTISED)
        quantised = {}
        if self._file is not None:
            for suffix in (".bin", ".xml"):
                target = (folder / QUANTISED).with_suffix(suffix)
                shutil.copyfile(self._file.with_suffix(suffix), target)
                quantised[target.name] = file_digest(target)
        speed = chosen.speed or Ratio(1.0, 1.0, 1.0, 0)
        # Before all was judged, f32 is no choice: it may be slower than what the device takes by itself.
        undecided = self._precision == "f32" and self._unjudged and not changes
        versions = dict(self._situation.versions)
        if quantised:
            versions["nncf"] = nncf_version()
        return Profile(
            model=self._f32.name, path=str(self._path.resolve()), digest=self._situation.digest,
            device=self._order.device, ran_on=self._f32.network.device, processor=self._situation.processor,
            versions=versions, precision="auto" if undecided else self._precision,
            in_f32=chosen.layers, quantised=quantised,
            inputs={port.name: list(port.shape) for port in self._f32.network.inputs},
            pixels=repr(self._f32.spec), source=self._frames.source, frames=len(self._frames.held_out),
            frames_digest=self._digest,
            accept=self._order.accept, agreement=round(self._agreement.value, 6),
            score_difference=round(self._agreement.score_difference, 6),
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            speed=round(speed.value, 4), low=round(speed.low, 4), high=round(speed.high, 4),
            live=self._frames.live, tiles_asked=self._order.tiles, tried=tuple(row.as_dict() for row in self.rows),
            **{"tiles": self._order.tiles, **changes},
        )  # fmt: skip


def why_not(row: Row, accept: float) -> str:
    """Why a row is not taken, with the figures; empty where it may be."""
    reasons = []
    agreement, speed = row.agreement, row.speed
    if agreement is not None and not agreement.holds(accept):
        if agreement.judged and agreement.value >= accept:
            reasons.append(f"scores differ by {agreement.score_difference:.3f}, {SCORE_DIFFERENCE:g} allowed")
        else:
            reasons.append(f"agreement {agreement.value:.4f}, {accept:g} asked for")
    if speed is not None and not speed.is_gain:
        interval = f"{speed.low:.2f}-{speed.high:.2f}"
        what = "slower" if speed.high < 1 else f"no gain beyond the noise, {LEAST_GAIN:g} at least"
        reasons.append(f"{speed.value:.2f} times as fast ({interval}): {what}")
    return "refused: " + "; ".join(reasons) if reasons else ""


def in_a_line(row: Row) -> str:
    """A row for the log."""
    parts = [row.name]
    if row.speed is not None:
        parts.append(f"{row.speed.value:.2f} times as fast as {row.against} ({row.speed.low:.2f}-{row.speed.high:.2f})")
    if row.agreement is not None:
        parts.append(_agreement_in_words(row.agreement))
    if row.reason:
        parts.append(row.reason)
    return ": ".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0]


def _agreement_in_words(agreement: Agreement) -> str:
    return f"agreement {agreement.value:.4f}, scores within {agreement.score_difference:.4f}"


def _way(threads: int, streams: int, requests: int) -> dict[str, Any]:
    return {"threads": threads, "streams": streams, "requests": requests}


def _way_in_words(way: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in way.items())


def _spread(frames: Sequence[Kept], count: int) -> tuple[Kept, ...]:
    """At most so many, evenly spread."""
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[index * len(frames) // count] for index in range(count))


def _refuse_nothing(results: Sequence[Result], source: str) -> None:
    """Raises ConfigError where the reference sees nothing that could be compared."""
    if results[0].detections is not None and not any(len(result.detections or ()) for result in results):
        raise ConfigError(
            f"{source}: the network finds no object on any of {len(results)} frames, so that nothing can be compared; "
            "give a source that shows some, or a lower --threshold"
        )
