"""The engine behind HTTP, in the form that SageMaker asks of a container: GET /ping, POST /invocations; beside it the
tensors of the Open Inference Protocol (see `open_inference`).

A picture comes as JPEG or PNG, or one or several as a NumPy array; the answer is JSON in the picture's pixels, or the
network's outputs as NumPy arrays for a pipeline that runs elsewhere (`saccade.networks.remote`). Requests run on a pool
of infer requests, as many at a time as the model has streams; more wait their turn, and beyond that are told to come
again; decoding belongs to the request, so that it is bounded with it. On SIGTERM the server takes nothing new, finishes
what it has and ends.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from saccade.capture import jpeg, still
from saccade.capture.arrays import read_npy
from saccade.config.commands import ServeConfig
from saccade.errors import SaccadeError, SourceError, UnsupportedError
from saccade.formats.shapes import Shapes, parse_shapes
from saccade.frame import Frame
from saccade.geometry import WHOLE_FRAME
from saccade.networks import open_network
from saccade.predict import wire
from saccade.predict.opening import Wishes, open_predictor, understand
from saccade.service.address import bind, is_loopback, url_of
from saccade.service.guard import Door
from saccade.service.limits import Limits, RefusedError
from saccade.service.open_inference import OpenInference
from saccade.service.server import HttpServer, as_json, body_of, json_bytes
from saccade.statistics import Stopwatch, Timing

if TYPE_CHECKING:
    from saccade.networks.network import Network
    from saccade.predict.predictor import Predictor

log = logging.getLogger(__name__)

MAX_BODY = 25 << 20
"""Largest request, bytes; what comes through SageMaker has 6 MiB at most."""

MAX_JSON = 1 << 10
"""Bytes of JSON at /invocations, which has one short question only; more is not looked at."""

MAX_BATCH = 64
"""Most pictures in one array."""

JPEG, PNG, NPY, NPZ, JSON = "image/jpeg", "image/png", "application/x-npy", "application/x-npz", "application/json"


LIMITS = Limits(body_bytes=MAX_BODY, buffered_bytes=4 * MAX_BODY, stall_seconds=30.0)


Body = memoryview
T = TypeVar("T")


@dataclass(slots=True)
class Admitted:
    """A request that is worked on. pictures : in it, once they are known."""

    pictures: int = 0


@dataclass(frozen=True, slots=True)
class ServeStatistics:
    """requests : answered with 200. pictures : in them. refused : answered with an error. infer : time of one run."""

    requests: int
    pictures: int
    refused: int
    infer: Timing


class Service:
    """A predictor, from request body to answer.

    requests : pictures that are worked on, decoding included, at the same time, each by one of as many threads.
    waiting : requests that may wait for their turn.

    Attributes: predictor, and watch, which measures the runs.
    """

    def __init__(self, predictor: Predictor, *, requests: int = 2, waiting: int = 32) -> None:
        self.predictor = predictor
        self._threads = ThreadPoolExecutor(requests, thread_name_prefix="saccade-request")
        self._most = requests + waiting
        self._lock = threading.Lock()
        self._present = 0
        self._answered = self._pictures = self._refused = 0
        self.watch = Stopwatch()
        predictor.warm_up(requests)

    def close(self) -> None:
        """Let the threads go; what has not begun is not begun."""
        self._threads.shutdown(cancel_futures=True)

    def statistics(self) -> ServeStatistics:
        """Figures so far."""
        with self._lock:
            return ServeStatistics(self._answered, self._pictures, self._refused, self.watch.statistics())

    async def answer(self, body: Body, content_type: str, accept: str) -> tuple[bytes, str]:
        """The answer to one POST, and its content type. Raises `RefusedError`."""
        with self.admitted() as request:
            kind = content_type.partition(";")[0].strip().lower()
            answer, made, request.pictures = await self._answer(body, kind, content_type, accept)
        return answer, made

    @contextmanager
    def admitted(self) -> Iterator[Admitted]:
        """A request among those that are worked on, counted; raises `RefusedError` where they are too many."""
        with self._lock:
            full = self._present >= self._most
            self._present += not full
            self._refused += full
        if full:
            raise RefusedError(503, "too many requests wait; come again in a moment")
        request = Admitted()
        try:
            yield request
        except BaseException:
            self._count(refused=1)
            raise
        finally:
            with self._lock:
                self._present -= 1
        self._count(answered=1, pictures=request.pictures)

    async def in_turn(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns, done by a thread of the pool when its turn has come."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def describe(self) -> dict[str, Any]:
        """What a pipeline elsewhere must know to use this model in place of a local one."""
        predictor, spec = self.predictor, self.predictor.spec
        return {
            "model": predictor.name,
            "device": predictor.network.device,
            "precision": predictor.network.precision,
            "task": predictor.task,
            "family": predictor.parser.family,
            "names": list(predictor.parser.names),
            "input": {
                "width": spec.width,
                "height": spec.height,
                "resize": spec.resize,
                "pad": spec.pad,
                "round_down": spec.round_down,
            },
        }

    async def _answer(self, body: Body, kind: str, content_type: str, accept: str) -> tuple[bytes, str, int]:
        if kind == JSON:
            if _json(body).get("describe") is not True:
                raise RefusedError(400, 'JSON may only ask {"describe": true}; send pictures as JPEG, PNG or NumPy')
            return json_bytes(self.describe()), JSON, 0
        raw = accept.partition(";")[0].strip().lower() == NPZ
        if kind == NPY:
            array = _array(body)
            if array.ndim == 4:
                if raw:
                    raise RefusedError(406, "raw outputs are of one picture; ask for application/json")
                answers = await asyncio.gather(*(self.in_turn(self._picture, picture) for picture in array))
                return json_bytes({"predictions": answers}), JSON, len(array)
            frame: Callable[[], Frame] = partial(Frame.from_bgr, array)
        elif kind in (JPEG, PNG):
            frame = partial(self._decoded, body, kind)
        else:
            raise RefusedError(415, f"content type {content_type!r} is not known; send {JPEG}, {PNG} or {NPY}")
        if raw:
            threshold = _threshold(accept)
            return await self.in_turn(lambda: self._raw(frame(), threshold)), NPZ, 1
        return await self.in_turn(lambda: json_bytes(self._event(frame()))), JSON, 1

    def _decoded(self, body: Body, kind: str) -> Frame:
        data = bytes(body)
        try:
            if kind == PNG or jpeg.orientation(data) != 1:
                return Frame.from_bgr(still.decode(data))
            header = jpeg.read_header(data)
            opened = still.open_jpeg(data, self.predictor.least_size(header.width, header.height))
            return Frame(width=opened.header.width, height=opened.header.height, planes=(opened.picture,))
        except SaccadeError as error:
            raise RefusedError(400, str(error)) from None

    def _picture(self, array: NDArray[np.uint8]) -> dict[str, Any]:
        return self._event(Frame.from_bgr(array))

    def _event(self, frame: Frame) -> dict[str, Any]:
        with self.watch.measure():
            result = self.predictor(frame)
        said = result.to_event()
        return {"model": self.predictor.name, "width": frame.width, "height": frame.height} | {
            key: value for key, value in said.items() if key not in ("frame", "time", "app")
        }

    def _raw(self, frame: Frame, threshold: float) -> bytes:
        """What the network finds in one of its own inputs, as arrays, for a pipeline elsewhere."""
        with self.watch.measure():
            finding, _ = self.predictor.find(frame, WHOLE_FRAME, threshold=threshold)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(wire.to_arrays(finding))
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def _count(self, *, answered: int = 0, pictures: int = 0, refused: int = 0) -> None:
        with self._lock:
            self._answered += answered
            self._pictures += pictures
            self._refused += refused


class Server:
    """The HTTP side. `start()` or `with`, then `shutdown()`, which waits for what is under way.

    address : host and port; port 0 takes a free one. names : host names that browsers may know it by, beside addresses.
    open_whole : see `OpenInference`.
    Raises OSError where the address cannot be bound.
    """

    def __init__(
        self,
        service: Service,
        address: tuple[str, int] = ("127.0.0.1", 8080),
        *,
        names: tuple[str, ...] = (),
        limits: Limits = LIMITS,
        open_whole: Callable[[], Network] | None = None,
    ) -> None:
        self.service = service
        self.stopping = False
        self._tensors = OpenInference(service, lambda: self.stopping, open_whole)
        bound = bind(*address)
        loopback = is_loopback(str(bound.getsockname()[0]))
        # A container is asked by whatever name its network has for it; browsers, which a foreign page may drive, say
        # who they are and have to use an address.
        known = frozenset({"localhost", socket.gethostname().lower(), address[0].lower(), *(n.lower() for n in names)})
        door = Door(loopback=loopback, names=known, local_names=True, tools=not loopback)
        self.http = HttpServer(bound, self._routes(), door=door, limits=limits, render=as_json, name="saccade-serve")

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    @property
    def url(self) -> str:
        """Base address."""
        return url_of(self.http.host, self.http.port)

    def start(self) -> None:
        """Answer from now on."""
        self.http.start()

    def shutdown(self, timeout: float = 25.0) -> None:
        """Take nothing new, finish what is under way (for `timeout` seconds at most), end."""
        self.stopping = True
        self.http.stop(timeout)
        self.service.close()

    def _routes(self) -> list[BaseRoute]:
        return [
            Route("/ping", self._ping, methods=["GET"]),
            Route("/invocations", self._invoke, methods=["POST"]),
            # The form that SageMaker's own runtime API has, so that its client can be pointed here.
            Route("/endpoints/{name:path}/invocations", self._invoke, methods=["POST"]),
            Route("/statistics.json", self._statistics, methods=["GET"]),
            *self._tensors.routes(),
        ]

    async def _ping(self, request: Request) -> Response:
        if self.stopping:
            raise RefusedError(503, "this server is stopping")
        return Response(b"", media_type="text/plain")

    async def _statistics(self, request: Request) -> Response:
        figures = self.service.statistics()
        infer = {"p50_ms": figures.infer.p50_ms, "p99_ms": figures.infer.p99_ms}
        counts = {name: getattr(figures, name) for name in ("requests", "pictures", "refused")}
        return Response(json_bytes(counts | {"infer": infer}), media_type=JSON)

    async def _invoke(self, request: Request) -> Response:
        if self.stopping:
            raise RefusedError(503, "this server is stopping")
        async with body_of(request) as body:
            headers = request.headers
            try:
                answer, kind = await self.service.answer(
                    memoryview(body).toreadonly(), headers.get("content-type", ""), headers.get("accept", JSON)
                )
            except RefusedError:
                raise
            except SaccadeError as error:
                log.error("%s", error)
                raise RefusedError(500, str(error)) from None
        return Response(answer, media_type=kind)


def open_served(config: ServeConfig, **options: Any) -> Predictor:
    """The model with what its outputs mean; where nobody knows that, its tensors can be served all the same.

    options : of the network. Raises what `open_predictor` raises.
    """
    try:
        return open_understood(config, **options)
    except UnsupportedError as error:
        network = open_network(config.model, batch=1, input_shapes=input_shapes(config), **options)
        predictor = understand(network, Wishes(), name=config.model, raw=True)
        log.warning("%s; only /v2 serves it, as tensors", error)
        return predictor


def open_understood(config: ServeConfig, **options: Any) -> Predictor:
    """The model as the configuration says; raises UnsupportedError where nobody knows what its outputs mean."""
    return open_predictor(
        config.model, input_shapes=input_shapes(config), labels=config.labels or None, task=config.task,
        head=config.head, classes=config.classes, threshold=config.threshold, iou=config.iou, top=config.top,
        mean=config.mean or None, scale=config.scale or None, color=config.color, resize=config.resize, pad=config.pad,
        **options,
    )  # fmt: skip


def input_shapes(config: ServeConfig) -> Shapes | None:
    """Sizes of inputs that the configuration states, as `open_network` takes them."""
    return parse_shapes([config.input_shape]) if config.input_shape else None


def _threshold(accept: str) -> float:
    """The threshold that an Accept header asks for, as `application/x-npz; threshold=0.3`."""
    _, _, text = accept.partition("threshold=")
    try:
        asked = float(text) if text else 0.5
    except ValueError:
        asked = math.nan
    if not 0 <= asked <= 1:
        raise RefusedError(400, f"threshold is {text[:40]!r}; expected a number from 0 to 1")
    return min(max(asked, 0.01), 0.99)


def _array(body: Body) -> NDArray[np.uint8]:
    """One picture (h, w, 3) or several (n, h, w, 3), uint8 BGR, from the .npy format."""
    try:
        array = read_npy(body)
    except SourceError as error:
        raise RefusedError(400, f"{error}; expected uint8 (h, w, 3) or (n, h, w, 3)") from None
    fits = array.dtype == np.uint8 and array.ndim in (3, 4) and array.shape[-1] == 3 and array.size
    if not fits or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else " by columns"
        raise RefusedError(
            400, f"array is {array.dtype} {list(array.shape)}{order}; expected uint8 (h, w, 3) or (n, h, w, 3)"
        )
    if array.ndim == 4 and len(array) > MAX_BATCH:
        raise RefusedError(413, f"{len(array)} pictures in one array; {MAX_BATCH} are allowed")
    return array


def _json(body: Body) -> dict[str, Any]:
    try:
        value = json.loads(bytes(body)) if len(body) <= MAX_JSON else None
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    return value if isinstance(value, dict) else {}
