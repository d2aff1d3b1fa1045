"""Every folder of the corpus of detector heads gives its expected boxes: parser alone, and from the picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads import Head

DECODED_SCORE, DECODED_PX = 1e-3, 0.1
"""What the parser alone may differ by."""

FOLDERS = (
    "aizoo_mask_tflite", "detr_softmax", "fastestdet", "modelapi_boxes_labels", "nanodet_320_misnamed", "nanodet_plus",
    "rtdetr_hf_logits", "rtdetr_ultralytics_topk",
    "tflite_ssd_postprocess_uint8", "ultraface_rfb320", "ultraface_rfb320_raw", "yolo11_det_nc4", "yolo11_obb",
    "yolo11_seg", "yolo26_e2e", "yolov10_e2e", "yolov2_region_ir", "yolov3_region_ir", "yolov5_obj",
    "yolov5u_det_nc1", "yolov8_det", "yolov8_int8_tflite", "yolov8_pose", "yolox_decoded", "yunet_320",
)  # fmt: skip
QUANTISED = ("tflite_ssd_postprocess_uint8", "yolov8_int8_tflite")
"""Their recorded outputs are the file's integers, or those of an operator that is cut off."""


@pytest.mark.corpus
@pytest.mark.parametrize("name", [name for name in FOLDERS if name not in QUANTISED])
def test_the_parser_alone(corpus: Path, name: str) -> None:
    head = Head.at(corpus, name)
    if name == "aizoo_mask_tflite":
        pytest.skip("by choice: the corpus has no recorded outputs of this network")
    for model in head.models:
        predictor = head.open(model)
        head.compare(head.decoded(predictor), score=DECODED_SCORE, px=DECODED_PX)


@pytest.mark.corpus
@pytest.mark.parametrize("name", FOLDERS)
def test_from_the_picture(corpus: Path, name: str) -> None:
    head = Head.at(corpus, name)
    for model in head.models:
        predictor = head.open(model)
        head.compare(head.from_picture(predictor))
