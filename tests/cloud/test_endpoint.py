"""The endpoint's stack: its template, its rights, its life (moto), what is told before it.

CodeBuild answers here from a stand-in behind botocore, which still checks and writes every request.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import urllib.request
import zipfile
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.awsrequest import AWSResponse

from saccade.cli import main
from saccade.deploy import bucket as buckets
from saccade.deploy import costs, endpoint, image, stack, template
from saccade.deploy.account import Account
from saccade.deploy.endpoint import Shape
from saccade.deploy.model_archive import Packed
from saccade.errors import ConfigError

from .conftest import LAMBDAS, ROOT

PATH = LAMBDAS / "endpoint.yaml"
NAME = "saccade-faces"

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse .* but it's not supported by moto:UserWarning")


# The template


def test_requests_fit_the_services_models() -> None:
    """Properties of SageMaker's and CodeBuild's resources are fields of their requests, within their limits."""
    source = template.load(PATH)
    resources = source["Resources"]
    core = boto3.Session(region_name="eu-central-1")._session
    for logical, service, operation in (
        ("EndpointModel", "sagemaker", "CreateModel"), ("EndpointConfig", "sagemaker", "CreateEndpointConfig"),
        ("Endpoint", "sagemaker", "CreateEndpoint"), ("Build", "codebuild", "CreateProject"),
    ):  # fmt: skip
        shape = core.get_service_model(service).operation_model(operation).input_shape
        known = {name.lower() for name in shape.members}
        given = {name.lower() for name in resources[logical]["Properties"]}
        assert given <= known, given - known
    build = resources["Build"]["Properties"]
    model = core.get_service_model("codebuild")
    assert build["Environment"]["ComputeType"] in model.shape_for("ComputeType").enum
    assert build["Environment"]["Type"] in model.shape_for("EnvironmentType").enum
    memory = core.get_service_model("sagemaker").shape_for("ServerlessMemorySizeInMB").metadata
    assert [int(v) for v in source["Parameters"]["Memory"]["AllowedValues"]] == list(endpoint.MEMORY)
    assert (memory["min"], memory["max"]) == (endpoint.MEMORY[0], endpoint.MEMORY[-1])
    spec = yaml.safe_load(build["Source"]["BuildSpec"])
    said = "\n".join(line for phase in spec["phases"].values() for line in phase["commands"])
    given = {variable["Name"] for variable in build["Environment"]["EnvironmentVariables"]}
    assert set(re.findall(r"\$\{?([A-Z]+)", said)) <= given
    for line in said.splitlines():
        subprocess.run(["sh", "-n", "-c", line], check=True)


def test_each_role_may_do_its_own_and_devices_ask_this_endpoint_alone() -> None:
    resources = template.load(PATH)["Resources"]
    policies = {
        name: policy["PolicyDocument"]["Statement"]
        for name in ("BuildRole", "EndpointRole")
        for policy in resources[name]["Properties"]["Policies"]
    }
    for statements in policies.values():
        for statement in statements:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not any("*" in action for action in actions)
            assert statement["Resource"] != "*" or actions == ["ecr:GetAuthorizationToken"]  # it has no resources
    asked = {
        a for s in policies["EndpointRole"] for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    }
    assert not {action for action in asked if re.search("Put(?!Log)|Delete|Upload", action)}
    (right,) = resources["DevicesMayAsk"]["Properties"]["PolicyDocument"]["Statement"]
    assert right["Action"] == "sagemaker:InvokeEndpoint"
    assert right["Resource"]["Fn::Sub"].endswith(":endpoint/${AWS::StackName}")
    assert resources["DevicesMayAsk"]["Properties"]["PolicyName"]["Fn::Sub"].startswith(stack.ENDPOINT_POLICY)


def test_the_containerfile_copies_what_the_source_holds(tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Containerfile").read_text(), re.M)
    for name in " ".join(copied).split():
        assert any(name == part or name.startswith(f"{part}/") for part in image.PARTS), name
    one = image.source(ROOT, tmp_path / "1")
    with zipfile.ZipFile(one.path) as archive:
        names = set(archive.namelist())
    assert {"Containerfile", ".ci/image/run.txt", ".ci/image/endpoint.sh", "engine/saccade/cli/serve.py"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc")) or "/." in f"/{name.removeprefix('.ci')}"]
    copy = tmp_path / "copy"
    with zipfile.ZipFile(one.path) as archive:
        archive.extractall(copy)
    assert image.source(copy, tmp_path / "2").tag == one.tag
    assert image.source(copy, tmp_path / "2", "localhost/debian:12").tag != one.tag  # upon another image it is another
    (copy / "setup.py").write_text("")
    assert image.source(copy, tmp_path / "3").tag != one.tag
    shutil.rmtree(copy / "ext")
    with pytest.raises(ConfigError, match=r"is no checkout of this project .no ext.; give one with --checkout"):
        image.source(copy, tmp_path / "4")


# Its life


class CodeBuild:
    """Its answers; a build that succeeds leaves an image in moto's registry. fails : what the next build ends with."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.builds: list[str] = []
        self.fails = ""

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        target, body = request.headers["X-Amz-Target"].decode().rpartition(".")[2], json.loads(request.body)
        answer = {"StartBuild": self.start, "BatchGetBuilds": self.look}[target](body)
        raw = io.BytesIO(json.dumps(answer).encode())
        raw.stream = lambda *_, **__: iter([raw.getvalue()])  # type: ignore[attr-defined]
        return AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.1"}, raw)

    def start(self, body: Any) -> dict[str, Any]:
        (tag,) = body["environmentVariablesOverride"]
        self.builds.append(tag["value"])
        return {"build": {"id": f"{body['projectName']}:1", "buildComplete": False, "buildStatus": "IN_PROGRESS"}}

    def look(self, body: Any) -> dict[str, Any]:
        project = body["ids"][0].partition(":")[0]
        if self.fails:
            phase = {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": self.fails}]}
            return {"builds": [{"id": body["ids"][0], "buildComplete": True, "buildStatus": "FAILED",
                                "phases": [{"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED"}, phase],
                                "logs": {"deepLink": "https://log"}}]}  # fmt: skip
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": {"digest": f"sha256:{len(self.builds):064x}"}, "layers": []}  # fmt: skip
        self.account.client("ecr").put_image(
            repositoryName=project, imageManifest=json.dumps(manifest), imageTag=self.builds[-1]
        )
        return {"builds": [{"id": body["ids"][0], "buildComplete": True, "buildStatus": "SUCCEEDED"}]}


@pytest.fixture
def account(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account where devices have the role of the cloud stage."""
    from moto.cloudformation.parsing import ResourceMap
    from moto.sagemaker.models import FakeEndpoint

    update, compare = ResourceMap.update, ResourceMap.build_resource_diff

    def whole(self: Any, *arguments: Any) -> None:
        """moto makes what a condition has turned on only where its text has changed too."""
        update(self, *arguments)
        for name in self._resource_json_map:
            _ = self[name]

    def there(self: Any, *arguments: Any) -> dict[str, Any]:
        """moto changes what a condition has left out."""
        found = compare(self, *arguments)
        return {**found, "Modify": [name for name in found["Modify"] if name in self._parsed_resources]}

    monkeypatch.setattr(ResourceMap, "update", whole)
    monkeypatch.setattr(ResourceMap, "build_resource_diff", there)
    # moto gives the endpoint a name of its own choice.
    monkeypatch.setattr(FakeEndpoint, "cloudformation_name_type", staticmethod(lambda: "EndpointName"))
    monkeypatch.setattr(image, "POLL_SECONDS", 0.0)
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    account = Account(boto3.Session("local", "local", region_name="eu-central-1"), "123456789012")
    role = template.load(LAMBDAS / "template.yaml")["Resources"]["DeviceRole"]
    del role["Properties"]["Policies"]
    body = {"Parameters": {"TableName": {"Type": "String", "Default": "t"}}, "Resources": {"DeviceRole": role}}
    account.client("cloudformation").create_stack(StackName="saccade", TemplateBody=json.dumps(body))
    return account


@pytest.fixture
def codebuild(account: Account) -> CodeBuild:
    answers = CodeBuild(account)
    account.session.events.register("before-send.codebuild", answers)
    return answers


@pytest.fixture
def calls(account: Account) -> set[str]:
    """Every operation that is called, as its service's right."""
    said: set[str] = set()

    def see(model: Any, **_: Any) -> None:
        said.add(f"{model.service_model.signing_name}:{model.name}")

    account.session.events.register("provide-client-params", see)
    return said


def files(folder: Path, text: str = "1") -> tuple[Packed, image.BuildContext]:
    model, source = folder / f"model-{text}.tar.gz", folder / "source.zip"
    model.write_text(text)
    source.write_text("source")
    return Packed(model, text * 64, 1, ()), image.BuildContext(source, "5" * 32)


def variant(account: Account) -> dict[str, Any]:
    sagemaker = account.client("sagemaker")
    name = sagemaker.describe_endpoint(EndpointName=NAME)["EndpointConfigName"]
    (found,) = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    return dict(found)


def test_an_endpoint_comes_up_changes_and_goes(
    account: Account, codebuild: CodeBuild, calls: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, source = files(tmp_path)
    builds, changes = endpoint.preview(account, "saccade", NAME, PATH, packed, source, Shape())
    assert builds
    assert ("Add", "Endpoint", "AWS::SageMaker::Endpoint") in changes
    s3 = account.client("s3")
    assert s3.list_buckets()["Buckets"] == []  # a look changes nothing
    assert codebuild.builds == []

    codebuild.fails = "no space left"
    with pytest.raises(ConfigError, match="the image was not built: build: no space left; its log: https://log"):
        endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape())
    assert endpoint.status(account, NAME)["endpoint"] == "not made yet"
    codebuild.fails = ""
    endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape(memory=2048))
    assert codebuild.builds == [source.tag] * 2
    report = endpoint.status(account, NAME)
    assert report["endpoint"] == "InService"
    assert re.fullmatch(rf"123456789012\.dkr\.ecr\.eu-central-1\.amazonaws\.com/{NAME}@sha256:[0-9a-f]{{64}}",
                        report["parameters"]["Image"])  # fmt: skip
    assert variant(account)["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    (model,) = account.client("sagemaker").list_models()["Models"]
    container = account.client("sagemaker").describe_model(ModelName=model["ModelName"])["PrimaryContainer"]
    bucket, key = container["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"
    # moto has no policies of other stacks' roles: the parameter says that the devices' role gets its right.
    assert report["parameters"]["DeviceRole"] == stack.device_role(account, "saccade") != ""

    # Another model on a machine: what was built is not built again; what is not said stays.
    packed, source = files(tmp_path, "2")
    builds, changes = endpoint.preview(account, "saccade", NAME, PATH, packed, source, Shape(instance="ml.c5.large"))
    assert not builds
    monkeypatch.setattr(buckets, "KEPT", timedelta(0))
    endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape(instance="ml.c5.large"))
    place = f"endpoints/{NAME}"  # the model before is gone
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [
        f"{place}/model-{'2' * 32}.tar.gz", f"{place}/source-{source.tag}.zip", f"{place}/template.json"
    ]  # fmt: skip
    assert len(codebuild.builds) == 2
    now = endpoint.parameters(account, NAME, Shape(), template.load(PATH))
    assert (now["Instance"], now["Memory"], now["Model"]) == (
        "ml.c5.large", "2048", f"endpoints/{NAME}/model-{'2' * 32}.tar.gz"
    )  # fmt: skip

    with pytest.raises(ConfigError, match=r"runs on machines, of which SageMaker makes nothing serverless"):
        endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape(instance=""))

    s3.put_object(Bucket=bucket, Key="of-the-cloud-stage", Body=b"")
    assert template.load(PATH)["Resources"]["Repository"]["Properties"]["EmptyOnDelete"]  # which moto does not know
    ecr = account.client("ecr")
    ecr.batch_delete_image(repositoryName=NAME, imageIds=ecr.list_images(repositoryName=NAME)["imageIds"])
    assert endpoint.down(account, "saccade", NAME, PATH) == ["stack", "model"]
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["of-the-cloud-stage"]
    assert account.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert endpoint.down(account, "saccade", NAME, PATH) == []
    with pytest.raises(ConfigError, match=f"there is no stack {NAME}"):
        endpoint.status(account, NAME)
    account.client("cloudformation").delete_stack(StackName="saccade")
    buckets.empty(s3, account, bucket)
    assert endpoint.down(account, "saccade", NAME, PATH) == ["bucket"]

    allowed = rights()
    ours = {
        "s3:HeadBucket": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket", "s3:DeleteObjects": "s3:DeleteObject",
        "s3:ListObjectVersions": "s3:ListBucketVersions", "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
        "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    }  # fmt: skip
    mine = {"s3:ListBuckets", "sagemaker:ListModels", "sagemaker:ListEndpoints", "ecr:PutImage", "ecr:ListImages",
            "ecr:BatchDeleteImage"}  # fmt: skip
    assert {ours.get(call, call) for call in calls - mine} - allowed == set()


def rights() -> set[str]:
    document = json.loads((LAMBDAS / "endpoint-deployer-policy.json").read_text())
    found: set[str] = set()
    for statement in document["Statement"]:
        actions = statement["Action"]
        found |= {actions} if isinstance(actions, str) else set(actions)
        assert statement["Resource"] != "*" or statement["Sid"] in ("WhoAmI", "WithoutResources")
    return found


@pytest.mark.parametrize("name", ["deployer-policy.json", "endpoint-deployer-policy.json"])
def test_a_deployer_s_policy_is_one_that_iam_takes(name: str) -> None:
    text = (LAMBDAS / name).read_text()
    assert len(re.sub(r"\s", "", text)) <= 6144
    for statement in json.loads(text)["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert not any(fnmatchcase("x:y", action) for action in statement["Action"])


def test_a_stack_of_another_kind_is_left_alone(account: Account, codebuild: CodeBuild, tmp_path: Path) -> None:
    packed, source = files(tmp_path)
    cloudformation = account.client("cloudformation")
    body = {"Parameters": {"Name": {"Type": "String", "Default": "t"}},
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}  # fmt: skip
    stage = LAMBDAS / "template.yaml"
    for text in (body, {"Resources": body["Resources"]}):
        cloudformation.create_stack(StackName=NAME, TemplateBody=json.dumps(text))
        for attempt in (
            lambda: endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape()),
            lambda: endpoint.down(account, "saccade", NAME, PATH),
            lambda: endpoint.parameters(account, NAME, Shape(), template.load(PATH)),
            lambda: stack.deploy(account, NAME, stage, (), {}),
            lambda: stack.delete(account, NAME, stage),
        ):
            with pytest.raises(ConfigError, match=f"stack {NAME} is there and is something else; use another name"):
                attempt()
        assert cloudformation.describe_stacks(StackName=NAME)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
        cloudformation.delete_stack(StackName=NAME)


def test_the_cloud_stage_stays_while_an_endpoint_hangs_on_it(account: Account) -> None:
    role = stack.device_role(account, "saccade")
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}
    account.client("iam").put_role_policy(
        RoleName=role, PolicyName=f"endpoint-{NAME}", PolicyDocument=json.dumps(document)
    )
    with pytest.raises(ConfigError, match=f"endpoint {NAME} still hangs on saccade"):
        stack.delete(account, "saccade", LAMBDAS / "template.yaml")
    account.client("iam").delete_role_policy(RoleName=role, PolicyName=f"endpoint-{NAME}")
    bucket, s3 = account.artifacts("saccade"), account.client("s3")
    buckets.make(s3, account, bucket)
    s3.put_object(Bucket=bucket, Key="endpoints/saccade-cats/model-1.tar.gz", Body=b"")
    with pytest.raises(ConfigError, match="endpoint saccade-cats still hangs on saccade"):
        stack.delete(account, "saccade", LAMBDAS / "template.yaml")
    assert stack.device_role(account, "saccade") == role


def test_an_image_is_built_here_by_buildah_and_pushed_in_dockers_form(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, _ = files(tmp_path)
    source = image.source(ROOT, tmp_path, "localhost/debian:12")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ConfigError, match="no buildah here"):
        endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape(), "buildah")
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "buildah"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n'
        f"[ $1 = login ] && /bin/cat > {tmp_path}/password\n"
        f'for last; do :; done\n[ $1 != build ] || [ -f "$last/.ci/image/run.txt" ] || exit 1\n'
        f'[ $1 != push ] || {{ echo "denied: no" >&2; exit 1; }}\n'
    )
    tool.chmod(0o755)
    with pytest.raises(ConfigError, match="buildah cannot push the image: denied: no"):
        endpoint.up(account, "saccade", NAME, PATH, packed, source, Shape(), "buildah")
    said = (tmp_path / "said").read_text().splitlines()
    place = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/{NAME}:{source.tag}"
    assert re.match(r"build --format docker --target endpoint --build-arg BASE=localhost/debian:12 --tag ", said[0])
    assert " --password-stdin 123456789012.dkr.ecr.eu-central-1.amazonaws.com" in said[1]
    assert (tmp_path / "password").read_text() not in "\n".join(said)
    assert said[2].endswith(f"--format v2s2 {place}")


