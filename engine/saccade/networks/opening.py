"""A network from wherever it lives, run as it was tuned."""

from __future__ import annotations

import logging
import os
from typing import Any

from saccade.errors import ConfigError, ModelError
from saccade.networks.network import Network

_log = logging.getLogger(__name__)


def open_network(
    address: str | os.PathLike[str], *, tuned: bool = True, usual_threads: int | None = None, **options: Any
) -> Network:
    """A network from a file, a name of the catalogue (downloaded when it is not there yet), or the address of a server
    that runs it (see `saccade.networks.remote`).

    tuned : where `saccade tune` has made a profile of it that holds here, its arithmetic is as there; see
    `saccade.networks.profile`. A precision other than auto and int8 is a wish for the network as it is. Threads and
    streams of a profile are a pipeline's affair, see `saccade.pipeline.balance`.
    usual_threads : CPU threads where the caller does not say how many.
    options : as for `Model`; a server has its own.

    Raises ConfigError for precision int8 of a network that has neither a profile with it nor statistics of its own.
    """
    from saccade.networks.remote import RemoteModel, is_remote

    if isinstance(address, str) and is_remote(address):
        return RemoteModel(address)
    from saccade.networks.local import Model

    options["threads"] = options.get("threads") or usual_threads
    if tuned and options.get("precision", "auto") in ("auto", "int8"):
        network = _as_tuned(address, options)
        if network is not None:
            return network
    return Model(address, **options)


def _as_tuned(address: str | os.PathLike[str], options: dict[str, Any]) -> Network | None:
    """The network as its profile has it; None where there is none that holds."""
    from saccade.formats.load import identify
    from saccade.networks.catalogue import resolve
    from saccade.networks.local import Model
    from saccade.networks.profile import profile_for

    artifact = identify(resolve(address))
    profile, reason = profile_for(
        artifact.path, artifact.name, options.get("device", "CPU"), cache=options.get("cache_dir")
    )
    if reason:
        _log.warning("%s: its profile is not used: %s; `saccade tune` makes a new one", artifact.name, reason)
    if profile is None or profile.precision == "auto":
        return None
    if options.get("precision") == "int8" and profile.precision != "int8":
        raise ConfigError(
            f"{artifact.name}: precision int8 was refused by `saccade tune` ({profile.in_words()}); "
            "leave --precision out to run it as it was tuned"
        )
    try:
        network = Model(
            artifact.path, **options | {"precision": profile.precision}, quantised=profile.quantised_file
        )  # fmt: skip
    except ModelError as error:
        _log.warning("%s: its profile is not used: %s", artifact.name, error)
        return None
    network.profile = profile
    _log.info("%s: as tuned: %s", artifact.name, profile.in_words())
    return network
