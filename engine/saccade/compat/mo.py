"""`mo`, the model optimizer of the device: `error, path = mo.optimize(name, width, height, platform, aux)`.

The contract is the device's: a plain int comes first and says how it went, the path second, and nothing is ever
raised. A model that has not changed is converted once; its files lie in the artifacts folder under both names that
projects have written into their scripts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from saccade.compat.device import ARTIFACTS
from saccade.errors import ConfigError, ModelError, SaccadeError
from saccade.storage import atomic

__all__ = ["optimize"]

_log = logging.getLogger(__name__)

SUCCESS, UNKNOWN_PLATFORM, FAILED = 0, 1, 2
"""What `optimize` returns first; the numbers are those of the device's documentation."""

MAX_SIZE = 1024

Platform = Literal["mxnet", "caffe", "tensorflow"]

_PLATFORMS: dict[str, Platform] = {
    "mx": "mxnet", "mxnet": "mxnet", "caffe": "caffe", "tf": "tensorflow", "tensorflow": "tensorflow",
}  # fmt: skip
_PRECISIONS: dict[str, Literal["f16", "f32"]] = {
    "fp16": "f16", "half": "f16", "f16": "f16", "fp32": "f32", "float": "f32", "f32": "f32",
}  # fmt: skip
_KEYS = frozenset(
    {
        "precision", "epoch", "img-format", "img-channels", "fuse", "models-dir", "output-dir", "input-proto",
        "input-model-is-text", "input-shape", "force-suppress",
    }
)  # fmt: skip
_YES, _NO = ("on", "yes", "true", "1"), ("off", "no", "false", "0", "")


def optimize(
    model_name: str,
    input_width: int,
    input_height: int,
    platform: str = "mxnet",
    aux_inputs: Mapping[str, Any] | None = None,
    told: Callable[[str], None] | None = None,
    made: Callable[[str], str | None] | None = None,
) -> tuple[int, str]:
    """Convert a model of a framework for the device.

    model_name : NAME of `NAME-symbol.json`, `NAME.prototxt` or `NAME.pb` in the artifacts folder.
    input_width, input_height : size of the network's input, 0 to 1024 px; 0 leaves it to the model.
    platform : MXNet (also mx), Caffe, or TensorFlow (also tf), in any case of letters.
    aux_inputs : `--precision` (FP16, FP32), `--epoch`, `--models-dir`, `--output-dir`, `--input_proto`,
        `--input_shape`, `--input_model_is_text`, `--img-channels`, with dashes or underscores; `--img-format` and
        `--fuse` change nothing in the numbers and are accepted. `--force_suppress` ON obeys an SSD symbol that wants
        boxes to suppress those of other classes; the device never did.

    told : called with the reason of a failure, which is logged as well.
    made : finds a model that was converted before by its name; asked where there is nothing to convert.

    Returns 0 and the path of the .xml; or 1 (unknown platform) or 2 (anything else) and an empty path.
    """
    try:
        kind = _PLATFORMS.get(str(platform).strip().lower())
        if kind is None:
            _log.error("mo.optimize: platform %r is not supported; choose MXNet, Caffe or TensorFlow", platform)
            return UNKNOWN_PLATFORM, ""
        job = _job(model_name, input_width, input_height, kind, aux_inputs)
        return SUCCESS, str(_converted(job))
    except _NoSourceError as error:
        ready = made(str(model_name)) if made is not None else None
        if ready is not None:
            return SUCCESS, ready
        _refuse(error, told)
    except SaccadeError as error:
        _refuse(error, told)
    except OSError as error:  # a folder that may not be looked into, a name that is too long for one
        _refuse(ModelError(f"{str(error.filename)[:200]}: {error.strerror}"), told)
    except Exception:  # The device's contract: scripts look at the number and know no exceptions.
        _log.exception("mo.optimize: %s could not be converted", model_name)
    return FAILED, ""


class _NoSourceError(ModelError):
    """There is nothing to convert."""


def _refuse(error: SaccadeError, told: Callable[[str], None] | None) -> None:
    _log.error("mo.optimize: %s", error)
    if told is not None:
        told(str(error))


