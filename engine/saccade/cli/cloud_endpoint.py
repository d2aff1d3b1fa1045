"""`saccade cloud endpoint`: a model behind Amazon SageMaker, for devices that let the cloud infer."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.cli import style
from saccade.cli.parser import add_options, given
from saccade.cli.stacks import action, add_place, amount, ask, find_lambdas, show_costs, show_status
from saccade.config import resolve
from saccade.config.commands import SERVED, ServeConfig
from saccade.errors import ConfigError
from saccade.storage.writable import check_folder
from saccade.text import plain

if TYPE_CHECKING:
    from saccade.deploy.endpoint import Shape
    from saccade.deploy.model_archive import Packed


def add_actions(actions: Any) -> None:
    """`saccade cloud endpoint {pack,up,status,down}`."""
    summary = "a model behind Amazon SageMaker"
    head = actions.add_parser("endpoint", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    steps = head.add_subparsers(dest="step", metavar="STEP", required=True)
    pack = action(
        steps,
        "pack",
        "a model with all that it needs as model.tar.gz",
        "saccade cloud endpoint pack blazeface-full",
        lambdas=False,
    )
    pack.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    pack.add_argument("--out", default="model.tar.gz", metavar="FILE", help="the archive (default: model.tar.gz)")
    up = action(
        steps, "up", "build the image, create or update the endpoint", "saccade cloud endpoint up faces "
        "--model blazeface-full --serverless",
    )  # fmt: skip
    up.add_argument("--model", required=True, metavar="M", help="artifact, catalogue name, or a model.tar.gz of `pack`")
    kind = up.add_mutually_exclusive_group()
    kind.add_argument("--serverless", action="store_true", help="costs nothing while nobody asks (the default)")
    kind.add_argument("--instance", metavar="TYPE", help="a machine that always runs, as ml.m5.xlarge")
    up.add_argument("--instances", type=int, metavar="N", help="how many machines (default: 1)")
    up.add_argument("--memory", type=int, metavar="MB", help="of a serverless endpoint, 1024 to 6144 (default: 3072)")
    up.add_argument("--concurrency", type=int, metavar="N", help="pictures that it works on at once (default: 5)")
    up.add_argument(
        "--build", choices=["codebuild", "buildah"], default="codebuild", help="where the image is built: in the "
        "account, or here",
    )  # fmt: skip
    up.add_argument("--base", metavar="IMAGE", help="a Debian 12 that it is built upon (default: of a public registry)")
    up.add_argument("--checkout", metavar="DIR", help="the project's sources (default: those that run)")
    up.add_argument("--dry-run", action="store_true", help="say what would change and cost; change nothing")
    up.add_argument("--yes", action="store_true", help="do not ask")
    up.add_argument("--hourly", type=amount, metavar="PRICE", help="US dollars an hour that AWS asks for the machine")
    for name, value, what in (
        ("cameras", 1, "cameras"), ("rate", 1, "pictures a second of each"), ("hours", 8, "hours a day"),
        ("seconds", 0.1, "computing time of a picture"),
    ):  # fmt: skip
        up.add_argument(f"--{name}", type=amount, default=value, metavar="N", help=f"for the costs: {what}")
    for each in (pack, up):
        add_options(each, ServeConfig, SERVED)
    status = action(
        steps, "status", "state of endpoint and stack", "saccade cloud endpoint status faces", lambdas=False
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    down = action(steps, "down", "delete endpoint, image and model", "saccade cloud endpoint down faces")
    down.add_argument("--yes", action="store_true", help="do not ask")
    for each in (up, status, down):
        each.add_argument("name", metavar="NAME", help="of the endpoint, behind the stack's")
        add_place(each)


def run(options: argparse.Namespace) -> int:
    """Run one step."""
    return {"pack": _pack, "up": _up, "status": _status, "down": _down}[options.step](options)


def _pack(options: argparse.Namespace) -> int:
    check_folder("--out", Path(options.out).parent)
    made = _packed(options, Path(options.out))
    print(plain(f"{made.path}  {made.bytes / 1e6:.2f} MB, to {made.task}: {', '.join(made.files)}"))
    return 0


def _packed(options: argparse.Namespace, out: Path) -> Packed:
    from saccade.deploy import model_archive

    said = {name: text for name, text in given(options, ServeConfig).items() if name in SERVED}
    if options.model.endswith(".tar.gz"):
        if said:
            flag = next(iter(said)).replace("_", "-")
            raise ConfigError(f"--{flag}: {options.model} is packed already; pack it anew with that")
        return model_archive.opened(Path(options.model))
    config = resolve(ServeConfig, given=said).config
    return model_archive.pack(replace(config, model=options.model), out)


def _up(options: argparse.Namespace) -> int:
    from saccade.deploy import endpoint, image
    from saccade.deploy.account import open_account

    name = endpoint.full_name(options.stack, options.name)
    shape = endpoint.Shape(
        instance="" if options.serverless else options.instance, instances=options.instances, memory=options.memory,
        concurrency=options.concurrency,
    )  # fmt: skip
    file = _template(options)
    account = open_account(options.profile, options.region)
    endpoint.check(account, shape, options.build)
    _show_costs(options, account, name, shape)
    with tempfile.TemporaryDirectory(prefix="saccade-endpoint-") as folder:
        checkout = Path(options.checkout) if options.checkout else _checkout()
        source = image.source(checkout, Path(folder), options.base or image.BASE)
        packed = _packed(options, Path(folder, "model.tar.gz"))
        if options.dry_run:
            builds, changes = endpoint.preview(account, options.stack, name, file, packed, source, shape)
            print(f"the image {name}:{source.tag} " + ("would be built" if builds else "is there"))
            print(style.table(changes, ("would", "resource", "type")) if changes else f"{name} is up to date")
            return 0
        ask(f"Bring up endpoint {name} in account {account.id}, {account.region}, at these costs?", options.yes)
        outputs = endpoint.up(account, options.stack, name, file, packed, source, shape, options.build)
    print(style.table(sorted(outputs.items()), ("output", "value")))
    print(f"saccade run APP --model 'sagemaker://{name}?region={account.region}'")
    return 0


def _show_costs(options: argparse.Namespace, account: Any, name: str, shape: Shape) -> None:
    from saccade.deploy import costs, endpoint, template

    said = endpoint.parameters(account, name, shape, template.load(_template(options)))
    asking = costs.Asking(cameras=int(options.cameras), rate=options.rate, hours=options.hours, seconds=options.seconds)
    instance, instances = said["Instance"], int(said["Instances"])
    if not instance:
        if options.hourly is not None:
            raise ConfigError(f"--hourly {options.hourly:g} is of a machine; give --instance TYPE, or leave it out")
        items = costs.endpoint(asking, memory=int(said["Memory"]))
        show_costs(items, f"serverless, {asking.pictures:,.0f} pictures in 30 days of {asking.seconds:g} s each")
        return
    hourly = options.hourly or costs.HOURLY.get(instance)
    if hourly is None:
        raise ConfigError(f"what {instance} costs is not known here; give AWS's price of an hour with --hourly")
    show_costs(costs.endpoint(asking, hourly=hourly, instances=instances), f"{instances} x {instance}, always on")


def _status(options: argparse.Namespace) -> int:
    from saccade.deploy import endpoint
    from saccade.deploy.account import open_account

    name = endpoint.full_name(options.stack, options.name)
    show_status(endpoint.status(open_account(options.profile, options.region), name), options.json)
    return 0


def _down(options: argparse.Namespace) -> int:
    from saccade.deploy import endpoint
    from saccade.deploy.account import open_account

    name = endpoint.full_name(options.stack, options.name)
    account = open_account(options.profile, options.region)
    ask(f"Delete endpoint {name} of account {account.id}, {account.region}, with image and model?", options.yes)
    done = endpoint.down(account, options.stack, name, _template(options))
    print(f"{name}: deleted {', '.join(done)}" if done else f"{name}: there was nothing to delete")
    return 0


def _template(options: argparse.Namespace) -> Path:
    return find_lambdas(options.lambdas) / "endpoint.yaml"


def _checkout() -> Path:
    return Path(os.path.abspath(__file__)).parents[3]
