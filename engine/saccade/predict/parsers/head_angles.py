"""Networks that give angles of a head.

pan-tilt : one output of two numbers, tilt and pan, with -1 to 1 for -90 to 90 degrees, negative pan towards the right
    of the picture and negative tilt downwards; shown a mirrored picture. (The DeepLens head-pose project's training
    code labels its data like this.)
angles : three outputs in degrees, yaw, pitch and roll (Open Model Zoo: head-pose-estimation-adas-0001); shown the
    picture as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from saccade.networks.network import Outputs
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import size_of
from saccade.predict.parsers.vectors import is_said
from saccade.results import Angles

_AXES = ("y", "p", "r")

DEEPLENS = (84, 84)
"""Height and width of the input of the DeepLens head-pose project's networks, px."""


def claims(evidence: Evidence) -> Claims:
    """Three single numbers named after the axes, or one output of two, of DeepLens' size or said to be angles."""
    ports = evidence.outputs
    sizes = [size_of(port) for port in ports]
    if sizes == [1, 1, 1]:
        names = [[port.name for port in ports if re.search(f"(^|_){axis}(_|$)", port.name)] for axis in _AXES]
        if all(len(found) == 1 for found in names):
            parser = HeadAngles("angles", [found[0] for found in names])
            yield Claim("head-angles", "angles", 2, "three numbers named after yaw, pitch and roll", parser)
    # Two numbers may also be two classes; those end in a softmax, have names, or are said to be.
    said = evidence.task == "pan-tilt" or evidence.head == "pan-tilt"
    classes = evidence.names or is_said(evidence, "classify", "classification")
    plain = sizes == [2] and ports[0].layer_type not in ("Softmax", "Sigmoid") and not classes
    if sizes == [2] and (said or (plain and evidence.size == DEEPLENS)):
        why = "said to be" if said else "two numbers that are no probabilities, of a picture of 84x84"
        yield Claim("pan-tilt", "pan-tilt", 1, why, HeadAngles("pan-tilt", [ports[0].name]))
    elif plain:
        why = "two plain numbers may be two classes (--task classify) or a head's angles (--task pan-tilt); say which"
        yield Refusal("pan-tilt", "pan-tilt", 0, why)


class HeadAngles:
    """Yaw, pitch and, where there are three outputs, roll."""

    defaults = Settings()
    names: tuple[str, ...] = ()

    def __init__(self, task: Task, outputs: Sequence[str]) -> None:
        self.task = task
        self.family = "head-angles" if task == "angles" else "pan-tilt"
        self._outputs = tuple(outputs)

    def parse(self, outputs: Outputs, settings: Settings) -> Angles:
        """Degrees, as `Angles` has them."""
        if self.task == "pan-tilt":
            tilt, pan = np.nan_to_num(outputs[self._outputs[0]].reshape(-1), posinf=0.0, neginf=0.0).tolist()
            return Angles(-90.0 * pan, 90.0 * tilt)
        # The network's yaw is to the right of the picture, pitch down, roll clockwise (seen on turned pictures).
        values = np.array([outputs[name].reshape(-1)[0] for name in self._outputs])
        yaw, pitch, roll = np.nan_to_num(values, posinf=0.0, neginf=0.0).tolist()
        return Angles(-yaw, -pitch, roll=-roll)
