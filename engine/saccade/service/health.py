"""The health answer of a page, asked from outside its process: `up`, or why no pictures come."""

from __future__ import annotations

import http.client
import ipaddress
from contextlib import closing

from saccade.service.address import parse_address
from saccade.timed_http import TimedHttp, exchange

_PATIENCE_SECONDS = 5.0
_MOST = 1 << 16  # bytes

NO_ANSWER = "no answer"
"""How what is said begins where there is none."""


def health_at(address: str) -> str:
    """What `/healthz` at a page's address says, or why it says nothing; within 5 s."""
    host, port = parse_address(address)
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass  # a name
    try:
        with closing(TimedHttp(host, port, timeout=_PATIENCE_SECONDS)) as connection:
            _, said = exchange(connection, "GET", "/healthz", seconds=_PATIENCE_SECONDS, most=_MOST)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        return f"{NO_ANSWER} ({error})"
    return said.decode("utf-8", "replace").strip()
