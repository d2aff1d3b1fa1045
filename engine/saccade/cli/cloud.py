"""`saccade cloud`: the cloud stage, packaged, deployed into AWS, or run in full on this machine."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from saccade.address import without_credentials
from saccade.cli import add_command, cloud_endpoint, style
from saccade.cli.stacks import (
    STACK,
    action,
    add_place,
    amount,
    ask,
    explain_missing,
    find_lambdas,
    pairs,
    show_costs,
    show_status,
    tell_unused,
)  # fmt: skip
from saccade.errors import ConfigError, SourceError
from saccade.process import StopSignals
from saccade.storage.writable import check_file, check_folder, write_file
from saccade.text import plain


def add_parser(subparsers: Any) -> None:
    """`saccade cloud {local,build,deploy,status,zip,delete,endpoint}`."""
    parser = add_command(
        subparsers, "cloud", summary="the cloud stage: run it on this machine, build it, deploy it",
        example="saccade cloud local --source demo: --seconds 60",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    local = action(
        actions, "local", "run device, local AWS, functions and dashboard page here, without an account",
        "saccade cloud local --source /dev/video0 --page 127.0.0.1:8090",
    )  # fmt: skip
    local.add_argument(
        "--source", action="append", metavar="S", help="a camera's source; may be repeated; none: no camera"
    )
    local.add_argument("--seconds", type=float, metavar="T", help="stop after T seconds (default: at Ctrl-C)")
    local.add_argument("--interval", type=float, default=1.0, metavar="T", help="seconds between crops of one face")
    local.add_argument("--page", default="127.0.0.1:8090", metavar="HOST:PORT", help="address of the dashboard page")
    local.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address of the local AWS; elsewhere its key is needed"
    )
    local.add_argument("--port", type=int, default=0, metavar="PORT", help="port of the local AWS; 0 takes a free one")
    local.add_argument("--processes", type=int, default=1, metavar="N", help="processes of the emotion function")
    local.add_argument("--emotions", metavar="M", help="emotion network, a path or catalogue name")
    local.add_argument("--folder", metavar="DIR", help="keep crops, functions and logs here (default: a temporary one)")
    local.add_argument("--summary", metavar="FILE", help="write the run's figures as JSON to FILE, - for the terminal")

    build = action(
        actions, "build", "make the functions' packages for Lambda (Python 3.13, arm64)", "saccade cloud build"
    )
    deploy = action(
        actions, "deploy", "build, then create or update the stack in an AWS account",
        "saccade cloud deploy --region eu-central-1 --set AlarmEmail=me@example.org",
    )  # fmt: skip
    for each in (build, deploy):
        each.add_argument("--out", default="out/lambdas", metavar="DIR", help="where the packages go")
        each.add_argument("--python", metavar="FILE", help="Python 3.13 to compile with (default: looked for)")
    deploy.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the template; may be repeated"
    )
    deploy.add_argument(
        "--emotions", choices=["yes", "no"], help="turn the emotion stage on or off (default: as it is, else asked)"
    )
    deploy.add_argument("--dry-run", action="store_true", help="say what would change; change nothing")
    for name, value, what in (
        ("cameras", 1, "cameras"), ("faces", 2, "faces in view"), ("hours", 8, "hours a day"),
        ("interval", 3, "seconds between two crops of a face"),
    ):  # fmt: skip
        deploy.add_argument(f"--{name}", type=amount, default=value, metavar="N", help=f"for the costs: {what}")
    status = action(
        actions, "status", "state, outputs, waiting and dead messages, alarms", "saccade cloud status", lambdas=False
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    zipped = action(
        actions, "zip", "a photo to a zip of its faces, by emotion", "saccade cloud zip party.jpg --local --out a.zip"
    )
    zipped.add_argument("photo", metavar="PHOTO", help="JPEG or PNG")
    zipped.add_argument("--out", metavar="FILE", help="write the zip here")
    zipped.add_argument("--local", action="store_true", help="on this machine, without an account")
    zipped.add_argument("--endpoint", metavar="URL", help="a `saccade cloud local` that runs")
    delete = action(actions, "delete", "delete the stack with all pictures and rows", "saccade cloud delete")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    for each in (deploy, status, zipped, delete):
        add_place(each)
    cloud_endpoint.add_actions(actions)


def run(options: argparse.Namespace) -> int:
    """Run one action."""
    tell_unused(options)
    with explain_missing():
        actions = {
            "local": _local, "build": _build, "deploy": _deploy, "status": _status, "zip": _zip, "delete": _delete,
            "endpoint": cloud_endpoint.run,
        }  # fmt: skip
        return actions[options.action](options)


def _local(options: argparse.Namespace) -> int:
    from saccade.deploy.demo import CloudDemo
    from saccade.service.address import is_loopback, parse_address

    page = parse_address(options.page, "--page")
    if options.processes < 1 or not 0 <= options.port <= 65535 or not options.interval > 0:
        raise ConfigError("--processes must be 1 or more, --port 0 to 65535, --interval more than 0")
    if options.summary not in (None, "-"):
        check_file("--summary", options.summary)
    sources = [source for source in options.source or ["demo:"] if source != "none"]
    lambdas = find_lambdas(options.lambdas)
    ended = threading.Event()
    with StopSignals() as signals:
        signals.then(lambda _: ended.set())
        with tempfile.TemporaryDirectory(prefix="saccade-cloud-") as temporary:
            demo = CloudDemo(
                lambdas, Path(options.folder or temporary),
                sources=sources, interval=options.interval,
                page=page, host=options.host, port=options.port,
                processes=options.processes, emotions=options.emotions,
            )  # fmt: skip
            started = time.monotonic()
            with demo:
                assert demo.dashboard is not None
                print(f"dashboard: {demo.dashboard.url}", flush=True)
                print(f"local AWS: {demo.aws.endpoint} (stack {demo.aws.stack})", flush=True)
                if not is_loopback(demo.aws.host):
                    print(f"access key: {demo.aws.credentials['AWS_ACCESS_KEY_ID']}, secret: any", flush=True)
                print(f"emotions:  {demo.analyst.emotion_source}", flush=True)
                while not ended.wait(0.2):
                    if options.seconds is not None and time.monotonic() - started >= options.seconds:
                        break
                    if demo.device is not None and not demo.device.running:
                        break  # the sources have ended
                failed = () if ended.is_set() or demo.device is None else demo.device.failed
                if demo.device is not None:
                    demo.device.close()
                demo.aws.settle()
                summary = demo.summary(time.monotonic() - started)
    _report(summary, options.summary)
    if failed:
        source = without_credentials(failed[0])
        raise SourceError(f"the camera process failed; try it alone: saccade run faces --source {source}")
    return 0


def _report(summary: dict[str, Any], target: str | None) -> None:
    text = json.dumps(summary, indent=2)
    if target == "-":
        print(text)
        return
    if target:
        write_file("--summary", target, text + "\n")
    print(
        f"{summary['sent']} crops in {summary['seconds']:.0f} s -> {summary['faces']} faces in {summary['pictures']}, "
        f"{summary['points']} data points, {summary['dead_letters']} dead letters"
    )
    for name, camera in summary["cameras"].items():
        spooled = "no summary" if camera["spooled"] is None else f"{camera['spooled']} crops spooled"
        print(plain(f"{name}: {spooled}, {camera['in_bucket']} in the bucket, {camera['left']} still to be sent"))
    for key in summary["unanswered"]:
        print(plain(f"not answered yet: {key}"))
    print(style.table([(name.lower(), str(n)) for name, n in summary["emotions"].items()], ("top emotion", "faces")))


def _build(options: argparse.Namespace) -> int:
    from saccade.deploy import package, template

    check_folder("--out", options.out)
    for folder in template.functions(find_lambdas(options.lambdas)):
        made = package.build(folder, Path(options.out), package.Target(), python=options.python)
        code = "with byte code" if made.compiled else "without byte code"
        print(f"{plain(str(made.path))}  {made.bytes / 1e6:.2f} MB  {code}  {made.digest[:12]}")
    return 0


def _deploy(options: argparse.Namespace) -> int:
    from saccade.deploy import package, stack, template
    from saccade.deploy.account import open_account

    parameters = pairs(options.set)
    check_folder("--out", options.out)
    lambdas = find_lambdas(options.lambdas)
    file = lambdas / "template.yaml"
    account = open_account(options.profile, options.region)
    stack.check(options.stack, account.region, template.load(file), parameters)
    if options.emotions:
        parameters["AcceptEmotionUse"] = "yes" if options.emotions == "yes" else ""
    before = stack.present_parameters(account, options.stack)
    if "AcceptEmotionUse" not in before | parameters:
        parameters["AcceptEmotionUse"] = "yes" if not options.dry_run and _emotions_wanted() else ""
    emotions = (before | parameters).get("AcceptEmotionUse") == "yes"
    _show_costs(options, emotions)
    packages = [
        package.build(folder, Path(options.out), package.Target(), python=options.python)
        for folder in template.functions(lambdas)
    ]
    if options.dry_run:
        changes = stack.preview(account, options.stack, file, packages, parameters)
        print(style.table(changes, ("would", "resource", "type")) if changes else f"{options.stack} is up to date")
        return 0
    outputs = stack.deploy(account, options.stack, file, packages, parameters)
    print(style.table(sorted(outputs.items()), ("output", "value")))
    return 0


EMOTION_USE = """\
The emotion stage judges how faces look; it does not know what people feel and must not be used as if it did. In the
EU, inferring emotions of people at work or in education is prohibited (AI Act, Article 5); elsewhere the people have to
be told beforehand. Pictures of faces are personal data. docs/cloud.md says more."""


def _emotions_wanted() -> bool:
    """A deliberate yes, from a person; else the stage stays off."""
    if sys.stdin.isatty():
        print(f"{EMOTION_USE}\nTurn the emotion stage on? [yes/no] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() == "yes":
            return True
    print("the emotion stage stays off; --emotions yes turns it on")
    return False


def _show_costs(options: argparse.Namespace, emotions: bool) -> None:
    from saccade.deploy import costs

    use = costs.Use(
        cameras=int(options.cameras), faces=options.faces, hours=options.hours, interval=max(options.interval, 0.01)
    )
    thousand = 1000 * costs.crop(emotions=emotions)
    show_costs(
        costs.monthly(use, emotions=emotions),
        f"about {thousand:.2f} US dollars for 1,000 crops; {use.crops:,.0f} crops in 30 days of {use.cameras} cameras, "
        f"{use.faces:g} faces, {use.hours:g} h a day",
    )


def _status(options: argparse.Namespace) -> int:
    from saccade.deploy import stack
    from saccade.deploy.account import open_account

    report = stack.status(open_account(options.profile, options.region), options.stack)
    if not options.json:
        report["alarms"] = ", ".join(report["alarms"]) or "none"
    show_status(report, options.json)
    return 0


def _zip(options: argparse.Namespace) -> int:
    from saccade.deploy.photo import READ_TIMEOUT, zip_faces

    photo, out = Path(options.photo), Path(options.out) if options.out else None
    if out is not None:
        check_file("--out", out)
    _refuse_contradictions(options)
    if options.local:
        from saccade.deploy.analyst import FaceAnalyst
        from saccade.deploy.local import LocalAws

        with LocalAws(find_lambdas(options.lambdas), FaceAnalyst()) as aws:
            answer = zip_faces(aws.client, aws.outputs, photo, out)
    else:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        # A local cloud is asked directly, whatever proxy the environment names for the world.
        patient = Config(read_timeout=READ_TIMEOUT, proxies={} if options.endpoint else None)
        try:
            key = "local" if options.endpoint else None  # a local cloud on loopback takes any
            region = options.region or ("eu-central-1" if options.endpoint else None)
            session = boto3.Session(
                profile_name=options.profile, region_name=region, aws_access_key_id=key, aws_secret_access_key=key
            )

            def client(service: str) -> Any:
                return session.client(service, endpoint_url=options.endpoint, config=patient)

            described = client("cloudformation").describe_stacks(StackName=options.stack)["Stacks"][0]
        except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: an address that is none
            raise ConfigError(f"stack {options.stack} cannot be asked: {error}; without an account: --local") from None
        outputs = {output["OutputKey"]: str(output["OutputValue"]) for output in described.get("Outputs", ())}
        answer = zip_faces(client, outputs, photo, out, owner=described["StackId"].split(":")[4])
    print(json.dumps(answer))
    return 0


def _refuse_contradictions(options: argparse.Namespace) -> None:
    if options.local:
        for name, default in (("endpoint", None), ("stack", STACK), ("region", None), ("profile", None)):
            if (value := getattr(options, name)) != default:
                raise ConfigError(f"--{name} {value} contradicts --local, which asks nobody else; give one of the two")
    elif options.lambdas:
        raise ConfigError(f"--lambdas {options.lambdas}: only --local runs functions of a folder; give that too")


def _delete(options: argparse.Namespace) -> int:
    from saccade.deploy import stack
    from saccade.deploy.account import open_account

    file = find_lambdas(options.lambdas) / "template.yaml"
    account = open_account(options.profile, options.region)
    buckets, tables = stack.holdings(account, options.stack, file)
    goes = ", ".join([*buckets, *tables]) or "nothing that holds data"
    question = f"Delete stack {options.stack} of account {account.id}, {account.region}, for good, with {goes}?"
    ask(question, options.yes)
    stack.delete(account, options.stack, file)
    print(f"{options.stack} is deleted")
    return 0
