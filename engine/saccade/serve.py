"""The engine behind HTTP, in the form that SageMaker asks of a container: GET /ping, POST /invocations.

A picture comes as JPEG or PNG, or one or several as a NumPy array; the answer is JSON in the picture's pixels, or the
network's outputs as NumPy arrays for a pipeline that runs elsewhere (`saccade.models.remote`). Requests run on a pool
of infer requests, as many at a time as the model has streams; more wait their turn, and beyond that are told to come
again. On SIGTERM the server takes nothing new, finishes what it has and ends.
"""

from __future__ import annotations

import io
import json
import logging
import math
import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from saccade.capture.jpeg import decode_into, read_header
from saccade.errors import SaccadeError
from saccade.frame import Frame
from saccade.pipeline import WHOLE_FRAME, View, least_size_for, make_plan
from saccade.statistics import Stopwatch, Timing

if TYPE_CHECKING:
    from saccade.models import Model, Request

log = logging.getLogger(__name__)

MAX_BODY = 25 << 20
"""Largest request, bytes: SageMaker's own limit for an invocation."""

MAX_BATCH = 64
"""Most pictures in one array."""

JPEG, PNG, NPY, NPZ, JSON = "image/jpeg", "image/png", "application/x-npy", "application/x-npz", "application/json"

Outputs = Mapping[str, NDArray[np.float32]]


