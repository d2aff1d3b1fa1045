"""Every error that saccade raises on purpose, in one tree.

    SaccadeError
    |-- ConfigError          an option, a setting or an argument is not usable
    |-- SourceError          a camera, file or stream cannot be opened or read
    |   `-- JpegError        one compressed picture is damaged
    |-- FrameReleasedError   a frame was used after its lease had ended
    |-- ModelError           an artifact cannot be read or does not run
    |   `-- UnsupportedError the artifact is sound, but asks for something saccade has not got
    |-- DeviceError          the inference device is missing or failed, or a model elsewhere does not answer
    |-- DownloadError        a file could not be fetched, or is not what was promised
    `-- OutputError          a result cannot be written or served

A message is one sentence that names the file or value at fault, what was expected and what to do. The command
line prints it as it stands, so that it never needs a traceback.
"""


class SaccadeError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(SaccadeError, ValueError):
    """An option, a setting or an argument is not usable."""


class SourceError(SaccadeError):
    """A camera, file or stream cannot be opened or read."""


class JpegError(SourceError):
    """One compressed picture is damaged or of a kind that is not supported."""


class FrameReleasedError(SaccadeError, RuntimeError):
    """A frame was used after its lease had ended: its slot may already hold the next picture."""


class ModelError(SaccadeError):
    """An artifact cannot be read or does not run."""


class UnsupportedError(ModelError):
    """The artifact is sound, but asks for something that saccade does not support."""


class DeviceError(SaccadeError):
    """The inference device is missing or failed, or a model elsewhere does not answer."""


class DownloadError(SaccadeError):
    """A file could not be fetched, or is not what was promised."""


class OutputError(SaccadeError):
    """A result cannot be written or served."""
