"""Addresses fit for logs: without user names, passwords and tokens, however malformed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,2}")
_IN_TEXT = re.compile(rf"{_SCHEME.pattern}[^\s'\"<>]+")
_SECRET = re.compile(
    r"((?:pass(?:word|wd|wort)?|pwd|psw|pw|token|secret|key|auth|sign|signature|user(?:name)?|login)=)"
    r".*?(?=[&;/?#]|_\w+=|$)",
    re.IGNORECASE,
)
ADVICE = "write special characters of user name and password percent-encoded: @ as %40, / as %2F, : as %3A, # as %23"


def without_credentials(text: str) -> str:
    """The address without user name, password and query.

    Whatever stands between the scheme and the last ``@`` may be a password with characters that end a host name, so
    that all of it is left out. Text without scheme, as a path, is left alone unless a ``:`` stands before its ``@``.
    """
    shown = _without_names(text)
    return re.split(r"[?#]", shown, maxsplit=1)[0] if _SCHEME.match(shown) else shown


def hidden(text: str, given: Iterable[str] = ()) -> str:
    """A message or a line of a log, without user names, passwords and tokens of the addresses in it.

    given : words that it may repeat, as of a command line: an address among them is found whatever characters it has.
    """
    for word in given:
        for part in (word, word.partition("=")[2]):
            if _SCHEME.match(part) or "@" in part:
                for form in (part, str(PurePath(part))):  # a path has single slashes, and none at its end
                    shown = _without_names(form)
                    text = text.replace(form, shown).replace(repr(form)[1:-1], shown)
    return _IN_TEXT.sub(lambda found: _without_names(found[0]), text)


def _without_names(text: str) -> str:
    """The address with what of its query is no secret by its name."""
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    rest = text[start:]
    before, at, behind = rest.rpartition("@")
    if at and (scheme or ":" in before):
        rest = behind if scheme else f"...@{behind}"
    return text[:start] + _SECRET.sub(r"\1...", rest)


def looks_unencoded(text: str) -> bool:
    """True where a password seems to have ended the host name early: an ``@`` behind it, no usable host or port."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return True
    return not parts.hostname or "@" in f"{parts.path}{parts.query}{parts.fragment}"


def host_problem(address: str) -> str:
    """Why the host of an address can be none, in words; "" where it may be one, or where that shows elsewhere."""
    host = ""
    try:
        host = urlsplit(address).hostname or ""
        host.encode("idna")
    except UnicodeError:
        # What stands where the host should may be a piece of a password.
        return "" if looks_unencoded(address) else f"{host!r} is no host name: each part of one has 1 to 63 letters"
    except ValueError:
        pass  # no address at all
    return ""
