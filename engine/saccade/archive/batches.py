"""`Archive`: the network as a callable for other people's pipelines, as `map_batches` of Ray Data takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.archive.manifest import Item
from saccade.archive.order import Order
from saccade.archive.schema import Row, error_row, table_of
from saccade.archive.shard import Examiner
from saccade.archive.survey import kind_of
from saccade.archive.trouble import Unavailable
from saccade.errors import ConfigError


class Archive:
    """Batches of files in, batches of what is on them out.

        options = {"model": "yolo.onnx", "rate": 5}
        ds.map_batches(Archive, fn_constructor_kwargs=options, compute=ActorPoolStrategy(size=2))

    model : artifact or catalogue name. rate : frames a second of videos; None: all. keys : key frames only.
    crops : a JPEG picture of each object. app : as in `saccade run`. options : others of `saccade.open`.

    A batch is an Arrow table or a mapping of columns. `path` names local files; a column `bytes` may bring the content
    of pictures. Columns `start`, `stop` and `position` of a manifest bound segments. The answer, of the same kind as
    the batch, has the columns of the results (docs/archive.md). It never raises because of a file: what is wrong is a
    row with status `error`. The network is opened at the first batch, so that the object itself can be sent anywhere.
    """

    def __init__(
        self, model: str, *, rate: float | None = None, keys: bool = False, crops: bool = False, app: str = "",
        **options: Any,
    ) -> None:  # fmt: skip
        self._order = Order(model=model, app=app, rate=rate, keys=keys, crops=crops, options=options)
        self._examiner: Examiner | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_order": self._order, "_examiner": None}

    def __call__(self, batch: Any) -> Any:
        """The rows of a batch's files."""
        columns = batch if isinstance(batch, Mapping) else {n: batch.column(n).to_pylist() for n in batch.column_names}
        if "path" not in columns:
            raise ConfigError(
                f"a batch has the columns {', '.join(columns)}; expected path, and bytes where it is known"
            )
        rows: list[Row] = []
        for index in range(len(columns["path"])):
            rows += self._rows({name: column[index] for name, column in columns.items()})
        table = table_of(rows)
        if isinstance(batch, Mapping):
            return {name: np.array(table.column(name).to_pylist(), object) for name in table.column_names}
        return table

    def _rows(self, row: Mapping[str, Any]) -> list[Row]:
        if self._examiner is None:
            self._examiner = Examiner(self._order)
        data, path = row.get("bytes"), str(row["path"])
        kind = "picture" if data is not None else row.get("kind") or _kind(path)
        item = Item(
            path=path,
            kind=str(kind or "picture"),
            version=str(row.get("version") or ""),
            size=int(row.get("size") or 0),
            segment=int(row.get("segment") or 0),
            start=_whole(row.get("start")),
            stop=_whole(row.get("stop")),
            position=_whole(row.get("position")),
            modified=row.get("modified"),
        )
        try:
            if data is not None:
                return list(self._examiner.rows_of_picture(item, bytes(data)))
            return list(self._examiner.rows(item))
        except Unavailable as error:
            return [error_row(item, error)]


def _whole(value: Any) -> int | None:
    return None if value is None or value != value else int(value)


def _kind(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return kind_of(file.read(4096), path)
    except OSError:
        return "picture"  # reading it again says what is wrong
