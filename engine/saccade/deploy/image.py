"""The image that serves a model under SageMaker: its source as a zip, built in the account or here, without Docker.

An image's tag is the hash of its source and of what it is built upon: what did not change is not built again.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import shutil
import subprocess
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from saccade.deploy.account import Account
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

PARTS = ("Containerfile", "setup.py", "pyproject.toml", "README.md", "LICENSE", ".ci/image", "ext", "engine")
"""What the Containerfile copies, and itself."""

BASE = "public.ecr.aws/docker/library/debian:12-slim"

POLL_SECONDS = 5.0
LONGEST_SECONDS = 4200.0  # CodeBuild's own limits for waiting and building are an hour together

_BUILT = (".so", ".pyc", ".pyd")


@dataclass(frozen=True, slots=True)
class BuildContext:
    """A zip of what an image is built from, upon the image `base`. tag : of the image."""

    path: Path
    tag: str
    base: str = BASE


def source(checkout: Path, out: Path, base: str = BASE) -> BuildContext:
    """Write the zip; it depends on the files' contents alone. ConfigError where there is no project in `checkout`."""
    missing = [name for name in PARTS if not (checkout / name).exists()]
    if missing:
        raise ConfigError(f"{checkout} is no checkout of this project (no {missing[0]}); give one with --checkout DIR")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "source.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(file for name in PARTS for file in _files(checkout / name)):
            entry = zipfile.ZipInfo(file.relative_to(checkout).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return BuildContext(path, hashlib.sha256(base.encode() + b"\n" + path.read_bytes()).hexdigest()[:32], base)


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [
        p for p in place.rglob("*")
        if p.is_file() and p.suffix not in _BUILT and "__pycache__" not in p.parts and not p.is_relative_to(
            place / "saccade_engine.egg-info"
        )
    ]  # fmt: skip


def find(account: Account, repository: str, tag: str) -> str:
    """The image's address by its digest; empty where it is not in the repository, or there is no repository."""
    ecr = account.client("ecr")
    try:
        found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ImageNotFoundException", "RepositoryNotFoundException"):
            return ""
        raise
    return f"{address(account, repository)}@{found['imageDigest']}"


def address(account: Account, repository: str) -> str:
    """Of a repository, as REGISTRY/NAME."""
    found = account.client("ecr").describe_repositories(repositoryNames=[repository])["repositories"]
    return str(found[0]["repositoryUri"])


def build_there(account: Account, project: str, tag: str) -> None:
    """Let CodeBuild build and push; returns when it has. Raises ConfigError with what failed."""
    codebuild = account.client("codebuild")
    override = [{"name": "TAG", "value": tag, "type": "PLAINTEXT"}]
    build = codebuild.start_build(projectName=project, environmentVariablesOverride=override)["build"]
    log.info("CodeBuild builds the image (%s), which takes some minutes", build["id"])
    until = time.monotonic() + LONGEST_SECONDS
    while not build.get("buildComplete"):
        if time.monotonic() > until:
            raise ConfigError(f"build {build['id']} does not end; look at it in the console of CodeBuild")
        time.sleep(POLL_SECONDS)
        build = codebuild.batch_get_builds(ids=[build["id"]])["builds"][0]
    if build["buildStatus"] != "SUCCEEDED":
        raise ConfigError(f"the image was not built: {_reason(build)}")


def _reason(build: Any) -> str:
    failed = [
        f"{phase['phaseType'].lower()}: {context['message']}"
        for phase in build.get("phases", ())
        if phase.get("phaseStatus") not in (None, "SUCCEEDED")
        for context in phase.get("contexts", ())
        if context.get("message")
    ]
    link = build.get("logs", {}).get("deepLink", "")
    return f"{(failed or [build['buildStatus']])[0]}" + (f"; its log: {link}" if link else "")


def build_here(account: Account, repository: str, source: BuildContext) -> None:
    """Build with buildah and push; ConfigError where it is not installed, or says no."""
    buildah = shutil.which("buildah")
    if buildah is None:
        raise ConfigError("no buildah here (Debian and Ubuntu have it as a package); install it, or --build codebuild")
    place = address(account, repository)
    token = account.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    with tempfile.TemporaryDirectory(prefix="saccade-image-") as folder:
        with zipfile.ZipFile(source.path) as archive:
            archive.extractall(folder)
        auth = ["--authfile", str(Path(folder, "auth.json"))]
        name = f"{place}:{source.tag}"
        # SageMaker takes manifests of Docker's form alone, not the other one (OCI).
        form, base = ["--format", "docker", "--target", "endpoint"], ["--build-arg", f"BASE={source.base}"]
        _run([buildah, "build", *form, *base, "--tag", name, folder], "build the image")
        registry = place.partition("/")[0]
        _run([buildah, "login", *auth, "--username", user, "--password-stdin", registry], "log in", password)
        _run([buildah, "push", *auth, "--format", "v2s2", name], "push the image")


def _run(command: list[str], what: str, said: str | None = None) -> None:
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise ConfigError(f"buildah cannot {what}: {lines[-1][:400]}")
