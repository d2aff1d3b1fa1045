"""The uploads of all cameras of a process: one client for all, and one thread for each spool."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from saccade.errors import ConfigError
from saccade.storage.entries import SpoolEntry
from saccade.storage.spool import Spool
from saccade.storage.uploader import SharedClient, UploadCounts, Uploader, UploadStatistics, s3_client


class CameraUploads:
    """What one camera has in a spool that it may share: it is uploaded until `stop`, and counted for itself."""

    def __init__(self, uploads: Uploads, uploader: Uploader, target: tuple[str, str, str]) -> None:
        self.uploader, self.target = uploader, target
        self._uploads = uploads

    def statistics(self) -> UploadStatistics:
        """Counts of this camera's crops; `problem` and `draining` are of the whole spool."""
        return self._uploads.statistics(self)

    def stop(self, timeout: float = 5.0) -> None:
        """Upload no more for this camera; waits `timeout` s for an upload in hand."""
        self._uploads.stop(self, timeout)


class Uploads:
    """The uploads of the cameras of one process, with one client.

    Of the cameras that share a spool one uploads for all, in order of arrival; when it stops the next goes on. An
    upload that hangs therefore holds up its own spool and no other. What was put by nobody here, as by a run before,
    is counted for the camera that uploads.
    """

    def __init__(self) -> None:
        self._client = SharedClient(s3_client)
        self._lock = threading.Lock()
        self._sharing: dict[Path, list[CameraUploads]] = {}

    def start(self, spool: Spool, bucket: str, *, encryption: str = "AES256", kms_key: str = "") -> CameraUploads:
        """Upload a camera's spool in the background; the arguments are those of `Uploader`.

        Raises ConfigError where the spool is uploaded to another bucket, or otherwise encrypted.
        """
        folder = spool.folder.resolve()

        def counts_of(entry: SpoolEntry) -> UploadCounts:
            owners = {camera.uploader.spool.owner: camera.uploader.counts for camera in self._sharing.get(folder, ())}
            return owners.get(entry.owner, uploader.counts)

        uploader = Uploader(
            spool, bucket, client=self._client, encryption=encryption, kms_key=kms_key, counts_of=counts_of
        )
        camera = CameraUploads(self, uploader, (bucket, encryption, kms_key))
        with self._lock:
            others = self._sharing.get(folder, [])
            for other in others[:1]:
                if other.target != camera.target:
                    raise ConfigError(
                        f"spool {spool.folder}: camera {other.uploader.spool.owner} uploads it to {other.target[0]}, "
                        f"camera {spool.owner} to {bucket} or with another encryption; give each a spool of its own"
                    )
            self._sharing[folder] = [*others, camera]
            self._sharing[folder][0].uploader.start()
        return camera

    def stop(self, camera: CameraUploads, timeout: float) -> None:
        """See `CameraUploads.stop`."""
        folder = camera.uploader.spool.folder.resolve()
        with self._lock:
            others = [other for other in self._sharing.pop(folder, ()) if other is not camera]
            if others:
                self._sharing[folder] = others
        camera.uploader.stop(timeout)
        with self._lock:
            for first in self._sharing.get(folder, ())[:1]:
                first.uploader.start()

    def statistics(self, camera: CameraUploads) -> UploadStatistics:
        """See `CameraUploads.statistics`."""
        own = camera.uploader.statistics()
        sharing = self._sharing.get(camera.uploader.spool.folder.resolve())
        if not sharing or sharing[0] is camera:
            return own
        at_work = sharing[0].uploader.statistics()
        return replace(own, problem=at_work.problem, draining=at_work.draining)
