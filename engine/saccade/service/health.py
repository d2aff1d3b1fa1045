"""The health answer of a page, asked from outside its process: `up`, or why no pictures come."""

from __future__ import annotations

import ipaddress

import httpx

from saccade.service.address import parse_address, url_of

_PATIENCE_SECONDS = 5.0

NO_ANSWER = "no answer"
"""How what is said begins where there is none."""


def health_at(address: str) -> str:
    """What `/healthz` at a page's address says, or why it says nothing."""
    host, port = parse_address(address)
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass  # a name
    try:
        # A proxy of the environment is for the world outside.
        with httpx.Client(trust_env=False, timeout=_PATIENCE_SECONDS) as client:
            return client.get(f"{url_of(host, port)}/healthz").text.strip()
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return f"{NO_ANSWER} ({error})"
