"""Modules that belong to a script: they lie beside it and are no library. They are run as the script itself is.

A library that was copied beside the script for the device (a `pip install -t`, binaries for its Python) is none of the
script's own: where the same is installed here, that one is taken.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_ELSEWHERE = frozenset(("site-packages", "dist-packages", ".venv", "venv", "env", "virtualenv", "node_modules", ".tox"))
_BINARY = (".so", ".pyd", ".dylib")


def belongs(folder: str, name: str) -> bool:
    """True if the script in `folder` has a module of that name of its own."""
    place = Path(folder)
    if (place / f"{name}.py").is_file():
        return True
    return (place / name / "__init__.py").is_file() and not _is_copied(place, name)


def is_own(folder: str, path: str) -> bool:
    """True for a file of the script's own, False for one in an environment below its folder."""
    try:
        parts = Path(path).resolve().relative_to(folder).parts
    except ValueError:
        return False
    return not any(part in _ELSEWHERE for part in parts)


def _is_copied(folder: Path, name: str) -> bool:
    """True for a library that was installed into the folder, or that holds binaries."""
    told = (*folder.glob(f"{name}-*.dist-info"), *folder.glob(f"{name}-*.egg-info"), *folder.glob(f"{name}.egg-info"))
    if told:
        return True
    if any(file.suffix in _BINARY and file.name.partition(".")[0] == name for file in folder.glob(f"{name}.*")):
        return True
    package = folder / name
    return package.is_dir() and any(file.suffix in _BINARY for file in package.rglob("*"))


class Neighbours(importlib.abc.MetaPathFinder):
    """Imports the modules that belong to a script.

    folder : of the script. convert : code of a source file. names : their built-in names.
    """

    def __init__(self, folder: str, convert: Callable[[bytes, str], CodeType], names: dict[str, Any]) -> None:
        self._folder, self._convert, self._names = folder, convert, names
        self._packages: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """The module `name` as the script's own, or as it is installed where a copy lies beside the script."""
        if path is None:
            if _is_copied(Path(self._folder), name):
                return self._installed(name)
            # Python 2 looked into the importing package first; it is asked last here.
            places = [self._folder, *self._packages]
        else:
            places = [place for place in path if is_own(self._folder, str(place)) and self._is_run(str(place))]
        for place in places:
            spec = importlib.machinery.PathFinder.find_spec(name, [place])
            if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
                if not is_own(self._folder, spec.loader.path):
                    return None
                spec.loader = _Loader(name, spec.loader.path, self._convert, self._names)
                self._packages += spec.submodule_search_locations or []
                return spec
        return None

    def _is_run(self, place: str) -> bool:
        """False in a library that was copied beside the script."""
        top = Path(place).resolve().relative_to(self._folder).parts[:1]
        return not top or not _is_copied(Path(self._folder), top[0])

    def _installed(self, name: str) -> Any:
        """The library that is installed here, if it is."""
        rest = [place for place in sys.path if os.path.realpath(place or ".") != self._folder]
        return importlib.machinery.PathFinder.find_spec(name, rest)


class _Loader(importlib.machinery.SourceFileLoader):
    """Converts a neighbour's source; nothing is cached beside it."""

    def __init__(self, name: str, path: str, convert: Callable[[bytes, str], CodeType], names: dict[str, Any]) -> None:
        super().__init__(name, path)
        self._convert, self._names = convert, names

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self._convert(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._names
        super().exec_module(module)
