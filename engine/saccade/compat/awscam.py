"""`awscam` as DeepLens scripts use it: `Model`, `getLastFrame` and `Runtime`.

Shapes, types, order, names and units are the device's: `doInference` takes the picture at the network's size, BGR, and
does no scaling of values; outputs are flat float32 arrays by layer name; parsed labels are ints, probabilities are
floats, best first, boxes are in pixels of the picture that was given to `doInference`, unclipped. Label numbers are the
network's own, 1-based in IR of the 2017 optimizer and for Caffe and TensorFlow detectors, 0-based otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saccade.compat import device
from saccade.errors import ConfigError, ModelError, SaccadeError, UnsupportedError

if TYPE_CHECKING:
    from saccade.networks import Port
    from saccade.predict.predictor import Predictor

Floats = NDArray[np.float32]
Row = dict[str, Any]

__all__ = ["Model", "Runtime", "getLastFrame"]

_WORTH_LENDING = 1 << 17
"""Bytes of a picture from which binding the caller's memory is quicker than copying it."""


class Runtime:
    """Values of the third argument of `Model`."""

    DLDT = 0
    NEO = 1


def getLastFrame() -> tuple[bool, NDArray[np.uint8] | None]:
    """(True, newest frame as uint8 (H, W, 3) BGR, the caller's own), or (False, None) if there is none."""
    return device.current().last_frame()


