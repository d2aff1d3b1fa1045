"""MTCNN: three small networks that find faces only together, so that one of them alone is refused with that reason.

Format: kpzhang93/MTCNN_face_detection_alignment, `code/codes/MTCNNv2`.
"""

from __future__ import annotations

from saccade.predict.evidence import Claims, Evidence, Refusal
from saccade.predict.parsers.common import size_of

ROLES = {24: "R-Net, the second", 48: "O-Net, the third"}
"""Networks that look at one candidate, by the side of their input, px."""


def claims(evidence: Evidence) -> Claims:
    """Maps of two and of four channels of one small grid, or vectors of two, four and perhaps ten numbers."""
    role = _role(evidence)
    if role:
        reason = (
            f"it is {role} of the three networks of MTCNN, which find faces only as a cascade; take a detector that "
            "works alone (`saccade models` lists some)"
        )
        yield Refusal("mtcnn", "detect", 2, reason)


def _role(evidence: Evidence) -> str:
    shapes = [port.shape for port in evidence.outputs]
    if len(shapes) == 2 and all(len(shape) == 4 and shape[0] == 1 for shape in shapes):
        possible = ({_first_grid(*evidence.size)}, {_first_grid(*evidence.size, ceil=False)})
        for channel, grid in ((1, slice(2, 4)), (3, slice(1, 3))):
            if {shape[channel] for shape in shapes} == {2, 4} and {shape[grid] for shape in shapes} in possible:
                return "P-Net, the first"
    sizes = sorted(size_of(port) for port in evidence.outputs)
    height, width = evidence.size
    if height == width and sizes in ([2, 4], [2, 4, 10]):
        return ROLES.get(height, "")
    return ""


def _first_grid(height: int, width: int, *, ceil: bool = True) -> tuple[int, int]:
    """Cells of P-Net: a 3 x 3 convolution, a pooling by two, two more convolutions, none of them padded."""
    rows, columns = (-(-(side - 2) // 2) if ceil else (side - 2) // 2 for side in (height, width))
    return rows - 4, columns - 4
