"""Modules as old scripts import them: lost names given back, in the script's own imports only.

`Modules.load` stands for `__import__` in the code of a script and of the modules that belong to it. It hands out
facades: the real module, with some names changed. The modules themselves, and so the libraries that use them, stay as
they are.

`table` says which name stands for what. What is more than another name is made in `dropped` (for scripts of either
Python), `strings`, `data`, `web`, `system` and `language`.
"""

from __future__ import annotations

from saccade.compat.old_modules.facade import Facade, Names
from saccade.compat.old_modules.imports import Modules

__all__ = ["Facade", "Modules", "Names"]
