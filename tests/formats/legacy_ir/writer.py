"""A small writer of legacy IR in the dialect of each version, so that a plain clone proves the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

PRECISIONS = {"float32": "FP32", "float16": "FP16", "int32": "I32", "int64": "I64", "uint8": "U8", "int8": "I8"}
PER_AXIS = {"kernel": "kernel", "strides": "stride", "pads_begin": "pad", "dilations": "dilation"}


@dataclass
class Port:
    layer: int
    port: int
    dims: tuple[int, ...]


@dataclass
class Net:
    """Collects layers and writes them as IR of a version.

    Attributes of windows are given in the newer form (`kernel=(3, 3)`) and written as version 2 had them where the
    version is 2. `half` writes weights as float16.
    """

    version: int = 3
    half: bool = False
    name: str = "net"
    weights: bytearray = field(default_factory=bytearray)
    layers: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    tail: str = ""
    shapes: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    first_port: int = 0

    def input(self, dims: Sequence[int], name: str | None = None, precision: str = "") -> Port:
        return self.layer("Input", [], [dims], name=name or f"in{len(self.layers)}", precision=precision)[0]

    def const(self, values: Any, name: str | None = None) -> Port:
        values = np.asarray(values)
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        if values.dtype == np.int64:
            values = values.astype(np.int32)
        precision = PRECISIONS[str(values.dtype)]
        return self.layer(
            "Const", [], [values.shape or (1,)], name=name or f"const{len(self.layers)}", precision=precision,
            blobs={"custom": values},
        )[0]  # fmt: skip

    def layer(
        self,
        type_: str,
        inputs: Sequence[Port],
        outputs: Sequence[Sequence[int]],
        attributes: Mapping[str, Any] | None = None,
        blobs: Mapping[str, np.ndarray] | None = None,
        name: str = "L",
        precision: str = "",
        extra: str = "",
    ) -> list[Port]:
        id_ = len(self.layers)
        precision = precision or ("FP16" if self.half else "FP32")
        old = self.version == 2
        data = self._attributes(attributes or {}, old)
        element = f"{type_.lower()}_data" if old and type_ in ("Convolution", "Pooling") else "data"
        parts = [f"<{element}{data}/>"] if data else []
        port = self.first_port
        if inputs:
            ports = "".join(self._port(port + i, p.dims) for i, p in enumerate(inputs))
            parts.append(f"<input>{ports}</input>")
        for i, source in enumerate(inputs):
            self.edges.append(
                f'<edge from-layer="{source.layer}" from-port="{source.port}" to-layer="{id_}" to-port="{port + i}"/>'
            )
        result = [Port(id_, port + len(inputs) + i, tuple(dims)) for i, dims in enumerate(outputs)]
        if result:
            mark = precision if self.version == 7 else ""
            parts.append(f"<output>{''.join(self._port(p.port, p.dims, mark) for p in result)}</output>")
        written = "".join(self._blob(tag, values, precision) for tag, values in (blobs or {}).items())
        if written:
            parts.append(written if old and "custom" not in (blobs or {}) else f"<blobs>{written}</blobs>")
        mark = "" if self.version == 7 else f' precision="{precision}"'
        self.layers.append(
            f'<layer id="{id_}" name={quoteattr(name)} type="{type_}"{mark}>{"".join(parts)}{extra}</layer>'
        )
        return result

    def xml(self) -> str:
        return (
            f'<?xml version="1.0" ?>\n<net name="{self.name}" version="{self.version}" batch="1"><layers>'
            + "\n".join(self.layers)
            + f"</layers><edges>{''.join(self.edges)}</edges>{self.tail}</net>"
        )

    def body(self) -> str:
        return f"<body><layers>{''.join(self.layers)}</layers><edges>{''.join(self.edges)}</edges></body>"

    def write(self, folder: Path, stem: str = "net") -> Path:
        path = folder / f"{stem}.xml"
        path.write_text(self.xml())
        path.with_suffix(".bin").write_bytes(bytes(self.weights))
        return path

    # -- pieces

    def _attributes(self, attributes: Mapping[str, Any], old: bool) -> str:
        pairs: dict[str, Any] = {}
        for key, value in attributes.items():
            if old and key in PER_AXIS:
                pairs |= {f"{PER_AXIS[key]}-{axis}": v for axis, v in zip("yx", value, strict=True)}
            elif not (old and key == "pads_end"):
                pairs[key] = value
        return "".join(f" {key}={quoteattr(self._text(value))}" for key, value in pairs.items())

    @staticmethod
    def _text(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return ",".join(str(v) for v in value)
        return str(int(value)) if isinstance(value, bool) else str(value)

    @staticmethod
    def _port(id_: int, dims: Sequence[int], precision: str = "") -> str:
        mark = f' precision="{precision}"' if precision else ""
        return f'<port id="{id_}"{mark}>' + "".join(f"<dim>{d}</dim>" for d in dims) + "</port>"

    def _blob(self, tag: str, values: np.ndarray, precision: str) -> str:
        values = np.asarray(values)
        if values.dtype.kind == "f":
            values = values.astype(np.float16 if self.half and tag != "custom" else np.float32)
        kind = PRECISIONS[str(values.dtype)]
        offset = len(self.weights)
        self.weights += values.tobytes()
        mark = f' precision="{kind}"' if self.version == 7 or kind != precision else ""
        return f'<{tag} offset="{offset}" size="{values.nbytes}"{mark}/>'
