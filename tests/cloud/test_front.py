"""The local AWS is for programs on this machine, and for no web page."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from saccade.deploy import front
from saccade.deploy.local import LocalAws

from .conftest import put


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, b"" if method == "POST" else None, named, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


PAGES: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8000"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    {"User_Agent": "Mozilla/5.0 (of a browser that says no more)"},
    {"Host": "evil.example"},
]
"""What requests of pages look like, that of a rebound name last."""


@pytest.mark.parametrize("headers", PAGES, ids=lambda headers: " ".join(headers.values()))
def test_no_page_reads_or_resets_it(headers: dict[str, str], aws: LocalAws) -> None:
    put(aws, "kept/face.jpg", b"face")
    link = aws.client("s3").generate_presigned_url(
        "get_object", Params={"Bucket": aws.outputs["FacesBucketName"], "Key": "kept/face.jpg"}
    )
    for url, method in (
        (f"{aws.endpoint}/moto-api/reset", "POST"),
        (f"{aws.endpoint}/moto-api/data.json", "GET"),
        (f"{aws.endpoint}/?Action=DeleteQueue&QueueUrl={aws.outputs['FacesQueueUrl']}", "GET"),
        (link.partition("?")[0], "GET"),
        (link.partition("?")[0], "OPTIONS"),
    ):
        status, answer = ask(url, method, **headers)
        assert status in (401, 403, 421), url
        assert not [name for name in answer if name.lower().startswith("access-control-")]
    status, answer = ask(link)
    assert status == 200, "it is still there"
    assert not [name for name in answer if name.lower().startswith("access-control-")]


def test_the_pictures_of_the_page_are_shown_by_their_links(aws: LocalAws) -> None:
    put(aws, "kept/face.jpg", b"face")
    link = aws.client("s3").generate_presigned_url(
        "get_object", Params={"Bucket": aws.outputs["FacesBucketName"], "Key": "kept/face.jpg"}
    )
    assert ask(link, Sec_Fetch_Site="same-site", Sec_Fetch_Mode="no-cors", User_Agent="Mozilla/5.0")[0] == 200


def test_elsewhere_every_program_needs_the_key() -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    server = front.serve(application, "0.0.0.0", 0, "LOCALKEY")
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/bucket"
        assert ask(url)[0] == 401
        assert ask(url, Authorization="AWS4-HMAC-SHA256 Credential=local/20260101/x/s3/aws4_request")[0] == 401
        assert ask(url, Authorization="AWS4-HMAC-SHA256 Credential=LOCALKEY/20260101/x/s3/aws4_request")[0] == 200
        assert ask(f"{url}?X-Amz-Credential=LOCALKEY%2F20260101")[0] == 200
    finally:
        server.stop()
