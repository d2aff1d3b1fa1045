"""What is told of a camera's outputs while they are closed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from conditions import PATIENCE
from saccade.config import RunConfig
from saccade.outputs.opening import Outputs
from saccade.pipeline.delivery import name_of
from saccade.storage.spool import Spool, SpoolStatistics


def test_what_is_durable_has_each_frame_and_is_closed_before_what_may_hang(tmp_path: Path) -> None:
    files = {"spool": tmp_path / "spool", "out": tmp_path / "out", "events": tmp_path / "events.jsonl"}
    config = RunConfig(source="demo:", name="door", spool_free=0, **{key: str(path) for key, path in files.items()})
    outputs = Outputs(config)
    outputs.open("faces", wait=False, objects=True)
    assert list(outputs.by_name) == ["spooled_crops", "events", "crops"]
    assert outputs._best_of == outputs.by_name["spooled_crops"].best_of, "messages name what others can fetch"
    for output in outputs.by_name.values():
        output.close()
    outputs.close()


def test_outputs_are_called_what_a_user_asked_for(tmp_path: Path) -> None:
    config = RunConfig(
        source="demo:", name="door", spool=str(tmp_path / "spool"), spool_free=0, out=str(tmp_path / "out"),
        pictures=1.0, events=str(tmp_path / "events"), fifo=str(tmp_path / "fifo"), view="127.0.0.1:0",
        publish=("mqtt://127.0.0.1:9", f"jsonl:{tmp_path / 'messages'}"), mqtt_pictures=5.0,
    )  # fmt: skip
    outputs = Outputs(config)
    outputs.hurried = True
    outputs.open("faces", wait=False, objects=True)
    assert {key: name_of(output) for key, output in outputs.by_name.items()} == {
        "spooled_crops": f"crops to the spool ({tmp_path}/spool)",
        "events": f"events ({tmp_path}/events)",
        "crops": f"crops ({tmp_path}/out)",
        "pictures": f"pictures ({tmp_path}/out)",
        "display": f"the page and fifo ({tmp_path}/fifo)",
        "picture": "pictures by mqtt (127.0.0.1:9)",
        "publish": "mqtt (127.0.0.1:9)",
        "publish_2": f"publish ({tmp_path}/messages)",
    }
    for output in outputs.by_name.values():
        output.close()
    outputs.close()


def test_figures_are_asked_for_while_another_thread_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = Outputs(RunConfig(source="demo:", name="door", spool=str(tmp_path), spool_free=0))
    outputs.open("faces", wait=False, objects=True)
    of_spool, closing = Spool.statistics, threading.Thread(target=outputs.close, daemon=True)

    def statistics(spool: Spool) -> SpoolStatistics:
        if closing.ident is None:
            closing.start()
            closing.join(0.2)  # has closed the spool by then, if nothing keeps it from that
        return of_spool(spool)

    monkeypatch.setattr(Spool, "statistics", statistics)
    before = outputs.statistics()
    closing.join(PATIENCE)
    assert before["spool"] == outputs.statistics()["spool"]
    for output in outputs.by_name.values():
        output.close()
