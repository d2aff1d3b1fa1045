"""The function that every engine runs: a task in, a part out, unless it is there already.

In: paths and bounds, never pixels. Out: rows in a part whose name says what went in. What is wrong with a file's
content is a row; what is wrong with the world (rights, network, a file that has changed) is not recorded, and tried
again.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.archive import schema
from saccade.archive.manifest import Item, Task, moment_of, part_key
from saccade.archive.order import Order, digest_of
from saccade.archive.places import Place, is_s3, place_of, read_version
from saccade.archive.schema import Row, error_row, rows_of, table_of
from saccade.archive.survey import opened, version_of
from saccade.archive.trouble import Unavailable, in_words
from saccade.capture import formats, jpeg, still
from saccade.capture.orientation import swaps
from saccade.capture.slots import Slot
from saccade.capture.source import Picture
from saccade.errors import JpegError, ModelError, OutputError, SourceError
from saccade.frame import Frame
from saccade.results import Result

log = logging.getLogger(__name__)

GROUP_ROWS, GROUP_BYTES = 2048, 4 << 20
"""Rows, and bytes of their crops and texts, that are held before they are written."""
MOST_BYTES = still.MAX_PIXELS * 8 + (64 << 20)
CROP_PX = 256
"""Longest side of a crop, px."""


@dataclass(slots=True)
class TaskReport:
    """What became of a task. frames, rows, errors : that are recorded.
    missing : why items were left for later, by path. repeated : the part was there already.
    work : frames that were expected.
    """

    task: int
    frames: int = 0
    rows: int = 0
    errors: int = 0
    repeated: bool = False
    work: float = 0.0
    missing: dict[str, str] | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Examiner:
    """Looks at items. Opens the network when it is made."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.predictor = order.open()
        self.digest = digest_of(order, self.predictor)
        self._slot = Slot()
        self._verified: tuple[str, int, int] | None = None

    def rows(self, item: Item) -> Iterator[Row]:
        """What an item shows, an error row where its content is damaged; raises Unavailable."""
        if item.kind != "picture":
            yield from self._of_video(item)
        elif item.size > MOST_BYTES:
            yield error_row(item, f"{item.path}: {item.size} bytes; a picture has at most {MOST_BYTES}")
        else:
            yield from self.rows_of_picture(item, self._content(item))

    def _content(self, item: Item) -> bytes:
        data = read_version(item.path, item.version, MOST_BYTES)
        if not is_s3(item.path) and item.version and version_of(data) != item.version:
            raise Unavailable(f"{item.path}: has changed since it was planned; plan again")
        return data

    def rows_of_picture(self, item: Item, data: bytes) -> Iterator[Row]:
        """What a picture shows whose bytes are here, or an error row."""
        try:
            picture = Picture(time=0.0, captured=0.0, size=len(data))
            if data.startswith(formats.JPEG[:2]):
                picture.jpeg = data
            else:
                picture.planes = (still.decode(data),)
            found = list(self._looked_at(item, picture))
        except (SourceError, ModelError) as error:
            found = [error_row(item, error)]
        yield from found

    def _of_video(self, item: Item) -> Iterator[Row]:
        self._check_file(item)
        video, remote = opened(
            item, start=item.start, stop=item.stop, position=item.position, rate=self.order.rate, keys=self.order.keys
        )
        video.named = 0
        frames, trouble = 0, ""
        try:
            video.open()
            while (picture := video.read()) is not None:
                frames += 1
                yield from self._looked_at(item, picture)
        except (SourceError, ModelError) as error:
            trouble = str(error).removeprefix(f"{item.path}: ")
        finally:
            video.close()
        if remote is not None and remote.trouble is not None:
            raise remote.trouble
        self._check_file(item)
        if video.damaged:
            yield error_row(item, f"{video.damaged} damaged parts of the video were left out")
        if trouble or not frames:
            yield error_row(item, trouble or "holds no frame that can be decoded here")

    def _check_file(self, item: Item) -> None:
        """A local video must be the one that was planned: by size and time, or by its content where it was touched."""
        if is_s3(item.path) or not item.version:
            return
        try:
            state = os.stat(item.path)
            now = (item.path, state.st_size, state.st_mtime_ns)
            # Segments of a video follow each other: it is read through once, not once for each.
            same = state.st_size == item.size and (
                (item.modified is not None and moment_of(state) == item.modified)
                or now == self._verified
                or _hash(item.path) == item.version
            )
        except OSError as error:
            raise Unavailable(f"{item.path}: {error.strerror}") from None
        if not same:
            raise Unavailable(f"{item.path}: has changed since it was planned; plan again")
        self._verified = now

    def _looked_at(self, item: Item, picture: Picture) -> Iterator[Row]:
        frame = self._slot.fill(picture, self._least_size(picture), 0, _nothing)
        try:
            result = self.predictor(frame)
            for number, row in enumerate(rows_of(item, result)):
                if self.order.crops and row["status"] == "object":
                    row["crop"] = _crop(frame, result, number)
                yield row
        finally:
            frame.release()

    def _least_size(self, picture: Picture) -> tuple[int, int]:
        if picture.jpeg is None:
            return (0, 0)
        try:
            header = jpeg.read_header(picture.jpeg)
        except JpegError:
            return (0, 0)  # the slot puts it right, or says what is wrong
        turned = swaps(picture.orientation or jpeg.orientation(picture.jpeg))
        size = (header.height, header.width) if turned else (header.width, header.height)
        return self.predictor.least_size(*size)


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return version_of(b"", file)


