"""Small videos that tests make for themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def picture(index: int, size: tuple[int, int] = (240, 320)) -> NDArray[np.uint8]:
    """uint8 (H, W, 3): a smooth field whose brightness tells the index (0-255 by its mean)."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    field = np.stack([x * 40 // width, y * 40 // height, (x + y) * 40 // (width + height)], -1)
    return np.clip(field + (index * 8) % 200, 0, 255).astype(np.uint8)


def jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """The picture as JPEG."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return data.tobytes()


def mjpeg_avi(path: Path, frames: list[bytes], size: tuple[int, int] = (240, 320)) -> Path:
    """An MJPEG AVI at 30 Hz whose packets are the given JPEGs."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p"
        stream.time_base = Fraction(1, 30)
        for index, data in enumerate(frames):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 30)
            container.mux(packet)
    return path


def numbered_avi(path: Path, count: int, size: tuple[int, int] = (240, 320)) -> Path:
    """An MJPEG AVI of `count` pictures that tell their index by their brightness."""
    return mjpeg_avi(path, [jpeg(picture(index, size)) for index in range(count)], size)
