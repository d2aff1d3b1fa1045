"""Files that a configuration names, for whoever sees to it that they are there: a service, a device."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from saccade.config.run import RunConfig

_CERTIFICATES = ("ca", "cert", "key")
"""Files that a broker's address names."""


def files_read(config: RunConfig) -> Iterator[tuple[str, str]]:
    """What names a file to read, and its name as it stands there; a source may be a folder or a pattern too.

    The network is not among them: whether its name is that of a file is known to the catalogue.
    """
    if config.labels:
        yield "labels", config.labels
    if config.ca:
        yield "ca", config.ca
    source = config.source
    if ":" not in source and source != "-" and not _is_camera(source):
        yield "source", source
    for target in config.publish:
        if "://" in target:
            asked = parse_qs(urlsplit(target).query)
            yield from ((f"publish {name}", path) for name in _CERTIFICATES for path in asked.get(name, []))


def _is_camera(source: str) -> bool:
    return source.partition("@")[0].isdecimal() or source.startswith("/dev/")
