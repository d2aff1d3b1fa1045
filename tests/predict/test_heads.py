"""Every folder of the corpus of detector heads gives its expected boxes: parser alone, and from the picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads import Head
from lengths import length

DECODED_SCORE, DECODED_PX = 1e-3, 0.1
"""What the parser alone may differ by."""

FAMILIES = {
    "aizoo_mask_tflite": "aizoo", "detr_softmax": "detr", "fastestdet": "fastestdet",
    "modelapi_boxes_labels": "boxes-labels", "nanodet_320_misnamed": "nanodet", "nanodet_plus": "nanodet",
    "rtdetr_hf_logits": "rt-detr", "rtdetr_ultralytics_topk": "rt-detr",
    "tflite_ssd_postprocess_uint8": "tflite-ssd", "ultraface_rfb320": "ultraface",
    "ultraface_rfb320_raw": "ultraface", "yolo11_det_nc4": "yolov8", "yolo11_obb": "yolov8-obb",
    "yolo11_seg": "yolov8-seg", "yolo26_e2e": "yolo-rows", "yolov10_e2e": "yolo-rows", "yolov2_region_ir": "yolov2",
    "yolov3_region_ir": "yolov3", "yolov5_obj": "yolov5", "yolov5u_det_nc1": "yolov8", "yolov8_det": "yolov8",
    "yolov8_int8_tflite": "yolov8", "yolov8_pose": "yolov8-pose", "yolox_decoded": "yolox", "yolox_nano": "yolox",
    "yunet_320": "yunet",
}  # fmt: skip
"""Who reads what is in a folder."""
UNRECORDED = ("tflite_ssd_postprocess_uint8", "yolov8_int8_tflite", "aizoo_mask_tflite", "yolox_nano")
"""Their recorded outputs are the file's integers, of an operator that is cut off, of another size, or none."""


@pytest.mark.corpus
@pytest.mark.parametrize("name", FAMILIES)
def test_the_parser_alone_and_from_the_picture(corpus: Path, name: str) -> None:
    head = Head.at(corpus, name)
    for model in head.models[: length(1, 9)]:
        predictor = head.open(model)
        assert predictor.parser.family == FAMILIES[name]
        head.compare(head.from_picture(predictor))
        if name not in UNRECORDED:
            head.compare(head.decoded(predictor), score=DECODED_SCORE, px=DECODED_PX)
