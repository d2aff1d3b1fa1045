from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saccade.kernels.spec import Spec, ToSource
from saccade.kernels.yolo import Objects

class Preprocess:
    spec: Spec
    source: tuple[int, int]
    size: tuple[int, int]
    roi: tuple[int, int, int, int]
    shape: tuple[int, int, int]
    pixels: str
    layout: str
    dtype: str
    to_source: ToSource
    def __init__(
        self,
        source: Sequence[int],
        size: Sequence[int],
        *,
        pixels: str = "bgr",
        roi: Sequence[int] | None = None,
        layout: str = "nchw",
        dtype: Any = "float32",
        mean: float | Sequence[float] = (0, 0, 0),
        scale: float | Sequence[float] = (1, 1, 1),
        mirror: bool = False,
        swap_rb: bool = False,
        letterbox: bool | str = False,
        pad: int = 0,
        full_range: bool = False,
        matrix: str = "bt601",
        variant: str | None = None,
    ) -> None: ...
    def __call__(self, frame: Any, out: NDArray[Any]) -> NDArray[Any]: ...
    def crops(self, frame: Any, regions: ArrayLike, out: NDArray[Any]) -> NDArray[Any]: ...

def nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    iou_threshold: float,
    top_k: int | None = -1,
    *,
    labels: ArrayLike | None = None,
    variant: str | None = None,
) -> NDArray[np.int64]: ...
def decode_ssd(
    loc: ArrayLike,
    conf: ArrayLike,
    priors: ArrayLike,
    *,
    variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    background: int | None = 0,
    score_threshold: float,
    iou_threshold: float,
    top_k: int | None,
    keep_top_k: int | None,
    best_class: bool = False,
    clip: bool = False,
    out: NDArray[np.float32] | None = None,
    variant: str | None = None,
) -> NDArray[np.float32]: ...
def decode_anchors(
    boxes: ArrayLike,
    scores: ArrayLike,
    anchors: ArrayLike,
    *,
    size: int | tuple[int, int],
    score_threshold: float,
    iou_threshold: float,
    top_k: int | None = -1,
    keep_top_k: int | None = -1,
    weighted: bool = False,
    out: NDArray[np.float32] | None = None,
    variant: str | None = None,
) -> NDArray[np.float32]: ...
def decode_yolo(
    rows: ArrayLike | Sequence[NDArray[np.float32]],
    *,
    layout: str,
    score_threshold: float,
    iou_threshold: float | None,
    top_k: int | None = -1,
    keep_top_k: int | None = -1,
    classes: int | None = None,
    scores: ArrayLike | Sequence[NDArray[np.float32]] | None = None,
    cells: ArrayLike | None = None,
    channels_first: bool = False,
    sigmoid: bool = False,
    agnostic: bool = False,
    every_class: bool = False,
    scale_xy: float = 1.0,
    out: NDArray[np.float32] | None = None,
    variant: str | None = None,
) -> NDArray[np.float32]: ...
def as_objects(
    rows: NDArray[np.float32], unit: NDArray[np.float32], *, first_label: int = 0, top_k: int | None = -1
) -> Objects: ...
def variants_here() -> tuple[str, ...]: ...
def variant() -> str: ...
