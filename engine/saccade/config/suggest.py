"""What somebody who mistyped a name may have meant."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR = 0.6
"""Least similarity of a suggestion, as `difflib` counts it."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, without regard to case and to - or _; None if none is near."""
    import difflib  # only after a mistake

    plain = {_plain(each): each for each in known}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=_NEAR)
    return plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """`; did you mean X?`, or `otherwise` where nothing is near."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else otherwise


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip("_")
