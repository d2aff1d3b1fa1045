"""What the cloud stage costs, as a function of how much is looked at. List prices change: see `Rates`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars, list prices of us-east-1 without free tiers; check them before you rely on them.

    face : one DetectFaces. row : a row with its index, written and its claim removed. message : queue calls of one
    crop. put : an S3 PUT. metric : a custom metric a month (nine are used). point : share of a PutMetricData call.
    alarm : a month. publish : one message to IoT Core.
    """

    face: float = 0.001
    row: float = 4 * 0.625e-6
    message: float = 3 * 0.4e-6
    put: float = 5e-6
    metric: float = 0.30
    point: float = 1e-5
    alarm: float = 0.10
    publish: float = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """interval : seconds between two crops of a face. hours : a day. faces, messages a second : of each camera."""

    cameras: int = 1
    faces: float = 2.0
    hours: float = 8.0
    interval: float = 3.0
    messages: float = 5.0

    @property
    def crops(self) -> float:
        """In 30 days."""
        return self.cameras * self.faces * self.hours * 30 * 3600 / self.interval


def crop(rates: Rates = Rates(), *, emotions: bool = True) -> float:
    """Of one crop, US dollars."""
    looked_at = rates.face + rates.row + rates.message + rates.point
    return rates.put + (looked_at if emotions else 0.0)


def monthly(use: Use, rates: Rates = Rates(), *, emotions: bool = True) -> dict[str, float]:
    """Of 30 days by item, US dollars."""
    n = use.crops
    messages = use.cameras * use.messages * use.hours * 30 * 3600
    items = {
        "Rekognition": rates.face * n if emotions else 0.0,
        "rows, queue, storage": (rates.put + ((rates.row + rates.message) if emotions else 0.0)) * n,
        "metrics and alarms": 9 * rates.metric * emotions + 5 * rates.alarm + rates.point * n * emotions,
        "messages to IoT Core": rates.publish * messages,
    }
    return items | {"together": sum(items.values())}


HOURLY = {"ml.m5.xlarge": 0.269}
"""US dollars an hour of machines behind an endpoint, us-east-1; other types and regions: `--hourly`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How an endpoint is used. rate : pictures a second of each camera. hours : a day. seconds : of a picture."""

    cameras: int = 1
    rate: float = 1.0
    hours: float = 8.0
    seconds: float = 0.1

    @property
    def pictures(self) -> float:
        """In 30 days."""
        return self.cameras * self.rate * self.hours * 30 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRates:
    """US dollars. compute : a GB and second of a serverless endpoint. image : the image's storage a month. build : of
    one image, ten minutes.
    """

    compute: float = 2e-5
    image: float = 0.05
    build: float = 0.10


def endpoint(
    asking: Asking, *, memory: int = 3072, hourly: float | None = None, instances: int = 1,
    rates: EndpointRates = EndpointRates(),
) -> dict[str, float]:  # fmt: skip
    """Of 30 days by item, US dollars. hourly : price of a machine that always runs; None: serverless of `memory` MB."""
    if hourly is None:
        computing = {"serverless computing": asking.pictures * asking.seconds * memory / 1024 * rates.compute}
    else:
        computing = {"machines, day and night": instances * hourly * 24 * 30}
    items = {**computing, "the image's storage": rates.image, "building the image once": rates.build}
    return items | {"together": sum(items.values())}
