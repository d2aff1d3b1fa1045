"""Real brokers for tests: mosquitto with and without TLS, and a stand-in for the socket of a Greengrass nucleus."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import struct
import subprocess
import threading
import zlib
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from conditions import PATIENCE, wait_for
from local_s3 import free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """A broker on loopback that keeps its sessions over a restart."""

    def __init__(self, folder: Path, *, tls: bool = False, extra: str = "") -> None:
        self.folder, self.port, self.tls = folder, free_port(), tls
        folder.mkdir(exist_ok=True)
        lines = [
            f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 100000", "log_dest none", "user root", extra,
        ]  # fmt: skip
        if tls:
            make_certificates(folder)
            lines += [
                f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem", f"keyfile {folder}/server.key",
                "require_certificate true", "use_identity_as_username true",
            ]  # fmt: skip
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        assert MOSQUITTO
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, pause=0.02)
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), PATIENCE):
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Subscriber:
    """Collects payloads by topic; its session survives the broker's restarts."""

    def __init__(self, broker: Mosquitto, topics: str = "#", client_id: str = "reader") -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]
        if broker.tls:
            self._client.tls_set(
                f"{broker.folder}/ca.pem", f"{broker.folder}/device.pem", f"{broker.folder}/device.key"
            )
        self._client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = lambda client, data, message: self.messages.append((message.topic, message.payload))
        self._client.connect_async("127.0.0.1", broker.port, keepalive=10)

    def __enter__(self) -> Subscriber:
        self._client.loop_start()
        assert self.ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def make_certificates(folder: Path) -> None:
    """A certificate authority, a server's, a device's, and a stranger's certificate."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")  # RSA's take a tenth of a second each
    for name in ("ca", "strange-ca"):
        openssl("req", "-x509", *key, "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    for name, authority in (("server", "ca"), ("device", "ca"), ("stranger", "strange-ca")):
        openssl("req", *key, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.pem")  # fmt: skip


class Nucleus:
    """The part of a Greengrass nucleus that PublishToIoTCore needs: event-stream messages on a Unix socket."""

    def __init__(self, path: Path, *, allowed: str = "") -> None:
        self.path, self.allowed = path, allowed
        self.messages: list[tuple[str, bytes, str]] = []
        self.tokens: list[str] = []
        self.silent = False
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def start(self) -> Nucleus:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._run(self._accept, self._listener)
        return self

    def stop(self) -> None:
        for connection in [self._listener, *self._connections]:
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._connections, self._threads, self._listener = [], [], None
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Nucleus:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                headers, payload = _receive(connection)
                kind, stream = headers[":message-type"], headers[":stream-id"]
                if kind == 4:  # connect
                    self.tokens.append(json.loads(payload)["authToken"])
                    _send(connection, {":message-type": 5, ":message-flags": 1, ":stream-id": 0}, b"")
                elif kind == 2:  # ping
                    _send(connection, {":message-type": 3, ":message-flags": 0, ":stream-id": 0}, payload)
                elif kind == 0 and headers.get("operation") == "aws.greengrass#PublishToIoTCore":
                    request = json.loads(payload)
                    if self.silent:
                        continue
                    answer = {
                        ":message-type": 0,
                        ":message-flags": 2,
                        ":stream-id": stream,
                        ":content-type": "application/json",
                    }
                    if self.allowed and not request["topicName"].startswith(self.allowed):
                        answer |= {":message-type": 1, "service-model-type": "aws.greengrass#UnauthorizedError"}
                        _send(connection, answer, b'{"message": "not allowed"}')
                        continue
                    self.messages.append((request["topicName"], base64.b64decode(request["payload"]), request["qos"]))
                    answer["service-model-type"] = "aws.greengrass#PublishToIoTCoreResponse"
                    _send(connection, answer, b"{}")


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    total, header_length, _ = struct.unpack(">III", _exactly(connection, 12))
    body = _exactly(connection, total - 12)
    raw, headers = body[:header_length], {}
    while raw:
        name, raw = raw[1 : 1 + raw[0]].decode(), raw[1 + raw[0] :]
        kind, raw = raw[0], raw[1:]
        if kind == 4:
            headers[name], raw = struct.unpack(">i", raw[:4])[0], raw[4:]
        elif kind in (6, 7):
            length = struct.unpack(">H", raw[:2])[0]
            headers[name], raw = raw[2 : 2 + length].decode(), raw[2 + length :]
        else:
            raise EOFError
    return headers, body[header_length:-4]


def _send(connection: socket.socket, headers: dict[str, Any], payload: bytes) -> None:
    raw = b""
    for name, value in headers.items():
        raw += bytes([len(name)]) + name.encode()
        raw += b"\x04" + struct.pack(">i", value) if isinstance(value, int) else (
            b"\x07" + struct.pack(">H", len(value)) + value.encode()
        )  # fmt: skip
    prelude = struct.pack(">II", 16 + len(raw) + len(payload), len(raw))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + raw + payload
    connection.sendall(message + struct.pack(">I", zlib.crc32(message)))
