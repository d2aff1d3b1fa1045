"""What stands behind the old modules: one camera, one folder of artifacts, one publisher.

The old API is a set of module functions over one device, so the device in use is held here.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saccade.compat.class_names import ClassNames
from saccade.errors import ModelError, SaccadeError
from saccade.process import is_service

if TYPE_CHECKING:
    from saccade.capture import Capture
    from saccade.compat.children import ParentsCamera
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
    source : see `saccade.capture.open_source`; opened by the first `getLastFrame()`. source_options : further
        options of `open_source`; `wait` as for `Capture`.
    artifacts : folder that answers for /opt/awscam/artifacts, or None for that path itself.
    models : substitutes by artifact name (stem, with or without ``mxnet_`` and ``_FP16_FUSED``): a path or a name of
        the catalogue. The name ``*`` answers for every artifact that is not there.
    publisher : where `greengrasssdk` publishes; None: JSON lines on standard output.
    device : inference device for ``{"GPU": 1}``; ``{"GPU": 0}`` is always the CPU.
    precision : see `saccade.networks.Model`. realtime : see `open_source`.
    frames : after that many frames `on_end` is called by each further `getLastFrame()`.
    """

    def __init__(
        self,
        *,
        source: str = "0",
        source_options: Mapping[str, Any] | None = None,
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
        self._source_options = dict(source_options or {})
        self.artifacts = Path(artifacts) if artifacts is not None else None
        self.models = {_plain(name): target for name, target in (models or {}).items()}
        self.gpu, self.precision = device, precision
        self.delivered = 0
        self.shadows: dict[str, Any] = {}
        """Shadows of things, as far as the script has put something into them."""
        self.inferences = 0
        """Runs of networks, for scripts that read pictures of their own."""
        self.missing = ""
        """The first model that could not be had, with what to do; it is the cause of much that follows."""
        self._busy = 0
        self._last_use = time.monotonic()
        self.readers: set[int] = set()
        """Threads that have asked for a frame."""
        self.displays: set[int] = set()
        """Threads that have opened the result stream."""
        self.notes: Callable[[str], None] = log.info
        """Told what was done differently from the device, in words."""
        self.class_names = ClassNames(self.path)
        """Which classes the script has names for, as far as that is known."""
        self._stand_ins: set[str] = set()
        self.on_failure: Callable[[SaccadeError], None] = lambda error: None
        """Told of a model that cannot be had, before the error is raised."""
        self._parent: ParentsCamera | None = None
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
        if self._parent is not None:
            return self._parents_frame(self._parent)
        self.readers.add(threading.get_ident())
        with self.at_work(), self._lock:
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

    def ask(self, parent: ParentsCamera) -> None:
        """Take frames from the process that has forked this one."""
        self._parent = parent

    def _parents_frame(self, parent: ParentsCamera) -> tuple[bool, NDArray[np.uint8] | None]:
        picture = parent.next()
        self.delivered += picture is not None
        if parent.over and self._on_end is not None:
            self._on_end()
        return picture is not None, picture

    def used(self) -> None:
        """The script is getting on."""
        self._last_use = time.monotonic()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the script waits for this side: a frame, or a model that is converted or loaded."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self.used()

    def idle_for(self) -> float:
        """Seconds since the script last asked for a frame or a model."""
        return 0.0 if self._busy else time.monotonic() - self._last_use

    def open(self) -> None:
        """Open the camera now; raises SourceError."""
        with self._lock:
            self._opened()

    def _opened(self) -> Capture:
        if self._capture is None:
            from saccade.capture import Capture, open_source

            options = {"wait": is_service(), **self._source_options}
            source = open_source(self.source, realtime=self.realtime, **options)
            self._capture = Capture(source, wait=options["wait"]).start()
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

    def made(self, name: str) -> str | None:
        """File of a model that was converted before, where what it was made from is not there; or None."""
        found = self._find(name)
        if found is not None:
            self.notes(f"{found.name} was taken for {name}: what it was made from is not there")
        return str(found) if found is not None else None

    def substitute(self, name: str) -> str | None:
        """File of the model that the user named for artifact `name`, or None; raises DownloadError."""
        target = self.models.get(_plain(Path(name).name))
        if target is None and "*" in self.models and self._find(name) is None:
            target = self.models["*"]
        if target is None:
            return None
        from saccade.networks.catalogue import resolve

        file = str(resolve(target))
        self._stand_ins.add(file)
        self.notes(f"{target} answers for the model {Path(name).name}")
        return file

    def artifact(self, name: str) -> tuple[str, bool]:
        """File of an artifact that a script names by path, and whether it is a substitute; raises ModelError."""
        if name in self._stand_ins:
            return name, True
        substitute = self.substitute(name) if name else None
        if substitute is not None:
            return substitute, True
        found = self._find(name) if name else None
        if found is None:
            raise ModelError((name and self.way_out(name)) or self.missing or "the model's path is empty")
        return str(found), False

    def way_out(self, name: str, problem: str = "no such model") -> str:
        """What to do about an artifact that cannot be had; remembered as the cause of what follows."""
        folder = self.artifacts or Path(ARTIFACTS)
        text = (
            f"{name}: {problem}; copy it to {folder} (--artifacts DIR names another folder), or let another model "
            f"answer for it: --model {_plain(Path(name).name)}=PATH, a file or a name of `saccade models list`"
        )
        self.missing = self.missing or text
        return text

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


def script_frame() -> FrameType | None:
    """The innermost frame that is neither of saccade nor of Python's import: the code that asks."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not (name.startswith("saccade.") or "importlib" in name or "importlib" in frame.f_code.co_filename):
            break
        frame = frame.f_back
    return frame


def describe(value: Any) -> str:
    """Type and shape of a value, for messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
