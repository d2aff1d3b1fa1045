"""Face crops put into S3 -> Rekognition -> DynamoDB rows and CloudWatch data points; see saccade.cloud.emotions."""

from saccade.cloud.emotions import EmotionRecorder

_record = EmotionRecorder.from_environment()


def lambda_handler(event: object, context: object) -> dict[str, object]:
    """Entry point of the function."""
    return _record(event, context)
