"""Compiled models kept on disk, so that the next start is quick (on an old GPU: seconds instead of minutes).

OpenVINO writes and finds the blobs by itself, notices cut ones, but runs one with flipped bits and returns wrong
numbers (measured with 2026.4). So each blob gets its SHA-256 beside it and is removed before use if it differs.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino as ov

from saccade.config import cache_dir
from saccade.networks.digest import file_digest
from saccade.private import private_folder

_log = logging.getLogger(__name__)

_KEEP = 8  # blobs a model and device: shapes and precisions that somebody switches between


class CompileCache:
    """One model's compiled forms.

    name : the model's name; each has a folder of its own. folder : None stands for the user's cache folder.
    """

    def __init__(self, name: str, folder: str | os.PathLike[str] | None = None) -> None:
        base = cache_dir() / "compiled" if folder is None else Path(folder)
        self.folder = base / folder_name(name)

    def compile(self, core: ov.Core, model: ov.Model, device: str, config: dict[str, Any]) -> ov.CompiledModel:
        """Compile, by way of the cache where it can be used; raises what OpenVINO raises."""
        try:
            private_folder(self.folder)
            with self._alone():
                return self._compile(core, model, device, config)
        except (OSError, UnicodeError) as error:
            # OpenVINO takes no names that are not UTF-8.
            _log.info("no model cache in %s (%s)", self.folder, getattr(error, "strerror", None) or error)
            return core.compile_model(model, device, config)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time look after the folder; who comes second finds what the first has compiled."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _compile(self, core: ov.Core, model: ov.Model, device: str, config: dict[str, Any]) -> ov.CompiledModel:
        self._drop_damaged()
        try:
            compiled = core.compile_model(model, device, {**config, "CACHE_DIR": str(self.folder)})
        except RuntimeError:
            # The disk may be full, or the blob unreadable: a fault of the model itself shows again without the cache.
            return core.compile_model(model, device, config)
        try:
            self._sign()
        except OSError as error:
            _log.info("the model cache in %s cannot be kept (%s)", self.folder, error.strerror)
        return compiled

    def _files(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_file() and path.suffix != ".sha256"]

    def _drop_damaged(self) -> None:
        for path in self._files():
            seal = _seal(path)
            try:
                sound = seal.read_text() == file_digest(path)
            except (OSError, UnicodeError):
                sound = False  # not signed: its writer was interrupted
            if not sound:
                path.unlink(missing_ok=True)
                seal.unlink(missing_ok=True)

    def _sign(self) -> None:
        files = sorted(self._files(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[_KEEP:]:
            path.unlink(missing_ok=True)
            _seal(path).unlink(missing_ok=True)
        for path in files[:_KEEP]:
            seal = _seal(path)
            if not seal.exists():
                seal.write_text(file_digest(path))


def folder_name(name: str) -> str:
    """What the folder of a model of that name is called."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")[:80] or "model"


def _seal(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
