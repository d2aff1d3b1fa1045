"""`saccade spool`: what waits for upload, and uploading it now."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from saccade.address import hidden
from saccade.cli import add_command, style
from saccade.errors import ConfigError, OutputError
from saccade.private import private_folder
from saccade.storage import atomic
from saccade.text import plain

_ACTIONS = {
    "status": "how much waits, since when, and what was quarantined",
    "flush": "upload what waits, in order, and wait for it",
    "inspect": "list the entries; with --out write their contents to a folder",
}


def add_parser(subparsers: Any) -> None:
    """`saccade spool {status,flush,inspect} [FOLDER]`."""
    parser = add_command(
        subparsers,
        "spool",
        summary="look at the spool of face crops and upload it",
        example="saccade spool flush --bucket my-faces",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in _ACTIONS.items():
        example = f"saccade spool {name}" + (" --bucket my-faces --seconds 60" if name == "flush" else "")
        action = actions.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}",
        )  # fmt: skip
        action.add_argument(
            "folder",
            nargs="?",
            metavar="FOLDER",
            help="the spool (default: $SACCADE_SPOOL, else ~/.local/state/saccade/spool)",
        )
        action.add_argument("--json", action="store_true", help="print JSON")
        if name == "flush":
            action.add_argument("--bucket", required=True, metavar="NAME", help="S3 bucket to upload to")
            action.add_argument("--seconds", type=float, metavar="T", help="give up after T seconds; the rest stays")
            action.add_argument(
                "--encryption", choices=["AES256", "aws:kms", "none"], default="AES256", help="server-side encryption"
            )
            action.add_argument("--kms-key", default="", metavar="ID", help="key for aws:kms")
        if name == "inspect":
            action.add_argument("--out", metavar="DIR", help="write each entry's content to DIR; the spool keeps it")


def run(options: argparse.Namespace) -> int:
    """Run one action; exit status 1 if a flush left something behind."""
    from saccade.storage.spool import Spool, default_folder

    folder = Path(options.folder) if options.folder else default_folder()
    if not (folder / "queue").is_dir():
        raise ConfigError(f"{folder}: not a spool; give the folder that a run wrote with --spool")
    # Ages and sizes are bounded by the run that fills the spool: looking at it must not delete anything.
    with Spool(folder, max_age=None, max_bytes=1 << 62, min_free=0, when_full="refuse") as spool:
        if options.action == "status":
            return _status(spool, options.json)
        if options.action == "inspect":
            return _inspect(spool, options)
        return _flush(spool, options)


def _status(spool: Any, as_json: bool) -> int:
    from saccade.storage.entries import EntryError, read_entry

    counts, quarantined = spool.statistics(), spool.quarantined_files()
    oldest, unreadable = None, spool.passed_over()
    for path in spool.entries():
        try:
            oldest = read_entry(path)
            break
        except FileNotFoundError:
            continue
        except EntryError as error:
            unreadable[path.name] = str(error)
    report = {
        "folder": str(spool.folder),
        "pending": counts.pending,
        "pending_bytes": counts.pending_bytes,
        "oldest_key": oldest.key if oldest else None,
        "oldest_age": round(spool.age(oldest), 1) if oldest else None,
        "quarantined": [{"file": str(path), "why": _why(path)} for path in quarantined],
        "unreadable": [{"file": name, "why": why} for name, why in unreadable.items()],
    }
    if as_json:
        print(json.dumps(report, indent=2))
        return 0
    print(f"{plain(str(spool.folder))}: {counts.pending} waiting, {counts.pending_bytes / 1e6:.1f} MB")
    if oldest:
        print(plain(f"oldest: {oldest.key}, {_readable_age(spool.age(oldest))}"))
    for item in report["quarantined"]:
        print(plain(f"quarantined: {item['file']}: {item['why']}"))
    for item in report["unreadable"]:
        print(plain(f"cannot be uploaded: {item['file']}: {item['why']}"))
    return 0


def _inspect(spool: Any, options: argparse.Namespace) -> int:
    from saccade.storage.entries import EntryError, read_entry

    rows: list[dict[str, Any]] = []
    out = Path(options.out) if options.out else None
    try:
        if out:
            private_folder(out)
    except OSError as error:
        raise OutputError(f"--out {out}: cannot be made ({error.strerror})") from None
    for path in spool.entries():
        row: dict[str, Any] = {"file": path.name, "key": None, "bytes": None, "age": None, "sound": False, "why": ""}
        try:
            entry = read_entry(path)
        except FileNotFoundError:
            continue
        except EntryError as error:
            row["why"] = str(error)
        else:
            row |= {"key": entry.key, "bytes": len(entry.data), "age": round(spool.age(entry), 1), "sound": True}
            if out:
                # The key may be anything; only its last part, and only plain characters of it, name the file.
                name = "".join(c if c.isalnum() or c in "._-" else "_" for c in entry.key.rpartition("/")[2])
                _write(out / f"{entry.number:016d}-{name}"[-200:], entry.data)
        rows.append(row)
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        lines = [
            (r["file"], r["bytes"] or "-", _readable_age(r["age"]) if r["sound"] else "-", r["key"] or r["why"])
            for r in rows
        ]
        print(style.table(lines, ("entry", "bytes", "age", "key")) if lines else f"{plain(str(spool.folder))}: empty")
    return 0


def _flush(spool: Any, options: argparse.Namespace) -> int:
    from saccade.storage.uploader import Uploader

    if options.seconds is not None and not options.seconds > 0:
        raise ConfigError(f"--seconds: got {options.seconds}; expected a positive number")
    uploader = Uploader(
        spool,
        options.bucket,
        encryption="" if options.encryption == "none" else options.encryption,
        kms_key=options.kms_key,
        back_off=(0.5, 10.0),
    )
    start = time.monotonic()
    empty = uploader.flush(options.seconds)
    done, left = uploader.statistics(), spool.statistics()
    report = {
        "uploaded": done.uploaded,
        "already_there": done.repeats,
        "failed_attempts": done.failures,
        "quarantined": left.quarantined,
        "pending": left.pending,
        "seconds": round(time.monotonic() - start, 2),
        "problem": done.problem,
    }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print(f"{done.uploaded} uploaded, {done.repeats} already there, {left.pending} still waiting")
    for name, why in spool.passed_over().items():
        print(plain(hidden(f"saccade spool: {name} cannot be uploaded: {why}")), file=sys.stderr)
    if left.pending > left.passed_over:
        print(f"saccade spool: {left.pending} left: {plain(hidden(done.problem or 'out of time'))}", file=sys.stderr)
    return 0 if empty else 1


def _write(path: Path, data: bytes) -> None:
    try:
        atomic.write(path, data)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another --out") from None


def _why(path: Path) -> str:
    try:
        return path.with_name(path.name + ".why").read_text(encoding="utf-8").strip()
    except OSError:
        return "not an entry of a spool"


def _readable_age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
