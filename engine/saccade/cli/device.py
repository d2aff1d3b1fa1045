"""`saccade device`: a camera in an AWS account, as code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import saccade
from saccade.cli import add_command
from saccade.cli.stacks import STACK, add_lambdas, ask, explain_missing, find_lambdas, pairs, tell_unused
from saccade.errors import ConfigError
from saccade.storage.writable import check_file, check_folder
from saccade.text import plain

if TYPE_CHECKING:
    from saccade.config import RunConfig
    from saccade.deploy.account import Account

APPS = ("faces", "head-pose", "classify")


def add_parser(subparsers: Any) -> None:
    """`saccade device {register,deploy,remove,lock}`."""
    parser = add_command(
        subparsers, "device", summary="register a camera at AWS IoT Greengrass, put a function on it, remove it",
        example="saccade device register door && saccade device deploy door --app faces --set source=/dev/video0",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    register = _action(
        actions, "register", "make thing, certificate and policy; write what the device needs into a folder",
        "saccade device register door --csr door.csr --nucleus lite",
    )  # fmt: skip
    register.add_argument("--out", metavar="DIR", help="where certificate and configuration go (default: ./NAME)")
    register.add_argument("--csr", metavar="FILE", help="certificate request made on the device (its key stays there)")
    register.add_argument("--nucleus", choices=["classic", "lite"], default="classic", help="kind of Greengrass")

    deploy = _action(
        actions, "deploy", "publish a function with all that it needs, and put it on the device",
        "saccade device deploy door --app faces --set source=rtsp://camera/1 --set interval=5",
    )  # fmt: skip
    deploy.add_argument("--app", choices=APPS, default="faces", help="which function")
    deploy.add_argument("--model", action="append", default=[], metavar="FILE",
                        help="network or labels that go with it; its weights go too; may be repeated")  # fmt: skip
    deploy.add_argument(
        "--cameras", metavar="FILE", help="several cameras in one process: TOML file with [[camera]] tables"
    )
    deploy.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the function")
    deploy.add_argument("--keep-nucleus", default="", metavar="VERSION", help="stay on this version of the nucleus")
    deploy.add_argument("--lock", metavar="FILE", help="lock of what it needs (default: the project's)")
    deploy.add_argument("--dry-run", action="store_true", help="make the artifact, say what would be done, do nothing")
    deploy.add_argument("--out", default="out/device", metavar="DIR", help="where wheel and artifact go")

    remove = _action(actions, "remove", "take a device away: thing, certificate, policy", "saccade device remove door")
    remove.add_argument("--yes", action="store_true", help="do not ask")

    lock = actions.add_parser(
        "lock", help="resolve what devices install, with hashes, into a file that is kept",
        description="Resolve what devices install, with hashes, into a file that is kept.",
        epilog="example:\n  saccade device lock --python 3.12",
    )  # fmt: skip
    lock.add_argument("--out", metavar="FILE", help="the lock (default: the project's)")
    for action in (deploy, lock):
        action.add_argument("--wheel", metavar="FILE", help="the project's wheel (default: built from the checkout)")
        action.add_argument("--python", default="3.12", metavar="X.Y", help="Python of the device")
        action.add_argument("--glibc", type=int, default=35, metavar="N", help="C library of the device, as in 2.N")
    for action in (register, deploy, remove, lock):
        add_lambdas(action, used=action in (deploy, lock))


def _action(actions: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"example:\n  {example}"
    )
    parser.add_argument("name", metavar="NAME", help="the device: its thing, in topics and keys")
    parser.add_argument("--stack", default=STACK, metavar="NAME", help="name of the stack")
    parser.add_argument("--region", metavar="REGION", help="AWS region (default: as configured)")
    parser.add_argument("--profile", metavar="NAME", help="AWS profile (default: as configured)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run one action."""
    tell_unused(options)
    with explain_missing():
        return {"register": _register, "deploy": _deploy, "remove": _remove, "lock": _lock}[options.action](options)