@dataclass(frozen=True, slots=True)
class _Job:
    """One conversion, with everything that its result depends on.

    source : .json, .prototxt, .pb or .pbtxt. weights : .params or .caffemodel, or None.
    target : the .xml to be. old_name : the .xml's name of 2017.
    across : let boxes suppress other classes'. shape : of the input, or empty. size : (width, height) px, 0 if unknown.
    """

    platform: Platform
    source: Path
    weights: Path | None
    target: Path
    old_name: str
    precision: Literal["f16", "f32"]
    epoch: int | None
    channels: int
    size: tuple[int, int]
    shape: tuple[int, ...]
    across: bool


def _job(name: Any, width: Any, height: Any, platform: Platform, aux: Any) -> _Job:
    options = _options(aux)
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise ConfigError(f"the model's name is {name!r}; expected a word")
    given = Path(name)
    folder = Path(options.get("models-dir") or ARTIFACTS)
    folder = folder / given.parent  # an absolute path stands for itself
    precision = _PRECISIONS.get(options.get("precision", "FP16").lower())
    if precision is None:
        raise ConfigError(f"--precision is {options['precision']!r}; choose FP16 or FP32")
    epoch = _whole(options["epoch"], "--epoch", 99999) if "epoch" in options else None
    text = _truth(options.get("input-model-is-text", "False"), "--input_model_is_text")
    stem, source = _source(folder, given.name, platform, text, options.get("input-proto", ""))
    weights = _weights(folder, stem, source, platform, epoch)
    fused = "_FUSED" if _truth(options.get("fuse", "ON"), "--fuse") else ""
    output = Path(options.get("output-dir") or ARTIFACTS)
    return _Job(
        platform,
        source,
        weights,
        output / f"{stem}.xml",
        f"mxnet_{stem}_FP{precision[1:]}{fused}.xml",
        precision,
        epoch,
        _whole(options.get("img-channels", "3"), "--img-channels", 64),
        (_whole(width, "the width", MAX_SIZE), _whole(height, "the height", MAX_SIZE)),
        _shape(options.get("input-shape", "")),
        _truth(options.get("force-suppress", "OFF"), "--force_suppress"),
    )


# -------------------------------------------------------------------------------------------------------------- options


def option_name(key: Any) -> str:
    """`models-dir` of `--models-dir`, `--Models_Dir` and `models_dir`."""
    return str(key).strip().lstrip("-").replace("_", "-").lower()


def _options(aux: Any) -> dict[str, str]:
    """The known options in words, by their names without dashes in front and with dashes within."""
    if aux is None:
        return {}
    if not isinstance(aux, Mapping):
        raise ConfigError(f"aux_inputs is {type(aux).__name__}; expected a dictionary such as {{'--epoch': 10}}")
    options: dict[str, str] = {}
    for key, value in aux.items():
        name = option_name(key)
        if name not in _KEYS:
            _log.warning("mo.optimize: the option %r is not known and changes nothing", key)
        elif value is not None:
            options[name] = str(value).strip()
    return options


def _whole(value: Any, name: str, most: int) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= most or number != int(number):
        raise ConfigError(f"{name} is {value!r}; expected a whole number from 0 to {most}")
    return int(number)


def _truth(word: str, name: str) -> bool:
    if word.lower() not in _YES + _NO:
        raise ConfigError(f"{name} is {word!r}; choose ON or OFF")
    return word.lower() in _YES


def _shape(word: str) -> tuple[int, ...]:
    """`[1,84,84,3]`, `(1, 3, 224, 224)`, `1,3,224,224`."""
    numbers = re.split(r"[\s,x]+", word.strip(" ()[]"))
    return tuple(_whole(number, "--input_shape", 1 << 20) for number in numbers if number)


# ------------------------------------------------------------------------------------------------------------ the files


