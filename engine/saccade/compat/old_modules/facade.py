"""Facades: modules with some names changed, and the makers of such modules for the table of names."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Mapping
from typing import Any

Names = Mapping[str, Any]
Maker = Callable[[], Any]
"""Gives the module that stands for a name."""


class Facade(types.ModuleType):
    """A module with some names changed; everything else is read from the module and written to it."""

    def __init__(self, name: str, real: Any, names: Names, missing: Callable[[str], Any] | None = None) -> None:
        super().__init__(name, getattr(real, "__doc__", None))
        self.__dict__.update(_real=real, _names=dict(names), _missing=missing)

    def __getattr__(self, name: str) -> Any:
        here = self.__dict__
        if name in here["_names"]:
            return here["_names"][name]
        if name == "__all__":
            names = [n for n in dir(here["_real"]) if not n.startswith("_")]
            return sorted({*getattr(here["_real"], "__all__", names), *(n for n in here["_names"] if n[0] != "_")})
        try:
            return getattr(here["_real"], name)
        except AttributeError:
            if here["_missing"] is None or name.startswith("__"):
                raise
            return here["_missing"](name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["_names"].pop(name, None)
        setattr(self.__dict__["_real"], name, value)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__dict__["_real"]), *self.__dict__["_names"]})


def real_module(module: Any) -> Any:
    """The module behind facades."""
    while isinstance(module, Facade):
        module = module.__dict__["_real"]
    return module


def new_module(name: str, **names: Any) -> types.ModuleType:
    """A module of nothing but these names."""
    module = types.ModuleType(name)
    vars(module).update(names)
    return module


def changed(real: str, make: Callable[[Any], Names], name: str = "") -> Maker:
    """A facade of a module, with the names that `make` gives from it."""

    def maker() -> Any:
        module = importlib.import_module(real)
        return Facade(name or real, module, make(module))

    return maker


def lacking(real: str, **names: Any) -> Maker:
    """A facade that gives names where the module has them no more."""
    return changed(real, lambda module: {k: v for k, v in names.items() if not hasattr(module, k)})


def alias(real: str, **names: Any) -> Maker:
    """A module under another name, with further names."""
    return lambda: Facade(real, importlib.import_module(real), names) if names else importlib.import_module(real)
