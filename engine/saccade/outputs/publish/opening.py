"""Which publisher an address means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from saccade.address import ADVICE, host_problem, looks_unencoded, without_credentials
from saccade.config import did_you_mean
from saccade.errors import ConfigError
from saccade.outputs.publish.jsonl import JsonLines
from saccade.outputs.publish.publisher import Publisher
from saccade.outputs.publish.topics import CameraTopics, default_topic, thing_name

if TYPE_CHECKING:
    from saccade.outputs.publish.mqtt import Tls

_PARAMETERS = frozenset({"ca", "cert", "key", "client_id"})


_TARGETS = "mqtt://HOST, mqtts://HOST, greengrass:, jsonl:FILE, a file or -"


def open_publisher(
    text: str, *, topic: str | None = None, thing: str | None = None, camera: CameraTopics | None = None
) -> Publisher:
    """The publisher that `text` names.

    ``-``, a path or ``jsonl:PATH``: JSON lines. ``mqtt://[user:password@]host[:port]``,
    ``mqtts://host[:port]?ca=FILE&cert=FILE&key=FILE``: MQTT, with ``client_id=ID`` where a broker lets only some in.
    ``greengrass:``: the core device's own connection. camera : whose results these are; an MQTT broker then says
    whether it is there. Raises ConfigError for anything else.
    """
    thing = thing or thing_name()
    topic = topic or default_topic(thing)
    if text == "greengrass:":
        from saccade.outputs.publish.greengrass import GreengrassPublisher

        return GreengrassPublisher(topic)
    scheme = text.partition("://")[0] if "://" in text else ""
    if is_broker(text):
        return _mqtt(text, topic, thing, camera)
    if scheme and scheme != "file":
        near = did_you_mean(scheme, ("mqtt", "mqtts", "file"))
        raise ConfigError(f"publisher {without_credentials(text)!r}: expected {_TARGETS}{near}")
    path = text.removeprefix("file://").removeprefix("jsonl:")
    if not path:
        raise ConfigError(f"publisher {text!r}: names no file; expected {_TARGETS}")
    return JsonLines(path, topic=topic, append=True)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """An MQTT broker and how to log in there."""

    host: str
    port: int | None
    tls: Tls | None
    client_id: str
    username: str | None
    password: str | None


def is_broker(text: str) -> bool:
    """Whether `--publish` means an MQTT broker by it."""
    return text.startswith(("mqtt://", "mqtts://"))


def broker_address(text: str) -> BrokerAddress:
    """What `mqtt://` or `mqtts://` names; raises ConfigError."""
    from saccade.outputs.publish.mqtt import Tls

    shown = without_credentials(text)
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ConfigError(f"publisher {shown!r}: {error}; {ADVICE}") from None
    if problem := host_problem(text):
        raise ConfigError(f"publisher {shown!r}: {problem}")
    query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
    unknown = sorted(set(query) - _PARAMETERS)
    secure = url.scheme == "mqtts"
    if not host or looks_unencoded(text):
        raise ConfigError(f"publisher {shown!r}: no host; expected mqtt://[USER:PASSWORD@]HOST[:PORT]; {ADVICE}")
    if unknown:
        near = did_you_mean(unknown[0], _PARAMETERS, "; there are ca, cert, key and client_id")
        raise ConfigError(f"publisher {shown!r}: unknown {unknown[0]}{near}")
    if not secure and set(query) & {"ca", "cert", "key"}:
        raise ConfigError(f"publisher {shown!r}: certificates are for mqtts://")
    tls = Tls(ca=query.get("ca"), cert=query.get("cert"), key=query.get("key")) if secure else None
    login = _decoded(url.username), _decoded(url.password)
    return BrokerAddress(host, port, tls, query.get("client_id", ""), *login)


def _mqtt(text: str, topic: str, thing: str, camera: CameraTopics | None) -> Publisher:
    from saccade.outputs.publish.mqtt import Availability, MqttPublisher

    broker = broker_address(text)
    # AWS IoT Core lets a device publish to topics of its own only, which a will must be, too.
    availability = None
    if camera and ".amazonaws." not in broker.host:
        availability = Availability(topic=camera.availability, own=not camera.frigate)
    name = f"{thing}-{camera.camera.removeprefix(f'{thing}-')}" if camera else thing
    return MqttPublisher(
        broker.host, broker.port, topic=topic, tls=broker.tls, client_id=broker.client_id, name=name,
        username=broker.username, password=broker.password, availability=availability,
    )  # fmt: skip


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)