def _source(folder: Path, name: str, platform: Platform, text: bool, proto: str) -> tuple[str, Path]:
    """NAME and the graph's file. A file's own name stands for NAME too."""
    if platform == "mxnet":
        stem = re.sub(r"(-symbol\.json|-\d{4}\.params)$", "", name)
        source = folder / f"{stem}-symbol.json"
    elif platform == "caffe":
        stem = re.sub(r"\.(prototxt|caffemodel)$", "", name)
        source = folder / proto if proto else folder / f"{stem}.prototxt"
    else:
        stem = re.sub(r"\.(pb|pbtxt)$", "", name)
        suffixes = (".pbtxt", ".pb") if text or name.endswith(".pbtxt") else (".pb", ".pbtxt")
        found = [path for path in (folder / f"{stem}{suffix}" for suffix in suffixes) if path.is_file()]
        source = found[0] if found else folder / f"{stem}{suffixes[0]}"
    if not source.is_file():
        message = f"no model file at {source}; put it there, or name its folder as '--models-dir' in aux_inputs"
        raise _NoSourceError(message)
    return stem, source


def _weights(folder: Path, stem: str, source: Path, platform: Platform, epoch: int | None) -> Path | None:
    if platform == "mxnet":
        from saccade.formats.mxnet import parameter_file

        return parameter_file(source, epoch)
    if platform == "caffe":
        from saccade.formats.caffe import weights_file

        named = folder / f"{stem}.caffemodel"
        return named if named.is_file() else weights_file(source)
    return None


def _converted(job: _Job) -> Path:
    """The .xml of the job: that of an earlier call where nothing has changed since, else a new one."""
    key = _key(job)
    names = [job.target]
    if job.platform == "mxnet":
        names.append(job.target.with_name(job.old_name))
    files = [path.with_suffix(suffix) for path in names for suffix in (".xml", ".bin")]
    record = job.target.with_name(f".{job.target.stem}.saccade.json")
    if _recorded(record) == {"key": key, "files": _state(files)}:
        _log.info("mo.optimize: %s has not changed since it was converted", job.source.name)
        return job.target
    _write(job)
    for path in names[1:]:
        _link(job.target, path)
    text = json.dumps({"key": key, "files": _state(files)})
    try:
        atomic.write(record, text.encode(), mode=0o666)
    except OSError as error:
        _log.warning("mo.optimize: %s cannot be written (%s): the next call converts again", record, error)
    return job.target


def _key(job: _Job) -> str:
    """Changes whenever the result would: the files' contents, the options, the software."""
    import openvino

    from saccade import __version__
    from saccade.networks.digest import file_digest

    digest = hashlib.sha256()
    for path in (job.source, job.weights):
        if path is not None:
            try:
                digest.update(file_digest(path).encode())
            except OSError as error:
                raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    options = (
        job.platform,
        job.precision,
        job.channels,
        job.size,
        job.shape,
        job.across,
        job.target.name,
        job.old_name,
    )
    digest.update(repr((options, __version__, openvino.__version__)).encode())
    return digest.hexdigest()


def _recorded(record: Path) -> Any:
    try:
        return json.loads(record.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _state(files: list[Path]) -> dict[str, list[int]] | None:
    """Size and time of each file, by which a change by somebody else shows; None where one is missing."""
    try:
        return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
    except OSError:
        return None


def _write(job: _Job) -> None:
    from saccade.formats.convert import convert
    from saccade.formats.load import Artifact, ReadOptions, identify

    width, height = job.size
    shape = job.shape or None
    if shape is None and width and height:
        picture = (height, width, job.channels) if job.platform == "tensorflow" else (job.channels, height, width)
        shape = (1, *picture)
    elif shape is not None:
        shape = (shape[0] or 1, *shape[1:])
    # What the file is called is no matter where the caller says which framework it comes from.
    artifact = identify(job.source) if job.platform == "tensorflow" else Artifact(job.source, job.platform)
    options = ReadOptions(
        epoch=job.epoch, force_suppress=job.across, weights=job.weights if job.platform == "caffe" else None
    )
    convert(artifact, job.target.parent, job.precision, input_shapes=shape, options=options, name=job.target.stem)


def _link(target: Path, name: Path) -> None:
    """The .xml and .bin under a second name, without a second copy where the file system allows."""
    name.unlink(missing_ok=True)
    for suffix in (".bin", ".xml"):
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".convert-") as work:
            new, old = Path(work, name.name), target.with_suffix(suffix)
            try:
                os.link(old, new)
            except OSError:
                new.write_bytes(old.read_bytes())
            atomic.move(new, name.with_suffix(suffix))
