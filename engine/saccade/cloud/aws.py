"""AWS clients of one process: one session, each client made once, with limits that fit a function's time."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_rekognition import RekognitionClient
    from mypy_boto3_s3 import S3Client

REFUSED = frozenset({"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"})
"""Rekognition's errors that the same picture will always get."""


class Clients:
    """Clients, each made when first used and kept. The constructor makes nothing that talks to the network.

    session : where credentials and the region come from; by default the environment, as in a function.
    connections : largest number of threads that use one client at once.
    """

    def __init__(self, session: boto3.Session | None = None, *, connections: int = 10) -> None:
        self.session = session or boto3.Session()
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
        client: RekognitionClient = self.session.client("rekognition", config=self._config)
        return client

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """Amazon DynamoDB."""
        client: DynamoDBClient = self.session.client("dynamodb", config=self._config)
        return client

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """Amazon CloudWatch."""
        client: CloudWatchClient = self.session.client("cloudwatch", config=self._config)
        return client

    @cached_property
    def s3(self) -> S3Client:
        """Amazon S3."""
        client: S3Client = self.session.client("s3", config=self._config)
        return client


def code(error: ClientError) -> str:
    """The service's name for an error; bare S3 HEAD answers give the status, as ``"404"``."""
    return str(error.response.get("Error", {}).get("Code", ""))
