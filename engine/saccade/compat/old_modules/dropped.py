"""What later versions of Python 3 have dropped, for scripts of 2.7 and of 3.7 alike."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

from saccade.compat.old_modules.facade import Names, new_module


def collections_names(module: Any) -> Names:
    """The abstract classes, which `collections.abc` has."""
    import collections.abc

    return {name: getattr(collections.abc, name) for name in collections.abc.__all__}


def inspect_names(module: Any) -> Names:
    """`getargspec`."""
    import collections

    ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")

    def getargspec(function: Any) -> Any:
        full = module.getfullargspec(function)
        return ArgSpec(full.args, full.varargs, full.varkw, full.defaults)

    return {"getargspec": getargspec}


def imp_module() -> Any:
    """`imp`: sources are loaded as the script itself is."""

    def load_source(name: str, path: str, file: Any = None) -> Any:
        made = types.ModuleType(name)
        made.__file__ = path
        sys.modules[name] = made
        frame = sys._getframe(1)
        while "__saccade_load__" not in frame.f_builtins and frame.f_back is not None:
            frame = frame.f_back
        frame.f_builtins["__saccade_load__"](path, vars(made), names=frame.f_builtins)
        return made

    def load_module(name: str, file: Any, path: str, description: Any) -> Any:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            return load_source(name, path)
        return importlib.import_module(name)

    def find_module(name: str, path: Any = None) -> Any:
        import importlib.machinery

        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            raise ImportError(f"No module named {name}")
        return None, spec.origin, ("", "", 1)

    return new_module(
        "imp", load_source=load_source, find_module=find_module, new_module=types.ModuleType,
        reload=importlib.reload, load_module=load_module, PY_SOURCE=1, acquire_lock=lambda: None,
        release_lock=lambda: None,
    )  # fmt: skip


def json_names(module: Any) -> Names:
    """`load` and `loads` that take an encoding."""

    def read(function: Callable[..., Any]) -> Callable[..., Any]:
        """It ignored an encoding, and takes none any more."""
        return lambda source, encoding=None, **options: function(source, **options)

    return {"load": read(module.load), "loads": read(module.loads)}
