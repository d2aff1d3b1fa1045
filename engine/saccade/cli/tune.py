"""`saccade tune`: measure how a network runs best here, on the user's own frames, and keep that."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.address import without_credentials
from saccade.cli import add_command, style
from saccade.cli.parser import add_options, given
from saccade.config import SOURCE_OPTIONS, RunConfig, resolve
from saccade.config.settings import DEFAULT
from saccade.errors import ConfigError
from saccade.storage.writable import check_file, check_folder, write_file
from saccade.text import plain

if TYPE_CHECKING:
    from saccade.tune.frames import Frames
    from saccade.tune.tuning import Outcome

_OPTIONS = (
    "source", "device", "labels", "task", "head", "input_shape", "classes", "threshold", "iou", "top", "tiles", "mean",
    "scale", "color", "resize", "pad", *SOURCE_OPTIONS,
)  # fmt: skip


def add_parser(subparsers: Any) -> None:
    """`saccade tune MODEL --source S`."""
    parser = add_command(
        subparsers, "tune", summary="find the fastest way to run a network that says the same on your own frames",
        example="saccade tune model.onnx --source rtsp://camera/stream --budget 120",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    parser.add_argument("--budget", type=float, default=60.0, metavar="T", help="seconds for all of it")
    parser.add_argument(
        "--accept", type=float, default=0.99, metavar="A", help="least agreement with f32 on frames that were held out"
    )
    parser.add_argument("--frames", type=int, default=120, metavar="N", help="most frames, kept in memory meanwhile")
    parser.add_argument("--keep-frames", metavar="DIR", help="keep the frames, as pictures in this folder")
    parser.add_argument("--chart", metavar="FILE", help="where the chart goes, SVG (default: beside the profile)")
    parser.add_argument("--json", action="store_true", help="print the profile as JSON")
    parser.add_argument("--forget", action="store_true", help="remove the profiles of this network")
    add_options(parser, RunConfig, _OPTIONS)


def run(options: argparse.Namespace) -> int:
    """Tune and report, or forget."""
    if options.forget:
        return _forget(options.model)
    settings = resolve(RunConfig, environ=os.environ, given=given(options, RunConfig))
    if settings.origins["source"] == DEFAULT:
        raise ConfigError(
            "no --source: tuning wants frames like those that the network will see: a camera, a film, a folder of "
            "pictures (demo: for a try)"
        )
    if options.chart:
        check_file("--chart", options.chart)
    if options.keep_frames:
        check_folder("--keep-frames", options.keep_frames)
    outcome = _tune(options, settings.config)
    chart = _write_chart(outcome, options.chart)
    if options.json:
        print(outcome.profile.as_json(), end="")
    else:
        print(_readable(outcome, chart))
    return 0


def _tune(options: argparse.Namespace, config: RunConfig) -> Outcome:
    from saccade.apps import predictor_options, source_of
    from saccade.tune.config import TuneConfig
    from saccade.tune.frames import save
    from saccade.tune.tuning import tune

    def keep(frames: Frames) -> None:
        if options.keep_frames:
            save(frames, options.keep_frames)

    known = predictor_options(config)
    order = TuneConfig(
        model=options.model, device=known.pop("device"), budget=options.budget, accept=options.accept,
        tiles=known.pop("tiles") or "off", options=known, most=options.frames,
    )  # fmt: skip
    if config.realtime is None and not config.source.startswith("demo:"):
        return tune(order, source_of(config, wait=bool(config.wait)), on_frames=keep)
    return tune(order, source_of(config.replace(realtime=False), wait=bool(config.wait)), on_frames=keep)


def _write_chart(outcome: Outcome, wanted: str | None) -> Path:
    from saccade.tune import report

    profile = outcome.profile
    assert profile.folder is not None
    target = Path(wanted) if wanted else profile.folder / "chart.svg"
    kept = "nothing is chosen yet" if profile.precision == "auto" else f"{profile.precision} is kept"
    title = f"{profile.model} on {profile.ran_on}: {kept}"
    note = (
        f"{profile.frames} frames of {without_credentials(profile.source)} that were held out; lines are 95 % intervals"
    )
    write_file("--chart", target, report.chart(outcome.rows, title, note))
    return target


def _readable(outcome: Outcome, chart: Path) -> str:
    from saccade.tune import report

    profile = outcome.profile
    measure = next((row.agreement.measure for row in outcome.rows if row.agreement is not None), "")
    lines = [
        style.paint(plain(f"{profile.model} on {profile.ran_on}: {profile.in_words()}"), "bold"),
        style.table(report.table(outcome.rows), report.HEADER),
        plain(f"agreement: {measure}, {profile.accept:g} asked for"),
    ]
    if profile.in_f32:
        lines.append(plain(f"left in f32: {', '.join(profile.in_f32)}"))
    if not outcome.whole:
        lines.append("the budget was used up before everything was tried; run the same command again to go on")
    lines += [
        plain(f"profile: {profile.folder}/profile.json (used by run, serve and saccade.open; --forget removes it)"),
        plain(f"chart: {chart}"),
    ]
    return "\n".join(lines)


def _forget(model: str) -> int:
    from saccade.formats.load import identify
    from saccade.networks.catalogue import resolve as find
    from saccade.networks.profile import folder_for, folders_of

    artifact = identify(find(model))
    folders = folders_of(artifact.path, artifact.name)
    if not folders:
        raise ConfigError(f"{artifact.name}: there is no profile of it in {folder_for(artifact.name)}")
    for folder in folders:
        shutil.rmtree(folder)
    places = ", ".join(map(str, folders))
    print(
        plain(f"{places} {'is' if len(folders) == 1 else 'are'} removed: {artifact.name} runs as before it was tuned")
    )
    return 0