class Model:
    """A network by the path of its artifact.

    config : ``{"GPU": 1}`` wishes for the GPU, ``{"GPU": 0}`` takes the CPU.
    """

    def __init__(self, path: str, config: Mapping[str, int] | None = None, runtime: int = Runtime.DLDT) -> None:
        try:
            with device.current().at_work():
                self._load(path, config, runtime)
        except SaccadeError as error:
            device.current().on_failure(error)
            raise

    def _load(self, path: str, config: Mapping[str, int] | None, runtime: int) -> None:
        from saccade import networks

        if runtime == Runtime.NEO:
            raise UnsupportedError(
                f"{path}: models compiled by SageMaker Neo (runtime=1) hold code for the DeepLens runtime only; "
                "give the model they were compiled from, without the third argument"
            )
        if runtime != Runtime.DLDT:
            raise ConfigError(f"awscam.Model: runtime {runtime!r}; expected 0")
        current = device.current()
        file, self._substitute = current.artifact(str(path))
        wish = current.gpu if (config or {}).get("GPU") else "CPU"
        self._model = networks.Model(file, device=wish, precision=current.precision)  # type: ignore[arg-type]
        if wish != "CPU" and self._model.device == "CPU":
            current.notes("inference runs on the CPU: no GPU of this machine can be used")
        self._request = self._model.request()
        self._lock = threading.Lock()
        self._picture = _picture_port(self._model.inputs, self._model.name)
        self._nchw = _is_nchw(self._picture.shape)
        shape = self._picture.shape
        self._height, self._width = shape[2:4] if self._nchw else shape[1:3]
        self._channels = shape[1] if self._nchw else shape[3]
        self._given = (self._height, self._width)
        self._plans: dict[Any, Any] = {}
        for port in self._model.inputs:
            if port is not self._picture:
                # The second input that old detectors have: height, width and scale of the picture.
                values = [self._height, self._width, 1.0]
                target = self._request.inputs[port.name].reshape(-1)
                target[: len(values)] = values[: len(target)]
        self._adapter: _Adapter | None = None
        self._refusal = ""
        if self._substitute:
            try:
                self._adapter = _adapter(self._model)
            except SaccadeError as error:
                self._refusal = f" ({error})"

    def doInference(self, data: NDArray[Any]) -> dict[str, Floats]:
        """Run the network on one picture.

        data : uint8 or float (H, W, 3), BGR, at the network's size, values as the network wants them.
        Returns float32 (n,) by output layer.
        """
        picture = np.asarray(data)
        device.current().inferences += 1
        with self._lock:
            if self._adapter is not None:
                return self._adapter.infer(picture, self)
            lent = self._lendable(picture)
            if lent is not None:
                self._request.infer_from(self._picture.name, lent)
            else:
                self._fill(picture)
                self._request.infer()
            return {name: np.array(out, np.float32).reshape(-1) for name, out in self._request.outputs.items()}

    def parseResult(self, model_type: str, raw: Mapping[Any, Any]) -> dict[str, list[Row]]:
        """What the outputs of `doInference` mean: ``{model_type: [...]}``, best first.

        classification : ``{"label": int, "prob": float}`` for every class.
        ssd : with ``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels of the picture given to `doInference`.
        segmentation : the classes that occur, ``prob`` the mean over their pixels, with ``mask``, bool (h, w).
        """
        parsers = {"classification": self._classes, "ssd": self._objects, "segmentation": self._segments}
        parser = parsers.get(model_type)
        if parser is None:
            raise ConfigError(f"parseResult: type {model_type!r}; expected classification, ssd or segmentation")
        if not isinstance(raw, Mapping) or not raw:
            raise ConfigError(f"parseResult: got {device.describe(raw)}; expected what doInference returned")
        found = parser({name: np.asarray(value, np.float32).reshape(-1) for name, value in raw.items()})
        if self._substitute:
            caller = device.script_frame()
            where = (caller.f_code.co_filename, caller.f_lineno) if caller is not None else ("", 0)
            known = device.current().class_names.at(*where)
            named = self._named(found, known)
            total = sum(entry["prob"] for entry in named)
            if model_type == "classification" and len(named) < len(found) and total > 0:
                # Of those that are left one is right, as the script sees it.
                named = [entry | {"prob": entry["prob"] / total} for entry in named]
            found = named
        return {model_type: found}

    # Input

    def _lendable(self, picture: NDArray[Any]) -> NDArray[Any] | None:
        """The picture as the network's input, where the network can read it in the caller's own memory."""
        shape = self._picture.shape
        if picture.dtype != self._picture.dtype or picture.nbytes < _WORTH_LENDING or picture.shape[-3:] != shape[1:]:
            return None
        if not (picture.flags.c_contiguous and picture.flags.writeable) or picture.size != int(np.prod(shape)):
            return None
        self._given = (self._height, self._width)
        return picture.reshape(shape)

    def _fill(self, picture: NDArray[Any]) -> None:
        """Write a picture into the network's input, in one pass where its form allows."""
        target = self._request.inputs[self._picture.name]
        if picture.shape in (target.shape, target.shape[1:]) and self._nchw:
            # Some scripts transpose the picture themselves.
            np.copyto(target, picture, casting="unsafe")
            self._given = (self._height, self._width)
            return
        if picture.ndim == 4 and picture.shape[0] == 1:
            picture = picture[0]
        if picture.ndim == 2:
            picture = picture[:, :, None]
        if picture.ndim != 3 or picture.shape[2] != self._channels or picture.dtype.kind not in "uifb":
            raise ModelError(
                f"doInference: got {device.describe(picture)}; {self._model.name} takes a picture of "
                f"({self._height}, {self._width}, {self._channels})"
            )
        self._given = (int(picture.shape[0]), int(picture.shape[1]))
        if self._given != (self._height, self._width):
            picture = self._resized(picture)
        if picture.dtype == np.uint8 and self._channels == 3 and picture.flags.c_contiguous:
            self._plan(picture.shape[:2], target.dtype)(picture, out=target)
        elif self._nchw:
            np.copyto(target[0], picture.transpose(2, 0, 1), casting="unsafe")
        else:
            np.copyto(target[0], picture, casting="unsafe")

    def _resized(self, picture: NDArray[Any]) -> NDArray[Any]:
        import cv2

        height, width = self._given
        device.current().notes(
            f"pictures of {width}x{height} were resized to the {self._width}x{self._height} of {self._model.name}"
        )
        if picture.dtype not in (np.uint8, np.float32):
            picture = picture.astype(np.float32)
        out: NDArray[Any] = cv2.resize(picture, (self._width, self._height))
        return out.reshape(self._height, self._width, self._channels)

    def _plan(self, size: tuple[int, int], dtype: np.dtype[Any]) -> Any:
        plan = self._plans.get((size, dtype))
        if plan is None:
            from saccade.kernels import Preprocess

            plan = self._plans[size, dtype] = Preprocess(
                source=size, size=(self._height, self._width), layout="nchw" if self._nchw else "nhwc", dtype=dtype.name
            )
        return plan

    # Results

    def _classes(self, raw: dict[Any, Floats]) -> list[Row]:
        scores = self._pick(raw, lambda port: port.layer_type == "Softmax", lambda values: values.size > 1)
        if self._substitute and (scores.min() < 0 or abs(float(scores.sum()) - 1) > 0.05):
            # Not every network ends in a softmax; what it stands in for did.
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        order = np.argsort(-scores, kind="stable")
        return [{"label": int(i), "prob": float(scores[i])} for i in order]

    def _named(self, found: list[Row], known: Mapping[int, str]) -> list[Row]:
        """Of a substitute's results those that the script has names for; it would stumble over the others.

        Where both call classes by name, the script's numbers go by the names.
        """
        if not known:
            return found
        numbers = self._adapter.numbers(known) if self._adapter is not None else {}
        renumbered = [entry | {"label": numbers.get(entry["label"], entry["label"])} for entry in found]
        if numbers:
            renumbered = [new for new, old in zip(renumbered, found, strict=True) if old["label"] in numbers]
        named = [entry for entry in renumbered if entry["label"] in known]
        if len(named) < len(found):
            device.current().notes(
                f"of the classes of {self._model.name} only the {len(known)} are given that have names"
            )
        return named

    def _objects(self, raw: dict[Any, Floats]) -> list[Row]:
        height, width = self._given
        rows = _tensorflow_rows(raw)
        if rows is None:
            rows = self._pick(raw, lambda port: port.layer_type == "DetectionOutput", lambda v: v.size % 7 == 0)
            if rows.size % 7:
                raise ModelError(
                    f"parseResult('ssd'): {self._model.name} has no output of a detector; its outputs are "
                    f"{sorted(raw)}{self._refusal}"
                )
            rows = rows.reshape(-1, 7)
            # A negative picture number ends the list; what follows is not initialised.
            ends = rows[:, 0] < 0
            if ends.any():
                rows = rows[: int(ends.argmax())]
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        return [
            {
                "label": int(label), "prob": float(prob),
                "xmin": float(x1) * width, "ymin": float(y1) * height,
                "xmax": float(x2) * width, "ymax": float(y2) * height,
            }
            for _, label, prob, x1, y1, x2, y2 in rows
        ]  # fmt: skip

    def _segments(self, raw: dict[Any, Floats]) -> list[Row]:
        port = max(self._model.outputs, key=lambda p: len(p.shape))
        values = raw.get(port.name, next(iter(raw.values())))
        shape = tuple(d for d in port.shape if d != 1)
        if values.size != int(np.prod(port.shape)) or len(shape) not in (2, 3):
            raise ModelError(f"parseResult('segmentation'): an output of shape {port.shape} is no class map")
        scores = values.reshape(shape)
        if len(shape) == 2:
            labels = scores.astype(np.int32)
            best = np.ones(shape, np.float32)
        else:
            axis = 0 if self._nchw else 2
            labels = scores.argmax(axis).astype(np.int32)
            best = scores.max(axis)
        found = []
        for label in np.unique(labels):
            mask = labels == label
            found.append({"label": int(label), "prob": float(best[mask].mean()), "mask": mask})
        return sorted(found, key=lambda entry: -entry["prob"])

    def _pick(self, raw: dict[Any, Floats], by_port: Any, by_value: Any) -> Floats:
        """The output that is meant, of those there are."""
        if len(raw) == 1:
            return next(iter(raw.values()))
        ports = {port.name: port for port in self._model.outputs}
        for name, values in raw.items():
            if name in ports and by_port(ports[name]):
                return values
        for values in raw.values():
            if by_value(values):
                return values
        return next(iter(raw.values()))


