"""YOLOs of the corpus of detector heads: the parser alone on another runtime's outputs, and the whole path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import claim_of

from heads import Head
from lengths import length
from saccade.errors import UnsupportedError
from saccade.geometry import View
from saccade.networks.local import Model
from saccade.predict.evidence import picture_port
from saccade.predict.metadata import Metadata
from saccade.predict.opening import port_spec
from saccade.predict.predictor import Predictor
from saccade.results import Detections

pytestmark = pytest.mark.corpus

FOLDERS = {
    "yolov3_region_ir": "yolov3", "yolov2_region_ir": "yolov2", "yolov5_obj": "yolov5", "yolov8_det": "yolov8",
    "yolov5u_det_nc1": "yolov8", "yolo11_det_nc4": "yolov8", "yolo11_seg": "yolov8-seg", "yolov8_pose": "yolov8-pose",
    "yolo11_obb": "yolov8-obb", "yolov10_e2e": "yolo-rows", "yolo26_e2e": "yolo-rows", "yolox_nano": "yolox",
    "yolox_decoded": "yolox",
}  # fmt: skip
SCORE, PX = 1e-3, 0.1
"""What the parser alone may differ by."""


def opened(head: Head, metadata: Metadata, model: Path) -> Predictor:
    """A predictor that knows only that of the file."""
    network = Model(model, precision="f32")
    claim = claim_of(network, metadata)
    spec = replace(port_spec(picture_port(network)), **claim.input)
    settings = claim.parser.defaults.but(score=head.expected["score_threshold"])
    return Predictor(network, spec, claim.parser, settings=settings)


@pytest.mark.parametrize("name", list(FOLDERS)[:: length(2, 1)])
def test_heads_without_metadata(corpus: Path, name: str) -> None:
    """As test_heads.py has them with it."""
    head = Head.at(corpus, name)
    for model in head.models[: length(1, 9)]:
        predictor = opened(head, Metadata(), model)
        assert predictor.parser.family == FOLDERS[name]
        head.compare(head.from_picture(predictor))
        if name != "yolox_nano":
            head.compare(head.decoded(predictor), score=SCORE, px=PX)
            continue
        # The expected boxes are those of a picture that is as high as its width's factor makes it, not in whole pixels.
        found = predictor.parser.parse(head.raw_outputs(predictor), predictor.settings)
        assert isinstance(found, Detections)
        height, width = head.picture.shape[:2]
        factor = max(width / predictor.spec.width, height / predictor.spec.height)
        head.compare(found.placed(View(factor, factor, 0, 0)), score=SCORE, px=PX)


def test_anchors_that_are_in_no_model(corpus: Path) -> None:
    head = Head.at(corpus, "yolov3_nano_voc_caffe")
    with pytest.raises(UnsupportedError, match=r"--head yolov3-tiny: 2 raw maps .* put its Darknet \.cfg beside it"):
        head.open()
    flat = head.expected["anchors"]
    known = Metadata(
        producer="darknet", anchors=tuple(zip(flat[::2], flat[1::2], strict=True)),
        anchor_masks=tuple(tuple(mask) for mask in head.expected["masks"].values()),
        scale_xy=tuple(head.expected["scale_x_y"].values()),
    )  # fmt: skip
    predictor = opened(head, known, head.models[0])
    head.compare(head.from_picture(predictor))
    head.compare(head.decoded(predictor), score=SCORE, px=PX)


def test_masks_are_those_of_upstream_but_for_their_outlines(corpus: Path) -> None:
    """Upstream brings a mask to the picture's size in another order of steps: outlines differ a little."""
    head = Head.at(corpus, "yolo11_seg")
    predictor = head.open()
    height, width = head.picture.shape[:2]
    with np.load(head.folder / "masks_first12.npz") as arrays:
        packed = arrays[arrays.files[0]]
    wanted = np.unpackbits(packed, axis=-1)[..., :width].astype(bool)
    for found in (head.decoded(predictor), head.from_picture(predictor)):
        assert found.masks is not None
        for row, mask in zip(head.expected["detections"][:12], wanted, strict=True):
            apart = abs(np.clip(found.boxes, 0, (width, height) * 2) - row["xyxy"]).max(1)
            apart[found.labels != row["label_id"]] = np.inf
            nearest = int(apart.argmin())
            own = found.masks.bitmap(nearest, found.boxes[nearest], width, height)
            assert (own & mask).sum() >= 0.9 * (own | mask).sum()
