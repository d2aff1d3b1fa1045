"""One declaration of every option for command line, environment and TOML file; cameras are tables of such a file.

`RunConfig` and the classes of `commands` declare the options, each a field with its help and limits.
`resolve` makes a configuration of what was said where, `load_cameras` several of a file with `[[camera]]` tables.
Plain dataclasses and the standard library: nothing here costs a start on a small processor anything.
"""

from __future__ import annotations

from saccade.config.camera import CameraApp, CameraConfig
from saccade.config.cameras import (
    Cameras,
    between_cameras,
    examine_cameras,
    is_cameras_file,
    load_cameras,
    read_camera,
    runnable_cameras,
)
from saccade.config.folders import cache_dir, users_folder
from saccade.config.option import Option, options_of
from saccade.config.run import (
    APPS,
    DEFAULT_FIFO,
    SOURCE_OPTIONS,
    DeviceName,
    PrecisionName,
    ResizeName,
    RunConfig,
    camera_name,
)
from saccade.config.settings import Resolved, from_environment, resolve
from saccade.config.suggest import did_you_mean
from saccade.config.variables import OTHERS, check_variables

__all__ = [
    "APPS",
    "DEFAULT_FIFO",
    "OTHERS",
    "SOURCE_OPTIONS",
    "CameraApp",
    "CameraConfig",
    "Cameras",
    "DeviceName",
    "Option",
    "PrecisionName",
    "ResizeName",
    "Resolved",
    "RunConfig",
    "between_cameras",
    "cache_dir",
    "camera_name",
    "check_variables",
    "did_you_mean",
    "examine_cameras",
    "from_environment",
    "is_cameras_file",
    "load_cameras",
    "options_of",
    "read_camera",
    "resolve",
    "runnable_cameras",
    "users_folder",
]  # fmt: skip