# What is told before


def test_what_cannot_be_is_told_before_anything_is_built(account: Account) -> None:
    for stack_name, name, problem in (("saccade", "Faces", "use up to 31"), ("a--b", "faces", "stack name 'a--b'")):
        with pytest.raises(ConfigError, match=problem):
            endpoint.full_name(stack_name, name)
    for shape, problem in (
        (Shape(memory=1000), "--memory 1000: expected one of 1024, 2048"),
        (Shape(concurrency=201), "--concurrency 201: expected 1 to 200"),
        (Shape(instance="ml.c5.large", instances=0), "--instances 0: expected 1 to 10"),
        (Shape(instance="ml.c5.tiny"), "--instance ml.c5.tiny: SageMaker has no such type"),
        (Shape(instance="ml.c7g.large"), "the image is for x86-64 processors"),
        (Shape(instance="ml.g5.xlarge"), "the image is for x86-64 processors"),
    ):
        with pytest.raises(ConfigError, match=problem):
            endpoint.check(account, shape, "codebuild")
    endpoint.check(account, Shape(instance="ml.c6in.large", memory=4096, concurrency=200), "codebuild")
    for region, problem in (("xx-north-1", "region xx-north-1"), ("ca-west-1", "has no codebuild; build with --build")):
        elsewhere = Account(boto3.Session("local", "local", region_name=region), account.id)
        with pytest.raises(ConfigError, match=problem):
            endpoint.check(elsewhere, Shape(), "codebuild")


