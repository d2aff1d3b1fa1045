"""The one place where preprocessing, inference and parsing are wired.

A `Predictor` owns the requests of one network. Called with a picture it answers with a `Result`; a scheduler uses
`start()` instead, which fills one request for each region of the frame and returns a `Prediction` to wait for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ConfigError, UnsupportedError
from saccade.frame import Frame, Image
from saccade.geometry import Region, View
from saccade.kernels import Preprocess
from saccade.networks.network import Array, Network, Request
from saccade.networks.spec import InputSpec, Resize
from saccade.predict.evidence import picture_port
from saccade.predict.framing import Framing, Whole, least_size_for, make_plan
from saccade.predict.parser import Parser, Settings
from saccade.predict.tiles import join
from saccade.predict.understanding import Understanding
from saccade.results import (
    Angles,
    Classification,
    Detections,
    Embedding,
    Finding,
    Heads,
    Landmarks,
    Result,
    Segmentation,
)

_MOST_PLANS = 64
"""Plans kept at a time: sizes and regions come back, but a moving region is always new."""


Fill = Callable[[Frame, Array], object]
"""Writes a frame, as a network wants it, to the network's input."""


class Predictor:
    """Says what a network sees in a picture.

    Parameters
    ----------
    network : what runs. spec : the pixels it wants. parser : what its outputs mean.
    settings : thresholds and limits; None: the parser's defaults.
    framing : which regions of a frame it is shown; None: the whole frame.
    fixed : values of the inputs that are no picture, by name.
    understanding : how spec and parser were found, for people.
    coarser : how many times smaller than usual a frame may be decoded; more than 1 costs accuracy.

    Raises ConfigError where spec and network do not fit.
    """

    def __init__(
        self,
        network: Network,
        spec: InputSpec,
        parser: Parser,
        *,
        settings: Settings | None = None,
        framing: Framing | None = None,
        fixed: Mapping[str, Array] | None = None,
        understanding: Understanding | None = None,
        coarser: int = 1,
    ) -> None:
        self.network = network
        self.spec = spec
        self.parser = parser
        self.settings = settings or parser.defaults
        self.framing = framing or Whole(spec)
        self.understanding = understanding
        self.coarser = coarser
        self._fixed = dict(fixed or {})
        self._input = picture_input(network, spec)
        # Predictors that share a network share its requests; values that were fixed in one would be seen by all.
        self._free: deque[Request] = deque() if self._fixed else network.idle
        self._plans: dict[Any, tuple[Fill, View]] = {}
        self._regions: tuple[tuple[int, int], tuple[Region, ...]] = ((0, 0), ())

    @property
    def name(self) -> str:
        """The network's name."""
        return self.network.name

    @property
    def task(self) -> str:
        """What the network does: detect, classify, segment, ..."""
        return self.parser.task

    def __call__(self, picture: Image | Frame) -> Result:
        """What the network sees; may be called from several threads at a time.

        picture : a frame, or uint8 (H, W, 3) BGR, (H, W) grey or (H, W, 4) BGRA, or an image of Pillow.

        Raises ConfigError for what is no picture, or where a region lies outside it; ModelError or DeviceError where
        the network does not run; FrameReleasedError for a frame that was released.
        """
        frame = picture if isinstance(picture, Frame) else Frame.from_bgr(as_bgr(picture))
        return self.start(frame).result()

    def reframed(self, framing: Framing | None = None, *, resize: Resize | None = None) -> Predictor:
        """The same network shown other regions of a frame, or with the picture brought to its size in another way."""
        spec = self.spec if resize is None else replace(self.spec, resize=resize)
        return Predictor(
            self.network, spec, self.parser, settings=self.settings, framing=framing, fixed=self._fixed,
            understanding=self.understanding, coarser=self.coarser,
        )  # fmt: skip

    def on(self, network: Network) -> Predictor:
        """The same of another form of the network, which has its inputs and outputs."""
        return Predictor(
            network, self.spec, self.parser, settings=self.settings, framing=self.framing, fixed=self._fixed,
            understanding=self.understanding, coarser=self.coarser,
        )  # fmt: skip

    def find(self, frame: Frame, region: Region, *, threshold: float | None = None) -> tuple[Finding, View]:
        """What one region of a frame shows, in px of the network's input, and how that lies in the frame.

        threshold : another least probability of objects than that of the settings.
        """
        request, view = self._filled(frame, region)
        try:
            request.infer()
            settings = self.settings if threshold is None else replace(self.settings, score=threshold)
            return self._parsed(request, settings), view
        finally:
            self._free.append(request)

    def shown(self, frame: Frame, region: Region) -> list[Array]:
        """Copies of the arrays that the network is shown of a region, of all inputs in its order."""
        request, _ = self._filled(frame, region)
        try:
            return [np.array(array) for array in request.inputs.values()]
        finally:
            self._free.append(request)

    def raw(self, picture: Image | Frame) -> dict[str, NDArray[np.float32]]:
        """Copies of the network's outputs for a picture that is preprocessed as the network wants it."""
        frame = picture if isinstance(picture, Frame) else Frame.from_bgr(as_bgr(picture))
        (region, *_) = self.regions(frame.width, frame.height)
        request, _ = self._filled(frame, region)
        try:
            request.infer()
            return {name: output.copy() for name, output in request.outputs.items()}
        finally:
            self._free.append(request)

    def start(self, frame: Frame) -> Prediction:
        """Fill and start a request for each region of the frame, which must not be released before the result."""
        started: list[tuple[Request, View]] = []
        try:
            for region in self.regions(frame.width, frame.height):
                request, view = self._filled(frame, region)
                try:
                    request.start()
                except BaseException:
                    self._free.append(request)
                    raise
                started.append((request, view))
        except BaseException:
            self._give_back(started)
            raise
        return Prediction(self, frame, started)

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """The regions of a frame of that size that the network is shown."""
        size, regions = self._regions
        if size != (width, height):
            regions = self.framing.regions(width, height)
            self._regions = ((width, height), regions)
        return regions

    @property
    def regions_seen(self) -> int:
        """How many regions of the last frame the network was shown; 1 before the first."""
        return max(1, len(self._regions[1]))

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which a frame of this size must at least be decoded, px."""
        try:
            regions = self.regions(width, height)
        except ConfigError:
            return height, width  # regions that do not fit are told of where they are asked for
        sizes = [least_size_for(self.spec, region, width, height) for region in regions]
        height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
        return -(-height // self.coarser), -(-width // self.coarser)

    def warm_up(self, requests: int = 1) -> None:
        """Make requests and run each once, so that the first frame is as quick as any."""
        black = Frame.from_bgr(np.zeros((self.spec.height, self.spec.width, 3), np.uint8))
        for prediction in [self.start(black) for _ in range(requests)]:
            prediction.wait()
            prediction.release()

    def spread(self, threads: int, streams: int) -> bool:
        """Give the network so many threads and streams from now on; False where it stays as it is. No request of it may
        be in flight.
        """
        if not self.network.spread(threads, streams):
            return False
        self._free.clear()
        return True

    def _filled(self, frame: Frame, region: Region) -> tuple[Request, View]:
        """A request whose input holds the region."""
        fill, view = self._plan(frame, region)
        request = self._take()
        try:
            fill(frame, request.inputs[self._input])
        except BaseException:
            self._free.append(request)
            raise
        return request, view

    def _parsed(self, request: Request, settings: Settings) -> Finding:
        if not settings.classes:
            return self.parser.parse(request.outputs, settings)
        # Only what is asked for counts towards the most that is wanted.
        found = self.parser.parse(request.outputs, replace(settings, top=None))
        return chosen(found, settings.classes, settings.top)

    def _take(self) -> Request:
        try:
            return self._free.pop()
        except IndexError:
            request = self.network.request()
            for name, value in self._fixed.items():
                np.copyto(request.inputs[name], value, casting="unsafe")
            return request

    def _give_back(self, started: list[tuple[Request, View]]) -> None:
        """Let all of them run out, although some fail: the last failure is raised."""
        try:
            while started:
                request, _ = started.pop()
                try:
                    request.wait()
                finally:
                    self._free.append(request)
        finally:
            if started:
                self._give_back(started)

    def _plan(self, frame: Frame, region: Region) -> tuple[Fill, View]:
        """What fills the input from such frames, and how the input lies in the source frame."""
        planes = frame.planes  # smaller where the frame was decoded at a part of its size
        key = (
            frame.pixels,
            frame.full_range,
            frame.matrix,
            frame.width,
            frame.height,
            planes[0].shape,
            planes[-1].shape,
            region,
        )
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            found = self._plans[key] = fill_for(frame, self.spec, region, mirror=self.framing.mirror)
        return found


class Prediction:
    """What a predictor is finding out about one frame. `result()`, or `release()`, must be called once."""

    __slots__ = ("_frame", "_predictor", "_started")

    def __init__(self, predictor: Predictor, frame: Frame, started: list[tuple[Request, View]]) -> None:
        self._predictor = predictor
        self._frame = frame
        self._started = started

    @property
    def done(self) -> bool:
        """True if `wait()` would return at once."""
        return all(request.done for request, _ in self._started)

    def wait(self) -> None:
        """Until the network has run; raises what went wrong."""
        for request, _ in self._started:
            request.wait()

    def result(self) -> Result:
        """The result, waited for; the requests are free again."""
        predictor, frame = self._predictor, self._frame
        findings = []
        try:
            for request, view in self._started:
                request.wait()
                findings.append(predictor._parsed(request, predictor.settings).placed(view))
        finally:
            self.release()
        finding = findings[0] if len(findings) == 1 else merged(findings, predictor, frame)
        return as_result(finding, frame, predictor.parser.task)

    def release(self) -> None:
        """Let the requests run out and give them back; once is enough."""
        started, self._started = self._started, []
        self._predictor._give_back(started)


def picture_input(network: Network, spec: InputSpec) -> str:
    """Name of the input that takes the picture; raises ConfigError where the pixels would not fit it."""
    port = picture_port(network)
    size = (
        (spec.height, spec.width, spec.channels) if spec.layout == "nhwc" else (spec.channels, spec.height, spec.width)
    )
    if port.shape[-3:] != size or port.dtype.name != spec.dtype:
        raise ConfigError(
            f"{network.name}: its input {port.name} is {port.dtype} {list(port.shape)}, "
            f"which does not take {spec.dtype} pixels of {list(size)}"
        )
    return port.name


def fill_for(frame: Frame, spec: InputSpec, region: Region, *, mirror: bool) -> tuple[Fill, View]:
    """What writes such frames to an input of that kind, and how the input lies in the source frame."""
    if spec.channels == 3:
        plan, view = make_plan(frame, spec, region, mirror=mirror)
        return lambda frame, out: plan(frame.planes, out), view
    plain = replace(
        spec,
        channels=3,
        dtype="uint8",
        layout="nhwc",
        mean=(0.0,) * 3,
        scale=(1.0,) * 3,
        quantisation=None,
        swap_rb=False,
    )
    plan, view = make_plan(frame, plain, region, mirror=mirror)
    return lambda frame, out: _fill_grey(plan, spec, frame, out), view


def _fill_grey(plan: Preprocess, spec: InputSpec, frame: Frame, out: Array) -> None:
    import cv2

    colours = np.empty((spec.height, spec.width, 3), np.uint8)
    plan(frame.planes, colours)
    (mean, *_), (scale, *_) = spec.stored()
    values = (cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY).astype(np.float32) - np.float32(mean)) / np.float32(scale)
    if out.dtype.kind in "ui":
        limits = np.iinfo(out.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    out.reshape(spec.height, spec.width)[:] = values


def as_bgr(picture: object) -> Image:
    """uint8 (H, W, 3) BGR of a picture: also grey (H, W) or (H, W, 1), with transparency (H, W, 4), or of Pillow.

    Raises ConfigError for what is no picture.
    """
    import cv2

    array = _of_pillow(picture) if hasattr(picture, "getbands") else np.asarray(picture)
    if array.dtype == np.uint8 and array.size and array.ndim in (2, 3):
        if array.ndim == 2 or array.shape[2] == 1:
            return cast(Image, cv2.cvtColor(array, cv2.COLOR_GRAY2BGR))
        if array.shape[2] == 4:
            return cast(Image, cv2.cvtColor(array, cv2.COLOR_BGRA2BGR))
        if array.shape[2] == 3:
            return array if array.strides[1:] == (3, 1) else np.ascontiguousarray(array)
    wanted = "expected a picture, uint8 (H, W, 3) in BGR order, as cv2.imread gives it"
    if not isinstance(picture, np.ndarray):
        hint = " (and None where it cannot read the file)" if picture is None else ""
        raise ConfigError(f"got {type(picture).__name__}; {wanted}{hint}")
    hint = "; scale it to 0-255 and use .astype(np.uint8)" if array.dtype.kind == "f" else ""
    raise ConfigError(f"got an array of {array.dtype} {array.shape}; {wanted}{hint}")


def _of_pillow(picture: Any) -> Array:
    """An image of Pillow as BGR; it would become an array by itself, but one of RGB, or of a palette's numbers.

    Its forms of more than 8 bits (I, F) stay what they are.
    """
    if picture.mode.startswith(("I", "F")):
        return np.asarray(picture)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])


def as_result(finding: Finding, frame: Frame, app: str) -> Result:
    """A finding in source px as the result of its frame."""
    if isinstance(finding, Segmentation):
        finding = finding.within(frame.width, frame.height)
    if isinstance(finding, Heads):
        known: dict[str, Any] = {"heads": finding.by_name, "classes": next(iter(finding.by_name.values()), None)}
    else:
        known = {_FIELDS[type(finding)]: finding}
    return Result(
        frame=frame.sequence,
        time=frame.time,
        app=app,
        width=frame.width,
        height=frame.height,
        file=frame.name,
        **known,
    )


_FIELDS: Mapping[type, str] = {
    Detections: "detections", Classification: "classes", Segmentation: "segmentation", Landmarks: "landmarks",
    Angles: "angles", Embedding: "embedding",
}  # fmt: skip
"""Where a `Result` holds what one head says."""


def chosen(finding: Finding, names: frozenset[str], top: int | None) -> Finding:
    """Of objects and classes only those with one of the names, and no more than `top`."""
    if isinstance(finding, Detections):
        keep = np.array([finding.name(i) in names for i in range(len(finding))], np.bool_)
        return finding[np.flatnonzero(keep)[:top]]
    if isinstance(finding, Classification):
        places = [i for i in range(len(finding)) if finding.name(i) in names][:top]
        return Classification(finding.labels[places], finding.scores[places], finding.names)
    if isinstance(finding, Heads):
        # A head that has none of them was not asked for.
        parts = {name: chosen(head, names, top) for name, head in finding.by_name.items()}
        return Heads({name: part for name, part in parts.items() if isinstance(part, Classification) and len(part)})
    return finding


def merged(findings: list[Finding], predictor: Predictor, frame: Frame) -> Finding:
    """What several regions of one frame show, in source px: objects that two of them see count once."""
    parts = [part for part in findings if isinstance(part, Detections)]
    if len(parts) < len(findings):
        raise UnsupportedError(
            "only objects can be looked for in several parts of a frame; take --tiles off, or one region"
        )
    regions = predictor.regions(frame.width, frame.height)
    return join(parts, regions, frame.width, frame.height, predictor.settings)
