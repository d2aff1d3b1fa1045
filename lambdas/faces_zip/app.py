"""A photo in S3 -> Rekognition -> its faces by emotion in a zip in S3; see saccade.cloud.facezip."""

from saccade.cloud.facezip import FaceZipper

_zip = FaceZipper.from_environment()


def lambda_handler(event: object, context: object) -> dict[str, object]:
    """Entry point of the function."""
    return _zip(event, context)
