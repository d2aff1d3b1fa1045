"""What stands behind the old modules: one camera, one folder of artifacts, one publisher.

The old API is a set of module functions over one device, so the device in use is held here.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ModelError, SaccadeError

if TYPE_CHECKING:
    from saccade.capture import Capture
    from saccade.outputs.publish import Publisher

log = logging.getLogger(__name__)

ARTIFACTS = "/opt/awscam/artifacts"
"""Where the device kept models; scripts have it hard-coded."""

_FORMS = (".xml", "-symbol.json", ".onnx", ".tflite", ".pb", ".prototxt")
_DECORATION = re.compile(r"^mxnet_|(_FP(16|32))?(_FUSED)?$")


class CompatDevice:
    """The device that `awscam`, `mo` and `greengrasssdk` talk to.

    Parameters
    ----------
    source : see `saccade.capture.open_source`; opened by the first `getLastFrame()`.
    artifacts : folder that answers for /opt/awscam/artifacts, or None for that path itself.
    models : substitutes by artifact name (stem, with or without ``mxnet_`` and ``_FP16_FUSED``): a path or a name of
        the catalogue. The name ``*`` answers for every artifact that is not there.
    publisher : where `greengrasssdk` publishes; None: JSON lines on standard output.
    device : inference device for ``{"GPU": 1}``; ``{"GPU": 0}`` is always the CPU.
    precision : see `saccade.models.Model`. realtime : see `open_source`.
    frames : after that many frames `on_end` is called by each further `getLastFrame()`.
    """

    def __init__(
        self,
        *,
        source: str = "0",
        artifacts: str | Path | None = None,
        models: Mapping[str, str] | None = None,
        publisher: Publisher | None = None,
        device: str = "GPU",
        precision: str = "auto",
        realtime: bool | None = None,
        frames: int | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.source, self.realtime, self.frames = source, realtime, frames
        self.artifacts = Path(artifacts) if artifacts is not None else None
        self.models = {_plain(name): target for name, target in (models or {}).items()}
        self.gpu, self.precision = device, precision
        self.delivered = 0
        self.readers: set[int] = set()
        """Threads that have asked for a frame."""
        self.notes: Callable[[str], None] = log.info
        """Told what was done differently from the device, in words."""
        self.labels: frozenset[int] = frozenset()
        """Class numbers that the script has names for, if that is known."""
        self.on_failure: Callable[[SaccadeError], None] = lambda error: None
        """Told of a model that cannot be had, before the error is raised."""
        self._on_end = on_end
        self._publisher = publisher
        self._capture: Capture | None = None
        self._lock = threading.Lock()

    @property
    def publisher(self) -> Publisher:
        """Where messages go."""
        if self._publisher is None:
            from saccade.outputs.publish import JsonLines

            self._publisher = JsonLines("-")
        return self._publisher

    def last_frame(self, timeout: float = 5.0) -> tuple[bool, NDArray[np.uint8] | None]:
        """(True, the next frame that was not given out yet, a BGR array of the caller's own), or (False, None)."""
        self.readers.add(threading.get_ident())
        with self._lock:
            capture = self._opened()
            frame = None
            if self.frames is None or self.delivered < self.frames:
                frame = capture.latest(timeout)
            if frame is not None:
                with frame:
                    # A copy: scripts draw on it and keep it for as long as they like.
                    picture = frame.bgr().copy()
                self.delivered += 1
                return True, picture
            over = capture.ended or (self.frames is not None and self.delivered >= self.frames)
        if over and self._on_end is not None:
            self._on_end()
        return False, None

    def open(self) -> None:
        """Open the camera now; raises SourceError."""
        with self._lock:
            self._opened()

    def _opened(self) -> Capture:
        if self._capture is None:
            from saccade.capture import Capture, open_source

            self._capture = Capture(open_source(self.source, realtime=self.realtime)).start()
        return self._capture

    def finish(self) -> None:
        """Give out no more frames."""
        self.frames = self.delivered
        capture = self._capture
        if capture is not None:
            capture.stop()

    def path(self, path: str) -> str:
        """`path` with /opt/awscam/artifacts replaced by this device's folder."""
        if self.artifacts is not None and (path == ARTIFACTS or path.startswith(ARTIFACTS + "/")):
            return str(self.artifacts) + path[len(ARTIFACTS) :]
        return path

    def substitute(self, name: str) -> str | None:
        """The model that the user named for artifact `name`, or None."""
        target = self.models.get(_plain(Path(name).name))
        if target is None and "*" in self.models and self._find(name) is None:
            target = self.models["*"]
        if target is not None:
            self.notes(f"{target} answers for the model {Path(name).name}")
        return target

    def artifact(self, name: str) -> tuple[str, bool]:
        """File of an artifact that a script names by path, and whether it is a substitute; raises ModelError."""
        substitute = self.substitute(name)
        if substitute is not None:
            from saccade.models import resolve

            return str(resolve(substitute)), True
        found = self._find(name)
        if found is None:
            folder = self.artifacts or Path(ARTIFACTS)
            raise ModelError(
                f"{name}: no such model; copy it to {folder}, or let another answer for it: "
                f"--model {_plain(Path(name).name)}=PATH"
            )
        return str(found), False

    def close(self) -> None:
        """Close camera and publisher."""
        with self._lock:
            capture, self._capture = self._capture, None
        if capture is not None:
            capture.stop()
        if self._publisher is not None:
            self._publisher.close()

    def _find(self, name: str) -> Path | None:
        """The artifact itself, or the same model in another form beside it."""
        path = Path(self.path(str(name)))
        if path.is_file():
            return path
        folder = path.parent if os.sep in str(name) else self.artifacts or Path(ARTIFACTS)
        for stem in dict.fromkeys((_stem(path.name), _plain(path.name))):
            for ending in _FORMS:
                other = folder / (stem + ending)
                if other.is_file():
                    if os.sep in str(name):
                        self.notes(f"{other.name} was taken for {path.name}")
                    return other
        return None


def _stem(name: str) -> str:
    for ending in _FORMS:
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


def _plain(name: str) -> str:
    """Name of a model without what the optimizer put round it."""
    return _DECORATION.sub("", _stem(name))


_current: CompatDevice | None = None


def use(device: CompatDevice | None) -> CompatDevice | None:
    """Make `device` the one in use; returns the one before."""
    global _current
    before, _current = _current, device
    return before


def current() -> CompatDevice:
    """The device in use; one on the first camera if none was installed."""
    global _current
    if _current is None:
        _current = CompatDevice()
    return _current


def describe(value: Any) -> str:
    """Type and shape of a value, for messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
