"""OpenCV as scripts of its versions 2 to 4 know it, over version 5.

Floats where OpenCV wants integers, names of old, windows that nobody can see, and the camera of the run.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from saccade.compat.old_modules import Facade, Modules, Names
from saccade.compat.old_python import Report
from saccade.compat.old_text import text


def adapt(modules: Modules, report: Report, version: int) -> None:
    """Change what a script imports. version : the script's Python, 2 or 3."""
    modules.layer("cv2", lambda module: _names(module, report, version), lambda name: _missing(name, report))
    modules.add({"cv2.cv": lambda: modules.module("cv2").cv})


_POINTS = {
    # Positions of arguments that OpenCV wants as integers or points of integers.
    "line": (1, 2, 4, 5, 6), "arrowedLine": (1, 2, 4, 5, 6), "rectangle": (1, 2, 4, 5, 6), "circle": (1, 2, 4, 5, 6),
    "ellipse": (1, 2, 7, 8, 9), "putText": (2, 3, 6, 7), "getTextSize": (1, 3), "resize": (1, 5),
    "drawMarker": (1, 3, 4, 5, 6),
    "GaussianBlur": (1,), "blur": (1,), "medianBlur": (1,), "boxFilter": (1, 2), "copyMakeBorder": (1, 2, 3, 4, 5),
    "warpAffine": (2,), "warpPerspective": (2,), "polylines": (1, 2, 4, 5, 6), "fillPoly": (1, 3, 4), "imencode": (2,),
    "fillConvexPoly": (1, 3, 4), "drawContours": (1, 2, 4, 5), "imwrite": (2,), "clipLine": (0, 1, 2),
    "VideoWriter": (1, 3),
    "getRectSubPix": (1,), "getStructuringElement": (0, 1),
}  # fmt: skip
_INTEGERS = """pt1 pt2 rec center radius axes thickness lineType line_type shift org fontFace dsize interpolation ksize
    pts position markerType markerSize top bottom left right borderType params frameSize"""
_INT_NAMES = frozenset(_INTEGERS.split())
_RENAMED = {
    "CV_AA": "LINE_AA", "CV_LOAD_IMAGE_COLOR": "IMREAD_COLOR", "CV_LOAD_IMAGE_GRAYSCALE": "IMREAD_GRAYSCALE",
    "CV_LOAD_IMAGE_UNCHANGED": "IMREAD_UNCHANGED", "CV_FILLED": "FILLED", "CV_FOURCC": "VideoWriter_fourcc",
    "BackgroundSubtractorMOG": "createBackgroundSubtractorMOG2",
    "BackgroundSubtractorMOG2": "createBackgroundSubtractorMOG2",
    "createBackgroundSubtractorMOG": "createBackgroundSubtractorMOG2", "SIFT": "SIFT_create", "ORB": "ORB_create",
    "FeatureDetector_create": "ORB_create", "estimateRigidTransform": "_saccade_rigid",
}  # fmt: skip
_WINDOWS = """imshow namedWindow destroyAllWindows destroyWindow moveWindow resizeWindow startWindowThread
    createTrackbar setMouseCallback setWindowProperty"""
_BEFORE_5 = "pip install 'opencv-python-headless<5' brings it back"
_CONTRIB = "it is part of opencv-contrib; pip install 'opencv-contrib-python-headless<5' has it"
_NAMED = {
    "CascadeClassifier": f"Haar cascades left OpenCV with version 5; {_BEFORE_5}, or find faces with a network: "
    "awscam.Model('faces') and run-script --model faces=blazeface-full",
    "HOGDescriptor": f"the HOG detector left OpenCV with version 5; {_BEFORE_5}, or find people with a network",
    "face": _CONTRIB, "xfeatures2d": _CONTRIB, "bgsegm": _CONTRIB, "tracking": _CONTRIB, "legacy": _CONTRIB,
    "readNetFromCaffe": f"cv2.dnn reads no Caffe any more; load the model with awscam.Model instead, or {_BEFORE_5}",
}  # fmt: skip


