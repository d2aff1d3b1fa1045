"""Addresses and mail: `urllib`, `urllib2`, the parts of `email`."""

from __future__ import annotations

import importlib
from typing import Any

from saccade.compat import old_text
from saccade.compat.old_modules.facade import Facade, Names
from saccade.compat.old_text import plain, raw, text


def urllib_module() -> Any:
    """`urllib`, which has the names of its parts as well."""
    importlib.import_module("urllib.request")
    return Facade("urllib", importlib.import_module("urllib"), urllib_names())


def urllib_names() -> Names:
    """What `urllib` had itself."""
    import urllib.parse
    import urllib.request

    def urlencode(query: Any, doseq: int = 0) -> Any:
        pairs = query.items() if hasattr(query, "items") else query
        return urllib.parse.urlencode([(raw(old_text.str_of(k)), _value(v, doseq)) for k, v in pairs], bool(doseq))

    def _value(value: Any, doseq: int) -> Any:
        if doseq and isinstance(value, (list, tuple)):
            return [raw(old_text.str_of(v)) for v in value]
        return raw(value if old_text.is_unicode(value) else old_text.str_of(value))

    def urlopen(url: Any, data: Any = None, *arguments: Any, **options: Any) -> Any:
        return urllib.request.urlopen(text(url), raw(data), *arguments, **options)

    def unquote(value: Any) -> Any:
        return plain(urllib.parse.unquote_to_bytes(raw(value)))

    def quote(value: Any, safe: str = "/") -> str:
        return urllib.parse.quote(raw(value), safe)

    def quote_plus(value: Any, safe: str = "") -> str:
        return urllib.parse.quote_plus(raw(value), safe)

    return {
        "quote": quote, "quote_plus": quote_plus, "unquote": unquote, "urlencode": urlencode, "urlopen": urlopen,
        "unquote_plus": lambda value: unquote(text(value).replace("+", " ")),
        "urlretrieve": urllib.request.urlretrieve,
        "pathname2url": urllib.request.pathname2url, "url2pathname": urllib.request.url2pathname,
        "URLopener": getattr(urllib.request, "URLopener", urllib.request.OpenerDirector),
        "FancyURLopener": getattr(urllib.request, "FancyURLopener", urllib.request.OpenerDirector),
        "getproxies": urllib.request.getproxies, "splitquery": getattr(urllib.parse, "splitquery", None),
    }  # fmt: skip


def urllib2_module() -> Any:
    """`urllib2`: requests, their errors, and what it took from `urllib` and `urlparse`."""
    import urllib.error
    import urllib.parse
    import urllib.request

    class Request(urllib.request.Request):
        """Takes text as the data to post."""

        def __init__(self, url: Any, data: Any = None, *arguments: Any, **options: Any) -> None:
            super().__init__(text(url), raw(data), *arguments, **options)

    names = {k: v for k, v in vars(urllib.error).items() if not k.startswith("_")}
    old_names = {k: urllib_names()[k] for k in ("quote", "unquote", "urlopen")}
    parse = {k: v for k, v in vars(urllib.parse).items() if k in ("urlparse", "urlsplit", "urljoin", "splitport")}
    return Facade("urllib2", urllib.request, names | parse | old_names | {"Request": Request})


EMAIL = {
    "MIMEText": "email.mime.text", "MIMEMultipart": "email.mime.multipart", "MIMEBase": "email.mime.base",
    "MIMEImage": "email.mime.image", "MIMEAudio": "email.mime.audio", "Utils": "email.utils",
    "Encoders": "email.encoders", "Header": "email.header", "Message": "email.message", "Parser": "email.parser",
    "Errors": "email.errors", "Generator": "email.generator",
}  # fmt: skip


def email_part(name: str) -> Any:
    """A part of `email` by its old name."""
    if name in EMAIL:
        return importlib.import_module(EMAIL[name])
    raise AttributeError(f"module 'email' has no attribute {name!r}")
