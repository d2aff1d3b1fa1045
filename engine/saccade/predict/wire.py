"""Findings as named arrays and back, for a network that runs elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ModelError
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

_OBJECTS = ("boxes", "scores", "labels", "keypoints", "keypoint_scores", "corners")


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
            f"head:{name}:{part}": np.asarray(getattr(head, part), *(() if part != "names" else (np.str_,)))
            for name, head in finding.by_name.items()
            for part in ("labels", "scores", "names")
        }
    if isinstance(finding, Segmentation):
        return {"segmentation": finding.labels, "place": finding.place}
    if isinstance(finding, Landmarks):
        return {"landmarks": finding.points, "score": np.float32(finding.score).reshape(1)}
    if isinstance(finding, Angles):
        return {"angles": np.array([finding.yaw, finding.pitch, np.nan if finding.roll is None else finding.roll])}
    return {"embedding": finding.vector}


def from_arrays(arrays: Arrays, names: tuple[str, ...] = ()) -> Finding:
    """The finding that `to_arrays` took apart; raises ModelError where these are no arrays of it."""
    try:
        return _from_arrays(arrays, names)
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(f"the server's answer is no finding: {error!r}") from None


def _from_arrays(arrays: Arrays, names: tuple[str, ...]) -> Finding:
    if "boxes" in arrays:
        parts = {name: arrays[name] for name in _OBJECTS if name in arrays}
        parts["labels"] = parts["labels"].astype(np.int32)
        count = len(parts["scores"])
        if any(len(part) != count for part in parts.values()):
            raise ValueError("as many boxes as scores and labels are needed")
        masks = None
        if "mask_places" in arrays:
            masks = Masks(tuple(arrays[f"mask_{i}"] for i in range(count)), arrays["mask_places"])
        return Detections(**parts, names=names, masks=masks)
    if "class_labels" in arrays:
        return Classification(arrays["class_labels"].astype(np.int32), arrays["class_scores"], names)
    if "segmentation" in arrays:
        return Segmentation(arrays["segmentation"], arrays["place"], names)
    if "landmarks" in arrays:
        return Landmarks(arrays["landmarks"], float(arrays["score"][0]))
    if "angles" in arrays:
        yaw, pitch, roll = (float(v) for v in arrays["angles"])
        return Angles(yaw, pitch, None if np.isnan(roll) else roll)
    if "embedding" in arrays:
        return Embedding(arrays["embedding"])
    heads = {name.split(":", 2)[1] for name in arrays if name.startswith("head:")}
    if not heads:
        raise ValueError(f"arrays {sorted(arrays)}")
    by_name = {
        head: Classification(
            arrays[f"head:{head}:labels"].astype(np.int32),
            arrays[f"head:{head}:scores"],
            tuple(arrays[f"head:{head}:names"].tolist()),
        )
        for head in sorted(heads)
    }
    return Heads(by_name)
