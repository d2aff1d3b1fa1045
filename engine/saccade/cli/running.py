"""The runs of this user that go on, and how to ask them."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

from saccade.errors import ConfigError, OutputError
from saccade.timed_http import TimedHttp, exchange

_SECONDS = 120.0
"""How long an answer may take: a network may have to be compiled, s."""

_MOST = 1 << 26
"""Bytes of an answer."""


def runs(config: str | None = None) -> list[dict[str, Any]]:
    """Those of this file, or of any: process, address, token, file."""
    from saccade.service.fleet import running

    return [word for word in running() if not config or word["config"] == os.path.abspath(config)]


def the_run(config: str | None = None) -> dict[str, Any]:
    """The one that is meant; raises ConfigError where there are several, or none."""
    there = runs(config)
    if not there:
        which = f" of {config}" if config else ""
        raise ConfigError(f"no run{which} goes on here; `saccade run --config FILE` with several cameras begins one")
    if len(there) > 1:
        files = ", ".join(word["config"] for word in there)
        raise ConfigError(f"{len(there)} runs go on; choose one with --config: {files}")
    return there[0]


def ask(word: dict[str, Any], method: str, name: str, said: dict[str, Any] | None = None) -> Any:
    """The run's answer on a camera, or with an empty name on all; raises ConfigError with what it refuses."""
    parts = urlsplit(word["url"])
    connection = TimedHttp(parts.hostname or "", parts.port, timeout=_SECONDS)
    path = "/api/cameras" + (f"/{quote(name, safe='')}" if name else "")
    headers = {"Authorization": f"Bearer {word['token']}", "Content-Type": "application/json"}
    try:
        body = None if said is None else json.dumps(said)
        status, answer = exchange(connection, method, path, body, headers, seconds=_SECONDS, most=_MOST)
    except (OSError, http.client.HTTPException) as error:
        raise OutputError(f"the run with process {word['pid']} does not answer at {word['url']} ({error})") from None
    finally:
        connection.close()
    text = answer.decode("utf-8", "replace")
    if status != 200:
        raise ConfigError(text.strip())
    return json.loads(text)
