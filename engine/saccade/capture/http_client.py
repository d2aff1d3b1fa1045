"""HTTP as cameras speak it, on httpx.

One connection that can be interrupted, digest by choice of challenge, credentials that stay with the host they were
given for, and certificates that nobody signed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import parse_http_list

import httpx

from saccade.address import ADVICE, host_problem, looks_unencoded, without_credentials
from saccade.capture.source import SourceOptions
from saccade.errors import SourceError

MOST_REDIRECTS = 10
WHOLE = 3
"""A whole answer's head, or a whole picture, has so many times what one wait for the network has."""
_ALGORITHMS = frozenset(
    f"{name}{session}" for name in ("MD5", "SHA", "SHA-256", "SHA-512") for session in ("", "-SESS")
)  # what httpx answers
_CHALLENGE = re.compile(r"([A-Za-z][\w-]*)(?:\s+(.*))?$", re.DOTALL)

# At its level INFO it logs addresses, whose query may hold a password.
logging.getLogger("httpx").setLevel(logging.WARNING)


class CameraAuth(httpx.Auth):
    """Answers the first challenge that it supports (RFC 7616, 3.7): digest, or basic.

    A server that names no challenge gets basic. Later requests answer at once.
    """

    def __init__(self, user: str, password: str) -> None:
        self._login = user, password
        self._known: httpx.BasicAuth | httpx.DigestAuth | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send, and send again with an answer where the server asks for one."""
        if self._known is not None:
            next(self._known.auth_flow(request))
        response = yield request
        if response.status_code != 401:
            return
        headers = response.headers.get_list("www-authenticate")
        for scheme, challenge in challenges(headers) if headers else [("basic", {})]:
            if scheme == "basic":
                self._known = httpx.BasicAuth(*self._login)
                next(self._known.auth_flow(request))
                yield request
                return
            if scheme == "digest" and _is_supported(challenge):
                self._known = httpx.DigestAuth(*self._login)
                request.headers.pop("Authorization", None)
                flow = self._known.auth_flow(request)
                next(flow)
                flow.send(httpx.Response(401, headers={"www-authenticate": _digest(challenge)}, request=request))
                yield request
                return


def challenges(headers: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(scheme, parameters) of each challenge in WWW-Authenticate headers, of which one line may hold several."""
    scheme, parameters = "", dict[str, str]()
    for item in (item for header in headers for item in parse_http_list(header)):
        name, equals, _ = item.partition("=")
        found = _CHALLENGE.match(item)
        if found is not None and (" " in name.strip() or not equals):
            if scheme:
                yield scheme, parameters
            scheme, parameters, item = found[1].lower(), {}, found[2] or ""
        key, equals, value = item.partition("=")
        if equals:
            parameters[key.strip().lower()] = value.strip().strip('"')
    if scheme:
        yield scheme, parameters


def _is_supported(challenge: dict[str, str]) -> bool:
    qops = re.split(r"[,\s]+", challenge.get("qop", "auth"))
    return (
        challenge.get("algorithm", "MD5").upper() in _ALGORITHMS
        and "auth" in qops
        and {"realm", "nonce"} <= challenge.keys()
    )


def _digest(challenge: dict[str, str]) -> str:
    fields = [f'{key}="{challenge[key]}"' for key in ("realm", "nonce", "opaque") if key in challenge]
    fields += ['qop="auth"'] if "qop" in challenge else []
    fields += [f"algorithm={challenge['algorithm']}"] if "algorithm" in challenge else []
    return "Digest " + ", ".join(fields)


