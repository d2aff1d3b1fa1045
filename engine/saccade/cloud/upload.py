"""Write to S3 as to a file, in bounded memory: small contents in one put, large ones as a multipart upload."""

from __future__ import annotations

import io
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef
    from typing_extensions import Buffer

log = logging.getLogger("saccade.cloud")

PART_BYTES = 8 << 20
"""Bytes held back before a part is sent; S3 takes parts of 5 MiB to 5 GiB, at most 10,000 of them."""


class S3Writer(io.RawIOBase):
    """A file object, write only and not seekable, whose content is the object `bucket`/`key` once it is closed.

    Nothing appears in the bucket before `close()`. Leaving a `with` block by an exception leaves nothing behind.
    """

    def __init__(self, s3: S3Client, bucket: str, key: str, *, content_type: str, part_bytes: int = PART_BYTES) -> None:
        self._s3 = s3
        self._target: Any = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._part_bytes = part_bytes
        self._held = bytearray()
        self._upload: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def writable(self) -> bool:  # noqa: D102
        return True

    def write(self, data: Buffer, /) -> int:
        """Take all of `data`; sends a part when enough has gathered."""
        if self.closed:
            raise ValueError("write to a closed S3Writer")
        with memoryview(data) as view:
            size = view.nbytes
            self._held += view
        while len(self._held) >= self._part_bytes:
            self._send(bytes(self._held[: self._part_bytes]))
            del self._held[: self._part_bytes]
        return size

    def close(self) -> None:
        """Finish the object. Where that fails, the upload is aborted and the error raised."""
        if self.closed:
            return
        try:
            if self._upload is None:
                self._s3.put_object(Body=bytes(self._held), ContentType=self._content_type, **self._target)
            else:
                if self._held:
                    self._send(bytes(self._held))
                self._s3.complete_multipart_upload(
                    UploadId=self._upload, MultipartUpload={"Parts": self._parts}, **self._target
                )
        except BaseException:
            self.abort()
            raise
        super().close()

    def abort(self) -> None:
        """Give up: no object is made and the parts sent so far are deleted, if need be by the bucket, within a day."""
        if self.closed:
            return
        super().close()
        self._held.clear()
        if self._upload is not None:
            try:
                self._s3.abort_multipart_upload(UploadId=self._upload, **self._target)
            except (BotoCoreError, ClientError) as error:  # what went wrong before is what has to be told
                log.warning("parts of %s stay until the bucket's own rule deletes them: %s", self._target["Key"], error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        super().close()  # io's own finaliser would call this class's close() and so publish half an object

    def _send(self, part: bytes) -> None:
        if self._upload is None:
            started = self._s3.create_multipart_upload(ContentType=self._content_type, **self._target)
            self._upload = started["UploadId"]
        number = len(self._parts) + 1
        sent = self._s3.upload_part(Body=part, PartNumber=number, UploadId=self._upload, **self._target)
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})
