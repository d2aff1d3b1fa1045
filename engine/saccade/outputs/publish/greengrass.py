"""Publishing through a Greengrass v2 core device: its nucleus holds the connection to AWS IoT Core."""

from __future__ import annotations

import concurrent.futures
import os
from typing import Any

from saccade.errors import ConfigError, OutputError
from saccade.outputs.publish.queued import OutgoingMessage, QueuedPublisher

_SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"


class GreengrassPublisher(QueuedPublisher):
    """Publishes with QoS 1 over the component's IPC socket.

    The nucleus gives a component the socket and a token in its environment; its recipe must allow
    ``aws.greengrass#PublishToIoTCore`` on the topic. A nucleus that restarts is connected to anew.

    Parameters
    ----------
    topic : where results go. timeout : seconds to wait for one answer. options : see `QueuedPublisher`.
    """

    name = "greengrass"

    def __init__(self, topic: str, *, timeout: float = 10.0, **options: Any) -> None:
        missing = [name for name in (_SOCKET, "SVCUID") if not os.environ.get(name)]
        if missing:
            raise ConfigError(
                f"greengrass: {' and '.join(missing)} not set; run as a Greengrass v2 component, or publish by mqtts://"
            )
        try:
            import awsiot.greengrasscoreipc
        except ImportError:
            raise ConfigError(
                "greengrass: needs the AWS IoT SDK; install it with: pip install 'saccade-engine[greengrass]'"
            ) from None
        super().__init__(topic, aws=True, **options)
        self._ipc = awsiot.greengrasscoreipc
        self._timeout = timeout
        self._client: Any = None
        self._start()

    def _deliver(self, message: OutgoingMessage) -> None:
        from awsiot.greengrasscoreipc.model import QOS, PublishToIoTCoreRequest

        try:
            if self._client is None:
                self._client = self._ipc.connect(timeout=self._timeout)
                self._connects += 1
            operation = self._client.new_publish_to_iot_core()
            operation.activate(
                PublishToIoTCoreRequest(topic_name=message.topic, qos=QOS.AT_LEAST_ONCE, payload=message.body)
            )
            operation.get_response().result(self._timeout)
        except concurrent.futures.TimeoutError:
            self._disconnect()
            raise OutputError(f"the nucleus did not answer within {self._timeout:g} s") from None
        except Exception as error:
            # The SDK raises errors of several unrelated families (awscrt, its models, RuntimeError).
            kind = type(error).__name__
            if kind == "UnauthorizedError":
                raise OutputError(
                    f"not allowed to publish to {message.topic!r}; allow aws.greengrass#PublishToIoTCore on it in the "
                    "recipe"
                ) from None
            self._disconnect()
            raise OutputError(f"the nucleus cannot be reached ({kind}: {error})") from None
        self._well()
        with self._change:
            self._delivered += 1

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
