"""Publishers against a real broker and the real Greengrass SDK: order, outages, limits, TLS."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import local_broker
from conditions import PATIENCE, wait_for
from local_broker import Mosquitto, Nucleus, Subscriber
from local_s3 import free_port
from saccade.errors import ConfigError
from saccade.outputs.publish import JsonLines, QueuedPublisher, check_topic, default_topic, open_publisher
from saccade.outputs.publish.greengrass import GreengrassPublisher
from saccade.outputs.publish.mqtt import MqttPublisher, Tls
from saccade.outputs.publish.queued import OutgoingMessage
from saccade.results import Detections, Result

needs_broker = pytest.mark.skipif(local_broker.MOSQUITTO is None, reason="mosquitto is not installed")
RESULT = Result(
    frame=3, time=1.5, app="faces", width=640, height=480,
    detections=Detections(np.array([[1, 2, 3, 4]], np.float32), np.array([0.5], np.float32), np.array([0], np.int32)),
)  # fmt: skip


class Recorder(QueuedPublisher):
    """Delivers into a list, and fails as long as it is told to."""

    name = "recorder"

    def __init__(self, **options: Any) -> None:
        super().__init__("t/x", **options)
        self.sent: list[tuple[float, bytes]] = []
        self.failing = False
        self._start()

    def _deliver(self, message: OutgoingMessage) -> None:
        if self.failing:
            raise OSError("down")
        self.sent.append((time.monotonic(), message.body))
        self._delivered += 1
        self._well()


def test_an_outage_keeps_order_and_bounds_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    with Recorder(queue=10, rate=10000) as publisher:
        publisher.failing = True
        for i in range(25):
            assert publisher.publish(str(i))
        assert wait_for(lambda: publisher.statistics().problem == "down")
        assert publisher.statistics().pending <= 11
        publisher.failing = False
        assert publisher.drained(PATIENCE)
        counts = publisher.statistics()
    sent = [int(body) for _, body in publisher.sent]
    assert sent == sorted(sent)
    assert sent[-9:] == list(range(16, 25))
    assert counts.dropped + counts.delivered == counts.accepted == 25
    assert counts.problem == ""
    assert sum("down" in record.message for record in caplog.records) == 1
    assert sum("the queue of 10 messages is full" in record.message for record in caplog.records) == 1


def test_rate_is_capped() -> None:
    with Recorder(rate=50) as publisher:
        for i in range(30):
            publisher.publish(str(i))
        assert publisher.drained(PATIENCE)
    times = [moment for moment, _ in publisher.sent]
    assert times[-1] - times[0] > 0.5
    assert all(times[i + 10] - times[i] > 0.15 for i in range(20))


def test_too_large_payloads_are_refused_before_sending(caplog: pytest.LogCaptureFixture) -> None:
    with Recorder() as publisher:
        assert publisher.publish(b"x" * 128 * 1024)
        for _ in range(3):
            assert not publisher.publish(b"x" * (128 * 1024 + 1))
        assert publisher.drained(PATIENCE)
        assert publisher.statistics().refused == 3
    assert len(publisher.sent) == 1
    assert sum("at most 131072" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("topic", "why"),
    [("", "empty"), ("a/+/b", "wildcard"), ("a/#", "wildcard"), ("a\n", "control"), ("$aws/things/x/infer", "reserved"),
     ("$SYS/x", "reserved"), ("a/b/c/d/e/f/g/h/i", "slashes"), ("x" * 300, "longer"),
     ("caf\udce9", "no valid text"), ("\U0001f600\udce9", "no valid text")],
)  # fmt: skip
def test_topics_are_checked(topic: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=why):
        check_topic(topic, aws=True)
    with Recorder(aws=True) as publisher:
        assert not publisher.publish("x", topic)
        assert not publisher.publish("x", topic)
    assert sum(why in record.message for record in caplog.records) == 1


def test_topics_that_are_fine() -> None:
    for topic in ("saccade/x/infer", "$aws/rules/r/x", "$aws/things/x/shadow/update"):
        assert check_topic(topic, aws=True) == topic
    assert check_topic("a/b/c/d/e/f/g/h/i") == "a/b/c/d/e/f/g/h/i"
    assert default_topic("cam") == "saccade/cam/infer"


def test_results_become_events() -> None:
    with Recorder() as publisher:
        publisher.accept(None, RESULT)  # type: ignore[arg-type]
        assert publisher.drained(PATIENCE)
    event = json.loads(publisher.sent[0][1])
    assert event["detections"][0]["prob"] == 0.5


def test_a_text_that_names_a_file_whose_name_is_no_utf8_goes_out() -> None:
    with Recorder() as publisher:
        assert publisher.publish("source '/caf\udce9.avi': no such file")
        assert publisher.drained(5)
    assert publisher.sent[0][1] == b"source '/caf\\udce9.avi': no such file"


def test_messages_are_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    publisher = JsonLines(str(path), topic="t")
    assert publisher.publish('{"cat": 0.5}')
    assert publisher.publish(b"\xff\xd8", "other")
    publisher.accept(None, RESULT)  # type: ignore[arg-type]
    assert publisher.statistics().delivered == 3
    publisher.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert (lines[0]["topic"], json.loads(lines[0]["payload"])) == ("t", {"cat": 0.5})
    assert (lines[1]["topic"], lines[1]["payload"]) == ("other", "\\xff\\xd8")
    assert lines[2]["app"] == "faces"


@pytest.mark.parametrize(
    "text",
    ["http://x", "mqtt://", "mqtts://h?certificate=x", "mqtt://h:port", "mqtts://h?ca=/nowhere.pem", "greengrass:",
     "mqtt://a..b", f"mqtt://{'a' * 64}.example"],
)  # fmt: skip
def test_bad_addresses_are_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SVCUID", raising=False)
    with pytest.raises(ConfigError) as raised:
        open_publisher(text)
    assert "\n" not in str(raised.value)


@needs_broker
def test_mqtt_outage_in_mid_run(tmp_path: Path) -> None:
    """Messages before, in and after a restart of the broker all arrive, at least once.

    In order but for those in flight at the restart: MQTT may deliver these again after newer ones.
    """
    broker = Mosquitto(tmp_path / "b")
    with broker, Subscriber(broker) as reader:
        publisher = open_publisher(f"mqtt://127.0.0.1:{broker.port}", thing="cam")
        assert isinstance(publisher, MqttPublisher)
        publisher._client.reconnect_delay_set(0.1, 0.3)  # type: ignore[arg-type]
        sent = 0

        def send(count: int, waiting: int) -> None:
            """So many more, but for an outage no sooner than the last ones are delivered."""
            nonlocal sent
            for _ in range(count):
                wait_for(lambda: publisher.statistics().pending <= waiting)
                assert publisher.publish(str(sent))
                sent += 1

        send(100, waiting=5)
        broker.stop()
        send(100, waiting=105)
        wait_for(lambda: "cannot connect" in publisher.statistics().problem)
        assert publisher.statistics().pending > 0
        broker.start()
        send(100, waiting=105)
        assert publisher.drained(PATIENCE)
        counts = publisher.statistics()
        assert wait_for(lambda: len({payload for _, payload in reader.messages}) == sent)
        publisher.close()
    assert (counts.accepted, counts.delivered, counts.dropped, counts.pending) == (sent, sent, 0, 0)
    assert counts.connects >= 2
    first_seen = list(dict.fromkeys(int(payload) for topic, payload in reader.messages if topic == "saccade/cam/infer"))
    assert sorted(first_seen) == list(range(sent))
    in_flight = 20
    assert max(abs(place - number) for place, number in enumerate(first_seen)) <= in_flight
    assert len(reader.messages) <= sent + 40


@needs_broker
def test_mqtt_before_there_is_a_broker(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "b")
    with MqttPublisher("127.0.0.1", broker.port, topic="t/x") as publisher:
        publisher._client.reconnect_delay_set(0.1, 0.3)  # type: ignore[arg-type]
        assert publisher.publish("early")
        assert wait_for(lambda: "cannot connect" in publisher.statistics().problem)
        with broker:
            assert publisher.drained(PATIENCE)
            assert publisher.statistics().problem == ""


@needs_broker
def test_mqtt_with_client_certificates(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "b", tls=True)
    files = f"ca={broker.folder}/ca.pem&cert={broker.folder}/device.pem&key={broker.folder}/device.key"
    with broker, Subscriber(broker) as reader:
        publisher = open_publisher(f"mqtts://localhost:{broker.port}?{files}", thing="cam")
        publisher._client.reconnect_delay_set(0.1, 0.3)  # type: ignore[attr-defined]
        publisher.publish("secret")
        assert publisher.drained(PATIENCE)  # type: ignore[attr-defined]
        broker.stop()
        publisher.publish("in the outage")
        broker.start()
        assert publisher.drained(PATIENCE)  # type: ignore[attr-defined]
        assert wait_for(lambda: len({payload for _, payload in reader.messages}) == 2)
        publisher.close()


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    words = ["req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:phrase", "-days", "2", "-subj", "/CN=device"]
    subprocess.run(["openssl", *words, "-keyout", key, "-out", cert], check=True, capture_output=True)
    with pytest.raises(ConfigError, match=f"TLS files {cert}, {key}: .*a key must not have a pass phrase"):
        Tls(cert=cert, key=key).context()


# paho leaves the socket of a failed TLS handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_broker
@pytest.mark.parametrize("files", [("ca.pem", None, None), ("ca.pem", "stranger.pem", "stranger.key"),
                                   ("strange-ca.pem", "device.pem", "device.key")])  # fmt: skip
def test_mqtt_with_wrong_certificates(tmp_path: Path, files: tuple[str, ...]) -> None:
    with Mosquitto(tmp_path / "b", tls=True) as broker:
        ca, cert, key = (f"{broker.folder}/{name}" if name else None for name in files)
        publisher = MqttPublisher("127.0.0.1", broker.port, topic="t/x", tls=Tls(ca=ca, cert=cert, key=key))
        publisher.publish("x")
        assert wait_for(lambda: publisher.statistics().problem)
        assert publisher.statistics().delivered == 0
        assert publisher.statistics().pending == 1
        publisher.close(0.1)


@needs_broker
def test_mqtt_wrong_password(tmp_path: Path) -> None:
    password = tmp_path / "passwords"
    password.write_text("")
    with Mosquitto(tmp_path / "b", extra=f"allow_anonymous false\npassword_file {password}") as broker:
        publisher = open_publisher(f"mqtt://someone:wrong@127.0.0.1:{broker.port}")
        publisher.publish("x")
        assert wait_for(lambda: "refuses the connection" in publisher.statistics().problem)
        publisher.close(0.1)  # type: ignore[call-arg]


@pytest.fixture
def nucleus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nucleus:
    path = tmp_path / "ipc"
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", str(path))
    monkeypatch.setenv("SVCUID", "token")
    return Nucleus(path)


def test_greengrass_gets_each_message_once_in_order(nucleus: Nucleus) -> None:
    with nucleus:
        publisher = open_publisher("greengrass:", thing="cam")
        for i in range(50):
            publisher.publish(f'{{"n": {i}}}')
        assert publisher.drained(PATIENCE)  # type: ignore[attr-defined]
        counts = publisher.statistics()
        publisher.close()
    assert nucleus.tokens == ["token"]
    assert nucleus.messages == [("saccade/cam/infer", b'{"n": %d}' % i, "1") for i in range(50)]
    assert (counts.delivered, counts.connects) == (50, 1)


def test_greengrass_restart_in_mid_run(nucleus: Nucleus) -> None:
    with GreengrassPublisher("t/x", timeout=2) as publisher:
        with nucleus:
            for i in range(10):
                publisher.publish(str(i))
            assert publisher.drained(PATIENCE)
        for i in range(10, 20):
            publisher.publish(str(i))
        assert wait_for(lambda: "cannot be reached" in publisher.statistics().problem)
        with nucleus:
            assert publisher.drained(PATIENCE)
        assert publisher.statistics().problem == ""
    assert [int(payload) for _, payload, _ in nucleus.messages] == list(range(20))


def test_greengrass_that_does_not_allow_or_answer(nucleus: Nucleus) -> None:
    nucleus.allowed = "only/this"
    with nucleus:
        publisher = GreengrassPublisher("t/x", timeout=0.3)
        publisher.publish("x")
        assert wait_for(lambda: "allow aws.greengrass#PublishToIoTCore" in publisher.statistics().problem)
        nucleus.allowed, nucleus.silent = "", True
        assert wait_for(lambda: "did not answer" in publisher.statistics().problem)
        nucleus.silent = False
        assert publisher.drained(PATIENCE)
        publisher.close()


def test_closing_with_nobody_there_is_prompt(caplog: pytest.LogCaptureFixture) -> None:
    publisher = MqttPublisher("127.0.0.1", free_port(), topic="t/x")
    publisher.publish("x")
    with caplog.at_level(logging.WARNING):
        publisher.close(0.2)
    assert any("closed with 1 messages unsent" in record.message for record in caplog.records)
    assert not publisher.publish("late")
