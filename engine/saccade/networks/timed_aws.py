"""Calls of AWS that end in time, whatever the other side does: boto3 limits each wait for the network by itself."""

from __future__ import annotations

import socket
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NewConnectionError

from saccade.timed_http import Timed


def limit(client: Any) -> None:
    """Have each try of a client's calls end within its read timeout, from the connection to the answer's last byte."""
    client._endpoint.http_session._pool_classes_by_scheme.update(http=_Pool, https=_PoolOfHttps)


class _Timed(Timed):
    """What of a connection of urllib3 takes time before there is something to send."""

    def _new_conn(self) -> socket.socket:
        try:
            line = self._connected((self._dns_host, self.port))  # type: ignore[attr-defined]
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]
        for option in self.socket_options or ():  # type: ignore[attr-defined]
            line.setsockopt(*option)
        return line


class _Connection(_Timed, AWSHTTPConnection):  # type: ignore[misc]
    """Over HTTP."""


class _ConnectionOfHttps(_Timed, AWSHTTPSConnection):  # type: ignore[misc]
    """Over HTTPS."""


class _Beginning(HTTPConnectionPool):
    """Its connections have the read timeout for each request."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.begin(self.timeout.read_timeout)
        return connection


class _Pool(_Beginning, AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _PoolOfHttps(_Beginning, AWSHTTPSConnectionPool):
    ConnectionCls = _ConnectionOfHttps
