"""Reader of legacy OpenVINO IR, versions 2 to 7 (2017 to 2020), which OpenVINO itself has refused since 2021.

`xml_reader` turns the XML into a plain graph, `weights` maps the .bin, `table` and `ops` hold one builder per layer
type, `build` makes the `ov.Model`. Constants of the model are views of the mapped .bin; the model keeps it open.
"""

from __future__ import annotations

import logging
from pathlib import Path

import openvino as ov

from saccade.errors import UnsupportedError
from saccade.formats.importing import naming
from saccade.formats.legacy_ir.build import build
from saccade.formats.legacy_ir.describe import describe, label_base, origin
from saccade.formats.legacy_ir.int8 import quantise
from saccade.formats.legacy_ir.xml_reader import read_network

log = logging.getLogger(__name__)

__all__ = ["describe", "read"]


def read(path: str | Path, *, int8: bool = False) -> ov.Model:
    """Read a legacy IR.

    int8 : quantise nets that were calibrated for INT8; otherwise they run in floating point, and a log line says so.

    The model's inputs and outputs carry the names that the original engine gave them; input means declared in the
    file are part of the graph. `rt_info` "saccade" holds source, origin and, for an SSD head, the label base.
    Raises `ModelError` for damaged files and `UnsupportedError` for layers or versions that saccade has not got.
    """
    path = Path(path)
    network = read_network(path)
    if int8 and not network.statistics:
        raise UnsupportedError(
            f"{path}: not calibrated for INT8, the file has no statistics; "
            "`saccade tune MODEL --source S` calibrates it on your own frames"
        )
    model = build(network, path)
    if int8:
        with naming(path):
            count = quantise(model, network)
        log.info("%s: %d layers quantised by the statistics in the file", path, count)
    elif network.statistics:
        log.info("%s is calibrated for INT8; it runs in floating point unless precision int8 is asked for", path)
    model.set_rt_info(f"IR v{network.version}", ["saccade", "source"])
    model.set_rt_info(origin(network), ["saccade", "origin"])
    if (base := label_base(network)) is not None:
        model.set_rt_info(str(base), ["saccade", "label_base"])
    return model
