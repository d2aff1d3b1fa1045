"""Networks that run elsewhere: their server parses, and sends what it found as arrays."""

from __future__ import annotations

import logging
from typing import cast

from saccade.networks.network import Outputs
from saccade.predict import wire
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.labels import clean
from saccade.predict.parser import Settings, Task
from saccade.results import Detections, Finding

log = logging.getLogger(__name__)


def claims(evidence: Evidence) -> Claims:
    """Whatever a server says that it is."""
    server = evidence.network.metadata.get("server")
    if server is not None:
        parser = Remote(
            server["family"], server["task"], evidence.names or tuple(map(clean, server["names"])), server["threshold"]
        )
        yield Claim(parser.family, parser.task, 3, "the server says so", parser)


class Remote:
    """Reads findings in px of the network's input. threshold : the score from which on objects are sent."""

    def __init__(self, family: str, task: str, names: tuple[str, ...], threshold: float) -> None:
        self.family = family
        self.task = cast(Task, task)
        self.names = names
        self.defaults = Settings(score=max(0.5, threshold))
        self._threshold = threshold
        self._warned = False

    def parse(self, outputs: Outputs, settings: Settings) -> Finding:
        """What the server found."""
        finding = wire.from_arrays(outputs, self.names)
        if not isinstance(finding, Detections):
            return finding
        if settings.score < self._threshold and not self._warned:
            self._warned = True
            log.warning(
                "boxes below %.2f are not sent; add ?threshold=%d to the address", self._threshold,
                100 * settings.score,
            )  # fmt: skip
        return finding[finding.scores >= settings.score][: settings.top]
