"""A model that runs elsewhere, in place of a local one.

`http://HOST:PORT` is a `saccade serve`; `sagemaker://ENDPOINT` is the same behind Amazon SageMaker. A pipeline uses the
model as if it were here: it writes pixels into a request's input and reads outputs from it. Only the network's own
input leaves the device, as a JPEG of that size (or as raw pixels, with `?encoding=npy`), never the whole frame; means,
scales and colour order are the server's affair. A detector's boxes are decoded where it runs, so that a few hundred
bytes come back.

Options stand in the address: `?encoding=jpeg|npy`, `?quality=1..100` of the JPEG, `?threshold=` (percent) below which
a detector's boxes stay there, `?timeout=` in seconds; for SageMaker also `?region=`.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from saccade.errors import ConfigError, DeviceError, ModelError
from saccade.models.runner import Array, Inputs, Port, aligned
from saccade.models.spec import InputSpec
from saccade.results import Detections
from saccade.statistics import Stopwatch, Timing

if TYPE_CHECKING:
    from saccade.models.tasks import Outputs, Task, ToSource

log = logging.getLogger(__name__)

SCHEMES = ("http", "https", "sagemaker")
TRIES = 3
BACK_OFF = 0.2  # s before the second try, twice that before the third


@dataclass(frozen=True, slots=True)
class RemoteStatistics:
    """calls : answered. retries : calls repeated. bytes_sent, bytes_received : bodies. latency : of one call."""

    calls: int
    retries: int
    bytes_sent: int
    bytes_received: int
    latency: Timing


def is_remote(address: str) -> bool:
    """Whether an address is one of these, rather than a file's or a catalogue name."""
    return address.partition("://")[0] in SCHEMES and "://" in address


