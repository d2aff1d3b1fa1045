"""The pictures that a script shows, on the live page."""

from __future__ import annotations

import logging
import time

from saccade.capture import still
from saccade.errors import JpegError
from saccade.frame import Frame
from saccade.outputs.display import Display
from saccade.results import Result
from saccade.service.page import LivePage

log = logging.getLogger(__name__)

REPEAT_SECONDS = 1.0
"""So often a picture that stands is shown again, s: whoever began to watch meanwhile has not seen it."""


class ScriptView:
    """A live page for JPEG pictures that come from a script.

    address : HOST:PORT to serve at.
    """

    def __init__(self, address: str) -> None:
        self._display = Display()
        self._count = 0
        self._picture = b""
        self._due = 0.0
        self._start = time.monotonic()
        self._page = LivePage(address, self._display, self._figures).start()
        self.url = self._page.url

    def show(self, jpeg: bytes) -> None:
        """Show one picture, as often as the script writes it; costs nothing while nobody watches."""
        now = time.monotonic()
        stands = jpeg == self._picture
        if not stands:
            self._picture = jpeg
            self._count += 1
        if not self._display.statistics().viewers or (stands and now < self._due):
            return
        self._due = now + REPEAT_SECONDS
        try:
            picture = still.decode(jpeg)
        except JpegError as error:
            log.debug("a picture of the script is not shown: %s", error)
            return
        height, width = picture.shape[:2]
        frame = Frame.from_bgr(picture, sequence=self._count, time=time.time(), captured=now)
        with frame:
            self._display.accept(
                frame, Result(frame=self._count, time=frame.time, app="script", width=width, height=height)
            )

    def close(self) -> None:
        """Serve no more."""
        self._page.close()
        self._display.close()

    def _figures(self) -> dict[str, object]:
        seconds = max(1e-9, time.monotonic() - self._start)
        return {"app": "script", "frames": self._count, "fps": round(self._count / seconds, 1)}
