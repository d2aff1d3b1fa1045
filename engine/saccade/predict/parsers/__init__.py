"""One module for each family of networks: what their outputs look like, and what they mean.

A module has `claims(evidence)`, which yields a `Claim` where the outputs are the family's, and a parser class. Adding a
family is adding a module and naming it in `FAMILIES`.
"""

from __future__ import annotations

from saccade.predict.parsers import (
    aizoo,
    blazeface,
    boxes_labels,
    centerface,
    centernet,
    classification,
    darknet,
    detection_output,
    detr,
    efficientdet,
    embedding,
    face_mesh,
    fastestdet,
    head_angles,
    landmarks,
    mtcnn,
    nanodet,
    paddle,
    picodet,
    remote,
    retinaface,
    scrfd,
    segmentation,
    ssd,
    tensorflow_objects,
    tflite_postprocess,
    ultraface,
    yolo_anchors,
    yolo_apart,
    yolo_cells,
    yolo_lists,
    yolo_rows,
    yolox,
    yunet,
)

FAMILIES = (
    aizoo,
    blazeface,
    boxes_labels,
    centerface,
    centernet,
    classification,
    darknet,
    detection_output,
    detr,
    efficientdet,
    embedding,
    face_mesh,
    fastestdet,
    head_angles,
    landmarks,
    mtcnn,
    nanodet,
    paddle,
    picodet,
    remote,
    retinaface,
    scrfd,
    segmentation,
    ssd,
    tensorflow_objects,
    tflite_postprocess,
    ultraface,
    yolo_anchors,
    yolo_apart,
    yolo_cells,
    yolo_lists,
    yolo_rows,
    yolox,
    yunet,
)
"""Every family. The order has no meaning: claims of equal certainty that differ are refused as ambiguous."""

__all__ = ["FAMILIES"]
