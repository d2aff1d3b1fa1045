"""Topics: which may be published to, and which say what."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from saccade.errors import ConfigError


def default_topic(thing: str) -> str:
    """`saccade/{thing}/infer`; the `$aws/things/.../infer` of the old projects is reserved, and AWS IoT may hang up."""
    return f"saccade/{thing}/infer"


def thing_name() -> str:
    """Name of this device: $AWS_IOT_THING_NAME, else `deeplens`."""
    return os.environ.get("AWS_IOT_THING_NAME") or "deeplens"


_SURROGATE = re.compile("[\ud800-\udfff]")


def check_topic(topic: str, *, aws: bool = False) -> str:
    """`topic` if a message may be published to it, else ConfigError. `aws` adds the limits of AWS IoT Core."""
    why = ""
    if not topic:
        why = "is empty"
    elif any(c in topic for c in "+#") or any(ord(c) < 32 or ord(c) == 127 for c in topic):
        why = "holds a wildcard (+ #) or a control character"
    elif len(topic.encode(errors="surrogatepass")) > (256 if aws else 65535) or _SURROGATE.search(topic):
        why = f"is longer than {256 if aws else 65535} bytes or no valid text"
    elif aws and topic.count("/") > 7 and not topic.startswith("$"):
        why = "has more than 7 slashes, which AWS IoT Core refuses"
    elif topic.startswith("$") and not re.match(r"\$aws/(rules/[^/]+|things/[^/]+/shadow)/", topic):
        why = f"is reserved (it begins with $); publish to one of your own, as {default_topic('NAME')}"
    if why:
        raise ConfigError(f"topic {topic[:80]!r}: {why}")
    return topic


_OWN = ("results", "objects", "availability", "state", "picture")
"""Levels below a camera that are no class's."""


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """Where what is said of one camera.

    prefix : of everything, as `saccade`. frigate : as consumers of Frigate's messages expect it: one topic of events
    and one of availability for all cameras below the prefix.
    """

    prefix: str
    camera: str
    frigate: bool = False

    def __post_init__(self) -> None:
        check_topic(f"{self.prefix}/{self.camera}")

    @property
    def results(self) -> str:
        """One message a frame."""
        return f"{self.prefix}/{self.camera}/results"

    @property
    def objects(self) -> str:
        """The life of objects: new, update, end."""
        return f"{self.prefix}/events" if self.frigate else f"{self.prefix}/{self.camera}/objects"

    @property
    def availability(self) -> str:
        """Whether the process is there, `online` or `offline`, retained."""
        return f"{self.prefix}/available" if self.frigate else f"{self.prefix}/{self.camera}/availability"

    @property
    def state(self) -> str:
        """What its source is up to, retained: `connecting`, `up`, `lost` or `ended`."""
        return f"{self.prefix}/{self.camera}/state"

    @property
    def picture(self) -> str:
        """JPEG bytes of the newest picture, retained."""
        return f"{self.prefix}/{self.camera}/picture"

    def count(self, label: str) -> str:
        """How many objects of a class there are now, retained; `all` for any class."""
        level = topic_level(label)
        return f"{self.prefix}/{self.camera}/{level}{'_' * (level in _OWN)}"


def topic_prefix(said: str, *, frigate: bool) -> str:
    """The first levels of all topics. said : by the user, or empty."""
    return said or ("frigate" if frigate else "saccade")


def topic_level(text: str) -> str:
    """A text as one level of a topic: a class's name may hold what separates levels or is a wildcard."""
    return re.sub(r"[/+#\x00-\x1f\x7f]", "_", text) or "_"
