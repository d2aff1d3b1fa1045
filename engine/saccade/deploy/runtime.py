"""Functions in the real Lambda runtime: `awslambdaric` in a process of its own, driven over the Runtime API.

A `FunctionProcess` runs one invocation at a time, as one Lambda environment does. A process that dies or takes too long
fails its invocation and is replaced at the next one, with a cold start.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saccade.errors import SaccadeError
from saccade.service.address import bind
from saccade.service.limits import GoneError, Limits, RefusedError
from saccade.service.server import HttpServer, body_of

_PREFIX = "/2018-06-01/runtime/"

LIMITS = Limits(body_bytes=6 << 20, idle_seconds=900.0)
"""An answer may have 6 MB, as with Lambda; a function may be at its work for a quarter of an hour."""


class FunctionError(SaccadeError):
    """The function raised, timed out, or its process died. kind : the error's type, as Lambda names it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What a deployment says about a function.

    code : folder of its unpacked package. handler : as app.lambda_handler. timeout : s.
    environment : its own variables and those of the local AWS. log : file that its output is appended to.
    """

    name: str
    code: Path
    handler: str
    timeout: float
    environment: Mapping[str, str]
    log: Path
    region: str
    memory: int = 512


class _Invocation:
    def __init__(self, payload: bytes, timeout: float) -> None:
        self.id = str(uuid.uuid4())
        self.payload = payload
        self.deadline = time.time() + timeout
        self.done = threading.Event()
        self.answer: bytes | None = None
        self.error: FunctionError | None = None


class FunctionProcess:
    """One environment of a function; `invoke` from one thread at a time, others wait."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._lock = threading.Lock()
        self._next: queue.SimpleQueue[_Invocation] = queue.SimpleQueue()
        self._current: _Invocation | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._init_error: FunctionError | None = None
        self._server = HttpServer(
            bind("127.0.0.1", 0), _routes(self), limits=LIMITS, name=f"saccade-http-{function.name}"
        )
        self._server.start()
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Process number while one runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def invoke(self, event: object) -> Any:
        """The function's answer to an event; raises `FunctionError`."""
        with self._lock:
            if self.pid is None:
                self._start()
            process = self._process
            assert process is not None
            invocation = self._current = _Invocation(json.dumps(event).encode(), self.function.timeout)
            self._next.put(invocation)
            try:
                self._wait(invocation, process)
            finally:
                self._current = None
            if invocation.error is not None:
                raise invocation.error
            assert invocation.answer is not None
            return json.loads(invocation.answer)

    def close(self) -> None:
        """End the process and the API."""
        self._stop()
        self._server.stop()

    def _wait(self, invocation: _Invocation, process: subprocess.Popen[bytes]) -> None:
        while not invocation.done.wait(0.05):
            if self._init_error is not None:
                error, self._init_error = self._init_error, None
                self._stop()
                raise error
            if process.poll() is not None and not invocation.done.wait(0.05):
                self._forget()
                raise FunctionError(
                    "Runtime.ExitError", f"the process of {self.function.name} ended: {process.returncode}"
                )
            if time.time() > invocation.deadline:
                self._stop()
                raise FunctionError("Sandbox.Timedout", f"{self.function.name} took over {self.function.timeout:g} s")

    def _start(self) -> None:
        function = self.function
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONDONTWRITEBYTECODE": "1",  # a function's code is on a read-only disk
            "LAMBDA_TASK_ROOT": str(function.code),
            "AWS_LAMBDA_RUNTIME_API": f"{self._server.host}:{self._server.port}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            **function.environment,
        }
        with function.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", function.handler],
                cwd=function.code, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.starts += 1

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._forget()

    def _forget(self) -> None:
        """Events that a dead process did not take must not reach the next one."""
        self._process = None
        while not self._next.empty():
            self._next.get_nowait()

    def _take(self) -> _Invocation | None:
        """The next invocation, for a runtime that asks; None when its process is gone."""
        process = self._process
        while process is not None and process.poll() is None and process is self._process:
            try:
                invocation = self._next.get(timeout=0.5)
            except queue.Empty:
                continue
            if process is self._process and process.poll() is None:
                return invocation
            self._next.put(invocation)  # meant for the process that has taken this one's place
        return None


def _routes(owner: FunctionProcess) -> list[Route]:
    """Lambda's Runtime API."""

    async def next_invocation(request: Request) -> Response:
        invocation = await asyncio.to_thread(owner._take)
        if invocation is None:
            raise GoneError
        arn = f"arn:aws:lambda:{owner.function.region}:123456789012:function:{owner.function.name}"
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": arn,
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
        }
        return Response(invocation.payload, headers=headers, media_type="application/json")

    async def init_error(request: Request) -> Response:
        async with body_of(request) as body:
            owner._init_error = _function_error(bytes(body), "Runtime.InitError")
        return Response(status_code=202)

    async def result(request: Request) -> Response:
        async with body_of(request) as body:
            current, kind = owner._current, request.path_params["kind"]
            if current is None or request.path_params["id"] != current.id:
                raise RefusedError(404, "this invocation is not under way")
            if kind not in ("response", "error"):
                raise RefusedError(404, "an invocation has a response or an error")
            if kind == "response":
                current.answer = bytes(body)
            else:
                current.error = _function_error(bytes(body), "Unhandled")
            current.done.set()
        return Response(status_code=202)

    return [
        Route(f"{_PREFIX}invocation/next", next_invocation, methods=["GET"]),
        Route(f"{_PREFIX}init/error", init_error, methods=["POST"]),
        Route(_PREFIX + "invocation/{id}/{kind}", result, methods=["POST"]),
    ]


def _function_error(body: bytes, kind: str) -> FunctionError:
    try:
        fields = json.loads(body)
        return FunctionError(fields.get("errorType", kind), fields.get("errorMessage", ""))
    except ValueError:
        return FunctionError(kind, body.decode(errors="replace")[:500])
