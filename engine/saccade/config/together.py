"""Settings that are right one by one and contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from saccade.address import without_credentials

_STDOUT = ("events", "summary", "report")

Origin = Callable[[str], str]
"""How an option was said: `--pictures`, `SACCADE_PICTURES`, `pictures in camera.toml`."""


def contradictions(config: Any, said: Origin) -> Iterator[str]:
    """What cannot be meant, one line each."""

    def get(name: str) -> Any:
        return getattr(config, name, None)

    if get("insecure") and get("ca"):
        yield f"{said('insecure')} takes any certificate, {said('ca')} only some; leave one of them out"
    if get("pictures") and not get("out"):
        yield f"{said('pictures')} writes pictures into a folder; name it with out"
    if get("kms_key") and get("encryption") != "aws:kms":
        yield f"{said('kms_key')} is a key for aws:kms; set encryption to aws:kms, too"
    if "publish" in getattr(type(config), "__dataclass_fields__", {}):
        yield from _publishing(config, said)
    mixed = [name for name in _STDOUT if get(name) == "-"]
    mixed += ["publish" for target in get("publish") or () if target in ("-", "jsonl:-")]
    if len(mixed) > 1:
        names = " and ".join(f"{said(name)} -" for name in mixed)
        yield f"{names} would mix on standard output; give one of them a file"
    yield from _same_file(config, said)


def _publishing(config: Any, said: Origin) -> Iterator[str]:
    targets = config.publish
    for target in sorted({target for target in targets if targets.count(target) > 1}):
        yield f"{said('publish')}: {without_credentials(target)} is given twice; give it once"
    if not any(target.startswith(("mqtt://", "mqtts://")) for target in targets):
        for name in ("home_assistant", "mqtt_pictures"):
            if getattr(config, name):
                yield f"{said(name)} needs an MQTT broker; name it with publish, as mqtt://127.0.0.1"


def _same_file(config: Any, said: Origin) -> Iterator[str]:
    """Two things cannot be written to one path."""
    seen: dict[str, str] = {}
    for name in ("events", "summary", "fifo", "report"):
        path = getattr(config, name, "")
        if not path or path == "-":
            continue
        if path in seen:
            yield f"{said(name)} and {said(seen[path])} both write to {path}; give one of them another name"
        seen[path] = name
    for target in getattr(config, "publish", ()):
        path = target.removeprefix("jsonl:")
        if path in seen:
            yield f"{said('publish')} and {said(seen[path])} both write to {path}; give one of them another name"
    if getattr(config, "source", None) in seen:
        name = seen[config.source]
        yield f"{said(name)} would be written over the source {config.source}; give another name"
