"""What all that is tried has in common: the frames, what f32 says of them, the best so far, the rows, the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from saccade.errors import ConfigError
from saccade.predict.predictor import Predictor
from saccade.results import Result
from saccade.tune.agreement import SCORE_DIFFERENCE, Agreement, agreement_of
from saccade.tune.book import Book, Row
from saccade.tune.config import TuneConfig
from saccade.tune.frames import LEAST, Frames, spread
from saccade.tune.report import in_a_line
from saccade.tune.trials import SLICE, Trials
from saccade.tune.turns import LEAST_GAIN, LEAST_PAIRS, Ratio, Slice, take_turns

_log = logging.getLogger(__name__)

OUT_OF_TIME = "not measured: the budget was used up; run the same command again to go on"


@dataclass(frozen=True, slots=True)
class Form:
    """The network in some arithmetic. precision : as for `Model`. file : of the one with quantised layers, if any."""

    predictor: Predictor
    precision: str
    file: Path | None = None


class Judge:
    """Compares forms of a network with f32, and keeps the best.

    end : when the budget is used up, s of `time.monotonic`. rows : all that was tried. cut : whether something was left
    out for want of time; unjudged : whether that was an arithmetic. best, chosen : the fastest that agrees, and its
    row; agreement : of what would run.
    Raises ConfigError where the reference sees nothing that could be compared.
    """

    def __init__(self, order: TuneConfig, trials: Trials, frames: Frames, book: Book, end: float) -> None:
        self.order, self.trials, self.book = order, trials, book
        self.rows: list[Row] = []
        self.cut = self.unjudged = False
        self._end = end
        self.f32 = trials.open("f32")
        self.on_cpu = self.f32.network.device == "CPU"
        usual: Callable[[], float] = time.process_time if self.on_cpu else time.perf_counter
        self.clock = order.meter.read if order.meter is not None else usual
        self.frames, self._cost = self._affordable(frames)
        self._step = self._cost * len(self.frames.held_out)
        self.digest = self.frames.digest
        self._held_out = trials.results(self.f32, self.frames.held_out)
        _refuse_nothing(self._held_out, frames.source)
        self.best = Form(self.f32, "f32")
        self.chosen = Row(name="f32")
        self.agreement = agreement_of(self._held_out, self._held_out)
        self.row(Row(name="f32", agreement=self.agreement, kept=True, reason="the reference"))

    def _affordable(self, frames: Frames) -> tuple[Frames, float]:
        """As many frames as a part of the budget allows to be looked at again and again; s for one."""
        for _ in range(2):
            start = time.monotonic()
            self.trials.results(self.f32, frames.held_out[:1])
            cost = time.monotonic() - start
        count = max(LEAST // 2, int(0.08 * self.order.budget / max(cost, 1e-6)))
        calibration, held_out = (spread(part, count) for part in (frames.calibration, frames.held_out))
        return replace(frames, calibration=calibration, held_out=held_out), cost

    def left(self) -> float:
        """What is left of the budget, s."""
        return self._end - time.monotonic()

    def has_time(self, looks: float = 1.0, frames: float = 1.0) -> bool:
        """Whether there is time for opening the network, looking at the frames and the least of turns.

        frames : that take their time one after the other in a slice, at least.
        """
        turns = 2 * (LEAST_PAIRS + 1) * max(SLICE, frames * self._cost)
        return self.left() > 2.0 * looks * self._step + turns

    def row(self, row: Row) -> Row:
        """Add a row, and say it."""
        self.rows.append(row)
        _log.info("%s", in_a_line(row))
        return row

    def without_time(self, name: str) -> Row:
        """Something was left out."""
        self.cut = True
        return self.row(Row(name=name, reason=OUT_OF_TIME))

    def judge(
        self, name: str, form: Form, *, share: float, in_f32: tuple[str, ...] = (), layers: tuple[str, ...] = ()
    ) -> Row:
        """Agreement and speed of a form of the network; it is the best so far where it is faster and agrees."""
        known = self.book.rows.get(name)
        if known is not None and known.agreement is not None and known.speed is not None:
            row = known.but(kept=False, reason="", in_f32=in_f32, layers=layers)
            if row.frames != self.digest:
                row = row.but(agreement=self.agreement_of(form.predictor), frames=self.digest)
        else:
            frame = self.frames.held_out[0]
            speed = self.turns(
                self.trials.network_slice(self.f32, frame, self.clock),
                self.trials.network_slice(form.predictor, frame, self.clock),
                share,
            )
            row = Row(
                name=name, speed=speed, agreement=self.agreement_of(form.predictor), frames=self.digest, in_f32=in_f32,
                layers=layers,
            )  # fmt: skip
        row = self.book.note(row.but(reason=why_not(row, self.order.accept)))
        speed_of_best = self.chosen.speed.value if self.chosen.speed else 1.0
        if not row.reason and row.speed is not None and row.speed.value > speed_of_best:
            assert row.agreement is not None
            self.best, self.chosen, self.agreement = form, row, row.agreement
        return self.row(row)

    def judge_whole(self, name: str, predictor: Predictor) -> bool:
        """Whether the whole way of a frame is faster in another way, and agrees; that is the best then."""
        key = f"{name} ({self.chosen.name})"
        if not self.has_time():
            self.without_time(name)
            return False
        known = self.book.rows.get(key)
        if known is not None and known.frames == self.digest:
            row = known
        else:
            frames = self.frames.held_out
            speed = self.turns(
                self.trials.whole_slice(self.best.predictor, frames, self.clock),
                self.trials.whole_slice(predictor, frames, self.clock),
                0.2,
            )
            row = Row(
                name=key, against=self.chosen.name, speed=speed, agreement=self.agreement_of(predictor),
                frames=self.digest,
            )  # fmt: skip
        reason = why_not(row, self.order.accept)
        self.row(self.book.note(row.but(reason=reason, kept=not reason)))
        if reason:
            return False
        assert row.agreement is not None
        self.best, self.agreement = replace(self.best, predictor=predictor), row.agreement
        return True

    def agreement_of(self, predictor: Predictor) -> Agreement:
        """With f32, on the held-out frames."""
        return agreement_of(self._held_out, self.trials.results(predictor, self.frames.held_out))

    def turns(self, a: Slice, b: Slice, share: float) -> Ratio:
        """How many times as fast `b` is, within a part of the time that is left."""
        return take_turns(a, b, until=time.monotonic() + share * max(0.0, self.left()))


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


def _refuse_nothing(results: Sequence[Result], source: str) -> None:
    """Raises ConfigError where the reference sees nothing that could be compared."""
    if results[0].detections is not None and not any(len(result.detections or ()) for result in results):
        raise ConfigError(
            f"{source}: the network finds no object on any of {len(results)} frames, so that nothing can be compared; "
            "give a source that shows some, or a lower --threshold"
        )