class CameraClient:
    """GET from one address, as often as wanted; `interrupt()` ends a wait from any thread.

    Parameters
    ----------
    address : may hold user name and password, percent-encoded.
    options : `insecure` and `ca` say whose certificates are good.
    patience : s until a connection stands, and until the server says a word; `WHOLE` times that until it has answered.
    stop : set when `interrupt()` was called before there was anything to interrupt.

    Raises
    ------
    SourceError : the address cannot be one.
    """

    def __init__(self, address: str, options: SourceOptions, *, patience: float, stop: threading.Event) -> None:
        self.name = without_credentials(address)
        self._address = address
        self._patience = patience
        self._stop = stop
        self._socket: socket.socket | None = None
        self._reading: dict[str, float | None] = {}
        if _cannot_be(address):
            raise SourceError(f"{self.name}: the address is not understood; {ADVICE}")
        parts = urlsplit(address)
        self._origin = _origin(address)
        self._url = _bare(address)
        self._auth = (
            None if parts.username is None else CameraAuth(unquote(parts.username), unquote(parts.password or ""))
        )
        self._trust = Trust(options)
        self._begin_answer()
        self._client = self._new_client()

    def get(self, *, stall: float, headers: dict[str, str] | None = None) -> httpx.Response:
        """The answer, with its body still to be read; `stall` : s that the body may be silent. Raises `SourceError`."""
        try:
            try:
                response = self._follow(headers or {})
            except _NotPinnedError:
                # The certificate given is that of an authority, not of this camera: its name must be right.
                self._trust.pinned = None
                self._client.close()
                self._client = self._new_client()
                response = self._follow(headers or {})
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            raise SourceError(f"{self.name}: {self._why(error)}") from None
        self._reading["read"] = stall
        if response.status_code not in (200, 206):
            response.close()
            raise SourceError(f"{self.name}: {self._refusal(response)}")
        return response

    def limit(self, seconds: float, what: str, slowest: float = math.inf) -> None:
        """What is read from now on has to come within so many seconds, however often the server says a word.

        what : said in the `SourceError` that a read raises where it did not. slowest : bytes a second; who brings so
        many has more time, up to `seconds` from each moment on.
        """
        self._limit = _Limit(seconds, f"{self.name}: {what}", slowest)

    def interrupt(self) -> None:
        """End whatever waits for the server."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket = None
        self._client.close()

    def _new_client(self) -> httpx.Client:
        headers = {"User-Agent": "saccade", "Accept": "*/*", "Accept-Encoding": "identity"}
        try:
            return httpx.Client(verify=self._trust.context(), headers=headers, follow_redirects=False)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise SourceError(f"{self.name}: the proxy that the environment names cannot be used: {error}") from error

    def _follow(self, headers: dict[str, str]) -> httpx.Response:
        """GET and follow redirects; credentials go to the first scheme, host and port only, as curl has it."""
        url = self._url
        self._begin_answer()
        for _ in range(MOST_REDIRECTS + 1):
            patience = self._patience
            self._reading = {"connect": patience, "read": patience, "write": patience, "pool": patience}
            extensions = {"timeout": self._reading, "trace": self._trace}
            request = self._client.build_request("GET", url, headers=headers, extensions=extensions)
            auth = self._auth if _origin(url) == self._origin else None
            response = self._client.send(request, auth=auth, stream=True)
            if not response.has_redirect_location:
                return response
            response.close()
            url = _bare(urljoin(url, response.headers["location"]))
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError(f"redirected to {without_credentials(url)}; give that address")
            if problem := host_problem(url):
                raise ValueError(f"redirected to {without_credentials(url)}: {problem}")
        raise ValueError(f"redirected more than {MOST_REDIRECTS} times; the addresses point at each other")

    def _begin_answer(self) -> None:
        seconds = WHOLE * self._patience
        self.limit(seconds, f"no whole answer in {seconds:g} s")

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """What httpcore tells of its doings: a connection stands, or is encrypted."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info["return_value"]
            stream.read = self._within_limit(stream.read)
            self._socket = stream.get_extra_info("socket")
            if self._stop.is_set():
                self.interrupt()
            encrypted = stream.get_extra_info("ssl_object")
            if encrypted is not None and not self._trust.holds(encrypted):
                stream.close()
                raise _NotPinnedError

    def _within_limit(self, read: Callable[[int, float | None], bytes]) -> Callable[[int, float | None], bytes]:
        """A connection's `read`, each of which httpx limits by itself, so that a server that drips has no end."""

        def read_within(max_bytes: int, timeout: float | None = None) -> bytes:
            left = self._limit.left()
            if timeout is not None and timeout < left:
                data = read(max_bytes, timeout)
            else:
                try:
                    data = read(max_bytes, left)
                except Exception as error:
                    if isinstance(error.__cause__, TimeoutError):
                        raise self._limit.exceeded() from None
                    raise
            self._limit.brought(len(data))
            return data

        return read_within

    def _refusal(self, response: httpx.Response) -> str:
        reason = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
        if response.status_code != 401:
            return reason
        there = _origin(str(response.url))
        if self._auth is None:
            place = f"{there[0]}://USER:PASSWORD@{response.url.netloc.decode()}/..."
            return f"{reason}; the address takes a user name and password: {place}"
        if there != self._origin:
            return f"{reason} by {there[1]}, to which it redirects: credentials stay here; give that address"
        return f"{reason}; user name or password are not accepted{self._advice()}"

    def _advice(self) -> str:
        return f"; {ADVICE}" if looks_unencoded(self._address) else ""

    def _why(self, error: Exception) -> str:
        """One line, from the innermost error that the system or TLS gave."""
        if isinstance(error, httpx.TimeoutException):
            return f"no answer in {self._patience:.0f} s"
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return (
                    f"certificate verify failed: {cause.verify_message}; give the camera's certificate with --ca FILE, "
                    "or take any with --insecure"
                )
            if isinstance(cause, OSError) and cause.strerror:
                return f"{cause.strerror}{self._advice()}"
            cause = cause.__cause__ or cause.__context__
        return f"{error}{self._advice()}"


