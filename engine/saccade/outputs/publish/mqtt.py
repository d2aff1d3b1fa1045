"""Publishing to an MQTT broker: AWS IoT Core with its client certificates, mosquitto, or any other."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from saccade.errors import ConfigError, OutputError
from saccade.outputs.publish import QueuedPublisher

_WINDOW = 20
"""Messages under way at once. The broker may have any of them when a connection breaks; paho sends them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files for TLS, PEM.

    ca : certificates to trust, None for the system's. cert, key : this device's own certificate and private key.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """Made ready; raises ConfigError that names the file at fault."""
        for name, path in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"TLS {name} {path}: no such file")
        if (self.cert is None) != (self.key is None):
            raise ConfigError("TLS: a client certificate needs both cert and key")
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"TLS files {self.ca}, {self.cert}, {self.key}: cannot be used ({error})") from None
        return context


class MqttPublisher(QueuedPublisher):
    """Publishes with QoS 1: every message that was accepted reaches the broker at least once, in order.

    Parameters
    ----------
    host, port : the broker; port 8883 with TLS and 1883 without by default.
    topic : where results go. tls : None for a plain connection.
    client_id : must be this device's own: a broker hangs up on the older of two clients with one id.
    options : see `QueuedPublisher`.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        topic: str,
        tls: Tls | None = None,
        client_id: str = "",
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> None:
        self.host, self.port = host, port or (8883 if tls else 1883)
        super().__init__(topic, aws=".amazonaws." in host, **options)
        self._inflight: set[int] = set()
        self._early: set[int] = set()  # confirmed before _deliver could note them
        self._connected = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not client_id)
        client.max_inflight_messages_set(_WINDOW)
        client.reconnect_delay_set(1, 30)
        client.connect_timeout = 5.0
        if username is not None:
            client.username_pw_set(username, password)
        if tls is not None:
            client.tls_set_context(tls.context())
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        self._client = client
        client.connect_async(self.host, self.port, keepalive=20)
        client.loop_start()
        self._start()

    def __str__(self) -> str:
        return f"mqtt {self.host}:{self.port}"

    def _deliver(self, topic: str, body: bytes) -> None:
        with self._change:
            # Kept in our own bounded queue while there is no connection, rather than in paho's.
            while not self._stop.is_set() and (not self._connected.is_set() or len(self._inflight) >= _WINDOW):
                self._change.wait(1.0)
            if self._stop.is_set():
                raise OutputError("closed")
        # Not with the lock held: paho holds one of its own while it calls _on_publish, which wants ours.
        message = self._client.publish(topic, body, qos=1)
        # NO_CONN: the connection broke just now, but paho has the message and sends it when it is back.
        if message.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            raise OutputError(paho.error_string(message.rc))
        with self._change:
            if message.mid in self._early:
                self._early.discard(message.mid)
            else:
                self._inflight.add(message.mid)

    def _unconfirmed(self) -> int:
        return int(self._sending) + len(self._inflight)

    def _disconnect(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    # paho calls these from its own thread.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._trouble(f"the broker refuses the connection: {reason}")
            return
        with self._change:
            self._connects += 1
            self._connected.set()
            self._change.notify_all()
        self._well()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        self._trouble("cannot connect; check host, port and certificates")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        if self._stop.is_set():
            return
        if was_connected:
            self._trouble(f"the connection broke: {reason}")
        elif not self._problem:
            self._trouble("the broker hung up before it answered; check the certificates and the client id")

    def _on_publish(self, client: Any, data: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        with self._change:
            if mid in self._inflight:
                self._inflight.discard(mid)
            else:
                self._early.add(mid)
            self._delivered += 1
            self._change.notify_all()
