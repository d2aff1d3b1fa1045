"""Where a server listens: addresses as they are typed, bound sockets, and why one cannot be bound."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress

from saccade.errors import ConfigError


def parse_address(text: str, option: str = "view") -> tuple[str, int]:
    """`HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT` -> host and port; without a host it is 127.0.0.1.

    option : that says it, for the ConfigError where it is none.
    """
    host, _, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host, port = "", "ambiguous"
    if not is_port(port):
        raise ConfigError(f"{option} is {text!r}; expected HOST:PORT, as 127.0.0.1:8080")
    return host or "127.0.0.1", int(port)


def is_port(text: str) -> bool:
    """True for the number of a port, 0 among them."""
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket that listens at the first address of `host`. Raises OSError."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host name") from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        # Two may be bound to one port as long as neither listens, and the second would fail only where it does.
        bound.listen()
    except BaseException:
        bound.close()
        raise
    return bound


def reason(error: OSError) -> str:
    """Why an address cannot be bound, in words."""
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    reasons = {
        errno.EADDRINUSE: "the port is already in use",
        errno.EACCES: "ports below 1024 need root",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


def is_loopback(host: str) -> bool:
    """Whether an address in figures is this machine's own."""
    return ipaddress.ip_address(host).is_loopback


def base_url(host: str, port: int) -> str:
    """`http://HOST:PORT` of a bound address; of one that means all interfaces, this machine's outward address."""
    if ipaddress.ip_address(host).is_unspecified:
        host = outward_address() or socket.gethostname()
    return url_of(host, port)


def url_of(host: str, port: int) -> str:
    """`http://HOST:PORT` of a name or an address in figures."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def outward_address() -> str | None:
    """This machine's address towards other networks; asks the routing table, sends nothing."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return None
