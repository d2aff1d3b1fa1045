"""A run as a whole: a session with what serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade import apps
from saccade.service.telemetry import telemetry

if TYPE_CHECKING:
    from saccade.apps import Session
    from saccade.apps.cameras_file import CamerasFile
    from saccade.apps.fleet import Fleet
    from saccade.config import RunConfig
    from saccade.outputs.display import Display
    from saccade.outputs.opening import Outputs
    from saccade.pipeline import Output
    from saccade.service.page import LivePage


def open_session(
    name: str,
    config: RunConfig,
    *,
    extra_outputs: dict[str, Output] | None = None,
    results: Outputs | None = None,
) -> Session:
    """Everything that `config` asks for, the live page included; see `apps.open_session`."""
    page = partial(_page, crops=Path(config.out) if config.out else None)
    session = apps.open_session(name, config, extra_outputs=extra_outputs, results=results, make_page=page)
    sender = telemetry(lambda: [session.figures()], os.environ)
    if sender is not None:
        session.closing.append(sender)
    return session


def open_fleet(file: CamerasFile, **options: Any) -> Fleet:
    """The cameras of a file, in one engine, with their page. options : further ones of `Fleet`."""
    from saccade.apps.fleet import Fleet
    from saccade.service.fleet import FleetPage

    fleet = Fleet(file, make_page=FleetPage, **options)
    sender = telemetry(fleet.figures, os.environ)
    if sender is not None:
        fleet.closing.append(sender)
    return fleet


def _page(
    address: str, display: Display, figures: Callable[[], Mapping[str, Any]], *, crops: Path | None = None
) -> LivePage:
    from saccade.service.page import LivePage  # what nobody looks at is not loaded

    return LivePage(address, display, figures, crops=crops)
