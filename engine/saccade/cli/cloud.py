"""`saccade cloud`: the cloud stage, packaged, deployed into AWS, or run in full on this machine."""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from saccade.cli import Help, add_command, style
from saccade.errors import ConfigError, SourceError


def add_parser(subparsers: Any) -> None:
    """`saccade cloud {local,build,deploy}`."""
    parser = add_command(
        subparsers, "cloud", summary="the cloud stage: run it on this machine, build it, deploy it",
        example="saccade cloud local --source demo: --seconds 60",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    local = _action(
        actions, "local", "run device, local AWS, functions and dashboard page here, without an account",
        "saccade cloud local --source /dev/video0 --page 127.0.0.1:8090",
    )  # fmt: skip
    local.add_argument("--source", default="demo:", metavar="S", help="the camera's source; none: no camera")
    local.add_argument("--seconds", type=float, metavar="T", help="stop after T seconds (default: at Ctrl-C)")
    local.add_argument("--interval", type=float, default=1.0, metavar="T", help="seconds between crops of one face")
    local.add_argument("--page", default="127.0.0.1:8090", metavar="HOST:PORT", help="address of the dashboard page")
    local.add_argument("--port", type=int, default=0, metavar="PORT", help="port of the local AWS; 0 takes a free one")
    local.add_argument("--processes", type=int, default=1, metavar="N", help="processes of the emotion function")
    local.add_argument("--emotions", metavar="M", help="emotion network, a path or catalogue name")
    local.add_argument("--folder", metavar="DIR", help="keep crops, functions and logs here (default: a temporary one)")
    local.add_argument("--summary", metavar="FILE", help="write the run's figures as JSON to FILE, - for the terminal")

    build = _action(
        actions, "build", "make the functions' packages for Lambda (Python 3.13, arm64)", "saccade cloud build"
    )
    deploy = _action(
        actions, "deploy", "build, then create or update the stack in an AWS account",
        "saccade cloud deploy --region eu-central-1 --set AlarmEmail=me@example.org",
    )  # fmt: skip
    for action in (build, deploy):
        action.add_argument("--out", default="out/lambdas", metavar="DIR", help="where the packages go")
        action.add_argument("--python", metavar="FILE", help="Python 3.13 to compile with (default: looked for)")
    deploy.add_argument("--stack", default="saccade", metavar="NAME", help="name of the stack")
    deploy.add_argument("--region", metavar="REGION", help="AWS region (default: as configured)")
    deploy.add_argument("--profile", metavar="NAME", help="AWS profile (default: as configured)")
    deploy.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the template; may be repeated"
    )


def run(options: argparse.Namespace) -> int:
    """Run one action."""
    try:
        return {"local": _local, "build": _build, "deploy": _deploy}[options.action](options)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("saccade"):
            raise
        raise ConfigError(f"{error.name} is missing; install it with: pip install 'saccade[cloud-local]'") from None


def find_lambdas(given: str | None = None) -> Path:
    """The folder of functions and template: the one given, else that of the checkout, else ./lambdas."""
    checkout = Path(__file__).resolve().parents[3] / "lambdas"
    for folder in [Path(given)] if given else [checkout, Path("lambdas")]:
        if (folder / "template.yaml").is_file():
            return folder
    raise ConfigError(f"no template.yaml in {given or 'lambdas'}; give --lambdas, the project's folder of functions")


def _action(actions: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", formatter_class=Help,
        epilog=f"example:\n  {example}", allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--lambdas", metavar="DIR", help="folder of functions and template (default: the checkout's)")
    return parser


def _local(options: argparse.Namespace) -> int:
    from saccade.deploy.demo import CloudDemo

    host, _, port = options.page.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--page is {options.page!r}; expected HOST:PORT, as 127.0.0.1:8090")
    if options.processes < 1 or not 0 <= options.port <= 65535 or not options.interval > 0:
        raise ConfigError("--processes must be 1 or more, --port 0 to 65535, --interval more than 0")
    lambdas = find_lambdas(options.lambdas)
    ended = threading.Event()
    previous = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with tempfile.TemporaryDirectory(prefix="saccade-cloud-") as temporary:
            demo = CloudDemo(
                lambdas, Path(options.folder or temporary),
                source=None if options.source == "none" else options.source, interval=options.interval,
                page=(host, int(port)), port=options.port, processes=options.processes, emotions=options.emotions,
            )  # fmt: skip
            started = time.monotonic()
            with demo:
                assert demo.dashboard is not None
                print(f"dashboard: {demo.dashboard.url}", flush=True)
                print(f"local AWS: {demo.aws.endpoint} (stack {demo.aws.stack})", flush=True)
                print(f"emotions:  {demo.analyst.emotion_source}", flush=True)
                while not ended.wait(0.2):
                    if options.seconds is not None and time.monotonic() - started >= options.seconds:
                        break
                    if demo.camera is not None and not demo.camera.running:
                        break  # the source has ended
                if demo.camera is not None and demo.camera.failed and not ended.is_set():
                    raise SourceError(
                        f"the camera process failed; try it alone: saccade run faces --source {options.source}"
                    )
                if demo.camera is not None:
                    demo.camera.close()
                demo.aws.drain()
                summary = demo.summary(time.monotonic() - started)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    _report(summary, options.summary)
    return 0


def _report(summary: dict[str, Any], target: str | None) -> None:
    text = json.dumps(summary, indent=2)
    if target == "-":
        print(text)
        return
    if target:
        Path(target).write_text(text + "\n", encoding="utf-8")
    print(
        f"{summary['sent']} crops in {summary['seconds']:.0f} s -> {summary['faces']} faces in {summary['pictures']}, "
        f"{summary['points']} data points, {summary['dead_letters']} dead letters"
    )
    print(style.table([(name.lower(), str(n)) for name, n in summary["emotions"].items()], ("top emotion", "faces")))


def _build(options: argparse.Namespace) -> int:
    from saccade.deploy import package, template

    for folder in template.functions(find_lambdas(options.lambdas)):
        made = package.build(folder, Path(options.out), package.Target(), python=options.python)
        code = "with byte code" if made.compiled else "without byte code"
        print(f"{made.path}  {made.bytes / 1e6:.2f} MB  {code}  {made.digest[:12]}")
    return 0


def _deploy(options: argparse.Namespace) -> int:
    import boto3
    from botocore.exceptions import BotoCoreError

    from saccade.deploy import package, stack, template

    wrong = [text for text in options.set if "=" not in text]
    if wrong:
        raise ConfigError(f"--set {wrong[0]}: expected NAME=VALUE")
    parameters = dict(text.split("=", 1) for text in options.set)
    lambdas = find_lambdas(options.lambdas)
    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
    except BotoCoreError as error:
        raise ConfigError(str(error)) from None
    packages = [
        package.build(folder, Path(options.out), package.Target(), python=options.python)
        for folder in template.functions(lambdas)
    ]
    outputs = stack.deploy(session, options.stack, lambdas / "template.yaml", packages, parameters)
    print(style.table(sorted(outputs.items()), ("output", "value")))
    return 0
