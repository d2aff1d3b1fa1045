"""Old scripts and today's libraries: boto3 that is installed already, NumPy 2, OpenCV 5.

Each `adapt_*` acts on the process of one script and tells the `Report` what it changed, when it does.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from saccade.compat.old_python import OldBytes, Report

# boto3


_BOTO = re.compile(r"boto", re.IGNORECASE)
_PIP_BOTO = re.compile(r"\bpip[\d.]*\b.*\binstall\b.*\bboto", re.IGNORECASE | re.DOTALL)


def retrieving(report: Report) -> Callable[..., Any]:
    """`urlretrieve` that does not download what is installed."""
    from urllib.request import urlretrieve

    @functools.wraps(urlretrieve)
    def wrapped(url: str, filename: str | None = None, *arguments: Any, **options: Any) -> Any:
        if filename is not None and _BOTO.search(url.rpartition("/")[2]) and url.endswith(".zip"):
            import zipfile

            report.note(f"{url} was not downloaded: boto3 is installed here")
            with zipfile.ZipFile(filename, "w"):
                pass
            return filename, None
        return urlretrieve(url, filename, *arguments, **options)

    return wrapped


def adapt_boto3(report: Report) -> None:
    """One client a service, objects that stay private, a region where none is set; for boto3 and botocore."""
    import botocore.session

    session_class = botocore.session.Session
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        if session_class().get_config_variable("region") is None:
            os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
            report.note("AWS region us-east-1 was taken, as none is set (AWS_DEFAULT_REGION)")
        else:
            os.environ["AWS_DEFAULT_REGION"] = str(session_class().get_config_variable("region"))
    make = session_class.create_client
    clients: dict[str, Any] = {}
    lock = threading.Lock()

    def private(params: dict[str, Any], **_: Any) -> None:
        if str(params.get("ACL", "")).startswith("public"):
            report.note(f"ACL={params['ACL']!r} was left out of S3 uploads: new buckets refuse it; faces are private")
            del params["ACL"]

    @functools.wraps(make)
    def create_client(self: Any, service_name: str, *arguments: Any, **options: Any) -> Any:
        key = repr((self.profile, service_name, arguments, sorted(options.items(), key=lambda item: item[0])))
        with lock:
            if key not in clients:
                made = clients[key] = make(self, service_name, *arguments, **options)
                if service_name == "s3":
                    made.meta.events.register("provide-client-params.s3.PutObject", private)
            else:
                report.note(f"the client for {service_name} is made once and shared")
            return clients[key]

    session_class.create_client = create_client  # type: ignore[method-assign]


def adapt_shell(report: Report) -> None:
    """Installations of boto3 that a script starts itself are skipped."""

    def skipping(function: Any, result: Any) -> Any:
        @functools.wraps(function)
        def wrapped(command: Any, *arguments: Any, **options: Any) -> Any:
            text = command if isinstance(command, str) else " ".join(str(part) for part in command)
            if _PIP_BOTO.search(text):
                report.note(f"`{text[:80]}` was not run: boto3 is installed here")
                return result
            return function(command, *arguments, **options)

        return wrapped

    os.system = skipping(os.system, 0)
    for name, result in (("call", 0), ("check_call", 0), ("check_output", OldBytes(b""))):
        setattr(subprocess, name, skipping(getattr(subprocess, name), result))


# NumPy


def adapt_numpy(report: Report) -> None:
    """Names that NumPy 2 has dropped."""
    gone = {
        "int": int, "float": float, "bool": np.bool_, "object": object, "str": str, "long": int, "unicode": str,
        "complex": complex, "float_": np.float64, "int_": np.int64, "string_": np.bytes_, "unicode_": np.str_,
        "NaN": np.nan, "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf,
        "product": np.prod, "cumproduct": np.cumprod, "alltrue": np.all, "sometrue": np.any, "round_": np.round,
        "asscalar": lambda array: array.item(), "in1d": np.isin, "trapz": getattr(np, "trapezoid", None),
        "row_stack": np.vstack, "msort": lambda array: np.sort(array, axis=0),
    }  # fmt: skip
    for name, value in gone.items():
        if name not in vars(np) and value is not None:
            setattr(np, name, value)
    original = np.fromstring

    @functools.wraps(original)
    def fromstring(data: Any, dtype: Any = float, count: int = -1, sep: str = "", **options: Any) -> Any:
        if sep == "":
            raw = data.encode("latin-1") if isinstance(data, str) else data
            return np.frombuffer(raw, dtype, count).copy()
        return original(data, dtype, count, sep=sep, **options)

    np.fromstring = fromstring  # type: ignore[assignment]


# OpenCV


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
_NAMED = {
    "CascadeClassifier": "Haar cascades left OpenCV with version 5; detect faces with a network instead",
    "HOGDescriptor": "the HOG detector left OpenCV with version 5; detect people with a network instead",
    "face": "cv2.face is part of opencv-contrib, which is not installed",
    "xfeatures2d": "cv2.xfeatures2d is part of opencv-contrib, which is not installed",
    "bgsegm": "cv2.bgsegm is part of opencv-contrib, which is not installed",
    "readNetFromCaffe": "load the model with awscam.Model instead: cv2.dnn has no Caffe reader any more",
}


def adapt_opencv(report: Report) -> None:
    """Floats where OpenCV wants integers, names of OpenCV 2 and 3, windows that nobody can see."""
    import cv2

    def tolerant(name: str, function: Any, positions: tuple[int, ...]) -> Any:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            try:
                return function(*arguments, **options)
            except (cv2.error, TypeError) as error:
                text = str(error)
                if not any(sign in text for sign in ("parse", "integer", "wrong type", "not numeric", "CV_32S")):
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

    for name, positions in _POINTS.items():
        if hasattr(cv2, name):
            setattr(cv2, name, tolerant(name, getattr(cv2, name), positions))

    def windowless(result: Any = None) -> Any:
        def wrapped(*_: Any, **__: Any) -> Any:
            report.note("windows of cv2 are not shown: watch the result stream")
            return result

        return wrapped

    for name in _WINDOWS.split():
        setattr(cv2, name, windowless())
    module: Any = cv2
    module.waitKey = windowless(-1)
    module.VideoCapture = _camera(cv2.VideoCapture, report)
    module._saccade_rigid = lambda a, b, full: (cv2.estimateAffine2D if full else cv2.estimateAffinePartial2D)(a, b)[0]

    def missing(name: str) -> Any:
        if name in _RENAMED and hasattr(cv2, _RENAMED[name]):
            report.note(f"cv2.{name} is cv2.{_RENAMED[name].lstrip('_')} now")
            return getattr(cv2, _RENAMED[name])
        if name.startswith("CV_") and name[3:] in vars(cv2):
            report.note(f"cv2.{name} is cv2.{name[3:]} now")
            return vars(cv2)[name[3:]]
        if name in _NAMED:
            report.note(f"cv2.{name} is not there: {_NAMED[name]}")
            raise AttributeError(f"cv2.{name}: {_NAMED[name]}")
        raise AttributeError(f"module 'cv2' has no attribute {name!r} (OpenCV {cv2.__version__})")

    module.__getattr__ = missing
    module.cv = _OldConstants(cv2, missing)
    if not hasattr(module.dnn, "readNetFromCaffe"):
        module.dnn.readNetFromCaffe = lambda *_: missing("readNetFromCaffe")


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
    """A colour of NumPy's numbers, which were ordinary ones in Python 2."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= 4:
        return tuple(value.tolist())
    if isinstance(value, tuple | list) and any(isinstance(v, np.generic) for v in value):
        return tuple(v.item() if isinstance(v, np.generic) else v for v in value)
    return value


def _camera(plain: Any, report: Report) -> Any:
    """`cv2.VideoCapture`, with the camera of this run for the streams of the device."""

    class DeviceCapture:
        def __init__(self, name: str) -> None:
            self._frame: Any = None
            report.note(f"cv2.VideoCapture({name!r}) reads the source of this run")

        def isOpened(self) -> bool:
            return True

        def read(self) -> tuple[bool, Any]:
            from saccade.compat import awscam

            return awscam.getLastFrame()

        def grab(self) -> bool:
            ok, self._frame = self.read()
            return ok

        def retrieve(self) -> tuple[bool, Any]:
            return self._frame is not None, self._frame

        def get(self, _: int) -> float:
            return 0.0

        def set(self, *_: Any) -> bool:
            return False

        def release(self) -> None:
            """The camera stays open for the others."""

    def capture(*arguments: Any) -> Any:
        name = arguments[0] if arguments else None
        if isinstance(name, str) and name.startswith("/opt/awscam/out/"):
            return DeviceCapture(name)
        return plain(*arguments)

    return capture
