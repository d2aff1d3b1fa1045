"""An AWS on this machine: moto's services over HTTP, the template deployed into it, functions in their real runtime.

What moto's CloudFormation has, moto makes; what it lacks (policies, alarms, notifications, event sources) is taken from
the same expanded template, with its references resolved, and set through the services' own APIs. S3 notifies the queue,
pollers take messages from it as Lambda's event source mapping does, with partial batch failures and redelivery.
"""

from __future__ import annotations

import io
import json
import logging
import secrets
import shutil
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import clean_json
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from saccade.deploy import front, package, template, whole_moto
from saccade.deploy.detect import Detector, Rekognition
from saccade.deploy.invoking import Invocations, Poller
from saccade.deploy.photo import READ_TIMEOUT
from saccade.deploy.runtime import Function, FunctionProcess
from saccade.errors import ConfigError
from saccade.service.address import reason
from saccade.service.server import HttpServer

log = logging.getLogger(__name__)

ARTIFACTS = "saccade-artifacts"

_NOT_IN_MOTO = frozenset(
    {
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::Alarm",
        "AWS::GreengrassV2::ComponentVersion",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Permission",
        "AWS::Logs::MetricFilter",
        "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy",
    }
)


class LocalAws:
    """Start with `with` or `start()`; there can be one at a time in a process, as moto keeps its state in globals.

    lambdas : folder of the functions and their template. detector : answers DetectFaces.
    folder : for unpacked functions and their logs; None: a temporary one, deleted at the end.
    host, port : of the services; 0: any free port. On loopback they answer every program; elsewhere, and browsers
    everywhere, have to sign with the access key in `credentials`. processes : environments per polled function.
    visibility : seconds after which a failed message comes again; None: as the template says (minutes).
    """

    def __init__(
        self,
        lambdas: Path,
        detector: Detector,
        *,
        folder: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        processes: int = 1,
        stack: str = "saccade",
        region: str = "eu-central-1",
        parameters: Mapping[str, str] | None = None,
        visibility: int | None = None,
    ) -> None:
        self.rekognition = Rekognition(detector)
        self.region = region
        self.stack = stack
        key = f"LOCAL{secrets.token_hex(10).upper()}"
        self.credentials = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "local"}  # moto checks neither
        self.session = boto3.Session(key, "local", region_name=region)
        self.outputs: dict[str, str] = {}
        self.functions: dict[str, list[FunctionProcess]] = {}
        self.pollers: list[Poller] = []
        self.endpoint = ""
        self._lambdas = lambdas
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="saccade-aws-")) if folder is None else folder
        self.host, self._port = host, port
        self._processes = processes
        self._parameters = {"AcceptEmotionUse": "yes", **(parameters or {})}
        self._visibility = visibility
        self._clients: dict[str, Any] = {}
        self._server: HttpServer | None = None

    def __enter__(self) -> LocalAws:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def client(self, service: str) -> Any:
        """A boto3 client of the local AWS; the same one for the same service."""
        if service not in self._clients:
            config = Config(
                max_pool_connections=32,
                read_timeout=READ_TIMEOUT,
                retries={"mode": "standard", "max_attempts": 2},
                s3={"addressing_style": "path"},
                proxies={},  # whatever the environment says: this is no call to the world
            )
            self._clients[service] = self.session.client(service, endpoint_url=self.endpoint, config=config)
        return self._clients[service]

    def start(self) -> None:
        """Services up, template deployed, functions polled."""
        self.folder.mkdir(parents=True, exist_ok=True)
        application = DomainDispatcherApplication(create_backend_app)
        answering, key = Invocations(application, self.functions), self.credentials["AWS_ACCESS_KEY_ID"]
        try:
            self._server = front.serve(answering, self.host, self._port, key)
        except OSError as error:
            self.stop()
            raise ConfigError(
                f"the local AWS cannot be served on {self.host}:{self._port}: {reason(error)}; choose another address"
            ) from None
        self.host = self._server.host
        self._server.start()
        self.endpoint = self._server.url
        try:
            self._reset()
            self.rekognition.install()
            whole_moto.guard()
            self._deploy()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End pollers, functions and services; the state is gone."""
        for poller in self.pollers:
            poller.stop()
        for processes in self.functions.values():
            for process in processes:
                process.close()
        self.pollers.clear()
        self.functions.clear()
        if self._server is not None:
            self._reset()  # moto's state is global and outlives its server
            self._server.stop()
            self._server = None
        for client in self._clients.values():
            client.close()
        self._clients = {}
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def function(self, output: str) -> FunctionProcess:
        """The first environment of the function whose name is this output of the stack."""
        return self.functions[self.outputs[output]][0]

    def drain(self, timeout: float = 30.0) -> None:
        """Wait until the queue of faces is empty and nothing of it is in work."""
        deadline = time.monotonic() + timeout
        while waiting := self.waiting():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{waiting} messages still wait after {timeout:g} s")
            time.sleep(0.05)

    def settle(self, timeout: float = 30.0) -> int:
        """Wait as `drain` does, but give up quietly; returns how many messages are left."""
        try:
            self.drain(timeout)
        except TimeoutError as error:
            log.warning("%s", error)
        return self.waiting()

    def waiting(self, output: str = "FacesQueueUrl") -> int:
        """Messages in a queue, those in work included."""
        return whole_moto.messages(self.region, self.outputs[output].rpartition("/")[2])

    def _reset(self) -> None:
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={self.credentials['AWS_ACCESS_KEY_ID']}/"}
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(urllib.request.Request(f"{self.endpoint}/moto-api/reset", b"", signed, method="POST")).close()

    def _deploy(self) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=ARTIFACTS, CreateBucketConfiguration={"LocationConstraint": self.region})
        locations = {}
        for folder in template.functions(self._lambdas):
            built = package.build(folder, self.folder / "packages", None)
            s3.put_object(Bucket=ARTIFACTS, Key=f"{built.name}.zip", Body=built.path.read_bytes())
            locations[built.name] = f"s3://{ARTIFACTS}/{built.name}.zip"
        plain = template.expand(
            template.with_code(template.load(self._lambdas / "template.yaml"), locations), self.region, self._parameters
        )
        resources = plain["Resources"]
        later = {name: resources.pop(name) for name in list(resources) if resources[name]["Type"] in _NOT_IN_MOTO}
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(
            StackName=self.stack,
            TemplateBody=json.dumps(_without_dependence(plain, set(later))),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in self._parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        described = cloudformation.describe_stacks(StackName=self.stack)["Stacks"][0]
        if described["StackStatus"] != "CREATE_COMPLETE":
            raise ConfigError(f"the local stack ended in {described['StackStatus']}")
        self.outputs = {output["OutputKey"]: str(output["OutputValue"]) for output in described["Outputs"]}

        known = cloudformation_backends[DEFAULT_ACCOUNT_ID][self.region].get_stack(self.stack).resource_map
        self._make_functions(resources, known)
        for name, resource in resources.items():
            if "NotificationConfiguration" in (properties := resource.get("Properties", {})):
                notifications = clean_json(properties["NotificationConfiguration"], known)
                if isinstance(notifications, Mapping):  # else its condition does not hold
                    self._notify(clean_json({"Ref": name}, known), notifications)
        for name, resource in later.items():
            if known.lazy_condition_map.get(resource.get("Condition"), True):
                self._make(name, resource["Type"], clean_json(resource["Properties"], known))

    def _make_functions(self, resources: Mapping[str, Any], known: Any) -> None:
        names = [name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Function"]
        for logical in names:
            configuration = self.client("lambda").get_function_configuration(
                FunctionName=clean_json({"Ref": logical}, known)
            )
            name = configuration["FunctionName"]
            place = resources[logical]["Properties"]["Code"]
            code = self.folder / "functions" / name
            stored = self.client("s3").get_object(Bucket=place["S3Bucket"], Key=place["S3Key"])["Body"].read()
            with zipfile.ZipFile(io.BytesIO(stored)) as archive:
                archive.extractall(code)
            variables = {key: str(value) for key, value in configuration["Environment"]["Variables"].items()}
            function = Function(
                name=name,
                code=code,
                handler=configuration["Handler"],
                timeout=configuration["Timeout"],
                memory=configuration["MemorySize"],
                environment={**variables, **self.credentials, "AWS_ENDPOINT_URL": self.endpoint},
                log=self.folder / f"{name}.log",
                region=self.region,
            )  # fmt: skip
            self.functions[name] = [FunctionProcess(function) for _ in range(self._processes)]

    def _make(self, name: str, kind: str, properties: dict[str, Any]) -> None:
        if kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"):
            document = _for_http(properties["PolicyDocument"])
            if not document["Statement"]:
                return
            if kind == "AWS::S3::BucketPolicy":
                self.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(document))
            for url in properties.get("Queues", ()):
                self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(document)})
        elif kind == "AWS::CloudWatch::Alarm":
            self.client("cloudwatch").put_metric_alarm(**{"AlarmName": f"{self.stack}-{name}", **properties})
        elif kind == "AWS::Logs::MetricFilter":
            self.client("logs").put_metric_filter(filterName=name, **_camel_case(properties))
        elif kind == "AWS::Lambda::EventSourceMapping":
            url = self.client("sqs").get_queue_url(QueueName=properties["EventSourceArn"].split(":")[-1])["QueueUrl"]
            if self._visibility is not None:
                attributes = {"VisibilityTimeout": str(self._visibility)}
                self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes)
            for process in self.functions[properties["FunctionName"]]:
                self.pollers.append(Poller(self.client("sqs"), process, url, properties))
                self.pollers[-1].start()

    def _notify(self, bucket: str, notifications: Mapping[str, Any]) -> None:
        queues = [
            {
                "QueueArn": queue["Queue"],
                "Events": [queue["Event"]],
                "Filter": {"Key": {"FilterRules": queue["Filter"]["S3Key"]["Rules"]}},
            }
            for queue in notifications.get("QueueConfigurations", ())
        ]
        self.client("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues}
        )


def _without_dependence(plain: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    for resource in plain["Resources"].values():
        depends = resource.get("DependsOn", [])
        names = [depends] if isinstance(depends, str) else depends
        resource["DependsOn"] = [name for name in names if name not in gone]
    return plain


def _for_http(document: Mapping[str, Any]) -> dict[str, Any]:
    """A policy without what it says about calls without TLS, of which there are no others here."""
    statements = [
        s for s in document["Statement"] if "aws:SecureTransport" not in s.get("Condition", {}).get("Bool", {})
    ]
    return {**document, "Statement": statements}


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _camel_case(item) for name, item in value.items()}
    return [_camel_case(item) for item in value] if isinstance(value, list) else value
