"""Models for a device, where the files of all lie in one folder."""

from __future__ import annotations

import filecmp
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saccade.deploy.model_archive import files_of
from saccade.errors import ConfigError, ModelError, SaccadeError
from saccade.formats.files import read_head
from saccade.formats.load import SAVED_MODEL, identify, read_as_is
from saccade.formats.metadata import BESIDE
from saccade.formats.parts import parts_of

_NETWORKS = (".xml", ".onnx", ".tflite", ".pb", ".prototxt")
_GRAPH = {".json": rb'"nodes"\s*:', ".pbtxt": rb"\bnode\s*\{"}
"""Suffixes that lists of names have too, and what only graphs hold."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """files : by their names in the folder. networks : what is opened there: files, or folders of SavedModels."""

    files: dict[str, Path]
    networks: tuple[str, ...]

    @property
    def first_network(self) -> str:
        """The one that is meant where none is said; ConfigError where there is none."""
        if not self.networks:
            raise ConfigError(f"--model {next(iter(self.files))}: no network; give one too, or --set model=NAME")
        return self.networks[0]


def together(given: Sequence[Path]) -> ModelFolder:
    """Models, weights and lists of names, with all that is read with each model here.

    What is given stands before what lies beside a model. Raises ConfigError where files would take each other's place,
    ModelError or UnsupportedError for a model that would not be read there.
    """
    files: dict[str, Path] = {}
    networks: dict[str, Path] = {}
    given = [path.parent if path.name == SAVED_MODEL else path for path in given]
    for path in given:
        if path.is_file():
            _add(files, path.name, path)
        elif not path.is_dir():
            raise ConfigError(f"--model {path}: no such file")
    named = set(files)
    for path in filter(_is_network, given):
        name, own = path.name, dict[str, Path]()
        try:
            name, own = files_of(path)
        except ModelError:
            if path.is_dir():
                raise
            # Its weights may be among the others that are given; where they are not, the check says so.
        networks[name] = path
        for part in sorted(own.keys() - named):
            _add(files, part, own[part])
    _check(files, networks)
    return ModelFolder(files, tuple(networks))


def _add(files: dict[str, Path], name: str, path: Path) -> None:
    there = files.setdefault(name, path)
    if not filecmp.cmp(there, path, shallow=False):
        way = "; `saccade convert` takes it into a model's own file" if name in BESIDE else "; call one otherwise"
        raise ConfigError(f"{there} and {path} differ, and on the device both would be {name}{way}")


def _is_network(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in _NETWORKS:
        return True
    return suffix in _GRAPH and re.search(_GRAPH[suffix], read_head(path)) is not None


def _check(files: dict[str, Path], networks: dict[str, Path]) -> None:
    """Look at each network as it will lie there; the error names its own place."""
    with tempfile.TemporaryDirectory(prefix="saccade-models-") as folder:
        stage = Path(folder)
        for name, path in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, stage / name)  # OpenVINO follows no link out of a model's folder
        for name, path in networks.items():
            try:
                artifact = identify(stage / name)
                parts_of(artifact)
                if artifact.format not in ("mxnet", "caffe"):  # which may need a shape to be built
                    read_as_is(artifact)
            except SaccadeError as error:
                text = str(error).replace(str(stage / name), str(path)).replace(f"{stage}/", "")
                raise type(error)(text) from None
