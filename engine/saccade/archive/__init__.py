"""Archives: every video and picture of folders and buckets, once, on one machine or a cluster.

    sources -> find -> survey (videos cut at key frames) -> manifest.parquet
    manifest -> task -> shard: the same function under a local pool, array jobs and Ray -> one part a task -> compact

A task's part is named after what went into it: content, model and options. It is there whole or not at all, so that
whoever is asked again finds it and does nothing. No engine is trusted with that, and none sees a pixel.

`places` knows folders and buckets, `find` lists, `survey` looks into files, `manifest` and `schema` are the two tables,
`frames` decodes, `excerpt` and `fragments` show FFmpeg a part of a long MP4, whose boxes `boxes`, `samples` and `edits`
understand, `shard` is the function, `order` says what is asked of it, `pool` and `cluster` run it, `compact`
joins. Nothing here but `order` needs more than pyarrow until a network is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.archive.batches import Archive

__all__ = ["Archive"]


def __getattr__(name: str) -> object:
    if name != "Archive":
        raise AttributeError(f"module 'saccade.archive' has no attribute {name!r}")
    return import_module("saccade.archive.batches").Archive
