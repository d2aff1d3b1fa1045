"""The Open Inference Protocol (KServe v2) over REST: a network's tensors, beside the pictures of `serve`.

    GET  /v2, /v2/health/live, /v2/health/ready, /v2/models/M[/versions/V][/ready]
    POST /v2/models/M[/versions/V]/infer

Clients of KServe, Triton and OpenVINO's model server speak it. They bring what the network itself takes and get what
it itself says: nothing is resized, scaled or parsed here. Every network that saccade reads is behind it alike.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import saccade
from saccade.errors import SaccadeError
from saccade.networks.network import Network
from saccade.service import tensors
from saccade.service.limits import RefusedError
from saccade.service.server import body_of, json_bytes

if TYPE_CHECKING:
    from saccade.service.serve import Service

VERSION = "1"
"""A served network has one version."""

JSON, BYTES = "application/json", "application/octet-stream"

HEADER_LENGTH = "Inference-Header-Content-Length"


class OpenInference:
    """The routes of one served network.

    service : its turns and places are shared with the other paths. open_whole : opens the network with the outputs
    of its file, where the one that the service runs was cut for a parser. stopping : whether the server takes nothing
    new.
    """

    def __init__(
        self, service: Service, stopping: Callable[[], bool], open_whole: Callable[[], Network] | None = None
    ) -> None:
        self._service = service
        self._stopping = stopping
        self._open_whole = open_whole
        self._network: Network | None = None
        self._lock = threading.Lock()

    def routes(self) -> list[BaseRoute]:
        """What the protocol asks for."""
        routes: list[BaseRoute] = [
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
        ]
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes += [
                Route(model, self._describe),
                Route(model + "/ready", self._model_ready),
                Route(model + "/infer", self._infer, methods=["POST"]),
            ]
        return routes

    async def _server(self, request: Request) -> Response:
        return _json({"name": "saccade", "version": saccade.__version__, "extensions": ["binary_tensor_data"]})

    async def _live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Response:
        self._refuse_stopping()
        return _json({"ready": True})

    async def _model_ready(self, request: Request) -> Response:
        name = self._named(request)
        self._refuse_stopping()
        return _json({"name": name, "ready": True})

    async def _describe(self, request: Request) -> Response:
        name = self._named(request)
        network = await asyncio.to_thread(self._whole)
        return _json(
            {
                "name": name,
                "versions": [VERSION],
                "platform": "openvino",
                "inputs": [_port(port.name, port.dtype, port.shape) for port in network.inputs],
                "outputs": [_port(port.name, np.dtype(np.float32), port.shape) for port in network.outputs],
            }
        )

    async def _infer(self, request: Request) -> Response:
        name = self._named(request)
        self._refuse_stopping()
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            raise RefusedError(415, f"content encoding {encoding[:40]!r} is not known; send the body as it is")
        header = request.headers.get(HEADER_LENGTH)
        try:
            async with body_of(request) as body:
                with self._service.admitted():
                    said = memoryview(body).toreadonly()
                    answer, length = await self._service.in_turn(self._run, name, said, header)
        except RefusedError as error:
            if error.status != 413 or header is not None:
                raise
            raise RefusedError(
                413, f"{error}; tensors as bytes (binary_data_size) take a quarter of the room"
            ) from None
        if length == len(answer):
            return Response(answer, media_type=JSON)
        return Response(answer, media_type=BYTES, headers={HEADER_LENGTH: str(length)})

    def _run(self, name: str, body: memoryview, header: str | None) -> tuple[bytes, int]:
        try:
            network = self._whole()
            asked = tensors.read(body, header, network.inputs, network.outputs)
            with self._service.watch.measure():
                found = network.infer(asked.inputs)
        except RefusedError:
            raise
        except SaccadeError as error:
            raise RefusedError(500, str(error)) from None
        return tensors.answer(name, VERSION, asked, found)

    def _whole(self) -> Network:
        """The network with the outputs of its file."""
        with self._lock:
            if self._network is None:
                own = self._service.predictor.network
                cut = any("head" in port.attributes for port in own.outputs)
                self._network = self._open_whole() if cut and self._open_whole else own
            return self._network

    def _named(self, request: Request) -> str:
        """The model that a path names; raises RefusedError 404 for another."""
        own, asked = self._service.predictor.name, request.path_params["model"]
        if asked != own:
            raise RefusedError(404, f"there is no model {asked[:80]!r} here; {own!r} is served")
        version = request.path_params.get("version", VERSION)
        if version != VERSION:
            raise RefusedError(404, f"{own} has no version {version[:40]!r}; {VERSION!r} is served")
        return own

    def _refuse_stopping(self) -> None:
        if self._stopping():
            raise RefusedError(503, "this server is stopping")


def _port(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": tensors.datatype(dtype), "shape": list(shape)}


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type=JSON)
