"""Secrets never show, however the address is written."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.address import without_credentials
from saccade.capture import Capture, open_source
from saccade.errors import SourceError

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://cam/x", "http://cam/x"),
        ("http://user:hunter2@cam:81/x", "http://cam:81/x"),
        ("rtsp://user:hun/ter2@cam/x", "rtsp://cam/x"),
        ("rtsp://user:hun@ter2@cam/x", "rtsp://cam/x"),
        ("rtsp://user:hun#ter2@cam/x", "rtsp://cam/x"),
        ("rtsp://user:hun?ter2@cam/x", "rtsp://cam/x"),
        ("http://user:[hunter2@cam/x", "http://cam/x"),
        ("http:/user:hunter2@cam/x", "http:/cam/x"),
        ("http:user:hunter2@cam/x", "...@cam/x"),
        ("http//user:hunter2@cam/x", "...@cam/x"),
        ("user:hunter2@cam/x", "...@cam/x"),
        ("http://cam/x?user=a&pwd=hunter2", "http://cam/x"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1_stream=0.sdp", "rtsp://cam/user=..._password=..._channel=1_stream=0.sdp"),
        ("http://cam/videostream.cgi;pwd=hunter2;x=1", "http://cam/videostream.cgi;pwd=...;x=1"),
        ("/dev/v4l/by-id/usb-Cam_1-video-index0@1280x720@30", "/dev/v4l/by-id/usb-Cam_1-video-index0@1280x720@30"),
        ("pictures/photo@2x.jpg", "pictures/photo@2x.jpg"),
        ("demo:4mp", "demo:4mp"),
    ],
)  # fmt: skip
def test_what_is_left_of_an_address(text, expected):
    assert without_credentials(text) == expected


MALFORMED = [
    "http://user:hunter2@host.invalid:port/x",
    "http://user:hun#hunter2@127.0.0.1:9/",
    "http://user:99/hunter2@127.0.0.1:9/",
    "http://user:hunter2/@127.0.0.1:9/",
    "http://user:hunter2?@127.0.0.1:9/",
    "http://us er:[hunter2@127.0.0.1:9/",
    "http://user:hunter2@[::1/",
    "http://user:hunter2@:80/",
    "http:user:hunter2@host/",
    "htp://user:hunter2@host/",
    "user:hunter2@host/x",
    "rtsp://user:hun/hunter2@127.0.0.1:9/x",
    "rtsp://user:hunter2@127.0.0.1:nine/x",
    "rtsp://[user:hunter2@127.0.0.1:9/x",
    "rtsp://user:99@ss?hunter2@127.0.0.1:9/x",
    "http://127.0.0.1:9/snap?pwd=hunter2",
    "rtsp://127.0.0.1:9/user=admin_password=hunter2_channel=1",
]


@pytest.mark.parametrize("address", MALFORMED)
def test_no_message_and_no_log_shows_a_secret(address, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError) as caught:
        Capture(open_source(address)).start()
    shown = str(caught.value) + repr(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert SECRET not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize("address", [a for a in MALFORMED if "://" in a and "@" in a and "htp" not in a])
def test_the_message_says_to_percent_encode(address):
    with pytest.raises(SourceError, match=r"percent-encoded: @ as %40"):
        Capture(open_source(address)).start()


NO_NAME = r"^{}://{}.*/x: '{}.*' is no host name: each part of one has 1 to 63 letters$"


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtsps", "rtmp", "udp", "tcp", "srt"])
@pytest.mark.parametrize("host", ["a..b", "." * 3, "n" * 70, f"cam.{'n' * 64}.example"])
def test_a_host_that_no_name_can_be_is_said_so(scheme, host):
    address = f"{scheme}://user:hunter2@{host}/x"
    with pytest.raises(SourceError, match=NO_NAME.format(scheme, *[host[:3].replace(".", r"\.")] * 2)):
        open_source(address, wait=True)


@pytest.mark.parametrize("address", ["rtsp://hun..ter2/x@cam/x", "http://hun..ter2?x@cam/x"])
def test_a_piece_of_a_password_is_not_taken_for_a_host(address):
    with pytest.raises(SourceError, match="percent-encoded") as caught:
        Capture(open_source(address)).start()
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://cam./x", "http://kämera.example/x", "udp://:5000", "udp://@:5000", "http://[fe80::1%25eth0]/"]
)
def test_hosts_that_can_be(address):
    open_source(address)


@settings(deadline=None)
@given(
    scheme=st.sampled_from(["http://", "https://", "rtsp://", "http:/"]),
    before=st.text(alphabet="ab:/?#@[]%&;= ", max_size=8),
    behind=st.text(alphabet="ab:/?#@[]%&;= ", max_size=8),
)
def test_whatever_stands_before_the_last_at_is_left_out(scheme, before, behind):
    assert SECRET not in without_credentials(f"{scheme}user:{before}{SECRET}{behind}@host/x")
