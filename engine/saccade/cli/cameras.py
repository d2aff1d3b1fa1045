"""`saccade cameras`: look at and change the cameras of a run that goes on."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from saccade.address import without_credentials
from saccade.cli import add_command, style
from saccade.cli.parser import add_options, given
from saccade.cli.running import ask, runs, the_run
from saccade.config import APPS, examine_cameras, options_of, resolve
from saccade.config.camera import CameraConfig
from saccade.config.run import RunConfig
from saccade.errors import ConfigError
from saccade.text import plain

_ACTIONS = {
    "list": ("state, rate and figures of each camera", "list"),
    "add": ("one camera more", "add name=yard source=/dev/video1 app=faces rate=5"),
    "remove": ("end a camera", "remove yard"),
    "pause": ("let a camera rest", "pause yard"),
    "resume": ("let it go on", "resume yard"),
    "set": ("other options for a camera", "set yard rate=10 weight=2"),
    "forget": ("take away what brokers and Home Assistant keep of a camera that does not run any more", "forget yard"),
}


def add_parser(subparsers: Any) -> None:
    """`saccade cameras {list,add,remove,pause,resume,set,forget}`."""
    parser = add_command(
        subparsers, "cameras", summary="look at and change the cameras of a run that goes on",
        example="saccade cameras list\n  saccade cameras set yard rate=10",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (summary, example) in _ACTIONS.items():
        action = actions.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  saccade cameras {example}",
        )  # fmt: skip
        action.add_argument("--config", metavar="FILE", help="of the run of this file, where several go on")
        if name == "list":
            action.add_argument("--json", action="store_true", help="print JSON")
        elif name != "add":
            action.add_argument("name", metavar="NAME", help="of the camera")
        if name == "forget":
            add_options(action, RunConfig, ("publish", "mqtt_prefix", "mqtt_schema", "home_assistant"))
        if name in ("add", "set"):
            action.add_argument("options", metavar="KEY=VALUE", nargs="+", help="as in a [[camera]] table")


def run(options: argparse.Namespace) -> int:
    """Do one thing."""
    if options.action == "forget":
        return _forget(options)
    word = the_run(options.config)
    if options.action == "list":
        figures = ask(word, "GET", "")
        print(json.dumps(figures, indent=2) if options.json else _table(figures))
    elif options.action == "add":
        ask(word, "POST", "", _said(options.options))
    elif options.action == "remove":
        ask(word, "DELETE", options.name)  # with what it has left with brokers
    elif options.action == "set":
        ask(word, "PATCH", options.name, {"set": _said(options.options)})
    else:
        ask(word, "PATCH", options.name, {"paused": options.action == "pause"})
    return 0


def _forget(options: argparse.Namespace) -> int:
    """What a camera has left with its brokers goes; that of one which runs would come again."""
    from saccade.outputs.publish.forgetting import forget_retained, retained_topics
    from saccade.outputs.publish.opening import is_broker

    RunConfig(name=options.name)  # raises what is wrong with the name
    others: set[str] = set()
    for word in runs(options.config):
        others |= (there := ask(word, "GET", "")["cameras"]).keys()
        if options.name in there:
            raise ConfigError(
                f"camera {options.name} runs (process {word['pid']}); `saccade cameras remove {options.name}` ends it, "
                "and takes away what it leaves"
            )
    found: dict[str, list[str]] = {}
    for config in _publishing(options):
        for target in filter(is_broker, config.publish):
            topics = retained_topics(
                config.mqtt_prefix, options.name, frigate=config.mqtt_schema == "frigate", home=config.home_assistant,
                beside=others,
            )  # fmt: skip
            found.setdefault(target, []).extend(topic for topic in topics if topic not in found.get(target, ()))
    if not found:
        raise ConfigError("no broker; name it with --publish mqtt://HOST, or the file of the cameras with --config")
    for target, filters in found.items():
        gone = forget_retained(target, filters)
        print(plain(f"{without_credentials(target)}: {len(gone)} kept messages of {options.name} deleted"))
    return 0


def _publishing(options: argparse.Namespace) -> list[RunConfig]:
    """Where cameras of the file, or of the command line, publish."""
    said = given(options, RunConfig)
    if "publish" in said:
        return [resolve(RunConfig, environ=os.environ, given=said).config]
    there = runs()
    file = options.config or (there[0]["config"] if len(there) == 1 else os.environ.get("SACCADE_CONFIG"))
    if not file:
        return []
    cameras, _ = examine_cameras(file, environ=os.environ, given=said, app=next(iter(APPS)))
    return [cameras.defaults, *(camera.config for camera in cameras)]


def _said(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE as a table has them: numbers and truths by the option's type, all else as text."""
    known = {**options_of(RunConfig), **options_of(CameraConfig)}
    table: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"{pair}: expected KEY=VALUE, as rate=5")
        option = known.get(key.replace("-", "_"))
        default = option.default if option else ""
        try:
            value = text if isinstance(default, str) else json.loads(text)
        except ValueError:
            names = isinstance(default, tuple) and option is not None and not option.joined
            value = text.split(",") if names else text
        table[key] = value
    return table


def _table(figures: dict[str, Any]) -> str:
    rows = [
        (
            name, camera["state"], f"{camera['rate']:g}" if camera.get("rate") else "-", f"{camera.get('fps', 0):.1f}",
            f"{camera['age_ms']['p99']:.0f}" if "age_ms" in camera else "-", plain(camera.get("reason") or ""),
        )
        for name, camera in figures["cameras"].items()
    ]  # fmt: skip
    return style.table(rows, ("camera", "state", "asked fps", "fps", "age p99 ms", "reason"))
