"""Which way up a picture is: EXIF of pictures, the display matrix of videos, and pixels turned accordingly.

Both are told in EXIF's numbers, 1 (upright) to 8 (Exif 2.3, 4.6.4, tag 0x0112): for 5 to 8 rows and columns change
places.
"""

from __future__ import annotations

from typing import Any, Literal

from saccade.frame import Image

_TAG = 0x0112
_SHORT = 3
_MOST_ENTRIES = 512

# Signs of the display matrix's a, b, c, d (ISO 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y) -> orientation.
_MATRICES = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def of_tiff(tiff: bytes) -> int:
    """Orientation in a TIFF structure (that of EXIF, or a TIFF file's first directory); 1 where it does not say."""
    order: Literal["big", "little"] = "big" if tiff[:2] == b"MM" else "little"

    def number(position: int, size: int) -> int:
        return int.from_bytes(tiff[position : position + size], order)

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * min(number(directory, 2), _MOST_ENTRIES), 12):
        if number(entry, 2) == _TAG and number(entry + 2, 2) == _SHORT:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def of_matrix(matrix: bytes) -> int:
    """Orientation of a display matrix as FFmpeg hands it out: nine int32 of this machine, a b u c d v x y w.

    Angles between the quarters are taken for the nearest; a matrix that only mirrors or shears is taken by its signs.
    """
    import numpy as np

    if len(matrix) < 36:
        return 1
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(matrix, np.int32, 9))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        b = c = 0
    else:
        a = d = 0
    return _MATRICES.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def swaps(orientation: int) -> bool:
    """True where rows become columns."""
    return orientation >= 5


def upright(picture: Image, orientation: int) -> Image:
    """The picture turned, uint8 (h, w, 3) or (h, w); a copy, except for orientation 1."""
    import cv2

    turned: Any = picture
    if orientation in (2, 3, 4):
        turned = cv2.flip(picture, {2: 1, 3: -1, 4: 0}[orientation])
    elif orientation == 6:
        turned = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
    elif orientation == 8:
        turned = cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
    elif swaps(orientation):
        turned = cv2.transpose(picture if orientation == 5 else cv2.flip(picture, -1))
    return turned  # type: ignore[no-any-return]


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
