"""What stands for `__import__` in a script."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from saccade.compat.old_modules.facade import Facade, Maker, Names, real_module
from saccade.compat.old_modules.table import DROPPED, OLD


class Modules:
    """The imports of one script.

    version : 2 or 3. own : True for the name of a module that lies beside the script, which comes first.
    """

    def __init__(self, version: int, own: Callable[[str], bool] = lambda name: False) -> None:
        self._own = own
        self._makers: dict[str, Maker] = {}
        self._made: dict[str, Any] = {}
        self.add(DROPPED)
        if version == 2:
            self.add(OLD)

    def add(self, makers: Mapping[str, Maker]) -> None:
        """Further modules by name; a maker gives the module."""
        self._makers.update(makers)

    def layer(self, name: str, names: Callable[[Any], Names], missing: Callable[[str], Any] | None = None) -> None:
        """Change further names of a module.

        names : gives the new ones, from the module as it was. missing : gives one that there is not.
        """
        before = self._makers.get(name)

        def maker() -> Any:
            module = before() if before is not None else importlib.import_module(name)
            return Facade(name, module, names(module), missing)

        self._makers[name] = maker

    def load(self, name: str, scope: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        """`__import__` of a script."""
        if level or self._own(name.partition(".")[0]):
            return __import__(name, scope, local, names, level)
        if name in self._makers:
            module = self.module(name)
            if names and hasattr(module, "__path__"):
                # Modules of a package that nothing has imported yet.
                __import__(real_module(module).__name__, fromlist=names)
            return module if names or "." not in name else self._top(name)
        found = __import__(name, scope, local, names, level)
        if not names and found.__name__ in self._makers:
            return self.module(found.__name__)
        return found

    def module(self, name: str) -> Any:
        """The module that stands for `name`."""
        if name in self._makers:
            if name not in self._made:
                self._made[name] = self._makers[name]()
            return self._made[name]
        return importlib.import_module(name)

    def _top(self, name: str) -> Any:
        """What `import a.b.c` binds, with the way to c below it."""
        parts = name.split(".")
        inner = self.module(name)
        for depth in range(len(parts) - 1, 0, -1):
            package = self.module(".".join(parts[:depth]))
            inner = Facade(package.__name__, package, {parts[depth]: inner})
        return inner