class RefusedError(SaccadeError):
    """A request that cannot be answered. status : HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ServeStatistics:
    """requests : answered with 200. pictures : in them. refused : answered with an error. infer : time of one run."""

    requests: int
    pictures: int
    refused: int
    infer: Timing


class Service:
    """A model with a pool of infer requests, from request body to answer.

    model, task : as `open_model` and `task_for` give them. waiting : requests that may wait for the pool.
    """

    def __init__(self, model: Model, task: Any, *, requests: int = 2, waiting: int = 32) -> None:
        self.model = model
        self.task = task
        self._port = model.inputs[0].name
        self._idle: queue.LifoQueue[Request] = queue.LifoQueue()
        for _ in range(requests):
            self._idle.put(model.request())
        self._threads = ThreadPoolExecutor(requests, thread_name_prefix="batch")
        self._places = threading.BoundedSemaphore(requests + waiting)
        self._lock = threading.Lock()
        self._answered = self._pictures = self._refused = 0
        self._watch = Stopwatch()
        self._warm_up()

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown()

    def statistics(self) -> ServeStatistics:
        """Figures so far."""
        with self._lock:
            return ServeStatistics(self._answered, self._pictures, self._refused, self._watch.statistics())

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """The answer to one POST, and its content type. Raises `RefusedError`."""
        if not self._places.acquire(blocking=False):
            self._count(refused=1)
            raise RefusedError(503, "too many requests wait; come again in a moment")
        try:
            answer, kind, pictures = self._answer(body, content_type, accept)
        except SaccadeError:
            self._count(refused=1)
            raise
        finally:
            self._places.release()
        self._count(answered=1, pictures=pictures)
        return answer, kind

    def describe(self) -> dict[str, Any]:
        """What a pipeline elsewhere must know to use this model in place of a local one."""
        spec = self.task.spec
        return {
            "model": self.model.name,
            "device": self.model.device,
            "precision": self.model.precision,
            "kind": self.task.kind,
            "names": list(getattr(self.task, "names", ())),
            "input": {"width": spec.width, "height": spec.height, "letterbox": spec.letterbox},
            "outputs": [
                {"name": port.name, "shape": list(port.shape), "made_by": port.made_by} for port in self.model.outputs
            ],
        }

    def _answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str, int]:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == JSON:
            if _json(body).get("describe") is not True:
                raise RefusedError(400, 'JSON may only ask {"describe": true}; send pictures as JPEG, PNG or NumPy')
            return _dump(self.describe()), JSON, 0
        raw = accept.partition(";")[0].strip().lower() == NPZ
        if kind == NPY:
            array = _array(body)
            if array.dtype == np.uint8 and array.ndim == 4:
                if raw:
                    raise RefusedError(406, "raw outputs are of one picture; ask for application/json")
                answers = list(self._threads.map(lambda picture: self._event(Frame.from_bgr(picture)), array))
                return _dump({"predictions": answers}), JSON, len(array)
            frame = Frame.from_bgr(array)
        elif kind in (JPEG, PNG):
            frame = self._decoded(body, kind)
        else:
            raise RefusedError(415, f"content type {content_type!r} is not known; send {JPEG}, {PNG} or {NPY}")
        if raw:
            return self._raw(frame, _threshold(accept)), NPZ, 1
        return _dump(self._event(frame)), JSON, 1

    def _decoded(self, body: bytes, kind: str) -> Frame:
        try:
            if kind == PNG:
                import cv2

                picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR) if body else None
                if picture is None:
                    raise RefusedError(400, "the PNG picture is damaged")
                return Frame.from_bgr(np.ascontiguousarray(picture, np.uint8))
            header = read_header(body)
            least = least_size_for(self.task.spec, WHOLE_FRAME, header.width, header.height)
            plane = np.empty((*header.scaled(*least), 3), np.uint8)
            decode_into(body, plane)
            return Frame(width=header.width, height=header.height, planes=(plane,))
        except RefusedError:
            raise
        except SaccadeError as error:
            raise RefusedError(400, str(error)) from None

    @contextmanager
    def _run(self, frame: Frame) -> Iterator[tuple[Outputs, View]]:
        """The outputs of one picture, valid inside the block."""
        plan, view = make_plan(frame, self.task.spec, WHOLE_FRAME)
        request = self._idle.get()
        try:
            plan(frame.planes[0], out=request.inputs[self._port])
            with self._watch.measure():
                request.infer()
            yield request.outputs, view
        finally:
            self._idle.put(request)

    def _event(self, frame: Frame) -> dict[str, Any]:
        event: dict[str, Any] = {"model": self.model.name, "width": frame.width, "height": frame.height}
        with self._run(frame) as (outputs, view):
            if self.task.kind == "detection":
                event["detections"] = self.task.decode(outputs, view.as_tuple()).to_event()
            elif self.task.kind == "classification":
                event["classes"] = self.task.decode(outputs).to_event()
            elif self.task.kind == "landmarks":
                points, score = self.task.decode(outputs)
                points = points * np.array([view.scale_x, view.scale_y, view.scale_x], np.float32)
                points += np.array([view.offset_x, view.offset_y, 0], np.float32)
                event |= {"score": round(score, 6), "landmarks": np.round(points, 2).tolist()}
            else:
                yaw, pitch, roll = self.task.decode(outputs)
                event["pose"] = {"yaw": yaw, "pitch": pitch, "roll": roll}
        return event

    def _raw(self, frame: Frame, threshold: float) -> bytes:
        """Arrays for a pipeline elsewhere: a detector's rows in parts of its input, or the network's outputs."""
        buffer = io.BytesIO()
        with self._run(frame) as (outputs, _):
            if self.task.kind == "detection":
                spec = self.task.spec
                unit = (1 / spec.width, 1 / spec.height, 0.0, 0.0)
                found = self.task.decode(outputs, unit, score_threshold=threshold)
                arrays: dict[str, Any] = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
                if found.keypoints is not None:
                    arrays["keypoints"] = found.keypoints
            else:
                arrays = dict(outputs)
            np.savez(buffer, **arrays)
        return buffer.getvalue()

    def _warm_up(self) -> None:
        spec = self.task.spec
        self._event(Frame.from_bgr(np.zeros((spec.height, spec.width, 3), np.uint8)))

    def _count(self, *, answered: int = 0, pictures: int = 0, refused: int = 0) -> None:
        with self._lock:
            self._answered += answered
            self._pictures += pictures
            self._refused += refused


class Server:
    """The HTTP side. `start()` or `with`, then `shutdown()`, which waits for what is under way.

    address : host and port; port 0 takes a free one.
    """

    def __init__(self, service: Service, address: tuple[str, int] = ("127.0.0.1", 8080)) -> None:
        self.service = service
        self.stopping = False
        self._busy = 0
        self._quiet = threading.Condition()
        self._server = _http(self, address)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="serve", daemon=True)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    @property
    def url(self) -> str:
        """Base address."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def shutdown(self, timeout: float = 25.0) -> None:
        """Take nothing new, finish what is under way (for `timeout` seconds at most), end."""
        self.stopping = True
        with self._quiet:
            self._quiet.wait_for(lambda: self._busy == 0, timeout)
        self._server.shutdown()
        self._server.server_close()
        self.service.close()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A request under way, which a shutdown waits for."""
        with self._quiet:
            self._busy += 1
        try:
            yield
        finally:
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()


def _http(server: Server, address: tuple[str, int]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 65  # an invocation may take 60 s
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/ping":
                self._answer(*((503, b"stopping\n") if server.stopping else (200, b"")), "text/plain")
            elif path == "/statistics.json":
                figures = server.service.statistics()
                infer = {"p50_ms": figures.infer.p50_ms, "p99_ms": figures.infer.p99_ms}
                counts = {name: getattr(figures, name) for name in ("requests", "pictures", "refused")}
                self._answer(200, _dump(counts | {"infer": infer}), JSON)
            else:
                self._refuse(404, f"{path} is not served; GET /ping or POST /invocations")

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            # The second form is the one that SageMaker's own runtime API has, so that its client can be pointed here.
            if path != "/invocations" and not (path.startswith("/endpoints/") and path.endswith("/invocations")):
                return self._refuse(404, f"{path} is not served; POST /invocations")
            length = self.headers.get("Content-Length", "")
            if not length.isdigit():
                return self._refuse(411, "Content-Length is missing")
            if int(length) > MAX_BODY:
                return self._refuse(413, f"{length} bytes are too many; a request may have {MAX_BODY}")
            if server.stopping:
                return self._refuse(503, "this server is stopping")
            with server.working():
                body = self.rfile.read(int(length))
                try:
                    answer, kind = server.service.answer(
                        body, self.headers.get("Content-Type", ""), self.headers.get("Accept", JSON)
                    )
                except RefusedError as error:
                    return self._refuse(error.status, str(error), body_read=True)
                except SaccadeError as error:
                    log.error("%s", error)
                    return self._refuse(500, str(error), body_read=True)
                return self._answer(200, answer, kind)

        def _refuse(self, status: int, message: str, *, body_read: bool = False) -> None:
            if not body_read:
                self.close_connection = True
            self._answer(status, _dump({"error": message}), JSON)

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 503:
                self.send_header("Retry-After", "1")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    http = ThreadingHTTPServer(address, Handler)
    http.daemon_threads = True
    return http


def _threshold(accept: str) -> float:
    """The threshold that an Accept header asks for, as `application/x-npz; threshold=0.3`."""
    _, _, text = accept.partition("threshold=")
    try:
        return min(max(float(text), 0.01), 0.99) if text else 0.5
    except ValueError:
        raise RefusedError(400, f"threshold is {text!r}; expected a number from 0 to 1") from None


def _array(body: bytes) -> NDArray[np.uint8]:
    """One picture (h, w, 3) or several (n, h, w, 3), uint8 BGR, from the .npy format."""
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(stream)
    except (ValueError, EOFError, OSError, TypeError) as error:
        raise RefusedError(400, f"the body is no NumPy array: {error}") from None
    if dtype != np.uint8 or by_columns or len(shape) not in (3, 4) or shape[-1] != 3 or min(shape) < 1:
        raise RefusedError(400, f"array is {dtype} {list(shape)}; expected uint8 (h, w, 3) or (n, h, w, 3)")
    if len(shape) == 4 and shape[0] > MAX_BATCH:
        raise RefusedError(413, f"{shape[0]} pictures in one array; {MAX_BATCH} are allowed")
    content = memoryview(body)[stream.tell() :]
    if math.prod(shape) != len(content):
        raise RefusedError(400, f"array {list(shape)} needs {math.prod(shape)} bytes and has {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    return value if isinstance(value, dict) else {}


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