def _names(cv2: Any, report: Report, version: int) -> Names:

    def tolerant(name: str, function: Any, positions: tuple[int, ...]) -> Any:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            try:
                return function(*arguments, **options)
            except (cv2.error, TypeError) as error:
                said = str(error)
                if "Layout of the output array" in said and arguments and isinstance(arguments[0], np.ndarray):
                    # A view that is turned or flipped: drawn beside and copied back.
                    picture = np.ascontiguousarray(arguments[0])
                    wrapped(picture, *arguments[1:], **options)
                    arguments[0][...] = picture
                    return arguments[0]
                signs = ("parse", "integer", "wrong type", "not numeric", "CV_32S", "'str'", "CV_Assert", "npoints")
                if not any(sign in said for sign in signs):
                    raise
                whole = [_whole(value) if i in positions else _colour(value) for i, value in enumerate(arguments)]
                named = {key: _whole(value) if key in _INT_NAMES else _colour(value) for key, value in options.items()}
                try:
                    out = function(*whole, **named)
                except (cv2.error, TypeError):
                    raise error from None
                report.note(f"cv2.{name}: numbers were made plain and whole")
                # Drawing functions of OpenCV 2 gave None; the picture is what OpenCV 3 and later give.
                return out

        return wrapped

    names: dict[str, Any] = {
        name: tolerant(name, getattr(cv2, name), positions) for name, positions in _POINTS.items() if hasattr(cv2, name)
    }

    def windowless(result: Any = None) -> Any:
        def wrapped(*_: Any, **__: Any) -> Any:
            report.note("windows of cv2 are not shown: watch the result stream")
            return result

        return wrapped

    names |= {name: windowless() for name in _WINDOWS.split()}
    names |= {
        "waitKey": windowless(-1), "getTrackbarPos": windowless(0), "VideoCapture": _captures(cv2.VideoCapture, report),
        "cv": _OldConstants(cv2, lambda name: _missing(name, report)),
    }  # fmt: skip
    encode = names["imencode"]

    def imencode(*arguments: Any, **options: Any) -> Any:
        done, jpeg = encode(*arguments, **options)
        return done, jpeg.reshape(-1, 1)

    # OpenCV 5 gives vectors where there were columns.
    names |= {"imencode": imencode, "calcHist": lambda *a, **k: _column(cv2.calcHist(*a, **k))}
    if version == 2:

        def find_contours(picture: Any, *arguments: Any, **options: Any) -> Any:
            contours, hierarchy = cv2.findContours(picture, *arguments, **options)
            report.note("three results of findContours were given, as by OpenCV 3")
            return picture, list(contours), hierarchy

        names |= {"findContours": find_contours, "split": lambda picture: [*cv2.split(picture)]}
    deep: dict[str, Any] = {}
    if version == 2:
        deep["NMSBoxes"] = lambda *a, **k: np.asarray(cv2.dnn.NMSBoxes(*a, **k)).reshape(-1, 1)
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        deep["readNetFromCaffe"] = lambda *_: _missing("readNetFromCaffe", report)
    return names | {"dnn": Facade("cv2.dnn", cv2.dnn, deep)}


def _column(values: Any) -> Any:
    return values.reshape(-1, 1) if values.ndim == 1 else values


def _missing(name: str, report: Report) -> Any:
    """A name of `cv2` that it has no more."""
    import cv2

    if name in _RENAMED and (hasattr(cv2, _RENAMED[name]) or _RENAMED[name].startswith("_")):
        report.note(f"cv2.{name} is cv2.{_RENAMED[name].lstrip('_')} now")
        if _RENAMED[name].startswith("_"):
            return lambda a, b, full: (cv2.estimateAffine2D if full else cv2.estimateAffinePartial2D)(a, b)[0]
        return getattr(cv2, _RENAMED[name])
    if name.startswith("CV_"):
        for candidate in (name[3:], "COLOR_" + name[3:]):
            if candidate in vars(cv2):
                report.note(f"cv2.{name} is cv2.{candidate} now")
                return vars(cv2)[candidate]
    if name in _NAMED:
        report.note(f"cv2.{name} is not there: {_NAMED[name]}")
        raise AttributeError(f"cv2.{name}: {_NAMED[name]}")
    raise AttributeError(f"module 'cv2' has no attribute {name!r} (OpenCV {cv2.__version__})")


