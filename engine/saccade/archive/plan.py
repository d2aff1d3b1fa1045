"""Planning: sources to a manifest, and what it will take."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from saccade.archive.find import Filter, Found, find
from saccade.archive.manifest import Item, Writer
from saccade.archive.places import BLOCK_BYTES, is_s3, new_file
from saccade.archive.survey import LeftOut, Stopped, needs_look, survey
from saccade.errors import ConfigError, SourceError

AT_A_TIME = 16
"""Files that are looked into at the same time: S3 answers slowly, but many at once."""
NAMED = 20


@dataclass(slots=True)
class Plan:
    """What was found. seconds : of video. left_out : how many files are no part of it, by reason; named : the first of
    those that should have been readable. list_requests, get_requests, put_requests : that S3 is going to be asked.
    """

    pictures: int = 0
    videos: int = 0
    segments: int = 0
    tasks: int = 0
    bytes: int = 0
    seconds: float = 0.0
    frames: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)
    unreadable: int = 0
    list_requests: int = 0
    get_requests: int = 0
    put_requests: int = 0

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"left_out": dict(self.left_out)}


def plan(
    sources: Sequence[str], target: str, *, chosen: Filter | None = None, seconds: float = 60.0, pictures: int = 64,
    tell: Callable[[Plan], None] = lambda so_far: None,
) -> Plan:  # fmt: skip
    """Write the manifest of all files.

    seconds : least length of a segment. pictures : of a task. tell : called after each file with what was found so far.

    Raises SourceError where a source is not there, cannot be listed, or holds nothing.
    """
    if not sources:
        raise ConfigError("no source; give folders, globs, s3://BUCKET/PREFIX or @LIST")
    if not seconds >= 1 or pictures < 1:
        raise ConfigError(f"segment: got {seconds:g} s and {pictures} pictures; expected at least 1 of each")
    result = Plan()
    with new_file(target) as part:
        writer = Writer(part, pictures=pictures, seconds=seconds)
        for found, answer in _surveyed(find(sources, chosen), seconds):
            _count(result, found, answer)
            tell(result)
            for item in answer if isinstance(answer, list) else ():
                writer.add(item)
        writer.close()
        result.tasks = writer.tasks
        if not result.tasks:
            said = ", ".join(f"{count} {reason}" for reason, count in result.left_out.most_common(3))
            raise SourceError(f"{', '.join(sources)}: holds no picture or video" + (f" ({said})" if said else ""))
    result.put_requests = result.tasks
    return result


def _surveyed(files: Iterator[Found], seconds: float) -> Iterator[tuple[Found, list[Item] | LeftOut]]:
    """What the files are, in their order."""
    waiting: deque[tuple[Found, Future[list[Item] | LeftOut]]] = deque()
    stopped = threading.Event()

    def look(found: Found) -> list[Item] | LeftOut:
        return survey(found, seconds, check)

    def check() -> None:
        """Large files take long: whoever is interrupted does not wait for them."""
        if stopped.is_set():
            raise Stopped

    with ThreadPoolExecutor(AT_A_TIME, "saccade-survey") as pool:
        try:
            for found in files:
                waiting.append((found, pool.submit(look, found) if needs_look(found) else _known(look(found))))
                if len(waiting) >= 4 * AT_A_TIME:
                    first, answer = waiting.popleft()
                    yield first, answer.result()
            while waiting:
                first, answer = waiting.popleft()
                yield first, answer.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _known(answer: list[Item] | LeftOut) -> Future[list[Item] | LeftOut]:
    """What the name of a file says already."""
    known: Future[list[Item] | LeftOut] = Future()
    known.set_result(answer)
    return known


def _count(result: Plan, found: Found, answer: list[Item] | LeftOut) -> None:
    remote = is_s3(found.path)
    result.list_requests = max(result.list_requests, 1 if remote else 0)
    if isinstance(answer, LeftOut):
        result.left_out[answer.reason] += 1
        result.unreadable += answer.alarming
        if answer.alarming and len(result.named) < NAMED:
            result.named.append(f"{answer.path}: {answer.reason}")
        return
    result.bytes += found.size
    if answer[0].kind == "picture":
        result.pictures += 1
        result.frames += 1
        result.get_requests += remote
    else:
        result.videos += 1
        result.segments += len(answer)
        result.seconds += sum(item.seconds for item in answer)
        result.frames += sum(item.frames for item in answer)
        # A segment reads the file's index, its own blocks and one more at each end.
        result.get_requests += remote * (-(-found.size // BLOCK_BYTES) + 3 * len(answer))
    if remote:
        files = result.pictures + result.videos
        result.list_requests = -(-files // 1000)
