"""Runs whose model is elsewhere, and whose server is away for a while or says no."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from conditions import answering, meanwhile, wait_for
from saccade.apps import Session
from saccade.config import RunConfig
from saccade.errors import DeviceError, ModelError
from saccade.networks import remote
from saccade.predict import Predictor, open_predictor
from saccade.service.serve import Server, Service
from saccade.service.session import open_session
from videos import numbered_avi


@pytest.fixture(scope="module")
def local() -> Predictor:
    return open_predictor("blazeface-full", precision="f32", threads=1)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACK_OFF", 0.01)


def opened(source: str, url: str, app: str = "faces", **options: object) -> Session:
    return open_session(app, RunConfig(source=source, model=url, **options))  # type: ignore[arg-type]


def frames(session: Session) -> int:
    return session.pipeline.statistics().frames


def test_a_live_camera_goes_on_when_its_server_is_back(local: Predictor, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(Service(local), ("127.0.0.1", 0)).__enter__()
    session = opened("demo:", server.url)

    def play() -> None:
        nonlocal server
        try:
            wait_for(lambda: frames(session) > 3)
            server.shutdown()
            wait_for(lambda: session.pipeline.statistics().pictures.get("failed", 0) > 5)
            figures = session.pipeline.statistics()
            assert figures.state == "up"
            assert figures.reason.startswith(f"{server.url} does not answer (")
            server = Server(Service(local), ("127.0.0.1", server.http.port)).__enter__()
            before = frames(session)
            wait_for(lambda: frames(session) > before + 3)
        finally:
            session.stop()

    with meanwhile(play):
        figures = session.run()
    server.shutdown()
    assert figures.reason == ""
    first, second = [record.message for record in caplog.records if "demo:" in record.message]
    assert first.startswith(f"demo:: {server.url} does not answer (")
    assert first.endswith("; pictures count as failed meanwhile, and the run goes on")
    assert second.startswith("demo:: the model answers again after ")


@pytest.fixture
def film(tmp_path: Path) -> str:
    return str(numbered_avi(tmp_path / "film.avi", 12))


class Saying(BaseHTTPRequestHandler):
    """Says what it is, and answers pictures with this status."""

    status = 502
    about: ClassVar[dict[str, object]] = {
        "model": "m", "device": "CPU", "precision": "f32", "family": "yolo", "task": "detect", "names": ["a"],
        "input": {"width": 8, "height": 8, "resize": "stretch", "pad": 0},
    }  # fmt: skip

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_asked = self.headers["Content-Type"] == "application/json"
        answer = json.dumps(self.about).encode() if is_asked else b"because"
        self.send_response(200 if is_asked else self.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quietly."""


@pytest.fixture
def url() -> Iterator[str]:
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Saying)) as url:
        yield url


@pytest.mark.parametrize("realtime", [None, True])
def test_a_file_ends_with_the_error_and_all_is_closed(film: str, url: str, realtime: bool | None) -> None:
    session = opened(film, url, "detect", realtime=realtime, requests=3)
    with pytest.raises(DeviceError, match=r"does not answer \(status 502: because"):
        session.run()
    assert session.pipeline.capture.ledger.sealed


def test_a_live_source_of_which_every_picture_counts_ends_with_the_error(url: str) -> None:
    session = opened("demo:", url, "detect", realtime=False)
    with pytest.raises(DeviceError, match="does not answer"):
        session.run()


@pytest.mark.parametrize(("status", "complaint"), [(400, "refuses the picture"), (200, "gave no arrays")])
def test_a_server_that_refuses_ends_a_live_run(
    status: int, complaint: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Saying, "status", status)
    session = opened("demo:", url, "detect")
    with pytest.raises(ModelError, match=complaint):
        session.run()


@pytest.mark.parametrize("regions", [(), ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0))])
def test_a_live_run_ends_when_its_seconds_are_over_though_its_server_is_away(
    url: str, regions: tuple[tuple[float, float, float, float], ...]
) -> None:
    figures = opened("demo:", url, "detect", seconds=0.5, regions=regions).run()
    assert figures.frames == 0
    assert figures.pictures["failed"] > 0
    assert "does not answer" in figures.reason
