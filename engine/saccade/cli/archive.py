"""`saccade archive`: every video and picture of folders and buckets through a network, once."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from saccade.address import hidden
from saccade.cli import add_command
from saccade.cli.parser import add_options, given
from saccade.config import RunConfig, resolve
from saccade.errors import ConfigError
from saccade.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saccade.archive.manifest import Task
    from saccade.archive.order import Order
    from saccade.archive.plan import Plan
    from saccade.archive.pool import Pool
    from saccade.archive.run import Progress

_ACTIONS = {
    "plan": ("list what there is, cut videos into segments, say what it will take",
             "saccade archive plan recordings 's3://bucket/2026/*.mp4' -o manifest.parquet"),
    "run": ("look at all that is not done yet", "saccade archive run manifest.parquet --model yolo.onnx --out out"),
    "status": ("how much is done", "saccade archive status manifest.parquet --out results"),
    "compact": ("make one file of the results", "saccade archive compact manifest.parquet --out out -o all.parquet"),
}  # fmt: skip
_NETWORK = (
    "model", "device", "precision", "labels", "task", "head", "input_shape", "classes", "threshold", "iou", "top",
    "tiles", "mean", "scale", "color", "resize", "pad",
)  # fmt: skip
_APPS = ("detect", "faces", "segment", "classify")
LINE_SECONDS = 30.0


def add_parser(subparsers: Any) -> None:
    """`saccade archive {plan,run,status,compact}`."""
    parser = add_command(
        subparsers, "archive", summary="look at every video and picture of folders and buckets, once",
        example="saccade archive plan recordings -o manifest.parquet\n"
        "  saccade archive run manifest.parquet --model yolo.onnx --rate 5 --out results\n"
        "  saccade archive compact manifest.parquet --out results -o results.parquet",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (summary, example) in _ACTIONS.items():
        action = actions.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"example:\n  {example}"
        )
        {"plan": _plan_options, "run": _run_options, "status": _status_options, "compact": _compact_options}[name](
            action
        )
        action.add_argument("--json", action="store_true", help="print JSON")


def _plan_options(action: Any) -> None:
    action.add_argument("sources", nargs="+", metavar="SOURCE", help="file, folder, glob, s3://BUCKET/PREFIX or @LIST")
    action.add_argument("-o", "--out", dest="target", required=True, metavar="FILE", help="the manifest")
    action.add_argument("--include", action="append", default=[], metavar="GLOB", help="only paths like this")
    action.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no paths like this")
    action.add_argument("--since", metavar="TIME", help="only what was changed at that time or later")
    action.add_argument("--until", metavar="TIME", help="only what was changed before")
    action.add_argument("--segment", type=float, default=60.0, metavar="T", help="least seconds of a segment")
    action.add_argument("--pictures", type=int, default=64, metavar="N", help="pictures of a task")
    action.add_argument("--estimate", action="store_true", help="also measure how long it will take, with --model")
    _order_options(action)


def _order_options(action: Any) -> None:
    action.add_argument("--app", choices=_APPS, default="", help="what to look for (default: what the network is for)")
    action.add_argument("--rate", type=float, metavar="HZ", help="frames a second of videos (default: all)")
    action.add_argument("--keys", action="store_true", help="only key frames of videos")
    action.add_argument("--crops", action="store_true", help="keep a JPEG picture of each object")
    add_options(action, RunConfig, _NETWORK)


def _run_options(action: Any) -> None:
    action.add_argument("manifest", metavar="MANIFEST", help="what `plan` wrote; a file or s3://")
    action.add_argument("--out", required=True, metavar="DIR|s3://..", help="where the results go")
    action.add_argument("--workers", type=int, metavar="N", help="processes, or actors of Ray (default: the cores)")
    action.add_argument("--shard", metavar="I/N", help="only part I (from 0) of N, for array jobs")
    action.add_argument("--ray", metavar="ADDRESS|local", help="under Ray, on a cluster or on this machine")
    _order_options(action)


def _status_options(action: Any) -> None:
    action.add_argument("manifest", metavar="MANIFEST")
    action.add_argument("--out", required=True, metavar="DIR|s3://..", help="where the results are")
    action.add_argument("--errors", action="store_true", help="also list what could not be read")


def _compact_options(action: Any) -> None:
    action.add_argument("manifest", metavar="MANIFEST")
    action.add_argument("--out", required=True, metavar="DIR|s3://..", help="where the results are")
    action.add_argument("-o", "--to", dest="target", required=True, metavar="FILE", help="the file, or s3://")
    action.add_argument("--partial", action="store_true", help="also where tasks are not done")


def run(options: argparse.Namespace) -> int:
    """Run one action."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ConfigError("archive needs pyarrow: pip install 'saccade-engine[archive]'") from None
    return {"plan": _plan, "run": _run, "status": _status, "compact": _compact}[options.action](options)


