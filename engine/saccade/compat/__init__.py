"""The DeepLens device API: `awscam`, `mo` and `greengrasssdk` over saccade, and the runner of unmodified scripts.

`install()` makes the three importable under their old names; merely installing saccade does not.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saccade.compat.device import CompatDevice

__all__ = ["install", "uninstall"]

_NAMES = ("awscam", "mo", "greengrasssdk")


def install(**options: Any) -> CompatDevice:
    """Make `import awscam, mo, greengrasssdk` work in this process, over one device.

    options : see `saccade.compat.device.CompatDevice`. A device that was installed before is closed.
    """
    from saccade.compat import awscam, device, greengrasssdk

    uninstall()
    new = device.CompatDevice(**options)
    device.use(new)
    sys.modules["awscam"] = awscam
    sys.modules["greengrasssdk"] = greengrasssdk
    sys.modules["mo"] = _mo_module(new)
    return new


def uninstall() -> None:
    """Undo `install()` and close its device."""
    from saccade.compat import device

    for name in _NAMES:
        sys.modules.pop(name, None)
    old = device.use(None)
    if old is not None:
        old.close()


def _mo_module(device: CompatDevice) -> ModuleType:
    """`mo`, looking for artifacts where the device does."""
    module = ModuleType("mo", "Model optimizer of the DeepLens device library, over saccade.")

    def optimize(
        model_name: str,
        input_width: int = 224,
        input_height: int = 224,
        platform: str = "mxNet",
        aux_inputs: Any = None,
    ) -> tuple[int, str]:
        """Import an artifact; returns (status, path), status 0 where it worked."""
        substitute = device.substitute(model_name) if isinstance(model_name, str) else None
        if substitute is not None:
            return 0, substitute
        from saccade.compat import mo

        if not isinstance(aux_inputs, (dict, type(None))):
            return mo.optimize(model_name, input_width, input_height, platform, aux_inputs)  # which names the mistake
        options = dict(aux_inputs or {})
        if device.artifacts is not None:
            keys = {str(key).replace("_", "-") for key in options}
            options |= {key: str(device.artifacts) for key in ("--models-dir", "--output-dir") if key not in keys}
        return mo.optimize(model_name, input_width, input_height, platform, options)

    module.optimize = optimize  # type: ignore[attr-defined]
    return module