class _OldConstants(types.ModuleType):
    """`cv2.cv`, whose names all began with CV_."""

    def __init__(self, cv2: Any, missing: Callable[[str], Any]) -> None:
        super().__init__("cv2.cv")
        self.__dict__["_cv2"], self.__dict__["_missing"] = cv2, missing

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        cv2 = self.__dict__["_cv2"]
        for candidate in (name, name.removeprefix("CV_"), "COLOR_" + name.removeprefix("CV_")):
            if candidate in vars(cv2):
                return vars(cv2)[candidate]
        return self.__dict__["_missing"](name)


def _whole(value: Any) -> Any:
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, (float, np.floating)):
        return int(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        return value.astype(np.int32) if value.ndim > 1 else tuple(_whole(v) for v in value.tolist())
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [np.asarray(v).astype(np.int32) for v in value]
    if isinstance(value, (tuple, list)):
        return tuple(_whole(v) for v in value)
    return value


def _colour(value: Any) -> Any:
    """A colour of NumPy's numbers, which were ordinary ones in Python 2, or a line of text."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= 4:
        return tuple(value.tolist())
    if isinstance(value, tuple | list) and any(isinstance(v, np.generic) for v in value):
        return tuple(v.item() if isinstance(v, np.generic) else v for v in value)
    return value


_CAMERA = re.compile(r"/opt/awscam/out/|/dev/video\d")
_WIDTH, _HEIGHT = 3, 4
"""CAP_PROP_FRAME_WIDTH and CAP_PROP_FRAME_HEIGHT."""


def _captures(plain: Any, report: Report) -> type:
    """`cv2.VideoCapture`, with the camera of this run for the streams of the device."""

    class VideoCapture:
        _opened: Any = None

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._opened = plain()
            if arguments or options:
                self.open(*arguments, **options)

        def open(self, *arguments: Any, **options: Any) -> bool:
            name = arguments[0] if arguments else options.get("index", options.get("filename"))
            if _is_camera(name):
                self.release()
                self._opened = _RunsCamera()
                report.note(f"cv2.VideoCapture({str(name)!r}) reads the source of this run")
                return True
            if isinstance(self._opened, _RunsCamera):
                self.release()
            return bool(self._opened.open(*arguments, **options))

        def release(self) -> None:
            self._opened.release()
            self._opened = plain()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._opened, name)

    return VideoCapture


def _is_camera(name: Any) -> bool:
    """True for the streams of the device, and for cameras by number or device node."""
    if isinstance(name, int | np.integer):
        return not isinstance(name, bool)
    return _CAMERA.match(str(name)) is not None


class _RunsCamera:
    """The camera of this run, as a capture that is open."""

    def __init__(self) -> None:
        self._frame: Any = None
        self._ahead: Any = None

    def isOpened(self) -> bool:
        return True

    def read(self, *_: Any) -> tuple[bool, Any]:
        from saccade.compat import awscam

        if self._ahead is not None:
            frame, self._ahead = self._ahead, None
            return True, frame
        return awscam.getLastFrame()

    def grab(self) -> bool:
        ok, self._frame = self.read()
        return ok

    def retrieve(self, *_: Any) -> tuple[bool, Any]:
        return self._frame is not None, self._frame

    def get(self, quantity: int) -> float:
        """Width and height of the frames; 0 for what is not known, as OpenCV has it."""
        if quantity not in (_WIDTH, _HEIGHT):
            return 0.0
        if self._ahead is None:
            self._ahead = self.read()[1]
        return 0.0 if self._ahead is None else float(self._ahead.shape[1 if quantity == _WIDTH else 0])

    def set(self, *_: Any) -> bool:
        return False

    def release(self) -> None:
        """Others may read on."""