def _order(options: argparse.Namespace) -> Order:
    from saccade.archive.order import Order
    from saccade.cli.shapes import input_shapes

    named = {name: text for name, text in given(options, RunConfig).items() if name in _NETWORK}
    config = resolve(RunConfig, given=named).config
    chosen = {name: getattr(config, name) for name in named if name not in ("model",)}
    if "model" not in named and options.app != "faces":
        raise ConfigError("--model is missing; give an artifact or a name from `saccade models list`")
    if not options.app and "input_shape" in chosen:
        options.input_shape = [chosen.pop("input_shape")]
        chosen["input_shapes"] = input_shapes(options)
    return Order(
        model=config.model, app=options.app, rate=options.rate, keys=options.keys, crops=options.crops, options=chosen
    )


def _plan(options: argparse.Namespace) -> int:
    from saccade.archive.find import Filter, moment
    from saccade.archive.plan import plan
    from saccade.archive.run import duration, estimate
    from saccade.memory import give_back_large_blocks
    from saccade.process import usable_cores

    chosen = Filter(
        include=tuple(options.include), exclude=tuple(options.exclude),
        since=moment(options.since) if options.since else None, until=moment(options.until) if options.until else None,
    )  # fmt: skip
    order = _order(options) if options.estimate else None
    give_back_large_blocks()
    _shown[0] = time.monotonic()
    try:
        made = plan(
            options.sources, options.target, chosen=chosen, seconds=options.segment, pictures=options.pictures,
            tell=lambda so_far: _show(lambda: _planned(so_far)),
        )  # fmt: skip
    finally:
        _end_line()
    frames, seconds = estimate(options.target, order) if order else (0.0, 0.0)
    if options.json:
        more = {"to_look_at": round(frames), "worker_seconds": round(seconds, 1)} if order else {}
        print(json.dumps(made.plain() | more, indent=2))
    else:
        print(f"{options.target}: {_planned(made)}, {made.tasks} tasks")
        for reason, count in made.left_out.most_common(10):
            print(plain(f"left out: {count} {reason}"))
        if made.list_requests:
            print(
                f"S3: about {made.list_requests} LIST and {made.get_requests} GET requests to read, and "
                f"{made.put_requests} PUT for results in S3"
            )
        if order:
            print(
                f"about {frames:.0f} frames, {duration(seconds)} for one worker, "
                f"{duration(seconds / usable_cores())} for {usable_cores()}"
            )
    for line in made.named:
        print(plain(hidden(f"saccade archive: cannot be read: {line}")), file=sys.stderr)
    return 1 if made.unreadable else 0


def _planned(plan: Plan) -> str:
    from saccade.archive.run import duration

    return (
        f"{plan.pictures} pictures, {plan.videos} videos ({duration(plan.seconds)}) in {plan.segments} segments, "
        f"{plan.bytes / 1e9:.2f} GB"
    )