def test_mistakes_are_one_line(account: Account, capsys: pytest.CaptureFixture[str], demo: Path) -> None:
    for arguments, complaint in (
        (["up", "faces", "--model", "m", "--instance", "ml.c7i.large"], "give AWS's price of an hour with --hourly"),
        (["up", "faces", "--model", "x.tar.gz", "--top", "3"], "--top: x.tar.gz is packed already"),
        (["up", "faces", "--model", "blazeface-full"], "at these costs? Say so with --yes"),
        (["up", "faces", "--model", "m", "--serverless", "--hourly", "1"], "--hourly 1 is of a machine; give"),
        (["pack", "blazeface-full", "--pad", "300"], "--pad: got 300; expected"),
    ):
        assert main(["-q", "cloud", "endpoint", *arguments]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_a_dry_run_says_costs_and_changes_and_changes_nothing(
    account: Account, capsys: pytest.CaptureFixture[str], demo: Path
) -> None:
    arguments = ["cloud", "endpoint", "up", "faces", "--model", "blazeface-full", "--instance", "ml.m5.xlarge"]
    assert main(["-q", *arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"machines, day and night +193\.68", said)
    assert re.search(r"the image saccade-faces:[0-9a-f]{32} would be built", said)
    assert re.search(r"Add +Endpoint +AWS::SageMaker::Endpoint", said)
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert len(account.client("cloudformation").list_stacks()["StackSummaries"]) == 1


def test_an_endpoint_costs_by_the_picture_or_by_the_hour() -> None:
    asking = costs.Asking(cameras=2, rate=5, hours=10, seconds=0.2)
    assert asking.pictures == 10_800_000
    serverless = costs.endpoint(asking, memory=2048)
    assert serverless["serverless computing"] == pytest.approx(10_800_000 * 0.2 * 2 * 2e-5)
    assert costs.endpoint(asking, hourly=0.1, instances=2)["machines, day and night"] == pytest.approx(144)
    assert serverless["together"] == pytest.approx(sum(serverless.values()) / 2)
