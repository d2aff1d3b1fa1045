"""Publishing to an MQTT broker: AWS IoT Core with its client certificates, mosquitto, or any other."""

from __future__ import annotations

import contextlib
import re
import secrets
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from saccade.errors import ConfigError, OutputError
from saccade.outputs.publish.queued import OutgoingMessage, QueuedPublisher
from saccade.outputs.publish.topics import check_topic

_WINDOW = 20
"""Messages under way at once. The broker may have any of them when a connection breaks; paho sends them again."""

OWN_PAYLOAD_LIMIT = 16 << 20
"""Bytes of one message to a broker of one's own; MQTT allows 256 MiB, the queue is in memory."""

_GOODBYE = 0.3
"""How long the last word may take at the end, s."""


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
                # With a pass phrase at hand, whatever it is: without, OpenSSL asks the terminal and waits.
                context.load_cert_chain(self.cert, self.key, password="")
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(path for path in (self.ca, self.cert, self.key) if path is not None) or "of the system"
            hint = "; a key must not have a pass phrase" if self.key is not None else ""
            raise ConfigError(f"TLS files {files}: cannot be used ({error}){hint}") from None
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """A topic that says, retained, whether a client is there; the broker itself says so of one that dies.

    own : the topic is this client's alone.
    """

    topic: str
    online: str = "online"
    offline: str = "offline"
    own: bool = True


def unique_id(name: str) -> str:
    """An id that no other client has: of two with one id a broker hangs up on the older.

    name : of device and camera, so that the broker's log can be read.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:96].strip("-")
    return f"{plain or 'saccade'}-{secrets.token_hex(4)}"


class MqttPublisher(QueuedPublisher):
    """Publishes with QoS 1: every message that was accepted reaches the broker at least once, in order.

    Parameters
    ----------
    host, port : the broker; port 8883 with TLS and 1883 without by default.
    topic : where results go. tls : None for a plain connection.
    client_id : must be this client's own; empty: one that no other has. With one that stays the same the broker is
    asked to keep the session. name : of device and camera, for the id that is made up.
    availability : said "online" with each connection and "offline" at the end and, by the broker, after a death.
    keepalive : seconds; a client that is not heard of for one and a half times as long is dead to the broker.
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
        name: str = "saccade",
        username: str | None = None,
        password: str | None = None,
        availability: Availability | None = None,
        keepalive: int = 20,
        **options: Any,
    ) -> None:
        self.host, self.port = host, port or (8883 if tls else 1883)
        self.name = f"mqtt ({self.host}:{self.port})"
        aws = ".amazonaws." in host
        super().__init__(topic, aws=aws, **({} if aws else {"payload_limit": OWN_PAYLOAD_LIMIT}) | options)
        self.keeps_state = not aws
        self._inflight: set[int] = set()
        self._early: set[int] = set()  # confirmed before _deliver could note them
        self._aside: set[int] = set()  # of the availability, which nobody counts
        self._connected = threading.Event()
        self._availability = availability
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or unique_id(name), clean_session=not client_id
        )
        client.max_inflight_messages_set(_WINDOW)
        client.reconnect_delay_set(1, 30)
        client.connect_timeout = 5.0
        if username is not None:
            client.username_pw_set(username, password)
        if tls is not None:
            client.tls_set_context(tls.context())
        if availability is not None:
            client.will_set(check_topic(availability.topic), availability.offline, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        self._client = client
        client.connect_async(self.host, self.port, keepalive=keepalive)
        client.loop_start()
        self._start()

    def _deliver(self, message: OutgoingMessage) -> None:
        with self._change:
            # Kept in our own bounded queue while there is no connection, rather than in paho's.
            while not self._stop.is_set() and (not self._connected.is_set() or len(self._inflight) >= _WINDOW):
                self._change.wait(1.0)
            if self._stop.is_set():
                raise OutputError("closed")
        # Not with the lock held: paho holds one of its own while it calls _on_publish, which wants ours.
        sent = self._client.publish(message.topic, message.body, qos=1, retain=message.retain)
        # NO_CONN: the connection broke just now, but paho has the message and sends it when it is back.
        if sent.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            raise OutputError(paho.error_string(sent.rc))
        with self._change:
            if sent.mid in self._early:
                self._early.discard(sent.mid)
            else:
                self._inflight.add(sent.mid)

    def _unconfirmed(self) -> int:
        return int(self._sending) + len(self._inflight)

    def _disconnect(self) -> None:
        if self._availability is not None and self._connected.is_set():
            # Whoever says goodbye is no dead client: the broker sends no will for it.
            said = self._client.publish(self._availability.topic, self._availability.offline, qos=1, retain=True)
            with contextlib.suppress(ValueError, RuntimeError):
                said.wait_for_publish(_GOODBYE)
        self._client.disconnect()
        self._client.loop_stop()

    def forget(self) -> None:
        """Say neither now nor at the end whether this client is there: what it was here for is gone for good."""
        availability, self._availability = self._availability, None
        if availability is not None and availability.own:
            self.publish(b"", availability.topic, retain=True)

    # paho calls these from its own thread.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._trouble(f"the broker refuses the connection: {reason}")
            return
        if self._availability is not None:
            said = client.publish(self._availability.topic, self._availability.online, qos=1, retain=True)
            self._aside.add(said.mid)
        with self._change:
            if self._connects:
                self._retain_again()
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
            if mid in self._aside or self._stop.is_set():
                self._aside.discard(mid)
                self._inflight.discard(mid)
                return
            if mid in self._inflight:
                self._inflight.discard(mid)
            else:
                self._early.add(mid)
            self._delivered += 1
            self._change.notify_all()