def _run(options: argparse.Namespace) -> int:
    from saccade.archive.pool import Pool
    from saccade.archive.run import Progress, shard_of
    from saccade.process import StopSignals, usable_cores

    shard = shard_of(options.shard) if options.shard else (0, 1)
    workers = None if options.ray else usable_cores()
    if options.workers is not None:
        workers = options.workers
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: got {workers}; expected at least 1")
    order = _order(options)
    progress = Progress()

    def cut_off() -> None:
        """Ray does not come back before a task is done: the process ends, and Ray's workers with it."""
        _told(options, progress, stopped=True)

    signals = StopSignals(cut_off if options.ray else None, status=130, final=bool(options.ends_process))
    with signals, Pool(order, options.out, 1 if options.ray else int(workers or 1)) as pool:
        signals.then(lambda number: pool.stop())
        # A worker opens the network, which says what the results are made with, while the manifest is read here.
        pool.start()
        tasks = _tasks(options, order, pool, shard, progress)
        if options.ray:
            from saccade.archive.cluster import run as on_ray

            pool.close()
            for report in on_ray(options.ray, order, options.out, tasks, workers):
                progress.take(report)
                _show(progress.line, progress.worked)
                if signals.received is not None:
                    break
        else:
            for answer in pool.run(tasks):
                if answer is not None:
                    progress.take(answer)
                _show(progress.line, progress.worked)
    return _told(options, progress, stopped=signals.received is not None)


def _tasks(
    options: argparse.Namespace, order: Order, pool: Pool, shard: tuple[int, int], progress: Progress
) -> Iterator[Task]:
    """What is left to do; nothing where the pool was told to stop before that was known."""
    from saccade.archive.places import place_of
    from saccade.archive.run import left_to_do, settle, workers_for

    busy = workers_for(options.manifest, shard, pool.count)
    place = place_of(options.out)
    place.tidy()
    digest = pool.digest(max(1, busy))
    if not digest:
        return iter(())
    settled = settle(order, digest, place)
    return left_to_do(options.manifest, settled, place, order.rate, shard, progress)


_shown = [0.0]


def _show(line: Callable[[], str], begun: float = 1.0) -> None:
    terminal = sys.stderr.isatty()
    now = time.monotonic()
    if now - _shown[0] < (0.5 if terminal else LINE_SECONDS) or (not terminal and not begun):
        return
    _shown[0] = now
    sys.stderr.write(f"\r\x1b[K{line()}" if terminal else f"{line()}\n")
    sys.stderr.flush()


def _end_line() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _told(options: argparse.Namespace, progress: Progress, *, stopped: bool) -> int:
    _end_line()
    if options.json:
        print(json.dumps(progress.plain() | {"stopped": stopped}, indent=2))
    else:
        print(
            f"{progress.before + progress.done} of {progress.total} tasks done, {progress.frames} frames and "
            f"{progress.rows} rows in {progress.seconds:.1f} s, {progress.errors} errors are rows"
        )
    for _, reason in list(progress.missing.items())[:20]:
        print(plain(hidden(f"saccade archive: left for later: {reason}")), file=sys.stderr)
    if len(progress.missing) > 20:
        print(f"saccade archive: left for later: {len(progress.missing) - 20} more", file=sys.stderr)
    if stopped:
        print("saccade archive: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 1 if progress.missing else 0


def _status(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from saccade.archive.compact import errors_of, status_of
    from saccade.archive.places import place_of
    from saccade.archive.run import duration

    place = place_of(options.out)
    status = status_of(options.manifest, place)
    errors: Iterator[tuple[str, str]] = errors_of(options.manifest, place) if options.errors else iter(())
    if options.json:
        more = {"errors": [{"path": path, "error": error} for path, error in errors]} if options.errors else {}
        print(json.dumps(asdict(status) | more, indent=2))
        return 0
    print(
        f"{status.done} of {status.tasks} tasks, {status.items_done} of {status.items} pictures and segments, "
        f"{duration(status.seconds_done)} of {duration(status.seconds)} of video"
    )
    for path in status.missing[:5]:
        print(plain(f"not done: {path}"))
    for path, error in errors:
        print(plain(f"error: {error if error.startswith(path) else f'{path}: {error}'}"))
    return 0


def _compact(options: argparse.Namespace) -> int:
    from saccade.archive.compact import compact

    rows = compact(options.manifest, options.out, options.target, partial=options.partial)
    print(json.dumps({"rows": rows}) if options.json else f"{options.target}: {rows} rows")
    return 0