def _account(options: argparse.Namespace) -> Account:
    """The account of the options; ConfigError where devices cannot be had in its region."""
    from saccade.deploy.account import open_account
    from saccade.deploy.stack import NO_GREENGRASS

    account = open_account(options.profile, options.region)
    if account.region in NO_GREENGRASS:
        raise ConfigError(f"region {account.region} has no Greengrass, and so no devices; use another for the stack")
    return account


def _register(options: argparse.Namespace) -> int:
    from saccade.deploy import device

    device.check_name(options.name)
    csr = ""
    if options.csr:
        try:
            csr = Path(options.csr).read_text(encoding="ascii")
        except (OSError, UnicodeError):
            raise ConfigError(f"--csr {options.csr}: cannot be read; expected a certificate request (PEM)") from None
    account = _account(options)
    made = device.register(
        account, options.stack, options.name, Path(options.out or options.name), csr=csr, nucleus=options.nucleus
    )
    root = device.NUCLEI[options.nucleus][1]
    print(f"{made.thing}: certificate {made.certificate}, policy {made.policy}")
    print(f"{made.folder} holds what the device needs; copy it to {root} there, and start the nucleus")
    return 0


def _deploy(options: argparse.Namespace) -> int:
    from saccade.deploy import component, device, wheelhouse
    from saccade.deploy.model_folder import together
    from saccade.deploy.named_files import named_files
    from saccade.networks.remote import is_remote

    device.check_name(options.name)
    function = find_lambdas(options.lambdas) / component.FOLDERS[options.app]
    given = pairs(options.set)
    check_folder("--out", options.out)
    # Wrong settings and models, missing files and an account that cannot be are told before anything is built.
    filled = component.recipe(function, "bucket/folder", "0.0.0")
    component.configuration(filled, given)
    sent = together([Path(text) for text in options.model])
    if options.cameras:
        for name in {"source", "config"} & given.keys():
            raise ConfigError(f"--set {name} contradicts --cameras {options.cameras}, which says it; leave it out")
        given["config"] = Path(options.cameras).name
    elif options.model and "model" not in given:
        given["model"] = sent.first_network
    file = Path(options.cameras) if options.cameras else sent.files.get(given.get("config", ""))
    if file is None and given.get("config"):
        raise ConfigError(f"--set config={given['config']} does not go with it; add it by --model FILE, say its name")
    configs = configurations(file, options.app, component.variables(filled, given))
    named = named_files(str(file or f"device {options.name}"), configs, sent.files)
    if named.own:
        print(f"{options.name} has to have itself: {', '.join(named.own)}")
    account = None if options.dry_run else _account(options)
    if options.cameras:
        models = with_cameras(options.cameras, options.app, sent.files)
    elif options.model:
        models = sent.files
    elif options.app != "head-pose" and is_remote(given.get("model", "")):
        models = {}  # the one network of these apps is not needed here where it is elsewhere
    else:
        models = {file: path for name in component.MODELS[options.app] for file, path in _pulled(name).items()}
    models = named.sent | models
    target = wheelhouse.Platform(options.python, options.glibc)
    out = Path(options.out)
    wheel = Path(options.wheel) if options.wheel else wheelhouse.own_wheel(_checkout(), out, target)
    lock = Path(options.lock) if options.lock else function.parent / wheelhouse.LOCK
    zipped = wheelhouse.build(wheel, lock, models, {"app.py": function / "app.py"}, out / "saccade.zip", target)
    print(f"{zipped}  {zipped.stat().st_size / 1e6:.1f} MB, {options.app} for Python {options.python}")
    if account is None:
        print("nothing was sent; without --dry-run it goes into the stack's bucket and onto the device")
        return 0
    bucket = account.artifacts(options.stack)
    if options.app == "faces" and "bucket" not in given:
        given["bucket"] = f"{options.stack}-faces-{account.id}-{account.region}"
    artifact = component.upload(account, bucket, zipped)
    filled, version = component.publish(account, function, artifact, saccade.__version__)
    number = component.deploy(account, options.name, filled, given, options.keep_nucleus)
    print(f"{filled['ComponentName']} {version} goes to {options.name}: deployment {number}")
    return 0


