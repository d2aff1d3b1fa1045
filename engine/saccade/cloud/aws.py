"""AWS clients of one process: one session, each client made once, with limits that fit a function's time.

The session is botocore's own: boto3 adds resources and transfers to it, which nothing here uses and every cold start
would pay for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_rekognition import RekognitionClient
    from mypy_boto3_s3 import S3Client

REFUSED = frozenset({"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"})
"""Rekognition's errors that the same picture will always get."""


class Clients:
    """Clients, each made when first used and kept. The constructor makes nothing that talks to the network.

    create : makes a client, as a session's `create_client` (or boto3's `client`) does; by default with credentials
        and region from the environment, as in a function.
    connections : largest number of threads that use one client at once.
    """

    def __init__(self, create: Callable[..., Any] | None = None, *, connections: int = 10) -> None:
        self._create: Callable[..., Any] = create or get_session().create_client
        # Standard mode retries throttling and dropped connections with jittered back-off; five attempts are over in
        # a few seconds, after which the queue's own redelivery is the better place to wait.
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": 5},
            connect_timeout=3,
            read_timeout=15,
            max_pool_connections=connections,
        )

    @cached_property
    def rekognition(self) -> RekognitionClient:
        """Amazon Rekognition."""
        client: RekognitionClient = self._create("rekognition", config=self._config)
        return client

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """Amazon DynamoDB."""
        client: DynamoDBClient = self._create("dynamodb", config=self._config)
        return client

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """Amazon CloudWatch."""
        client: CloudWatchClient = self._create("cloudwatch", config=self._config)
        return client

    @cached_property
    def s3(self) -> S3Client:
        """Amazon S3."""
        client: S3Client = self._create("s3", config=self._config)
        return client


def code(error: ClientError) -> str:
    """The service's name for an error; bare S3 HEAD answers give the status, as ``"404"``."""
    return str(error.response.get("Error", {}).get("Code", ""))
