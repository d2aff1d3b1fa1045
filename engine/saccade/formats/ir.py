"""A look at a current IR (v10 and later) before OpenVINO reads it.

OpenVINO names most kinds of damage by itself. Left for here: weights that are missing or something else, and edges to
layers that do not exist, of which some end the process (seen with 2026.4).
"""

from __future__ import annotations

from pathlib import Path
from xml.parsers import expat

from saccade.errors import ModelError
from saccade.formats.files import read_head

_BODIES = ("net", "body", "then_body", "else_body")  # elements with layers and edges of their own


def check(path: Path) -> None:
    """Raise ModelError unless the .xml is a closed graph and its weights are there."""
    has_weights = _Graph(path).check()
    weights = path.with_suffix(".bin")
    if weights.is_file():
        if weights.stat().st_size:
            read_head(weights)
    elif has_weights:
        raise ModelError(f"{path} needs its weights, but {weights.name} is missing; put it beside the .xml")


class _Graph:
    """Reads layer numbers and edges with expat, which keeps nothing else in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scopes: list[tuple[set[str], set[str]]] = []
        self._has_weights = False

    def check(self) -> bool:
        """Whether the graph holds constants."""
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            with self._path.open("rb") as file:
                parser.ParseFile(file)
        except expat.ExpatError as error:
            raise ModelError(f"{self._path} is damaged ({error}); get a fresh copy of the file") from error
        return self._has_weights

    def _document_type(self, *_: object) -> None:
        raise ModelError(f"{self._path} declares a document type, which no IR does; get the model's own .xml")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _BODIES:
            self._scopes.append((set(), set()))
        elif name == "layer" and self._scopes:
            self._scopes[-1][0].add(attributes.get("id", ""))
            self._has_weights |= attributes.get("type") == "Const"
        elif name == "edge" and self._scopes:
            self._scopes[-1][1].update((attributes.get("from-layer", ""), attributes.get("to-layer", "")))

    def _end(self, name: str) -> None:
        if name in _BODIES and self._scopes:
            layers, joined = self._scopes.pop()
            unknown = joined - layers
            if unknown:
                raise ModelError(
                    f"{self._path} is damaged: an edge names layer {min(unknown)!r}, which is not there; "
                    "get a fresh copy of the file"
                )