def _nothing() -> None:
    """A slot of one frame at a time has nobody to tell."""


def _crop(frame: Frame, result: Result, number: int) -> bytes | None:
    """An object as JPEG, at most `CROP_PX` px wide and high; None where it lies outside the picture."""
    import cv2

    from saccade.outputs.jpeg import encode_jpeg

    assert result.detections is not None
    x1, y1, x2, y2 = (round(float(v)) for v in result.detections.boxes[number])
    picture: Any
    try:
        picture = frame.crop(x1, y1, x2, y2)
    except ValueError:
        return None
    share = CROP_PX / max(picture.shape[:2])
    if share < 1:
        size = max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(picture)


def part_name(key: str) -> str:
    """Where the part of a task lies."""
    return f"parts/{key[:2]}/{key}.parquet"


def perform(task: Task, examiner: Examiner, place: Place, at: Callable[[int], None] = lambda index: None) -> TaskReport:
    """Do what is not there of a task, and write its part; `at` hears of each item before it is begun.

    Where an item cannot be had, each of the others gets a part of its own. Raises OutputError where nothing can be
    written.
    """
    report = TaskReport(task.number, work=sum(item.work(examiner.order.rate) for item in task.items))
    everything = list(enumerate(task.items))
    if task.apart or not _write(everything, task, examiner, place, at, report):
        for one in everything:
            if one[1].path not in (report.missing or {}):
                _write([one], task, examiner, place, at, report)
    return report


def _write(
    items: list[tuple[int, Item]], task: Task, examiner: Examiner, place: Place, at: Callable[[int], None],
    report: TaskReport,
) -> bool:  # fmt: skip
    """Write the part of these items, unless it is there; False where one cannot be had."""
    name = part_name(part_key(examiner.digest, tuple(item for _, item in items)))
    if place.has(name):
        report.repeated = True
        return True
    with _Part(place) as part:
        for index, item in items:
            at(index)
            said = task.errors.get(index)
            try:
                part.add(examiner.rows(item) if said is None else iter([error_row(item, said)]))
            except Unavailable as error:
                report.missing = (report.missing or {}) | {item.path: str(error)}
                return False
        if not part.commit(name):
            report.repeated = True
        report.frames += part.frames
        report.rows += part.rows
        report.errors += part.errors
    return True


class _Part:
    """A part while it is written; gone at the end of the block unless it was given its name."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.frames = self.rows = self.errors = 0
        self._before: tuple[Any, ...] = ()

    def __enter__(self) -> _Part:
        self._scratch = self._place.scratch()
        self._file = self._scratch.__enter__()
        try:
            self._writer = pq.ParquetWriter(self._file, schema.SCHEMA, compression="zstd")
        except OSError as error:
            self._scratch.__exit__(None, None, None)
            raise self._refused(error) from None
        self._held: list[Row] = []
        self._bytes = 0
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._scratch.__exit__(None, None, None)

    def add(self, rows: Iterator[Row]) -> None:
        for row in rows:
            self._held.append(row)
            self.rows += 1
            if row["status"] == "error":
                self.errors += 1
            else:
                frame = (row["path"], row["segment"], row["time"])
                self.frames += frame != self._before
                self._before = frame
            self._bytes += len(row.get("crop") or b"") + len(row.get("data") or "")
            if len(self._held) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._flush()

    def commit(self, name: str) -> bool:
        """Give the part its name; False where it has come to be there meanwhile."""
        self._flush()
        try:
            self._writer.close()
        except OSError as error:
            raise self._refused(error) from None
        return self._place.add(name, self._file)

    def _flush(self) -> None:
        try:
            if self._held:
                self._writer.write_table(table_of(self._held))
        except OSError as error:
            raise self._refused(error) from None
        self._held, self._bytes = [], 0

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._place.room}: {in_words(error)}; nothing is lost, the same command goes on from here"
        )


class Shard:
    """The function with what it needs, to be sent to workers: `Shard(order, out)(task)`."""

    def __init__(self, order: Order, out: str) -> None:
        self.examiner = Examiner(order)
        self.place = place_of(out)

    def __call__(self, task: Task, at: Callable[[int], None] = lambda index: None) -> TaskReport:
        """Do a task."""
        return perform(task, self.examiner, self.place, at)


def task_from(plain: dict[str, Any]) -> Task:
    """A task from JSON."""
    errors = {int(index): said for index, said in plain["errors"].items()}
    return Task(plain["number"], tuple(Item.of(item) for item in plain["items"]), plain["apart"], errors)


def plain_task(task: Task) -> dict[str, Any]:
    """A task for JSON."""
    return {
        "number": task.number, "items": [item.plain() for item in task.items], "apart": task.apart,
        "errors": dict(task.errors),
    }  # fmt: skip
