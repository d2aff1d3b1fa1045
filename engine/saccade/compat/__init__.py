"""The DeepLens device API: `awscam`, `mo` and `greengrasssdk` over saccade, and the runner of unmodified scripts.

`install()` makes them importable under their old names, and `openvino.inference_engine` with them, which other edge
scripts of the time use; merely installing saccade does not.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from saccade.errors import SaccadeError

if TYPE_CHECKING:
    from saccade.compat.device import CompatDevice

log = logging.getLogger(__name__)

__all__ = ["install", "uninstall"]

_NAMES = ("awscam", "mo", "greengrasssdk", "openvino.inference_engine")


def install(**options: Any) -> CompatDevice:
    """Make `import awscam, mo, greengrasssdk` work in this process, over one device.

    options : see `saccade.compat.device.CompatDevice`. A device that was installed before is closed.
    """
    from saccade.compat import awscam, device, greengrasssdk
    from saccade.compat.gone_modules import Shims

    uninstall()
    new = device.CompatDevice(**options)
    device.use(new)
    sys.modules["awscam"] = awscam
    sys.modules["greengrasssdk"] = greengrasssdk
    sys.modules["mo"] = _mo_module(new)
    sys.meta_path.insert(0, Shims())
    return new


def uninstall() -> None:
    """Undo `install()` and close its device."""
    from saccade.compat import device
    from saccade.compat.gone_modules import Shims

    for name in _NAMES:
        sys.modules.pop(name, None)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Shims)]
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
        from saccade.compat import mo

        def told(reason: str) -> None:
            device.way_out(name, f"mo.optimize: {reason.partition(';')[0]}")

        name = str(model_name)
        try:
            substitute = device.substitute(name)
        except SaccadeError as error:
            log.error("mo.optimize: %s", error)
            device.missing = device.missing or str(error)
            return mo.FAILED, ""
        if substitute is not None:
            return mo.SUCCESS, substitute
        if not isinstance(aux_inputs, (dict, type(None))):
            return mo.optimize(model_name, input_width, input_height, platform, aux_inputs)  # which names the mistake
        options = dict(aux_inputs or {})
        if device.artifacts is not None:
            given = set(map(mo.option_name, options))
            options |= {name: str(device.artifacts) for name in ("models-dir", "output-dir") if name not in given}
        with device.at_work():
            return mo.optimize(model_name, input_width, input_height, platform, options, told, device.made)

    module.optimize = optimize  # type: ignore[attr-defined]
    return module