class RemoteModel:
    """The counterpart of `Model`; its attributes and methods are the same.

    Raises ConfigError for an address that cannot be, DeviceError where the server does not answer, ModelError where
    it answers that it cannot.
    """

    is_remote = True
    path = None
    label_base = 0

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = set(query) - {"encoding", "quality", "threshold", "timeout", "region"}
        if unknown:
            raise ConfigError(f"{address}: {', '.join(sorted(unknown))} is not an option of a model address")
        self._encoding = query.get("encoding", "jpeg")
        if self._encoding not in ("jpeg", "npy"):
            raise ConfigError(f"{address}: encoding is {self._encoding!r}; expected jpeg or npy")
        self._quality = _number(address, query, "quality", 90, 1, 100)
        self.threshold = _number(address, query, "threshold", 50, 1, 99) / 100
        timeout = _number(address, query, "timeout", 10, 1, 60)
        if parts.scheme == "sagemaker":
            self._line: _Line = _SageMakerLine(parts.netloc, query.get("region"), timeout)
        else:
            self._line = _HttpLine(parts.scheme, parts.netloc, parts.path, timeout)
        # A pipeline does not close its model; its connections go when it goes.
        self._finalizer = weakref.finalize(self, self._line.close)
        self.address = address
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="remote")
        self._lock = threading.Lock()
        self._calls = self._retries = self._sent = self._received = 0
        self._watch = Stopwatch()

        about = self._describe()
        self.name: str = about["model"]
        self.device = f"{about['device']} at {parts.scheme}://{parts.netloc}"
        self.precision: str = about["precision"]
        spec = about["input"]
        self.spec = InputSpec(spec["width"], spec["height"], "nhwc", "uint8", letterbox=spec["letterbox"])
        self.inputs = (Port("picture", (1, self.spec.height, self.spec.width, 3), np.dtype(np.uint8)),)
        self.kind: str = about["kind"]
        self.names = tuple(about["names"])
        self.outputs = tuple(
            Port(port["name"], tuple(port["shape"]), np.dtype(np.float32), port["made_by"]) for port in about["outputs"]
        )

    @property
    def task(self) -> RemoteDetector | None:
        """The task of a detector, whose boxes the server decodes; None for other networks."""
        return RemoteDetector(self.spec, self.names, self.threshold) if self.kind == "detection" else None

    def adapt(self, task: Task) -> Task:
        """A task whose network is there: the pixels are made ready there, too."""
        task.spec = self.spec
        return task

    def request(self) -> RemoteRequest:
        """A new request with an input of its own."""
        return RemoteRequest(self)

    def infer(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Run once; may be called from several threads. inputs : uint8 (1, height, width, 3), BGR."""
        array = np.asarray(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
        port = self.inputs[0]
        if array.shape != port.shape or array.dtype != port.dtype:
            raise ModelError(f"{self.name}: input is {array.dtype} {array.shape}; there it is uint8 {port.shape}")
        return self.call(array)

    def statistics(self) -> RemoteStatistics:
        """Figures so far."""
        with self._lock:
            return RemoteStatistics(self._calls, self._retries, self._sent, self._received, self._watch.statistics())

    def call(self, picture: Array) -> dict[str, NDArray[np.float32]]:
        """Send one input, uint8 (1, h, w, 3) BGR, and read the outputs."""
        if self._encoding == "jpeg":
            body, kind = simplejpeg.encode_jpeg(picture[0], self._quality, "BGR", "444"), "image/jpeg"
        else:
            buffer = io.BytesIO()
            np.save(buffer, picture[0])
            body, kind = buffer.getvalue(), "application/x-npy"
        answer = self._post(body, kind, f"application/x-npz; threshold={self.threshold}")
        try:
            with np.load(io.BytesIO(answer), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (ValueError, OSError) as error:
            raise ModelError(f"{self.address} gave no arrays: {error}") from error

    def start(self, picture: Array) -> Future[dict[str, NDArray[np.float32]]]:
        """`call()` in another thread."""
        return self._threads.submit(self.call, picture)

    def close(self) -> None:
        """Let threads and connections go."""
        self._threads.shutdown()
        self._finalizer()

    def __repr__(self) -> str:
        return f"<RemoteModel {self.name} on {self.device} in {self.precision}>"

    def _describe(self) -> dict[str, Any]:
        try:
            about = json.loads(self._post(b'{"describe":true}', "application/json", "application/json"))
            input = about["input"]
            InputSpec(int(input["width"]), int(input["height"]), letterbox=bool(input["letterbox"]))
            return dict(about)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{self.address} is not a saccade server: {error!r}") from None

    def _post(self, body: bytes, kind: str, accept: str) -> bytes:
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                with self._lock:
                    self._retries += 1
                time.sleep(BACK_OFF * attempt)
            try:
                with self._watch.measure():
                    status, answer = self._line.post(body, kind, accept)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
                continue
            with self._lock:
                self._sent += len(body)
                self._received += len(answer)
            if status == 200:
                with self._lock:
                    self._calls += 1
                return answer
            problem = f"status {status}: {answer[:300].decode(errors='replace')}"
            if status < 500:
                raise ModelError(f"{self.address} refuses the picture: {problem}")
        raise DeviceError(f"{self.address} does not answer ({problem}); check that `saccade serve` runs there")


class RemoteRequest:
    """The counterpart of `Request`."""

    def __init__(self, model: RemoteModel) -> None:
        self._model = model
        port = model.inputs[0]
        self._inputs: dict[str, Array] = {port.name: aligned(port.shape, port.dtype)}
        self._picture = self._inputs[port.name]
        self._outputs: dict[str, NDArray[np.float32]] = {}
        self._future: Future[dict[str, NDArray[np.float32]]] | None = None

    @property
    def inputs(self) -> dict[str, Array]:
        """Input arrays by name; raises while a run is in flight."""
        self._refuse_in_flight()
        return self._inputs

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """Output arrays by name; raises while a run is in flight."""
        self._refuse_in_flight()
        return self._outputs

    def infer(self) -> None:
        """Run and wait."""
        self._refuse_in_flight()
        self._outputs = self._model.call(self._picture)

    def start(self, callback: Callable[[RemoteRequest], None] | None = None) -> None:
        """Begin a run and return at once; `callback` is called at its end, unless it failed."""
        self._refuse_in_flight()
        self._future = self._model.start(self._picture)
        if callback is not None:
            self._future.add_done_callback(lambda done: self._completed(done, callback))

    def wait(self) -> None:
        """Until the run is over; raises what went wrong with it."""
        if self._future is not None:
            try:
                self._outputs = self._future.result()
            finally:
                self._future = None

    @property
    def done(self) -> bool:
        """True if `wait()` would return at once."""
        return self._future is None or self._future.done()

    def _completed(self, done: Future[Any], callback: Callable[[RemoteRequest], None]) -> None:
        if done.exception() is None:
            self.wait()
            callback(self)

    def _refuse_in_flight(self) -> None:
        if self._future is not None:
            raise ModelError("the request is in flight; call wait() before it is used again")


class RemoteDetector:
    """A detector whose boxes come decoded, in parts of the network's input, from `threshold` up."""

    kind: Literal["detection"] = "detection"

    def __init__(self, spec: InputSpec, names: tuple[str, ...], threshold: float) -> None:
        self.spec = spec
        self.names = names
        self.threshold = threshold
        self._warned = False

    def decode(
        self, outputs: Outputs, to_source: ToSource, *, score_threshold: float = 0.5, iou_threshold: float = 0.3
    ) -> Detections:
        """Objects of one run, best first, source px. Overlapping boxes are gone already."""
        if score_threshold < self.threshold and not self._warned:
            self._warned = True
            log.warning(
                "boxes below %.2f are not sent; add ?threshold=%d to the address", self.threshold, 100 * score_threshold
            )
        keep = outputs["scores"] >= score_threshold
        sx, sy, tx, ty = to_source
        unit = np.array([sx * self.spec.width, sy * self.spec.height], np.float32)
        offset = np.array([tx, ty], np.float32)
        boxes = (outputs["boxes"][keep].reshape(-1, 2, 2) * unit + offset).reshape(-1, 4)
        points = outputs.get("keypoints")
        return Detections(
            boxes=boxes[:, [2, 1, 0, 3]] if sx < 0 else boxes,
            scores=outputs["scores"][keep],
            labels=outputs["labels"][keep].astype(np.int32),
            keypoints=None if points is None else points[keep] * unit + offset,
            names=self.names,
        )


class _Line(Protocol):
    def post(self, body: bytes, kind: str, accept: str) -> tuple[int, bytes]:
        """Status and body of the answer."""

    def close(self) -> None:
        """Close all connections."""


class _HttpLine:
    """Connections that are kept open, one for each call under way."""

    def __init__(self, scheme: str, place: str, path: str, timeout: float) -> None:
        self._kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        self._place = place
        self._path = path.rstrip("/") + "/invocations"
        self._timeout = timeout
        self._idle: list[http.client.HTTPConnection] = []
        try:
            self._kind(place).close()
        except (http.client.HTTPException, ValueError) as error:
            raise ConfigError(f"{scheme}://{place}: {error}; expected HOST:PORT") from None

    def post(self, body: bytes, kind: str, accept: str) -> tuple[int, bytes]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._kind(self._place, timeout=self._timeout)
        try:
            connection.request("POST", self._path, body, {"Content-Type": kind, "Accept": accept})
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return answer.status, content

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _SageMakerLine:
    """`InvokeEndpoint` of Amazon SageMaker, with the credentials that boto3 finds."""

    def __init__(self, endpoint: str, region: str | None, timeout: float) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            max_pool_connections=16, connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1}
        )
        try:
            self._client: Any = boto3.client("sagemaker-runtime", region_name=region, config=config)
        except BotoCoreError as error:
            raise ConfigError(f"sagemaker://{endpoint}: {error}") from None
        self._endpoint = endpoint

    def post(self, body: bytes, kind: str, accept: str) -> tuple[int, bytes]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._endpoint, ContentType=kind, Accept=accept, Body=body
            )
            return 200, answer["Body"].read()
        except ClientError as error:
            status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            throttled = error.response["Error"]["Code"] in ("ThrottlingException", "ModelNotReadyException")
            return 503 if throttled else status, str(error).encode()
        except BotoCoreError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        self._client.close()


def _number(address: str, query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit() or not least <= int(text) <= most:
        raise ConfigError(f"{address}: {name} is {text!r}; expected {least} to {most}")
    return int(text)