_BACKGROUND = ("", "background", "none", "nothing")


def _key(name: str) -> str:
    """A class's name without what differs from list to list."""
    return "".join(c for c in name.lower() if c.isalnum())


def _picture_port(ports: tuple[Port, ...], name: str) -> Port:
    for port in ports:
        if len(port.shape) == 4:
            return port
    raise UnsupportedError(f"{name}: no input takes a picture; its inputs are {[(p.name, p.shape) for p in ports]}")


def _is_nchw(shape: tuple[int, ...]) -> bool:
    return shape[1] == 3 or (shape[1] in (1, 4) and shape[3] not in (1, 3))


def _tensorflow_rows(raw: Mapping[Any, Floats]) -> Floats | None:
    """Rows of a DetectionOutput from the separate outputs of TensorFlow's object detection models."""
    parts = {}
    for part in ("boxes", "scores", "classes"):
        for name, values in raw.items():
            if f"detection_{part}" in str(name):
                parts[part] = values
    if len(parts) < 3:
        return None
    boxes, count = parts["boxes"].reshape(-1, 4), len(parts["scores"])
    rows = np.zeros((count, 7), np.float32)
    rows[:, 1], rows[:, 2] = parts["classes"], parts["scores"]
    rows[:, 3:] = boxes[:count][:, [1, 0, 3, 2]]
    return rows[rows[:, 2] > 0]