class _Limit:
    """A moment by which all is to be read; see `CameraClient.limit`."""

    def __init__(self, seconds: float, reason: str, slowest: float) -> None:
        self._seconds = seconds
        self._reason = reason
        self._slowest = slowest
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; raises `SourceError` where there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> SourceError:
        """What there is to say when none are."""
        return SourceError(self._reason)

    def brought(self, size: int) -> None:
        """So many bytes have come."""
        self._until = min(self._until + size / self._slowest, time.monotonic() + self._seconds)


class _NotPinnedError(Exception):
    """The server's certificate is not the one in the file."""


class Trust:
    """Whose certificates are good: the system's authorities', those in a file, or any.

    A file with one self-signed certificate is most often the camera's own, whose name is seldom that of its address:
    a server that shows just this certificate is the one, whatever its name. pinned : that certificate, DER.
    """

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self.pinned: bytes | None = None
        if options.ca is not None:
            context = self._of_file(str(options.ca))
            found = context.get_ca_certs()
            if len(found) == 1 and found[0].get("subject") == found[0].get("issuer"):
                (self.pinned,) = context.get_ca_certs(binary_form=True)

    def context(self) -> ssl.SSLContext:
        """For a new client."""
        context = ssl.create_default_context() if self._options.ca is None else self._of_file(str(self._options.ca))
        if self._options.insecure or self.pinned is not None:
            context.check_hostname = False
        if self._options.insecure:
            context.verify_mode = ssl.CERT_NONE
        return context

    def holds(self, encrypted: ssl.SSLObject | ssl.SSLSocket) -> bool:
        """False where the name was not checked, and the certificate is another than the pinned one."""
        return self.pinned is None or encrypted.getpeercert(True) == self.pinned

    @staticmethod
    def _of_file(path: str) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=path)
        except (ssl.SSLError, OSError) as error:
            raise SourceError(f"ca {path!r} holds no certificate that can be read; expected PEM") from error


def _cannot_be(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
        return not parts.hostname or bool(re.search(r"[\s\x00-\x1f]", parts.netloc))
    except ValueError:
        return True


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port)."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or (443 if scheme == "https" else 80)
