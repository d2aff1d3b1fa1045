"""Findings as named arrays and back, for a network that runs elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ModelError
from saccade.predict.labels import clean
from saccade.results import (
    Angles,
    Classification,
    Detections,
    Embedding,
    Finding,
    Heads,
    Landmarks,
    Masks,
    Segmentation,
)

Arrays = Mapping[str, NDArray[Any]]

_OBJECTS: Mapping[str, tuple[int | None, ...]] = {
    "boxes": (4,), "scores": (), "labels": (), "keypoints": (None, 2), "keypoint_scores": (None,), "corners": (4, 2),
}  # fmt: skip
"""What there is of each object, and its shape."""

_HEAD = "head:"
"""Before the name of a network's head and the part of it, which a colon parts."""


def to_arrays(finding: Finding) -> dict[str, NDArray[Any]]:
    """Arrays that `from_arrays` makes the same finding of; names of classes apart."""
    if isinstance(finding, Detections):
        arrays = {name: value for name in _OBJECTS if (value := getattr(finding, name)) is not None}
        if finding.masks is not None:
            arrays["mask_places"] = finding.masks.places
            arrays |= {f"mask_{i}": patch for i, patch in enumerate(finding.masks.patches)}
        return arrays
    if isinstance(finding, Classification):
        return {"class_labels": finding.labels, "class_scores": finding.scores}
    if isinstance(finding, Heads):
        return {
            f"{_HEAD}{name}:{part}": np.asarray(getattr(head, part), *(() if part != "names" else (np.str_,)))
            for name, head in finding.by_name.items()
            for part in ("labels", "scores", "names")
        }
    if isinstance(finding, Segmentation):
        background = {} if finding.background is None else {"background": np.array(finding.background)}
        return {"segmentation": finding.labels, "place": finding.place, **background}
    if isinstance(finding, Landmarks):
        return {"landmarks": finding.points, "score": np.float32(finding.score).reshape(1)}
    if isinstance(finding, Angles):
        return {"angles": np.array([finding.yaw, finding.pitch, *(() if finding.roll is None else (finding.roll,))])}
    return {"embedding": finding.vector}


def from_arrays(arrays: Arrays, names: tuple[str, ...] = ()) -> Finding:
    """The finding that `to_arrays` took apart; raises ModelError where these are no arrays of it."""
    try:
        return _from_arrays(arrays, names)
    except (KeyError, ValueError) as error:
        raise ModelError(f"the server's answer is no finding: {error!r}") from None


def _from_arrays(arrays: Arrays, names: tuple[str, ...]) -> Finding:
    if "boxes" in arrays:
        return _objects(arrays, names)
    if "class_labels" in arrays:
        return _classes(arrays, "class_", names)
    if "segmentation" in arrays:
        labels = arrays["segmentation"]
        if labels.ndim != 2 or labels.dtype not in (np.uint8, np.int32) or labels.min(initial=0) < 0:
            raise ValueError(f"segmentation is {labels.dtype} {labels.shape}")
        background = int(_array(arrays, "background")) if "background" in arrays else None
        return Segmentation(labels, _array(arrays, "place", 4), names, background)
    if "landmarks" in arrays:
        return Landmarks(_array(arrays, "landmarks", None, 3), float(_array(arrays, "score", 1)[0]))
    if "angles" in arrays:
        angles = _array(arrays, "angles", None).tolist()
        if len(angles) not in (2, 3):
            raise ValueError(f"{len(angles)} angles")
        return Angles(*angles)
    if "embedding" in arrays:
        return Embedding(_array(arrays, "embedding", None))
    heads = dict.fromkeys(name[len(_HEAD) :].rpartition(":")[0] for name in arrays if name.startswith(_HEAD))
    if not heads:
        raise ValueError(f"arrays {sorted(arrays)}")
    return Heads({head: _classes(arrays, f"{_HEAD}{head}:", _texts(arrays[f"{_HEAD}{head}:names"])) for head in heads})


def _objects(arrays: Arrays, names: tuple[str, ...]) -> Detections:
    count = arrays["scores"].size
    parts: dict[str, Any] = {n: _array(arrays, n, count, *shape) for n, shape in _OBJECTS.items() if n in arrays}
    masks = None
    if "mask_places" in arrays:
        patches = [_array(arrays, f"mask_{i}", None, None, finite=False) for i in range(count)]
        masks = Masks(tuple(patches), _array(arrays, "mask_places", count, 4))
    parts["labels"] = parts["labels"].astype(np.int32)
    return Detections(**parts, names=names, masks=masks)


def _classes(arrays: Arrays, prefix: str, names: tuple[str, ...]) -> Classification:
    labels = _array(arrays, f"{prefix}labels", None)
    return Classification(labels.astype(np.int32), _array(arrays, f"{prefix}scores", len(labels)), names)


def _array(arrays: Arrays, name: str, *shape: int | None, finite: bool = True) -> NDArray[np.float32]:
    """The numbers of that name, float32; raises ValueError unless they have this shape, where None is any extent."""
    array = arrays[name]
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in "fiu" or (finite and not np.isfinite(array).all()):
        raise ValueError(f"{name} is {array.dtype} {array.shape}, or not finite")
    return array.astype(np.float32, copy=False)


def _texts(array: NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise ValueError(f"names are {array.dtype} {array.shape}")
    return tuple(map(clean, array.tolist()))