def _adapter(model: Any) -> _Adapter | None:
    """Makes a substitute that is no plain detector look like one; None where there is nothing to adapt.

    Raises UnsupportedError where its outputs are not understood.
    """
    from saccade.predict import open_predictor

    predictor = open_predictor(model, threshold=0.1)
    # Rows of seven are what DetectionOutput gives, whichever layer made them (TensorFlow's detectors, force_suppress).
    if predictor.task != "detect" or any(len(port.shape) == 4 and port.shape[-1] == 7 for port in model.outputs):
        return None
    return _Adapter(predictor)


class _Adapter:
    """Runs a detector with its own preprocessing and answers as a DetectionOutput layer would."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._names: tuple[str, ...] = ()

    def numbers(self, known: Mapping[int, str]) -> dict[int, int]:
        """The script's class numbers by those of `infer`: by the names, else from 0 where the script counts so."""
        by_name = {_key(name): number for number, name in known.items()}
        same = {i + 1: by_name[_key(name)] for i, name in enumerate(self._names) if _key(name) in by_name}
        if same or 0 not in known or _key(known[0]) in _BACKGROUND:
            return same
        return {number + 1: number for number in known}

    def infer(self, picture: NDArray[Any], owner: Model) -> dict[str, Floats]:
        """Rows of image, label, score, x1, y1, x2, y2 in [0, 1], labels from 1."""
        if picture.ndim != 3 or picture.shape[2] != 3:
            raise ModelError(f"doInference: got {device.describe(picture)}; expected a picture of (height, width, 3)")
        if picture.dtype != np.uint8:
            # Scripts scale to [0, 1] for networks that want that; this one does its own scaling.
            picture = picture * 255.0 if float(picture.max(initial=0.0)) <= 1.0 else picture
            picture = np.clip(picture, 0, 255).astype(np.uint8)
        height, width = owner._given = (int(picture.shape[0]), int(picture.shape[1]))
        found = self._predictor(np.ascontiguousarray(picture)).detections
        assert found is not None
        self._names = found.names
        rows = np.zeros((len(found), 7), np.float32)
        rows[:, 1], rows[:, 2] = found.labels + 1, found.scores
        rows[:, 3:] = found.boxes / np.array([width, height] * 2, np.float32)
        return {"detection_out": rows.reshape(-1) if len(rows) else np.full(7, -1, np.float32)}
