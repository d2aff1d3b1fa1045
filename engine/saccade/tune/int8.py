"""INT8: calibrated on the user's frames, and with the layers that hurt back in f32.

NNCF's quick way is tried first. Where that is faster and disagrees, its slower way, which corrects what the quantising
shifts one layer after the other, and at last the better of both with some layers in f32.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import openvino as ov

from saccade.errors import SaccadeError
from saccade.formats.load import read_with_metadata
from saccade.networks.saturation import has_vnni
from saccade.tune.agreement import Agreement, agreement_of
from saccade.tune.book import Row
from saccade.tune.frames import spread
from saccade.tune.judging import Form, Judge
from saccade.tune.layers import QuantisedUnit, fewest, ranked, units_of, with_units_in_f32
from saccade.tune.quantising import QuantisingError, nncf_version, quantise
from saccade.tune.report import agreement_in_words
from saccade.tune.trials import read_ir

_log = logging.getLogger(__name__)

MOST_CALIBRATION_BYTES, MOST_CALIBRATION_FRAMES = 1 << 28, 48
"""Memory for what the network is shown while it is calibrated, and how many frames of it: more change little."""
MOST_SEARCH_FRAMES, MOST_HARM_FRAMES = 40, 12
"""Calibration frames that the search for layers looks at each time, and those for the harm that a single one does."""
QUICK, BY_LAYER, REPAIRED = "int8", "int8, corrected layer by layer", "int8, some layers in f32"
FILES = {QUICK: "quantised.xml", BY_LAYER: "corrected.xml"}
PLAIN = "original.xml"
WITHOUT_NNCF = "needs NNCF, which is not installed: add the extra `tune` (pip install 'saccade-engine[tune]')"


class Int8:
    """All that is tried in INT8.

    path : of the model. place : folder for files that nobody needs afterwards.
    """

    def __init__(self, judge: Judge, path: Path, place: Path) -> None:
        self._judge, self._path, self._place = judge, path, place
        self._networks: dict[str, ov.Model] = {}

    def attempt(self) -> None:
        """Judge it; the rows say what came of it."""
        if not nncf_version():
            self._judge.row(Row(name=QUICK, reason=WITHOUT_NNCF))
            return
        quick = self._said(QUICK, self._whole)
        if quick.speed is None or not quick.speed.is_gain or not quick.reason:
            return
        if self._said(BY_LAYER, self._whole).reason:
            self._said(REPAIRED, self._repaired)

    def _said(self, name: str, step: Callable[[str], Row]) -> Row:
        """What a step comes to; that it fails is a row as well."""
        judge = self._judge
        if not judge.has_time(3):
            return judge.without_time(name)
        try:
            return step(name)
        except TimeoutError as error:
            judge.cut = True
            return judge.row(Row(name=name, reason=f"not measured: {error}; give more --budget"))
        except (SaccadeError, RuntimeError) as error:
            return judge.row(Row(name=name, reason=str(error).splitlines()[0]))

    def _whole(self, name: str) -> Row:
        """With all layers in INT8 that NNCF quantises."""
        folder = self._judge.book.folder
        if not (folder / FILES[name]).is_file():
            self._calibrate(name)
        self._networks[name] = read_ir(folder / FILES[name])
        if not units_of(self._networks[name]):
            raise QuantisingError("NNCF found no layer to quantise")
        return self._judge.judge(name, self._form(name, ()), share=0.15)

    def _calibrate(self, name: str) -> None:
        """Have NNCF quantise the network, by what it is shown of the calibration frames."""
        judge, trials = self._judge, self._judge.trials
        network, _ = read_with_metadata(self._path, judge.order.options.get("input_shapes"), batch=1)
        plain = judge.book.folder / PLAIN
        ov.save_model(network, plain, compress_to_fp16=False)
        frames = judge.frames.calibration
        first = trials.tensors(judge.f32, frames[:1])[0]
        most = min(MOST_CALIBRATION_FRAMES, max(1, MOST_CALIBRATION_BYTES // sum(array.nbytes for array in first)))
        tensors = trials.tensors(judge.f32, spread(frames, most))
        part, target = self._place / FILES[name], judge.book.folder / FILES[name]
        quantise(plain, part, tensors, seven_bits=not has_vnni(), by_layer=name == BY_LAYER, seconds=0.6 * judge.left())
        part.with_suffix(".bin").replace(target.with_suffix(".bin"))
        part.replace(target)

    def _form(self, name: str, units: Sequence[QuantisedUnit]) -> Form:
        """A calibrated network with some of it in f32."""
        file = self._place / f"{Path(FILES[name]).stem}-{len(units)}.xml"
        ov.save_model(with_units_in_f32(self._networks[name], self._plain(), units), file, compress_to_fp16=False)
        predictor = self._judge.trials.quantised(file, self._judge.f32, threads=1, streams=None)
        return Form(predictor, "int8", file)

    def _plain(self) -> ov.Model:
        return read_ir(self._judge.book.folder / PLAIN)

    def _repaired(self, name: str) -> Row:
        """Find the layers that hurt, and judge the network with these in f32."""
        judge = self._judge
        search = _Search(judge, self._plain())
        base = min(self._networks, key=lambda each: search.error(self._networks[each], ()))
        units = units_of(self._networks[base])
        known = judge.book.rows.get(name)
        if known is not None and known.in_f32:
            back: list[QuantisedUnit] | None = [unit for unit in units if unit.quantiser in known.in_f32]
        else:
            back = search.units(self._networks[base], units)
        if back is None:
            return judge.row(Row(name=name, reason="no set of layers was found that agrees within the time"))
        if len(back) == len(units):
            return judge.row(Row(name=name, reason="all layers would have to stay in f32"))
        layers = tuple(sorted({layer for unit in back for layer in unit.layers}))
        return judge.judge(
            name, self._form(base, back), share=0.2, in_f32=tuple(unit.quantiser for unit in back), layers=layers
        )


class _Search:
    """Looks for layers that must be back in f32, on the calibration frames."""

    def __init__(self, judge: Judge, plain: ov.Model) -> None:
        self._judge, self._plain = judge, plain
        self._frames = spread(judge.frames.calibration, MOST_SEARCH_FRAMES)
        self._shown = judge.trials.results(judge.f32, self._frames)
        self._end = time.monotonic() + 0.6 * judge.left()

    def units(self, network: ov.Model, units: Sequence[QuantisedUnit]) -> list[QuantisedUnit] | None:
        """The units that must be back in f32 for the frames to agree; None where the time is over first.

        The bar is a quarter of the way from what is asked to full agreement: held-out frames agree a little less.
        """
        bar, found = 0.75 * self._judge.order.accept + 0.25, list[list[QuantisedUnit]]()

        def agrees(back: Sequence[QuantisedUnit]) -> bool:
            agreement = self._agreement(network, back)
            _log.info("%d of %d in f32: %s", len(back), len(units), agreement_in_words(agreement))
            if agreement.holds(bar):
                found.append(list(back))
            return agreement.holds(bar)

        half, every = 0.5 * (time.monotonic() + self._end), -(-len(self._frames) // MOST_HARM_FRAMES)

        def harm(unit: QuantisedUnit) -> float:
            if time.monotonic() > half:
                return 0.0
            return self.error(network, [each for each in units if each is not unit], every)

        try:
            return fewest(ranked(units, harm, self._plain), agrees)
        except TimeoutError:
            self._judge.cut = True
            return min(found, key=len) if found else None

    def error(self, network: ov.Model, back: Sequence[QuantisedUnit], every: int = 1) -> float:
        """How far it is from f32 with some of it back in f32: what is missing to full agreement, and the scores."""
        agreement = self._agreement(network, back, every)
        return 1 - agreement.value + agreement.score_difference

    def _agreement(self, network: ov.Model, back: Sequence[QuantisedUnit], every: int = 1) -> Agreement:
        if time.monotonic() > self._end:
            raise TimeoutError("the search for layers that hurt took too long")
        judge = self._judge
        form = judge.f32.network.quantised(with_units_in_f32(network, self._plain, back))  # type: ignore[attr-defined]
        return agreement_of(self._shown[::every], judge.trials.results(judge.f32.on(form), self._frames[::every]))
