"""The .bin file behind a legacy IR: mapped, never read as a whole, every region checked against the file's size."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.files import read_head
from saccade.formats.importing import naming
from saccade.formats.legacy_ir.graph import WeightsRegion

DTYPES = {
    "FP32": np.float32, "FP16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16, "U16": np.uint16,
    "I8": np.int8, "U8": np.uint8, "BOOL": np.uint8, "BIN": np.uint8,
}  # fmt: skip


class Weights:
    """Regions of a weights file as arrays.

    The mapping is private copy-on-write: OpenVINO shares only writable memory, and nothing ever writes. Arrays keep
    the mapping alive; the file must not be truncated while a model that came from it is being loaded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes: npt.NDArray[np.uint8] | None = None

    def array(self, blob: WeightsRegion, what: str) -> npt.NDArray[Any]:
        """Return a region as a flat array of its precision; `what` names its owner in errors."""
        dtype = DTYPES.get(blob.precision)
        if dtype is None:
            raise UnsupportedError(f"{what} has precision {blob.precision[:40]!r}; expected one of {', '.join(DTYPES)}")
        data = self._map(what)
        if blob.offset + blob.size > data.size:
            raise ModelError(
                f"{what} is {blob.size} bytes at offset {blob.offset}, but {self.path} has {data.size} bytes; "
                "expected the .bin that belongs to this .xml, complete: copy it again"
            )
        if blob.size % np.dtype(dtype).itemsize:
            raise ModelError(f"{what} has {blob.size} bytes; expected a multiple of {np.dtype(dtype).itemsize}")
        return data[blob.offset : blob.offset + blob.size].view(dtype)

    def _map(self, what: str) -> npt.NDArray[np.uint8]:
        if self._bytes is None:
            if not self.path.exists():
                raise ModelError(
                    f"{self.path} is missing, but {what} needs it; expected the weights beside the .xml: copy both"
                )
            if not self.path.is_file():
                raise ModelError(f"{self.path} cannot be read: it is no file; expected the weights of the model")
            read_head(self.path)
            with naming(self.path), self.path.open("rb") as file:
                self._bytes = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
        return self._bytes


def check_overlaps(blobs: list[tuple[WeightsRegion, str]]) -> None:
    """Refuse regions that overlap in part; the same region may serve several layers."""
    end, owner = 0, ""
    for blob, what in sorted({(b.offset, b.size): (b, w) for b, w in blobs}.values(), key=lambda x: x[0].offset):
        if blob.offset < end:
            raise ModelError(
                f"{what} starts at byte {blob.offset} within {owner}, which ends at {end}; "
                "expected separate regions: the .xml is damaged or was edited"
            )
        end, owner = blob.offset + blob.size, what
