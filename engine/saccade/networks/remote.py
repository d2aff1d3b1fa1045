"""A model that runs elsewhere, in place of a local one.

`http://HOST:PORT` is a `saccade serve`; `sagemaker://ENDPOINT` is the same behind Amazon SageMaker. A pipeline uses the
model as if it were here: it writes pixels into a request's input and reads outputs from it. Only the network's own
input leaves the device, as a JPEG of that size (or as raw pixels, with `?encoding=npy`), never the whole frame; means,
scales and colour order are the server's affair. Outputs are parsed where the network runs, so that a few hundred bytes
come back.

Options stand in the address: `?encoding=jpeg|npy`, `?quality=1..100` of the JPEG, `?threshold=` (percent) below which
a detector's boxes stay there, `?timeout=` in seconds; for SageMaker also `?region=`. The timeout is that of one try,
from the connection to the last byte of the answer, however slowly it comes. A call is tried three times, and no longer
than `CALL_SECONDS` in all.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import logging
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

import numpy as np
from numpy.typing import NDArray

from saccade.address import host_problem, without_credentials
from saccade.capture import jpeg
from saccade.capture.arrays import read_npz
from saccade.errors import ConfigError, DeviceError, ModelError, SourceError
from saccade.networks.network import Array, Inputs, Port
from saccade.networks.request import aligned
from saccade.networks.spec import InputSpec, Resize
from saccade.statistics import Stopwatch, Timing
from saccade.timed_http import TimedHttp, TimedHttps, TooLongError, exchange

log = logging.getLogger(__name__)

_ENDPOINT = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
_DENIED = ("AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException")
_BLOCK = 1 << 16  # bytes of an answer that are read at a time
_AGAIN = (408, 429)  # statuses of a line or a server that is too slow at present

SCHEMES = ("http", "https", "sagemaker")
TRIES = 3
BACK_OFF = 0.2  # s before the second try, twice that before the third
CALL_SECONDS = 22.0  # that all tries of a call have, in time for those who take what is longer for one that hangs
LONGEST_TIMEOUT = 20  # s, of one try
STARTING = 60.0  # s that an endpoint which is being started is waited for when it is opened
MAX_INVOCATION = 6 << 20  # bytes that SageMaker takes (BodyBlob in the model of its runtime's API)
MAX_CALLS = 16  # under way at a time
MAX_PIXELS = 1 << 26  # of an input
MAX_ANSWER = 1 << 28  # bytes of an answer, and of the arrays in it unpacked
MAX_DESCRIPTION = 1 << 22  # bytes of what a server says of itself, the names of its classes among it


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
    path: Path | None = None
    label_base = 0

    def __init__(self, address: str) -> None:
        parts = _parts(address)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = set(query) - {"encoding", "quality", "threshold", "timeout", "region"}
        if unknown:
            raise ConfigError(f"{address}: {', '.join(sorted(unknown))} is not an option of a model address")
        self._encoding = query.get("encoding", "jpeg")
        if self._encoding not in ("jpeg", "npy"):
            raise ConfigError(f"{address}: encoding is {self._encoding!r}; expected jpeg or npy")
        self._quality = _number(address, query, "quality", 90, 1, 100)
        self.threshold = _number(address, query, "threshold", 50, 1, 99) / 100
        self._timeout = timeout = _number(address, query, "timeout", 10, 1, LONGEST_TIMEOUT)
        if parts.scheme == "sagemaker":
            if parts.path.strip("/"):
                raise ConfigError(f"{address}: nothing may follow the endpoint's name but ?options")
            self._line: _Line = _SageMakerLine(parts.netloc, query.get("region"), timeout)
        else:
            self._line = _HttpLine(parts.scheme, parts.netloc, parts.path, timeout)
        # A pipeline does not close its model; its connections go when it goes.
        self._finalizer = weakref.finalize(self, self._line.close)
        self.address = address
        self.idle: deque[Any] = deque()
        self._threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="remote")
        self._lock = threading.Lock()
        self._calls = self._retries = self._sent = self._received = 0
        self._watch = Stopwatch()

        about = self._describe()
        self.name: str = about["model"]
        self.device = f"{about['device']} at {parts.scheme}://{parts.netloc}"
        self.precision: str = about["precision"]
        spec = about["input"]
        width, height = spec["width"], spec["height"]
        self.spec: InputSpec | None = InputSpec(
            width, height, "nhwc", "uint8", resize=spec["resize"], pad=spec["pad"],
            round_down=bool(spec.get("round_down", False)),
        )  # fmt: skip
        self.inputs: tuple[Port, ...] = (Port("picture", (1, height, width, 3), np.dtype(np.uint8)),)
        self.outputs: tuple[Port, ...] = ()
        self.metadata: Mapping[str, Any] = {
            "server": {key: about[key] for key in ("family", "task", "names")} | {"threshold": self.threshold}
        }

    def request(self) -> RemoteRequest:
        """A new request with an input of its own."""
        return RemoteRequest(self)

    def spread(self, threads: int, streams: int) -> bool:
        """It runs elsewhere: nothing is done."""
        del threads, streams
        return False

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

    def call(self, picture: Array, until: float | None = None) -> dict[str, NDArray[np.float32]]:
        """Send one input, uint8 (1, h, w, 3) BGR, and read the outputs.

        until : moment by which all tries are over; None: `CALL_SECONDS` from now.
        """
        if self._encoding == "jpeg":
            body, kind = jpeg.encode(picture[0], quality=self._quality, subsampling="444"), "image/jpeg"
        else:
            buffer = io.BytesIO()
            np.save(buffer, picture[0])
            body, kind = buffer.getvalue(), "application/x-npy"
        answer = self._post(body, kind, f"application/x-npz; threshold={self.threshold}", until=until)
        try:
            return read_npz(answer, MAX_ANSWER)
        except SourceError as error:
            raise ModelError(f"{self.address} gave no arrays: {error}") from error

    def start(self, picture: Array) -> Future[dict[str, NDArray[np.float32]]]:
        """`call()` in another thread; what it waits for one counts."""
        return self._threads.submit(self.call, picture, time.monotonic() + CALL_SECONDS)

    def close(self) -> None:
        """Let threads and connections go."""
        self._threads.shutdown()
        self._finalizer()

    def __repr__(self) -> str:
        return f"<RemoteModel {self.name} on {self.device} in {self.precision}>"

    def _describe(self) -> dict[str, Any]:
        kind = "application/json"
        said = self._post(b'{"describe":true}', kind, kind, most=MAX_DESCRIPTION, patience=STARTING)
        try:
            about = json.loads(said)
            input = about["input"]
            texts = [about[key] for key in ("model", "device", "precision", "family", "task")] + list(about["names"])
            if not isinstance(about["names"], list) or not all(isinstance(text, str) for text in texts):
                raise TypeError("names that are no text")
            numbers = input["width"], input["height"], input["pad"]
            if not all(type(number) is int for number in numbers) or input["resize"] not in get_args(Resize):
                raise TypeError("an input that is none")
            width, height, pad = numbers
            if not (0 <= pad <= 255 and width > 0 and height > 0 and width * height <= MAX_PIXELS):
                raise ValueError(f"an input of {width}x{height} px")
            return dict(about)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{self.address} is not a saccade server: {error!r}") from None

    def _post(
        self, body: bytes, kind: str, accept: str, *,
        until: float | None = None, most: int = MAX_ANSWER, patience: float = 0.0,
    ) -> bytes:  # fmt: skip
        """The answer, after as many tries as are worth it and can end in time.

        until : as for `call`. most : bytes of it. patience : seconds more for what is still being started.
        """
        begun = time.monotonic()
        started = begun + patience
        last = (started + CALL_SECONDS if until is None else until) - self._timeout
        problem, tries, made = "what was to be asked before it took too long", 0, 0
        while tries < TRIES:
            pause = BACK_OFF * max(tries, 1) if made else 0.0
            if time.monotonic() + pause > last:
                break
            if made:
                with self._lock:
                    self._retries += 1
                time.sleep(pause)
            made += 1
            try:
                with self._watch.measure():
                    status, answer = self._line.post(body, kind, accept, most)
            except TooLongError as error:
                raise ModelError(f"{self.address} is not a saccade server: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
                tries += not (isinstance(error, _StartingError) and time.monotonic() < started)
                continue
            tries += 1
            with self._lock:
                self._sent += len(body)
                self._received += len(answer)
            if status == 200:
                with self._lock:
                    self._calls += 1
                return answer
            problem = f"status {status}: {answer[:300].decode(errors='replace')}"
            if status < 500 and status not in _AGAIN:
                raise ModelError(f"{self.address} refuses the picture: {problem}")
        seconds = time.monotonic() - begun
        raise DeviceError(
            f"{self.address} does not answer ({problem}; tries: {made} in {seconds:.1f} s); {self._line.advice}"
        )


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
        future = self._future  # the callback's thread also waits, and forgets it
        if future is not None:
            try:
                self._outputs = future.result()
            finally:
                self._future = None

    @property
    def done(self) -> bool:
        """True if `wait()` would return at once."""
        future = self._future
        return future is None or future.done()

    def _completed(self, done: Future[Any], callback: Callable[[RemoteRequest], None]) -> None:
        if done.exception() is None:
            self.wait()
            callback(self)

    def _refuse_in_flight(self) -> None:
        if self._future is not None:
            raise ModelError("the request is in flight; call wait() before it is used again")


class _Line(Protocol):
    advice: str

    def post(self, body: bytes, kind: str, accept: str, most: int) -> tuple[int, bytes]:
        """Status and body of the answer; TooLongError where that has more than `most` bytes."""

    def close(self) -> None:
        """Close all connections."""


class _HttpLine:
    """Connections that are kept open, one for each call under way."""

    advice = "check that `saccade serve` runs there"

    def __init__(self, scheme: str, place: str, path: str, timeout: float) -> None:
        self._kind = TimedHttps if scheme == "https" else TimedHttp
        self._place = place
        self._path = quote(path.rstrip("/"), safe="/%:@!$&'()*+,;=~") + "/invocations"
        self._timeout = timeout
        self._idle: list[TimedHttp] = []

    def post(self, body: bytes, kind: str, accept: str, most: int) -> tuple[int, bytes]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._kind(self._place, timeout=self._timeout)
        headers = {"Content-Type": kind, "Accept": accept}
        try:
            answer = exchange(connection, "POST", self._path, body, headers, seconds=self._timeout, most=most)
        except BaseException:
            # The others are as old: where a server was away, each of them would cost one more try.
            self.close()
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        with contextlib.suppress(IndexError):  # others take from it meanwhile
            while True:
                self._idle.pop().close()


class _StartingError(OSError):
    """Nobody answers yet, since what is to answer is being started."""


class _SageMakerLine:
    """`InvokeEndpoint` of Amazon SageMaker, with the credentials, the region and the address that boto3 finds."""

    advice = "`saccade cloud endpoint status` tells its state, its log is in CloudWatch"

    def __init__(self, endpoint: str, region: str | None, timeout: float) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        from saccade.networks import timed_aws

        if not _ENDPOINT.fullmatch(endpoint):
            raise ConfigError(f"sagemaker://{endpoint}: expected sagemaker:// and the name of an endpoint")
        # Tries are counted here, for all lines alike.
        config = Config(
            max_pool_connections=MAX_CALLS,
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"total_max_attempts": 1},
        )
        try:
            self._client: Any = boto3.Session(region_name=region).client("sagemaker-runtime", config=config)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"sagemaker://{endpoint}: {error}") from None
        timed_aws.limit(self._client)
        self._endpoint = endpoint
        self._timeout = timeout

    def post(self, body: bytes, kind: str, accept: str, most: int) -> tuple[int, bytes]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ReadTimeoutError

        if len(body) > MAX_INVOCATION:
            raise ModelError(
                f"sagemaker://{self._endpoint}: a picture of {len(body)} bytes; SageMaker takes {MAX_INVOCATION}: "
                "leave ?encoding=npy out, or lower ?quality="
            )
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._endpoint, ContentType=kind, Accept=accept, Body=body
            )
            content = bytearray()
            with contextlib.closing(answer["Body"]) as stream:
                while block := stream.read(_BLOCK):  # the last, empty one compares the length with what was announced
                    content += block
                    if len(content) > most:
                        raise TooLongError(f"an answer of more than {most} bytes")
        except ClientError as error:
            return self._refused(error.response)
        except NoCredentialsError:
            raise ConfigError(
                f"sagemaker://{self._endpoint}: there are no AWS credentials; set a profile, or run on a device "
                "with the stack's role"
            ) from None
        except ReadTimeoutError as error:
            raise _StartingError(f"no whole answer in {self._timeout:g} s") from error
        except BotoCoreError as error:
            raise OSError(str(error)) from error
        return 200, bytes(content)

    def _refused(self, response: Any) -> tuple[int, bytes]:
        """What AWS says instead of an answer: raises where another try is of no use, else a status to go by."""
        code, said = response["Error"]["Code"], response["Error"].get("Message", "")
        status = int(response["ResponseMetadata"]["HTTPStatusCode"])
        if code == "ModelError":  # the container has answered, and with an error
            return int(response.get("OriginalStatusCode") or 500), str(response.get("OriginalMessage") or said).encode()
        if code == "ModelNotReadyException":
            raise _StartingError(f"{code}: {said}")
        if "not found" in said.lower():
            region = self._client.meta.region_name
            raise ConfigError(f"sagemaker://{self._endpoint}: there is none in {region} ({said}); {self.advice}")
        if status == 403 or code in _DENIED:
            raise ConfigError(
                f"sagemaker://{self._endpoint}: AWS refuses ({code}: {said}); it takes valid credentials with the "
                "right sagemaker:InvokeEndpoint"
            )
        again = status == 429 or code in _THROTTLED
        return 503 if again else status, f"{code}: {said}".encode()

    def close(self) -> None:
        self._client.close()


def _parts(address: str) -> SplitResult:
    """An address, taken apart; ConfigError where no server can be reached by it."""
    place = without_credentials(address)
    if problem := host_problem(address):
        raise ConfigError(f"{place}: {problem}; expected HOST:PORT")
    try:
        parts = urlsplit(address)
        if not parts.hostname or parts.port == 0:
            raise ValueError("there is no host or port")
    except ValueError as error:
        raise ConfigError(f"{place}: {error}; expected HOST:PORT") from None
    if parts.username is not None:
        raise ConfigError(f"{place}: a server is not told a user name or a password; leave them out of the address")
    return parts


def _number(address: str, query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ConfigError(f"{address}: {name} is {text!r}; expected {least} to {most}")
    return int(text)