def configurations(file: Path | None, app: str, environ: Mapping[str, str]) -> list[tuple[str, RunConfig]]:
    """All that a function is told, each behind whose it is; raises ConfigError.

    file : its TOML file, if any, of one camera or several. environ : its variables. app : of cameras that do not say.
    """
    from saccade.config import RunConfig, is_cameras_file, load_cameras, resolve

    if file is None or not is_cameras_file(file):
        return [("", resolve(RunConfig, file=file, environ=environ).config)]
    theirs = {name: text for name, text in environ.items() if name not in ("SACCADE_SOURCE", "SACCADE_NAME")}
    cameras = load_cameras(file, environ=theirs, app=app)
    return [(f" of camera {camera.name}", one.config) for camera in cameras for one in camera.apps]


def with_cameras(file: str, app: str, given: Mapping[str, Path]) -> dict[str, Path]:
    """A file of cameras, with all networks that its apps need, for an artifact; raises ConfigError.

    app : of cameras that do not say. given : files that go with it, by name.
    """
    from saccade.config import is_cameras_file, load_cameras
    from saccade.deploy.component import MODELS
    from saccade.formats.load import SAVED_MODEL
    from saccade.networks import catalogue
    from saccade.networks.remote import is_remote

    if not is_cameras_file(file):
        raise ConfigError(f"--cameras {file}: no [[camera]] table; one camera is said with --set source=...")
    found = {**given, Path(file).name: Path(file)}
    for camera in load_cameras(file, app=app):
        for one in camera.apps:
            where, model = f"{file}: camera {camera.name}", one.config.model
            names = (model,) if model else MODELS.get(one.app, ())
            if not names:
                raise ConfigError(f"{where}: {one.app} needs a network; say its model")
            for name in names:
                if is_remote(name):
                    continue
                goes = name in given or f"{name}/{SAVED_MODEL}" in given
                if not goes and not catalogue.find(name):
                    raise ConfigError(
                        f"{where}: model {name} does not go with it; add it by --model FILE, say its name"
                    )
                found |= {} if goes else _pulled(name)
    return found


def _pulled(name: str) -> dict[str, Path]:
    """All files of a name of the catalogue."""
    from saccade.networks import catalogue

    catalogue.pull(name)
    return {part.name: part for entry in catalogue.find(name) for part in entry.parts}


def _remove(options: argparse.Namespace) -> int:
    from saccade.deploy import device
    from saccade.deploy.account import open_account

    device.check_name(options.name)
    account = open_account(options.profile, options.region)
    ask(f"Remove device {options.name} from account {account.id}, {account.region}?", options.yes)
    done = device.remove(account, options.stack, options.name)
    print(f"{options.name}: removed {', '.join(done)}" if done else f"{options.name}: there was nothing to remove")
    return 0


def _lock(options: argparse.Namespace) -> int:
    from saccade.deploy import wheelhouse
    from saccade.storage import atomic

    target = wheelhouse.Platform(options.python, options.glibc)
    path = Path(options.out) if options.out else find_lambdas(options.lambdas) / wheelhouse.LOCK
    check_file("--out", path)
    needed = wheelhouse.requirements(Path(options.wheel) if options.wheel else _checkout())
    text = wheelhouse.lock(needed, target)
    atomic.write(path, text.encode(), mode=0o644)
    print(plain(f"{path}: {text.count('--hash')} packages for Python {options.python}"))
    return 0


def _checkout() -> Path:
    return Path(os.path.abspath(__file__)).parents[3]
