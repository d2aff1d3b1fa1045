"""The SAM template: read with its short forms, given code locations, expanded into plain CloudFormation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from saccade.errors import ConfigError

Template = dict[str, Any]


def load(path: Path) -> Template:
    """Read a template; `!Sub` and the like become `Fn::Sub`."""
    try:
        return dict(yaml_parse(path.read_text()))
    except OSError as error:
        raise ConfigError(f"cannot read the template {path}: {error.strerror}") from None


def functions(lambdas: Path) -> list[Path]:
    """The folders of the functions that the template in `lambdas` deploys, by name."""
    resources = load(lambdas / "template.yaml")["Resources"].values()
    stems = sorted(Path(r["Properties"]["CodeUri"]).stem for r in resources if r["Type"] == "AWS::Serverless::Function")
    for stem in stems:
        if not (lambdas / stem / "app.py").is_file():
            raise ConfigError(f"no function in {lambdas / stem}, which the template names")
    return [lambdas / stem for stem in stems]


def with_code(template: Template, locations: Mapping[str, str]) -> Template:
    """The template with each function's `CodeUri` (a zip's path) replaced. locations : zip's stem -> s3:// address."""
    template = copy.deepcopy(template)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            stem = Path(resource["Properties"]["CodeUri"]).stem
            if stem not in locations:
                raise ConfigError(
                    f"function {name} wants {stem}.zip, which was not built; there is {sorted(locations)}"
                )
            resource["Properties"]["CodeUri"] = locations[stem]
    return template


def expand(template: Template, region: str, parameters: Mapping[str, str] | None = None) -> Template:
    """What CloudFormation makes of a SAM template."""
    # The template names no managed policy, so that none has to be looked up.
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
    return dict(translator.translate(copy.deepcopy(template), dict(parameters or {})))
