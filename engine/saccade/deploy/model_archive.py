"""A model as the archive that SageMaker unpacks to /opt/ml/model: its files, names of classes, options of `serve`.

What goes in is what the model is read with here: its weights, the descriptions and the names of classes beside it. The
files are laid out as they will be there and opened once more, so that an archive which came to be also serves. It
depends on its contents alone (sorted names, no times, no owners), so that its hash tells whether a model has changed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.config.commands import SERVED, SERVED_OPTIONS, ServeConfig
from saccade.errors import ConfigError, ModelError, SaccadeError

if TYPE_CHECKING:
    from saccade.predict.predictor import Predictor

log = logging.getLogger(__name__)

_SPEC = ("mean", "scale", "resize", "pad")


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive. files : names in it. digest : SHA-256 of it, hex. task : of the model; empty: not looked at."""

    path: Path
    digest: str
    bytes: int
    files: tuple[str, ...]
    task: str = ""


def pack(config: ServeConfig, out: Path) -> Packed:
    """Write the archive of `config.model`, with the options that are not at their defaults.

    Raises ModelError or UnsupportedError for a model that cannot be read or is not understood, and ConfigError for one
    that would be another in the archive.
    """
    from saccade.networks.catalogue import resolve
    from saccade.networks.remote import is_remote
    from saccade.service.serve import open_understood

    if is_remote(config.model):
        raise ConfigError(f"{config.model} is a server's address; give the model that it runs")
    path = resolve(config.model)
    here = open_understood(config, device="CPU", precision="f32")
    model, files = files_of(path)
    options = _options(config, model, files)
    with tempfile.TemporaryDirectory(prefix="saccade-model-") as folder:
        stage = Path(folder)
        for name, source in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, stage / name)
        there = _opened(config, options, stage)
        if there.spec != here.spec or there.parser.names != here.parser.names:
            # The catalogue knows this of its networks by their name, which a file in an archive has not.
            options |= _told(here, stage)
            there = _opened(config, options, stage)
        if (there.task, there.spec, there.parser.names) != (here.task, here.spec, here.parser.names):
            raise ConfigError(f"{config.model}: would be taken for something else in an archive; say --task or --head")
        _write(stage, out)
    return replace(opened(out), task=here.task)


def opened(path: Path) -> Packed:
    """An archive that was packed before; ConfigError for any other file."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = archive.getmembers()
            names = tuple(member.name for member in members if member.isfile())
            if len(names) != len(members) or SERVED_OPTIONS not in names:
                raise ConfigError(f"{path}: no archive of ours; make one with: saccade cloud endpoint pack MODEL")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ConfigError(f"{path}: cannot be read as model.tar.gz ({error})") from None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return Packed(path, digest.hexdigest(), path.stat().st_size, names)


def files_of(path: Path) -> tuple[str, dict[str, Path]]:
    """What to open in the archive, and all files that belong to a model by their names there."""
    from saccade.formats.load import identify
    from saccade.formats.metadata import files_beside
    from saccade.formats.parts import parts_of
    from saccade.predict.metadata_sources import label_files

    artifact = identify(path)
    path = artifact.path
    files = parts_of(artifact) | files_beside(path)
    files |= {labels.name: labels for labels in label_files(path) if labels.is_file()}
    if artifact.format != "saved-model":
        return path.name, files
    return artifact.name, {f"{artifact.name}/{name}": place for name, place in files.items()}


def _options(config: ServeConfig, model: str, files: dict[str, Path]) -> dict[str, Any]:
    """What goes into the archive's options; a file of class names joins the files."""
    default = ServeConfig()
    options = {name: value for name in SERVED if (value := getattr(config, name)) != getattr(default, name)}
    if config.labels:
        labels = Path(config.labels)
        if files.setdefault(labels.name, labels) != labels and files[labels.name].read_bytes() != labels.read_bytes():
            raise ConfigError(f"--labels {labels}: the model has another file of that name; call it otherwise")
        options["labels"] = labels.name
    if SERVED_OPTIONS in files:
        raise ConfigError(f"a file {SERVED_OPTIONS} beside the model would take the place of the options; rename it")
    return {"model": model, **options}


def _told(here: Predictor, stage: Path) -> dict[str, Any]:
    """What is known here of a network's pixels and classes, as options."""
    spec = here.spec
    if spec.quantisation is not None:
        raise ModelError(f"{here.name}: its pixels cannot be described to an archive; give --mean and --scale")
    told: dict[str, Any] = {name: getattr(spec, name) for name in _SPEC} | {"color": "rgb" if spec.swap_rb else "bgr"}
    if here.parser.names:
        (stage / "classes.json").write_text(json.dumps(list(here.parser.names)), encoding="utf-8")
        told["labels"] = "classes.json"
    return told


def _opened(config: ServeConfig, options: Mapping[str, Any], stage: Path) -> Predictor:
    """The model as the archive's `serve` will open it."""
    from saccade.config import resolve
    from saccade.service.serve import open_understood

    file = stage / SERVED_OPTIONS
    file.write_text(_toml(options), encoding="utf-8")
    said = resolve(ServeConfig, file=file).config
    labels = str(stage / said.labels) if said.labels else ""
    said = replace(said, model=str(stage / said.model), labels=labels)
    try:
        return open_understood(said, device="CPU", precision="f32")
    except SaccadeError as error:
        raise ConfigError(f"{config.model} cannot be packed: without its folder it is not read ({error})") from error


def _toml(options: Mapping[str, Any]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in sorted(options.items())]
    return "# Options of `saccade serve`; files lie beside this one.\n" + "\n".join(lines) + "\n"


def _write(stage: Path, out: Path) -> None:
    """The archive, in one step: a broken one never lies where a whole one is expected."""
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            part.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in sorted(p for p in stage.rglob("*") if p.is_file()):
                member = tarfile.TarInfo(path.relative_to(stage).as_posix())
                member.size, member.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    archive.addfile(member, file)
        part.replace(out)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror or error}); give another place") from None
    finally:
        part.unlink(missing_ok=True)
