"""What was measured, written down at once: a tuning that is killed goes on from there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError
from saccade.private import private_folder
from saccade.storage import atomic
from saccade.tune.agreement import Agreement
from saccade.tune.turns import Ratio

FILE = "progress.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to run the network, against another.

    name : in words. against : what it was measured against; in_form : of which arithmetic, where that is not the name.
    speed : how many times as fast, where that was measured. agreement : with f32. frames : digest of those it was
    judged on. in_f32 : quantisers that were taken out; layers : which that puts back into f32. kept : whether it is in
    the profile. reason : why not, or why there are no figures.
    """

    name: str
    against: str = "f32"
    in_form: str = ""
    speed: Ratio | None = None
    agreement: Agreement | None = None
    frames: str = ""
    in_f32: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    kept: bool = False
    reason: str = ""

    def but(self, **changes: Any) -> Row:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Row:
        """From what `as_dict` gave; raises TypeError or ValueError for anything else."""
        values: dict[str, Any] = {each.name: said[each.name] for each in fields(cls) if each.name in said}
        speed, agreement = values.get("speed"), values.get("agreement")
        return cls(
            **values
            | {
                "speed": None if speed is None else Ratio(**speed),
                "agreement": None if agreement is None else Agreement(**agreement),
                "in_f32": tuple(values.get("in_f32", ())),
                "layers": tuple(values.get("layers", ())),
            }
        )


@dataclass(slots=True)
class Book:
    """The rows of one tuning, on disk.

    folder : of the profile. key : what they were measured with; rows of another are forgotten.
    """

    folder: Path
    key: Mapping[str, Any]
    rows: dict[str, Row] = field(default_factory=dict)
    fresh: bool = True

    def __post_init__(self) -> None:
        private_folder(self.folder)
        try:
            said = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
            if said["key"] == json.loads(json.dumps(self.key)):
                self.rows = {row.name: row for row in map(Row.of, said["rows"])}
                self.fresh = False
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self.rows, self.fresh = {}, True

    def note(self, row: Row) -> Row:
        """Write a row down."""
        self.rows[row.name] = row
        self.write()
        return row

    def write(self) -> None:
        """Have all rows on the disk."""
        text = json.dumps({"key": self.key, "rows": [each.as_dict() for each in self.rows.values()]}, indent=1)
        atomic.write(self.folder / FILE, text.encode())

    def close(self) -> None:
        """All is measured: nothing is to go on from."""
        (self.folder / FILE).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[Book]:
        """Itself, while no second tuning of the same network is at work; raises ConfigError where one is."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self.folder}: another `saccade tune` of this model is at work; wait for it"
                ) from None
            yield self
        finally:
            os.close(handle)
